"""What is promised of a designed guide, and what a report says of it once it is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.case.model import GuideRequest
from psi_cad.export.safely import sha256_of
from psi_cad.findings import Caution, by_weight
from psi_cad.guides.contract import Design
from psi_cad.guides.params import GuideParams
from psi_cad.guides.registry import template_sha256
from psi_cad.guides.site import Site, slot_room
from psi_cad.planning.cuts import PlannedCut
from psi_cad.planning.depth import SlotDepth, slot_depth
from psi_cad.run.naming import Naming
from psi_cad.run.subject import stem
from psi_cad.units import Mm
from psi_cad.verify.expected import Expected, ExpectedSlot

__all__ = ["Made", "cautions_of", "expected_of", "report_entry"]

PRINTED_LETTERS_MM: Final[Mm] = 2.5  # an FDM bead is about 0.4 mm wide; smaller letters run together


@dataclass(frozen=True)
class Made:
    """One guide as designed: what was asked, where it sits, what came of it."""

    request: GuideRequest
    params: GuideParams
    site: Site
    design: Design
    naming: Naming = field(default_factory=Naming)

    @property
    def stem(self) -> str:
        """The guide's file name without its ending."""
        return stem(self.request.name, self.site.blade.id, self.naming.variant)


def expected_of(made: Made, cuts: Sequence[PlannedCut]) -> Expected:
    """The plan of one guide as numbers that files can be held against."""
    site, design = made.site, made.design
    values = dataclasses.asdict(made.params)
    slots = []
    for feature, cut in zip(design.slots, site.cuts, strict=True):
        planned = next(c for c in cuts if c.name == feature.cut)
        depth = slot_depth(planned, site.axis.direction)
        slots.append(
            ExpectedSlot(
                name=feature.cut,
                origin=_triple(planned.origin),
                normal=_triple(planned.normal),
                thickness=site.blade.thickness,
                clearance=float(values["clearance"]),
                compensation=site.printer.slot_compensation,
                height=feature.height,
                wall=feature.wall,
                chord_low=cut.low,
                chord_high=cut.high,
                run_out=made.params.run_out,
                joined=feature.joined,
                free_low=all(end != -1 for _, end in cut.neighbours),
                free_high=all(end != 1 for _, end in cut.neighbours),
                room=slot_room(site.blade),
                bridge=float(values["bridge_width"]),
                blade_length=site.blade.usable_length,
                depth=depth.deepest,
                deepest=_deepest(planned, depth),
            )
        )
    return Expected(
        origin=_triple(site.frame.origin),
        axes=tuple(_triple(axis) for axis in site.frame.axes),
        slots=tuple(slots),
        planes=tuple((_triple(cut.origin), _triple(cut.normal)) for cut in cuts),
        outlines=tuple(tuple((round(float(x), 4), round(float(y), 4)) for x, y in ring) for ring in design.outlines),
        gap=site.seat.gap,
        wire=design.pins[0].wire,
        bore=design.pins[0].diameter,
        wire_depth=float(values["wire_depth"]),
        wires=tuple((*pin.centre, pin.depth) for pin in design.pins),
        wire_top=float(values["sleeve_height"]),
        pins=len(design.pins),
        pin_clearance=float(values["pin_clearance"]),
        edge_break=float(values["edge_break"]),
        build_volume=site.printer.build_volume,
        minimum_wall=site.printer.minimum_wall,
        slope_limit=made.params.slope_limit,
        clearance_overridden="clearance" in design.overrides,
    )


def _deepest(cut: PlannedCut, depth: SlotDepth) -> tuple[float, float, float]:
    """Where the blade has to go deepest, patient mm."""
    s, a = depth.deepest_at
    return _triple(np.round(cut.origin + s * depth.along + a * depth.blade, 2))


def _triple(values: Any) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))


def cautions_of(made: Made, expected: Expected) -> list[Caution]:
    """What a person must know of one guide, the most serious first."""
    printer, blade, design = made.site.printer, made.site.blade, made.design
    found = list(design.cautions)
    if "clearance" in design.overrides:
        text = f"the slot's clearance is {expected.slots[0].clearance:g} mm, outside 0.10–0.20, because clearance_override is set"
        found.append(Caution("clearance-override", text))
    if blade.nominal:
        found.append(Caution("nominal-blade", f"blade {blade.id} is a nominal catalogue entry: measure your blade"))
    if not printer.calibrated:
        found.append(Caution("uncalibrated-printer", f"printer {printer.id} is uncalibrated: print a gauge on it and measure its slots and holes"))
    if design.label.letter_height < PRINTED_LETTERS_MM:
        text = f"the label's letters are {design.label.letter_height:.2f} mm high; below {PRINTED_LETTERS_MM:g} mm few processes print them"
        found.append(Caution("small-letters", text))
    if made.site.seat.gap > made.params.seat_gap:
        text = f"seat_gap is {made.site.seat.gap:g} mm instead of {made.params.seat_gap:g}: nearer, bone would reach into the guide"
        found.append(Caution("seat-gap-raised", text))
    return by_weight(found)


def _engraved_alike(made: Made) -> list[Caution]:
    """That the label in a variant's wall, which names guide and blade, does not tell it from another variant."""
    if made.naming.variant is None:
        return []
    text = f"the engraved label does not name the variant '{made.naming.variant}': mark each print by hand, so that nobody takes it for another"
    return [Caution("look", text)]


def report_entry(
    made: Made, measured: Mapping[str, Any], expected: Expected, files: dict[str, str], folder: Path, *, cautions: Sequence[Caution] = ()
) -> dict[str, Any]:
    """One entry of the report's `guides`; `cautions` are those of how its entry in the case was run."""
    printer, blade = made.site.printer, made.site.blade
    cautions = by_weight([*cautions, *cautions_of(made, expected), *_engraved_alike(made)])
    axis = made.site.axis
    return {
        "name": made.request.name,
        "template": made.request.template,
        "template_sha256": template_sha256(made.request.template),
        "blade": blade.id,
        "printer": printer.id,
        "variant": made.naming.variant,
        "variant_given": made.naming.given,
        "differs": list(made.naming.differs),
        "cuts": list(made.request.cuts),
        "approach": list(made.request.approach),
        "seating_axis": [round(float(v), 9) for v in axis.direction],
        "seating": {
            "tilt_from_approach_deg": round(axis.tilt, 3),
            "sliding_lock": round(axis.sliding_lock, 4),
            "directions_searched": axis.searched,
            "fit_rms_mm": round(made.site.seat.rms, 5),
            "fit_max_mm": round(made.site.seat.max, 5),
        },
        "files": files,
        "sha256": {name: sha256_of(folder / name) for name in files.values()},
        **measured,
        "label": {"lines": list(made.design.label.lines), "letter_height_mm": made.design.label.letter_height},
        "pins": [
            {"name": pin.name, "centre_mm": [round(v, 4) for v in pin.centre], "diameter_mm": pin.diameter, "depth_mm": round(pin.depth, 2)}
            for pin in made.design.pins
        ],
        "params": dataclasses.asdict(made.params),
        "blade_entry": blade.model_dump(),
        "printer_entry": printer.model_dump(mode="json"),
        "cautions": [caution.to_json() for caution in cautions],
        "notes": [*made.design.notes, *(caution.text for caution in cautions)],
        "overrides": list(made.design.overrides),
        "plan": expected.to_json(),
    }
