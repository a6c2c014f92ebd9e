"""What is promised of a designed guide, and what a report says of it once it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from psi_cad.case.model import GuideRequest
from psi_cad.export.lying import seat_up
from psi_cad.files import sha256_of
from psi_cad.findings import Caution, by_weight, place_of
from psi_cad.frames import triple
from psi_cad.guides.contract import Design
from psi_cad.guides.params import GuideParams, SeatParams, SleeveParams
from psi_cad.guides.registry import loaded_sha256
from psi_cad.guides.site import Site, blade_origin, slot_room
from psi_cad.intake.cautions import guide_cautions
from psi_cad.making.cautions import letters_caution
from psi_cad.options.leaning import Leaning
from psi_cad.options.ledge import Ledge
from psi_cad.options.liner import Liner
from psi_cad.options.plated import Plated
from psi_cad.outputs.naming import Naming
from psi_cad.outputs.overrides import overrides_of
from psi_cad.outputs.subject import stem
from psi_cad.promises.expected import Expected, ExpectedAvoid, ExpectedBore, ExpectedSlot
from psi_cad.promises.requirements import CLEARANCE, refuse_lacking, refuse_missing
from psi_cad.records.grafts import GraftSaid
from psi_cad.records.guide import Guide, LabelSaid, MeasuredFiles, MeasuredSeat, PinSaid, SeatingSaid, TriedSeat, Way
from psi_cad.records.parts import MadePart
from psi_cad.records.planned import PlannedGuide
from psi_cad.records.shared import cautions_said
from psi_cad.records.stems import StemSaid
from psi_cad.resection.depth import slot_depth
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import blade_kerf
from psi_cad.siting.about import blade_axes
from psi_cad.siting.access import voids
from psi_cad.siting.pins import UP
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.features.feature import Feature, Triple, told

__all__ = ["Made", "cautions_of", "expected_of", "report_entry"]


@dataclass(frozen=True)
class Made:
    """One guide as designed: what was asked, where it sits, what came of it; `job` is the hash of what it is made from."""

    request: GuideRequest
    params: SeatParams
    site: Site
    design: Design
    naming: Naming = field(default_factory=Naming)
    job: str = ""
    settings: tuple[str, ...] = ()  # of the run

    @property
    def stem(self) -> str:
        """The guide's file name without its ending."""
        return stem(self.request.name, self.site.tool_id, self.naming.variant)


def _slots_of(made: Made, cuts: Sequence[PlannedCut]) -> list[ExpectedSlot]:
    site, design, shifts = made.site, made.design, _shifts(made, cuts)
    slots = []
    assert isinstance(made.params, GuideParams)  # the registry has refused a template with cuts and others
    for cut, sawn in zip(site.cuts, site.sawn, strict=True):
        feature = next(slot for slot in design.slots if slot.cut == cut.name)
        planned = next(c for c in cuts if c.name == feature.cut)
        profile, clearance = slot_depth(sawn, site.axis.direction), float(feature.clearance)
        slots.append(
            ExpectedSlot(
                name=feature.cut,
                origin=triple(planned.origin),
                normal=triple(planned.normal),
                thickness=site.blade.thickness,
                clearance=clearance,
                compensation=site.printer.slot_compensation,
                height=feature.height,
                wall=feature.wall,
                chord_low=cut.low,
                chord_high=cut.high,
                run_out=made.params.run_out,
                joined=feature.joined,
                free_low=cut.free[0],
                free_high=cut.free[1],
                stops=cut.stops,
                opens=feature.opens,
                ledge=feature.ledge,
                lined="" if feature.lined is None else feature.lined[0],
                room=slot_room(site.blade),
                bridge=float(feature.bridge),
                blade_length=site.blade.usable_length,
                depth=profile.deepest,
                blade_width=site.blade.cutting_width,
                far=profile.deepest_lines(),
                kerf=blade_kerf(site.blade, clearance),
                shift=shifts[feature.cut],
            )
        )
    return slots


