"""The guides and parts of an output folder side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psi_cad.approval.acceptance import cautions_told
from psi_cad.approval.approve import lacking
from psi_cad.approval.record import read_record
from psi_cad.approval.release import check_approvals
from psi_cad.files import sha256_of
from psi_cad.outputs.subject import PLAN, case_folders, made_in, read_plan, read_report, section_of, stem_of, subject_of
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.report import BuildReport

__all__ = ["NOT_SOUND", "Standing", "changed", "compare_folder", "not_sound_line", "standing_in", "state_of"]

NOT_SOUND: Final = "NOT SOUND"

REACH: Final = ("blade_reach", "ledge_reach", "liner_reach")
OF_GUIDES: Final = (
    "blade",
    "variant",
    "clearance_mm",
    "slot_width_mm",
    "wall_mm",
    "contact_mm2",
    "seat_max_mm",
    "reach_spare_mm",
    "letters_mm",
    "stems",
)


def compare_folder(path: Path) -> list[dict[str, Any]]:
    """A row for each guide and part of every case below `path`, as its report tells; nothing is measured, but files are held against their hashes.

    A row has "guide" or "part", its file name; the other is None, and so is what there is of the other kind only.

    `released`: the report tells of a release of it; `sound`: the record of approvals and every release of its case hold, as `check` finds.

    Raises
    ------
    InputError
    """
    rows = []
    for folder in case_folders(path):
        report = read_report(folder)
        if report is None:
            continue
        standing = standing_in(folder)
        for made in made_in(report):
            stands = standing[section_of(made)]
            told = {"approved": stands.approved, "released": stands.released, "sound": stands.sound}
            rows.append({"case": report.case.id, **_row(folder, report, made), **told})
    return rows


@dataclass(frozen=True)
class Standing:
    """How a guide or part stands: approved in both roles as it is, released, and whether the record and every release of its case hold."""

    approved: bool
    released: bool
    sound: bool


def standing_in(folder: Path) -> dict[str, Standing]:
    """How each guide and part of a case's folder stands, by its section.

    Raises
    ------
    InputError
    """
    plan, report = read_plan(folder), read_report(folder)
    if report is None:
        return {}
    subject, record = subject_of(folder, plan=plan, report=report), read_record(folder)
    (case,) = check_approvals(folder)

    def approved(section: str) -> bool:
        own = {name: subject[name] for name in (PLAN, section) if name in subject}
        return record.broken is None and not lacking(record, own, report.case.id)

    sections = [section_of(made) for made in made_in(report)]
    return {section: Standing(approved(section), section in case.releases, case.sound) for section in sections}


def state_of(*, approved: bool, released: bool, sound: bool, status: str) -> str:
    """What a guide or part counts as, in the one word of `compare`, `sheet` and its page.

    A release that does not hold, or of what did not pass or was changed, is none.

    >>> state_of(approved=True, released=True, sound=False, status="passed")
    'NOT SOUND'
    """
    if released:
        return "released" if sound and status == "passed" else NOT_SOUND
    return "approved" if approved else "no"


def not_sound_line(cases: Iterable[str]) -> str:
    """The sentence that `compare` and `sheet` end with where a release or a record does not hold."""
    return f"{NOT_SOUND}: the release or the record of approvals of {', '.join(cases)} does not hold; 'psi-cad check' says why"


def _row(folder: Path, report: BuildReport, made: Guide | BodyPart) -> dict[str, Any]:
    guide, part = (made, None) if isinstance(made, Guide) else (None, made)
    return {
        "guide": None if guide is None else stem_of(guide),
        "part": None if part is None else stem_of(part),
        "name": made.name,
        "printer": made.printer,
        "status": "changed" if changed(folder, made) else made.status,
        **(_of_guide(guide) if guide is not None else dict.fromkeys(OF_GUIDES)),
        "volume_mm3": guide.volume_mm3 if guide is not None else round(sum(one.volume_mm3 for one in made.parts), 3),
        "differs": list(guide.differs) if guide is not None else [],
        "cautions": [caution.id for caution in cautions_told(report.cautions, [made])],
        "accepted": list(made.accepted),
    }


def _of_guide(guide: Guide) -> dict[str, Any]:
    """What only a guide has."""
    seat, label = guide.seat, guide.label
    walls = [*(slot.wall_min_mm for slot in guide.slots), *(one.get("wall_mm") for one in guide.features if one["kind"] in ("ledge", "liner"))]
    spare = [check.value - check.limit for check in guide.checks if check.id.startswith(REACH)]
    return {
        "blade": guide.blade,
        "variant": guide.variant,
        "clearance_mm": (guide.params or {}).get("clearance") if guide.slots or guide.slot_sleeve else None,
        "slot_width_mm": _each([slot.width_mm for slot in guide.slots], max),
        "wall_mm": _each(walls, min),
        "contact_mm2": None if seat is None else seat.contact_area_mm2,
        "seat_max_mm": None if seat is None else seat.max_mm,
        "reach_spare_mm": round(min(spare), 3) if spare else None,
        "letters_mm": None if label is None else label.letter_height_mm,
        "stems": [stem.to_json() for stem in guide.stems],
    }


def changed(folder: Path, made: Guide | BodyPart) -> bool:
    """Whether a file of a guide or part is missing, or not the one that the report tells of."""
    return any(not (folder / name).is_file() or sha256_of(folder / name) != made.sha256.get(name) for name in made.files.values())


def _each(values: Sequence[float | None], of: Callable[[list[float]], float]) -> float | None:
    """The greatest or least of a measure over a guide's slots; None where one was not measured."""
    found = [value for value in values if value is not None]
    return float(of(found)) if found and len(found) == len(values) else None
