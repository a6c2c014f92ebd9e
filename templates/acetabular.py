"""Acetabular template: a guide on the bone that stays, for the reamer of a stem that carries a cup, and a trial that shows the cup's place.

Purpose
    Guides a cannulated reamer along the stem's axis into the ilium that stays, and stops it at its planned depth. A bushing in its sleeve guides
    the wire first. The trial sits on the same seat and the same fixation wires, and shows where the cup will lie; its tooth is engraved on the guide.
Datum
    The guide frame of `drill`, on the bone as the planned cuts leave it. Inclination and anteversion are radiographic, to the anterior pelvic plane
    through the landmarks of the case. Teeth count clockwise as one looks along the stem into the bone, from where the cup leans straight to the side.
Limits
    It fits bone that was sawn as planned: a cut that lies otherwise moves the guide with it. Its seat takes in the outer bone, the sawn face, or
    both, as `approach` looks at them. Landmarks that are a few millimetres off turn the cup by degrees. The trial shows the place of the cup,
    and is no implant. Not validated clinically.
Files
    `NAME_TOOL.step`, `.stl`, `.3mf` and `.png`; the same of `-bushing` and `-trial`; `-stem.png`, the stem in its bone; beside all
    `bone_retained.stl`.
Source
    A stem-and-cup reconstruction in the ilium that stays, as in the series that psi-cad follows; angles as Murray 1993 defines them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely.affinity

from psi_cad.brep import bodies, checked, label
from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import Frame, triple
from psi_cad.guides.contract import Bore, Design, Label, Needs, Part, StemFeature, Workshop
from psi_cad.guides.params import StemParams, param
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import Site, Way
from psi_cad.reconstruction import trial
from psi_cad.reconstruction.cup import CupPose

BASE: Final = "drill"
NEEDS: Final = Needs(cuts=(0, 0), trajectories=(1, 1), stem=True)
FIT: Final = 0.1  # mm all round a bushing in its sleeve
FLANGE: Final = 3.0  # mm: how thick, and how far it stands out
LETTERS: Final = 2.5  # mm high, on the flange
BARE: Final = "the part '{part}' has no letters, for which it has no room: mark it by hand, or keep it with its guide"
BESIDE: Final = 0.6  # mm from letters to the edge of their pad, and from that to the hole
PAD: Final = 0.8  # mm above the flange, to carry the letters
TRIAL: Final = "trial"
SEAT_UP: Final = (0.0, 0.0, -1.0)  # as the guide is printed
SAWN: Final = Caution("on-sawn-bone", "it sits on the bone as the planned cuts leave it, and fits only where the saw went as planned")
_drill: Any = load_template(BASE, where="template 'acetabular'")

if TYPE_CHECKING:
    import cadquery as cq

    from psi_cad.drilling.sleeves import SleevePlan
    from psi_cad.units import Array, Mm

    _Drill = StemParams
else:
    _Drill = _drill.Params


class Params(_Drill, StemParams):
    """Parameters of the drill guide, and what stem and cup are to keep."""

    lean_limit: float = param(60.0, unit="deg", low=10.0, high=60.0, help="greatest angle between the stem's axis and the seating axis")
    guide_wire: float = param(3.2, unit="mm", low=0.0, high=5.0, help="wire over which the reamer runs; 0: no bushing for one")
    trial_cup: bool = param(True, unit="", help="make the part that shows the cup's place")


def build(site: Site, params: Params, workshop: Workshop) -> Design:
    """The guide of `drill` on the bone that stays, with the cup's tooth engraved; the bushing and the trial beside it."""
    (way,), stems = site.ways, site.stems
    assert way.implant is not None and stems is not None  # psi-cad gives both where NEEDS asks for a stem
    pose = stems.cups[way.name]
    said = (*site.label[:-1], *(() if pose.index is None else (f"cup {pose.index}",)), site.label[-1])
    labelled = replace(site, label=said)
    design: Design = _drill.build(labelled, params, workshop)
    laid = _drill._laid(site, params, workshop)
    (plan,) = laid.plans
    further = [_bushing(site, params, plan)] if params.guide_wire > 0.0 else []
    further += [_trial(site, params, laid, plan, pose)] if params.trial_cup else []
    stem = StemFeature(
        way.name, way.implant, params.stem_wall, pose, params.inclination, params.anteversion, params.cup_tolerance, TRIAL if params.trial_cup else ""
    )
    bare = tuple(Caution("part-less", BARE.format(part=part.name)) for part in further if not part.label.lines)
    return replace(design, stems=(stem,), further=(*design.further, *further), cautions=(*design.cautions, SAWN, *bare))


def lay_out(site: Site, params: Params, workshop: Workshop) -> tuple[Caution, ...]:
    """As `drill` lays it out."""
    (way,) = site.ways
    _refuse_thin(site, params, way.tool.diameter + params.bore_clearance + site.printer.hole_compensation)
    return (*_drill.lay_out(site, params, workshop), SAWN)