def _bores_of(made: Made) -> tuple[ExpectedBore, ...]:
    frame, params, found = made.site.frame, made.params, list[ExpectedBore]()
    if not made.design.sleeves:
        return ()
    assert isinstance(params, SleeveParams)  # the registry has refused a template with trajectories and others
    for way in made.site.ways:
        feature = next(sleeve for sleeve in made.design.sleeves if sleeve.trajectory == way.name)
        bore = ExpectedBore(
            name=way.name,
            entry=triple(frame.patient(way.entry)),
            out=triple(frame.patient_direction(way.out)),
            depth=way.depth,
            tool=way.tool.id,
            tool_diameter=way.tool.diameter,
            tool_length=way.tool.usable_length,
            clearance=params.bore_clearance,
            compensation=made.site.printer.hole_compensation,
            wall=params.sleeve_wall,
            guided=params.guided,
            stop=feature.stop,
        )
        found.append(bore)
    return tuple(found)


def _shifts(made: Made, cuts: Sequence[PlannedCut]) -> dict[str, Mm]:
    return {cut.name: shift for cut, shift in zip(cuts, made.site.shifts, strict=True)}


def print_up(made: Made) -> Array:
    """The way up (3,) in which a guide is printed, patient frame."""
    frame = made.site.frame
    return seat_up(frame, [frame.patient_direction(way.out) for way in made.site.ways])


def expected_of(made: Made, cuts: Sequence[PlannedCut], avoid: Sequence[ExpectedAvoid] = ()) -> Expected:
    """The plan of one guide as numbers that files can be held against; `avoid`: what its tools keep from.

    Raises
    ------
    DesignError
        Where its template promises less than psi-cad requires of an instrument of its kind.
    """
    site, design = made.site, made.design
    name = made.request.template
    refuse_missing(name, kind="slot", asked=[cut.name for cut in site.cuts], promised=[slot.cut for slot in design.slots])
    refuse_missing(name, kind="sleeve", asked=[way.name for way in site.ways], promised=[sleeve.trajectory for sleeve in design.sleeves])
    refuse_missing(name, kind="plated", asked=[hole.name for hole in made.request.hole], promised=[one.name for one in _plated(design)])
    shifts, wires = _shifts(made, cuts), design.wires
    slots = _slots_of(made, cuts) if design.slots else []
    pin, leaning = next(iter(design.pins), None), _leaning(made)
    expected = Expected(
        origin=triple(site.frame.origin),
        axes=tuple(triple(axis) for axis in site.frame.axes),
        slots=tuple(slots),
        planes=tuple((triple(blade_origin(cut, shifts[cut.name])), triple(cut.normal)) for cut in cuts),
        outlines=tuple(_ring(ring) for ring in design.outlines),
        gap=site.seat.gap,
        wire=0.0 if pin is None else pin.wire,
        bore=0.0 if pin is None else pin.diameter,
        wire_depth=float(wires.depth),
        wires=tuple((*pin.centre, pin.depth) for pin in design.pins),
        wire_top=float(wires.top),
        pins=len(design.pins),
        pin_clearance=float(wires.clearance),
        edge_break=float(design.edge_break),
        build_volume=site.printer.build_volume,
        minimum_wall=site.printer.minimum_wall,
        slope_limit=site.seating.slope_limit,
        clearance_overridden="clearance" in design.overrides,
        allow_sliding=made.params.allow_sliding,
        voids=tuple(_ring(np.asarray(part.exterior.coords)) for part in voids(site.field, site.seat.bone_patch, design.outlines)),
        bores=_bores_of(made),
        avoid=tuple(avoid) if design.sleeves or leaning else (),
        tool_clearance=made.params.tool_clearance if design.sleeves and isinstance(made.params, SleeveParams) else 0.0,
        features=tuple(told(feature) for feature in (*design.features, *leaning)),
    )
    alone: list[Feature] = [*_ledges(made, expected), *_liners(made, expected)]
    expected = replace(expected, features=(*expected.features, *(told(one) for one in alone)))
    refuse_lacking(name, expected, override_asked=made.params.overrides("clearance"))
    return expected


def _plated(design: Design) -> list[Feature]:
    return [feature for feature in design.features if isinstance(feature, Plated)]


