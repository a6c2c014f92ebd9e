"""What people see: progress on a terminal, tables, JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from psi_cad.records.case_check import CaseCheck, CutMet
    from psi_cad.records.check import CheckedCase, CheckedGuide, CheckedPart
    from psi_cad.records.guide import Guide
    from psi_cad.records.parts import BodyPart
    from psi_cad.records.plan import CutSaid, Optimised, PlanReport
    from psi_cad.records.shared import ApprovalSaid

__all__ = ["approval_lines", "case_lines", "guide_lines", "optimised_lines", "part_lines", "plan_lines", "progress", "say_json", "say_lines", "table"]

KERF_SHOWN_MM: Final = 0.05  # a slot farther from its plane than this was moved there on purpose


def say_json(data: Any) -> None:
    """`data` as JSON on standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def say_lines(lines: Sequence[str], *, err: bool = False) -> None:
    """Lines on standard output (or error); nothing where there are none."""
    if lines:
        typer.echo("\n".join(lines), err=err)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str], None] | None]:
    """A function to tell steps to: a line that renews itself on a terminal, plain lines elsewhere, on standard error."""
    if quiet:
        yield None
        return
    started = time.monotonic()
    live = sys.stderr.isatty()

    def tell(step: str) -> None:
        text = f"  {time.monotonic() - started:5.1f} s  {step}"
        if live:
            sys.stderr.write("\r\x1b[2K" + text[:110])
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    try:
        yield tell
    finally:
        if live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> str:
    """Columns as wide as they need to be."""
    text = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in text) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in text)


def guide_lines(guide: Guide | CheckedGuide) -> list[str]:
    """A few lines on one guide of a report, or of a folder that was measured again."""
    from psi_cad.grafting.told import graft_lines
    from psi_cad.options.told import option_lines
    from psi_cad.reconstruction.lines import stem_lines
    from psi_cad.records.guide import Guide as Built
    from psi_cad.wording.telling import check_lines

    mark = {"rejected": "REJECTED", "failed": "FAILED"}.get(guide.status, guide.status)
    variant = f", variant {guide.variant}" if guide.variant else ""
    built = guide if isinstance(guide, Built) else None
    if built is not None and built.kept:
        return [f"{guide.name} for {guide.blade}{variant}: kept from earlier, {mark}"]
    why = guide.why if not isinstance(guide, Built) else ""
    lines = [f"{guide.name} for {guide.blade}{variant}: {mark}" + (f" ({why})" if why else "")]
    if built is not None and built.differs:
        lines.append(f"  differs: {', '.join(built.differs)}")
    for slot in guide.slots:
        if slot.width_mm is not None:
            lines.append(
                f"  slot {slot.name}: {slot.width_mm:.3f} mm wide, {slot.length_mm:.1f} long, guided over {slot.height_min_mm:.2f}, "
                f"walls {slot.wall_min_mm:.2f}, plane within {slot.plane_angle_deg:.4f}° and {slot.plane_offset_mm:.4f} mm"
            )
            off = slot.from_plan_mm or 0.0
            if abs(off) > KERF_SHOWN_MM:
                side = "specimen" if off > 0.0 else "bone that stays"
                why = "as kerf_side says" if built is None or built.graft is None else "as kerfs and fit ask"
                lines.append(f"    it lies {abs(off):.3f} mm from the planned plane, towards the {side}, {why}")
    lines += graft_lines(None if built is None else built.graft)
    lines += stem_lines(guide.stems)
    for bore in built.bores if built is not None else ():
        if bore.diameter_mm is not None and bore.stop_mm is not None:
            lines.append(
                f"  sleeve {bore.name}: bore {bore.diameter_mm:.2f} mm, guided over {bore.guided_mm:.1f}, "
                f"stop {bore.stop_mm:.1f} mm from the planned tip, axis within {bore.angle_deg:.4f}° and {bore.entry_offset_mm:.4f} mm"
            )
    lines += [f"  {line}" for line in option_lines(guide.features)]
    seat = guide.seat
    if seat is not None and seat.rms_mm is not None:
        lines.append(
            f"  seat: {seat.contact_area_mm2:.0f} mm² of contact, residual {seat.rms_mm:.3f} RMS and {seat.max_mm:.3f} at most, "
            f"gap {seat.gap_mm:.2f}, into bone {seat.overlap_max_mm:.3f} mm"
        )
        if seat.weakest_in_words:
            lines.append(f"  hold: lock {seat.sliding_lock:.2f}, weakest where the guide {seat.weakest_in_words}")
    return lines + check_lines(guide.checks)