def _refuse_thin(site: Site, params: Params, bore: Mm) -> None:
    """Refuse a bushing for such a bore that the printer cannot print.

    Raises
    ------
    DesignError
    """
    wall = (bore - params.guide_wire - params.wire_clearance - site.printer.hole_compensation) / 2.0 - FIT
    if params.guide_wire > 0.0 and wall < site.printer.minimum_wall:
        raise DesignError(
            f"params.guide_wire = {params.guide_wire:g} leaves {wall:.1f} mm of wall in a bushing for the sleeve, and the printer "
            f"needs {site.printer.minimum_wall:g}; give a thinner wire, or 0 for none."
        ).on_any_seat()


def _bushing(site: Site, params: Params, plan: SleevePlan) -> Part:
    """A tube for the guide wire that goes into the sleeve as far as the bone, with a flange on its stop face."""
    import cadquery as cq

    hole = params.guide_wire + params.wire_clearance + site.printer.hole_compensation
    outer = plan.bore / 2.0 - FIT
    _refuse_thin(site, params, plan.bore)
    tube = cq.Solid.makeCylinder(outer, plan.high - plan.low, cq.Vector(0, 0, plan.low))
    flange = cq.Solid.makeCylinder(plan.radius + FLANGE, FLANGE, cq.Vector(0, 0, plan.high))
    said = f"wire {params.guide_wire:g}"
    text = label.text_shape((said,), height=LETTERS)
    x_low, y_low, x_high, y_high = text.bounds
    text = shapely.affinity.translate(text, -(x_low + x_high) / 2.0, -(y_low + y_high) / 2.0)
    half_wide, half_high = BESIDE + (x_high - x_low) / 2.0, BESIDE + (y_high - y_low) / 2.0
    middle = hole / 2.0 + BESIDE + half_high
    room = float(np.hypot(half_wide, middle + half_high)) < plan.radius + FLANGE  # on the flange
    face = Frame(np.array([0.0, middle, plan.high + FLANGE + PAD]), np.eye(3))
    pads = [label.pad(face, width=2.0 * half_wide, height=2.0 * half_high, thickness=PAD, into=1.0, edge_break=0.0)] if room else []
    whole = checked.fuse("bushing", tube, flange, *pads)
    made = checked.cut("bore of the bushing", whole, cq.Solid.makeCylinder(hole / 2.0, 200.0, cq.Vector(0, 0, plan.low - 50.0)))
    feature = Bore("wire", triple(plan.at((plan.low + plan.high) / 2.0)), triple(plan.way.out), hole)
    if room:
        made = label.engraved("label of the bushing", made, [(face, text)], depth=_drill.ENGRAVED)
    seen = Frame(plan.frame.patient(face.origin), plan.frame.axes)
    told = Label((said,), LETTERS, ((seen, 2.0 * half_wide, 2.0 * half_high),)) if room else Label((), 0.0)
    return Part("bushing", bodies.placed(made, plan.frame), (feature,), label=told, up=triple(-np.array(plan.way.out)))  # its flange on the bed


def _trial(site: Site, params: Params, laid: Any, plan: SleevePlan, pose: CupPose) -> Part:
    """The bowl of the cup on a footplate of the guide's seat, with sleeves for the same fixation wires."""
    way: Way = plan.way
    implant, stems, frame = way.implant, site.stems, site.frame
    assert implant is not None and stems is not None
    centre, axis = frame.local(pose.centre), frame.local_direction(pose.axis)
    point, normal = min(stems.sawn, key=lambda one: abs(float((frame.patient(way.entry) - one[0]) @ one[1])))
    shell = trial.bowl(centre, axis, implant.cup_diameter, (frame.local(point), frame.local_direction(normal)))
    stands = trial.neck(way.entry, way.out, bottom=plan.bottom, offset=implant.cup_offset, diameter=implant.cup_diameter, radius=plan.radius)
    bare = replace(laid, plans=[])
    said = (*site.label[:-1], TRIAL, *(() if pose.index is None else (f"cup {pose.index}",)), site.label[-1])
    shadow = trial.shadow(centre, axis, implant.cup_diameter, way.entry)
    tag = _drill._tag(site, params, bare, said, shadow) if site.attempt < _drill.TAG_ATTEMPTS else None
    foot: cq.Solid = _drill._solid(site, params, bare, tag, more=() if stands is None else (stands,))
    whole = checked.fuse("trial", trial.emptied(foot, centre, axis, implant.cup_diameter), shell)
    ways = [bodies.cylinder(_centre(pin.centre), diameter=_drill._wire_bore(site, params), bottom=-200.0, top=200.0) for pin in laid.pins]
    whole = checked.filled(checked.cut("wires through the trial", whole, *ways) if ways else whole)
    rim = (trial.rim(centre, axis, implant.cup_diameter),)
    if tag is None:
        return Part(TRIAL, whole, rim, up=SEAT_UP)
    return Part(TRIAL, _drill._lettered(whole, tag), rim, label=_drill._told(tag), up=SEAT_UP)


def _centre(place: tuple[float, float]) -> Array:
    return np.array(place)