def _leaning(made: Made) -> tuple[Feature, ...]:
    """What wires that lean are measured against, whatever the template says of them."""
    site, design = made.site, made.design
    if all(pin.out == UP for pin in design.pins):
        return ()
    bore, wire, seat = design.pins[0].diameter, design.pins[0].wire, site.seat.patch
    feet = tuple((*pin.centre, float(seat(np.array([pin.centre]))[0])) for pin in design.pins)
    play = bore - wire - site.printer.hole_compensation
    outs, depths = tuple(pin.out for pin in design.pins), tuple(pin.depth for pin in design.pins)
    return (Leaning("wires", feet, outs, depths, bore, wire, play, float(design.wires.top - design.wires.metal), not site.holes),)


def _ledges(made: Made, expected: Expected) -> list[Ledge]:
    """What walls that guide alone are measured against, by the plan."""
    found = []
    for slot, feature in zip(expected.slots, made.design.slots, strict=True):
        if slot.ledge:
            (low, high), chord, sizes = feature.windows[0], (slot.chord_low, slot.chord_high), (slot.height, slot.wall)
            rest = (slot.room, expected.edge_break, slot.blade_length)
            found.append(Ledge(slot.name, *_ways(slot, expected), slot.ledge, slot.width / 2.0, *sizes, low, high, chord, *rest))
    return found


def _ways(slot: ExpectedSlot, expected: Expected) -> tuple[Triple, Triple, Triple]:
    """Origin and normal of the plane in which a cut's blade runs, and the blade's way out of the bone; guide frame."""
    origin, normal = expected.plane_of(slot)
    _, blade = blade_axes(normal, np.array(UP))
    return triple(origin), triple(normal), triple(blade)


def _liners(made: Made, expected: Expected) -> list[Liner]:
    """What the pockets of metal sleeves are measured against, by plan and catalogue."""
    sleeve, found = made.site.slot_sleeve, list[Liner]()
    for slot, feature in zip(expected.slots, made.design.slots, strict=True):
        if sleeve is None or feature.lined is None:
            continue
        least, most = (0.0, slot.clearance) if expected.clearance_overridden else (CLEARANCE.least, CLEARANCE.most)
        one = Liner(
            slot.name,
            *_ways(slot, expected),
            sleeve=sleeve.id,
            amid=sum(feature.windows[0]) / 2.0,
            length=sleeve.length,
            width=sleeve.width,
            height=sleeve.height,
            corner=sleeve.corner,
            slot_length=sleeve.slot_length,
            slot_width=sleeve.slot_width,
            more=feature.lined[1] + slot.compensation,
            wall=slot.wall,
            end_wall=feature.lined[2],
            chord=(slot.chord_low, slot.chord_high),
            guided=slot.height,
            room=slot.room,
            blade=slot.thickness,
            least=least - LIMITS.slot_width,
            most=most + LIMITS.slot_width,
            blade_length=slot.blade_length,
        )
        found.append(one)
    return found


def _ring(points: Array) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in points)


def cautions_of(made: Made, expected: Expected, measured: MeasuredFiles) -> list[Caution]:
    """What a person must know of one guide, the most serious first."""
    design, seat = made.design, measured.seat
    found = [*design.cautions, *guide_cautions(made.params, made.site)]
    lock = seat.sliding_lock
    if expected.allow_sliding and lock is not None and lock < LIMITS.sliding_lock:
        text = f"the guide can slide: it {seat.weakest_in_words}; place it by hand, and hold it until it is pinned"
        found.append(Caution("slides", f"{text} (lock {lock:.2f}, {LIMITS.sliding_lock:g} is wanted)", place_of(seat.contact_middle_mm)))
    for ring in expected.voids:
        middle = np.mean(ring, axis=0)
        place = place_of(expected.frame.patient(np.array([*middle, float(made.site.seat.patch(middle[None, :])[0])])))
        across = float(np.ptp(np.array(ring), axis=0).max())
        text = f"a footplate spans bone that falls away, over {across:.0f} mm, and does not rest there"
        found.append(Caution("seat-spans-hollow", text, place))
    small = letters_caution(design.label)
    if small is not None and not any(caution.id == "no-label" for caution in found):
        found.append(small)
    return by_weight(found)