def part_lines(part: BodyPart | CheckedPart) -> list[str]:
    """A few lines on one part of a bone's body, or of a folder that was measured again."""
    from psi_cad.records.parts import BodyPart as Built
    from psi_cad.wording.telling import check_lines

    mark = {"rejected": "REJECTED", "failed": "FAILED"}.get(part.status, part.status)
    if isinstance(part, Built) and part.kept:
        return [f"part {part.name} for {part.printer}: kept from earlier, {mark}"]
    why = "" if isinstance(part, Built) else part.why
    lines = [f"part {part.name} for {part.printer}: {mark}" + (f" ({why})" if why else "")]
    each = part.parts if isinstance(part, Built) else []
    lines += [f"  {one.name or 'the part'}: a {one.kind} of {one.volume_mm3 / 1000.0:.1f} cm³" for one in each]
    lines += [f"  {note}" for note in (part.notes if isinstance(part, Built) else [])]
    return lines + check_lines(part.checks)


def case_lines(found: CaseCheck) -> list[str]:
    """What `check` found of a case file: its bone and cuts, and for each guide its seat and whether the blade reaches."""
    from psi_cad.wording.telling import check_lines

    sections = ", ".join(f"{cut.name} {cut.section_area_mm2:.0f} mm²" for cut in found.cuts) or "none, nothing is cut"
    sound = "the case is sound" if found.status == "passed" else "the case can be read, but a check fails"
    if any(caution.id == "side-against-shape" for caution in found.cautions):
        sound = "the case can be built, but its side contradicts the bone's shape"
    lines = [f"{found.case}: {sound} (bone {found.bone.triangles} triangles; sections: {sections})"]
    lines += specimen_lines(found.cuts)
    lines += [f"part {name}: 'psi-cad build' makes and measures it" for name in found.parts]
    for repair in found.bone.repairs:
        where = f"{repair.bone}, " if repair.bone else ""
        lines.append(f"  repaired: {where}{repair.kind} ({repair.count}), {repair.size_mm:.1f} mm")
    for seat in found.seats:
        lines.append(
            f"{seat.name} for {seat.blade}: a seat was found, {seat.contact_area_mm2:.0f} mm² of bone in reach, "
            f"{seat.tilt_from_approach_deg:.0f}° from the approach"
        )
        for check in seat.checks:
            if check.passed:
                cut = check.id.partition("[")[2].rstrip("]")
                lines.append(f"  cut {cut}: the blade reaches {check.value:.1f} mm below the slot, and the bone is {check.limit:.1f} mm deep")
        lines += check_lines([check for check in seat.checks if not check.passed])
    return lines


def specimen_lines(cuts: Sequence[CutMet | CutSaid]) -> list[str]:
    """Which side of each cut is taken out, in words: a normal that was typed the wrong way round shows here."""
    return [f"  cut {cut.name}: the specimen, which is taken out, lies {cut.specimen_side} of it" for cut in cuts if cut.specimen_side]


def approval_lines(approval: ApprovalSaid | CheckedCase, *, released: bool) -> list[str]:
    """Whether a case is released, and who approved what, still as it is or another version of it."""
    if approval.broken:
        return [f"{'released, but ' if released else 'not released: '}the record of approvals is broken: {approval.broken}"]
    but = f", but {', '.join(approval.missing)}" if approval.missing else ""
    lines = [f"released{but}" if released else "not released"]
    for entry in approval.entries:
        changed = f" (changed: {', '.join(entry.changed[:3])}{', …' if len(entry.changed) > 3 else ''})" if entry.changed else ""
        there = [name for name in entry.covers if name not in entry.gone]
        gone = f" (no longer here: {', '.join(entry.gone)})" if entry.gone else ""
        what, both = ", ".join(there) or "nothing that is here now", " (the same person in both roles)" if entry.same_person else ""
        lines.append(f"  {entry.sequence}. {entry.role} {entry.name_code}{both}, {entry.time}, {what}: {entry.status}{changed}{gone}")
    return lines


def optimised_lines(said: Optimised) -> list[str]:
    """How far each cut of a proposal went, what stopped it, and what it costs in length and area; or why there is none."""
    lines = []
    for row in said.moved:
        way = f"turned {row.turned_deg:.1f}°, moved {row.shifted_mm:+.1f} mm"
        cost = f"length {row.length_change_mm:+.1f} mm, area {row.area_change_mm2:+.0f} mm²"
        lines.append(f"  cut {row.cut}: {way}; {cost}; stopped by {row.stopped_by}: {row.why}")
    return lines + [f"  cut {stopped.cut}: stopped by {stopped.stopped_by}: {stopped.why}" for stopped in said.stopped]


def plan_lines(plan: PlanReport) -> list[str]:
    """A plan's report as people read it: a table of cuts, the volumes, the stems, what failed."""
    from psi_cad.reconstruction.lines import planned_stem_lines
    from psi_cad.wording.telling import check_lines

    def number(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    head = ["cut", "margin", "sawn", "through bone", "class", "area mm²", "length", "depth", "reached"]
    rows = [
        [
            cut.name,
            number(cut.margin_mm, 2),
            number(cut.margin_sawn_mm, 2),
            number(cut.margin_through_bone_mm, 2),
            (cut.class_ or "-") + (" (planned)" if cut.planned_positive else ""),
            number(cut.area_mm2, 0),
            number(cut.length_mm),
            number(cut.depth_max_mm),
            "-" if cut.reachable is None else f"{100 * cut.reachable:.0f} %",
        ]
        for cut in plan.cuts
    ]
    if plan.bones:
        head.insert(1, "bone")
        for row, cut in zip(rows, plan.cuts, strict=True):
            row.insert(1, cut.bone)
    lines = [f"{plan.case.id}: plan {plan.status}", table(rows, head), ""]
    cm3 = 1000.0
    lines.append("margin: to the planned plane; sawn: to the face the saw leaves, which gives the class; in mm")
    lines.append(
        f"specimen {plan.specimen.volume_mm3 / cm3:.1f} cm³ in {plan.specimen.pieces} piece(s), sawn to dust "
        f"{plan.kerf_mm3 / cm3:.2f}, healthy bone lost in both {plan.healthy_removed_mm3 / cm3:.1f}, "
        f"retained {plan.retained.volume_mm3 / cm3:.1f} in {plan.retained.pieces}"
    )
    for bone in plan.bones:
        out, stays = (0.0 if piece is None else piece.volume_mm3 for piece in (bone.specimen, bone.retained))
        parts = f"specimen {out / cm3:.1f} cm³, retained {stays / cm3:.1f}"
        margin = f", margin {number(bone.margin_mm, 2)}, sawn {number(bone.margin_sawn_mm, 2)}, class {bone.class_}" if bone.class_ else ""
        lines.append(f"  {bone.name}: {parts}{margin}" if bone.cuts else f"  {bone.name}: no cut takes it")
    lines += specimen_lines(plan.cuts)
    if plan.tumour is not None and plan.tumour.diameters_mm is not None:
        size = " × ".join(f"{v:.0f}" for v in plan.tumour.diameters_mm)
        lines.append(f"tumour {plan.tumour.volume_mm3 / cm3:.1f} cm³, {size} mm; wanted margin {plan.margin_wanted_mm:g} mm")
    lines += planned_stem_lines(plan.stems)
    return lines + check_lines(plan.checks)