def report_entry(
    made: Made,
    measured: MeasuredFiles,
    expected: Expected,
    files: dict[str, str],
    folder: Path,
    *,
    cautions: Sequence[Caution] = (),
    parts: Sequence[MadePart] = (),
    bone: str | None = None,
    graft: GraftSaid | None = None,
    stems: Sequence[StemSaid] = (),
) -> Guide:
    """One entry of the report's `guides`.

    Parameters
    ----------
    cautions
        Those of how its entry in the case was run.
    parts
        What comes beside it.
    bone
        The one that it is on; None where the case has but one.
    graft
        Of a guide on a donor's bone.
    stems
        Of a guide on the bone that the cuts leave.
    """
    blade, label, sleeve = made.site.saw, made.design.label, made.site.slot_sleeve
    cautions = by_weight([*cautions, *cautions_of(made, expected, measured)])
    ways: dict[str, Any] = {"trajectories": [Way.model_validate(way) for way in made.site.planned_ways()]} if made.site.ways else {}
    at_times: dict[str, Any] = {
        **({"parts": list(parts)} if parts else {}),
        **({} if sleeve is None else {"slot_sleeve": sleeve.model_dump(mode="json")}),
        **({} if bone is None else {"bone": bone}),
        **({} if graft is None else {"graft": graft}),
        **({"stems": list(stems)} if stems else {}),
    }
    return Guide(
        name=made.request.name,
        job=made.job,
        template=made.request.template,
        template_sha256=loaded_sha256(made.request.template),
        blade=made.site.tool_id,
        printer=made.site.printer.id,
        variant=made.naming.variant,
        variant_given=made.naming.given,
        differs=list(made.naming.differs),
        settings=list(overrides_of(made.settings, made.request.name)),
        cuts=list(made.request.cuts),
        **ways,
        holes=[one.model_dump(mode="json") for one in made.request.hole],
        approach=list(made.request.approach),
        seating_axis=[round(float(v), 9) for v in made.site.axis.direction],
        print_up=[round(float(v), 9) for v in print_up(made)],
        seating=_seating(made, measured.seat),
        files=files,
        sha256={name: sha256_of(folder / name) for name in files.values()},
        **{name: getattr(measured, name) for name in MeasuredFiles.model_fields if name in measured.model_fields_set},
        label=LabelSaid(lines=list(label.lines), letter_height_mm=label.letter_height, on=label.on),
        pins=[
            PinSaid(
                name=pin.name,
                centre_mm=[round(v, 4) for v in pin.centre],
                diameter_mm=pin.diameter,
                depth_mm=round(pin.depth, 2),
                **({} if pin.out == UP else {"out": [round(v, 9) for v in pin.out]}),
            )
            for pin in made.design.pins
        ],
        params=made.params.model_dump(),
        blade_entry=None if blade is None else blade.model_dump(),
        printer_entry=made.site.printer.model_dump(mode="json"),
        cautions=cautions_said(cautions),
        notes=[*made.design.notes, *(caution.text for caution in cautions)],
        overrides=list(made.design.overrides),
        plan=PlannedGuide.model_validate(expected.to_json()),
        **at_times,
    )


def _seating(made: Made, seat: MeasuredSeat) -> SeatingSaid:
    """How a guide sits: as it was searched, and as it was measured."""
    axis, seating = made.site.axis, made.site.seating
    return SeatingSaid(
        tilt_from_approach_deg=round(axis.tilt, 3),
        sliding_lock=seat.sliding_lock,
        sliding_lock_planned=None if seating.lock is None else round(seating.lock, 4),
        weakest_kind=seat.weakest_kind,
        weakest_direction=seat.weakest_direction,
        weakest_in_words=seat.weakest_in_words,
        footplate_reach_mm=seating.reach,
        slope_limit_deg=seating.slope_limit,
        tried=[TriedSeat.model_validate(trial.to_json()) for trial in seating.tried],
        directions_searched=axis.searched,
        fit_rms_mm=round(made.site.seat.rms, 5),
        fit_max_mm=round(made.site.seat.max, 5),
    )
