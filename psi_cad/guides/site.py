"""The site of a guide: everything a template needs to know of the bone, the cuts or trajectories, the blade and the printer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
import trimesh

from psi_cad.case.model import Blade, Implant, Printer, Tool
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.errors import DesignError, PsiCadError, SeatError, either
from psi_cad.frames import Frame, unit
from psi_cad.guides.cuts import site_cut
from psi_cad.guides.foreseen import refuse_missed
from psi_cad.guides.ground import NOT_EASED, Ground, SiteCut, Surroundings, followed, ground, levels, rectangle_of, rounded, undercuts_walls
from psi_cad.guides.params import GuideParams, SeatParams, possible
from psi_cad.guides.parts import one_part
from psi_cad.guides.seating import Sat, Seating, Tried, contact_sliding, settled
from psi_cad.parts.grafts import GraftSite
from psi_cad.reconstruction.site import StemSite
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.about import About, AboutCuts, AboutPoints, tilt_of
from psi_cad.siting.access import accessible_field
from psi_cad.siting.axis import SeatingAxis, expected_lock, seating_axes
from psi_cad.siting.cliffs import cliff_of
from psi_cad.siting.seat import HeightField, Seat
from psi_cad.stages.workshop import Workshop
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.units import LIMITS, Array, Deg, Mm

__all__ = ["Avoided", "Site", "SiteCut", "Surroundings", "Way", "blade_origin", "make_site", "seating_for", "slot_room"]

FENCE_MARGIN: Final[Mm] = 9.0  # slot end wall, outer faces and a rim around the fence on the patch
RIM_MM: Final[Mm] = 4.0  # of the patch past the footplates' reach
SLEEVE_MARGIN: Final[Mm] = 6.0  # of the patch round a sleeve
EASED: Final = ("steep", "bone-in-way", "sleeve-in-way", "seat")  # reasons for which the ground is eased
ROOM_STEP: Final[Mm] = 5.0


@dataclass(frozen=True)
class Way:
    """A trajectory: its `entry` (3,) at the bone, the unit direction `out` of the bone (3,), its `depth` below the entry (mm), and its tool.

    `implant`: what goes there, of a trajectory for a stem.
    `through`: how far below the entry it leaves the bone; `incline`: between it and the bone's outward direction at the entry.
    """

    name: str
    entry: Array
    out: Array
    depth: Mm
    tool: Tool
    through: Mm = np.inf
    incline: Deg = 0.0
    implant: Implant | None = None

    def to_json(self) -> dict[str, Any]:
        """As a report holds it, of the patient frame."""
        entry, into = [round(float(v), 6) + 0.0 for v in self.entry], [round(-float(v), 9) + 0.0 for v in self.out]
        said = {"name": self.name, "entry": entry, "direction": into, "depth_mm": self.depth, "tool": self.tool.model_dump(mode="json")}
        return said if self.implant is None else {**said, "implant": self.implant.model_dump(mode="json")}

    def local(self, frame: Frame) -> Way:
        """The same, of the patient frame, in `frame`."""
        return replace(self, entry=frame.local(self.entry), out=frame.local_direction(self.out))


@dataclass(frozen=True)
class Avoided:
    """A structure that tools and leaning wires keep `distance` mm from; its closed surface in patient mm."""

    name: str
    distance: Mm
    mesh: trimesh.Trimesh

    def local(self, frame: Frame) -> trimesh.Trimesh:
        """Its surface in `frame`."""
        return trimesh.Trimesh(frame.local(np.asarray(self.mesh.vertices)), self.mesh.faces, process=False)


@dataclass(frozen=True)
class Site:
    """Where a guide goes. All geometry is in `frame` (the guide frame: z the seating axis), mm.

    The cuts lie where the blade runs, in the middle of its kerf: `shifts` tells how far from each planned plane that is, for every
    cut of the case and along its normal, and `sawn` are the guide's own cuts there, patient mm. A guide without cuts has no `saw`,
    and `ways` for its sleeves.
    """

    frame: Frame
    seating: Seating
    cuts: tuple[SiteCut, ...]
    planes: tuple[tuple[Array, Array], ...]  # of every cut of the case: pins keep clear of all
    field: HeightField
    seat: Seat
    around: Surroundings
    room: tuple[tuple[Mm, Mm], ...]  # for each cut, the stretch along its slot where a fence stands clear of bone
    saw: Blade | None
    printer: Printer
    label: tuple[str, ...]
    sawn: tuple[PlannedCut, ...] = ()
    shifts: tuple[Mm, ...] = ()
    attempt: int = 0  # raised where a Boolean failed, for a template to draw its outlines a little otherwise
    ways: tuple[Way, ...] = ()
    avoid: tuple[tuple[trimesh.Trimesh, Mm], ...] = ()  # what leaning wires keep off, and how far
    graft: GraftSite | None = None  # of a guide on a donor's bone; then "patient" frame means the donor's own
    stems: StemSite | None = None  # of a guide on the bone that the cuts leave
    order: tuple[str, ...] = ()  # every cut of the case by name, in its order
    slot_sleeve: SlotSleeve | None = None  # of metal, for its slots
    holes: tuple[tuple[str, Array, Array], ...] = ()  # of a plate, which wires go into: name, a point of the axis (3,), its way out of the bone (3,)

    @property
    def axis(self) -> SeatingAxis:
        """The seating axis, patient frame."""
        return self.seating.axis

    @property
    def blade(self) -> Blade:
        """The saw blade.

        Raises
        ------
        DesignError
            Where the guide has none: a template that asks for it has to need cuts.
        """
        if self.saw is None:
            raise DesignError("This guide has no saw blade, because its template needs no cuts; let the template's NEEDS name cuts.")
        return self.saw

    @property
    def tool_id(self) -> str:
        """The id that the guide's files are named by: of its blade, or of the tool of its first trajectory."""
        return self.saw.id if self.saw is not None else self.ways[0].tool.id

    def planned_ways(self) -> list[dict[str, Any]]:
        """The trajectories as a report holds them, patient frame."""
        frame = self.frame
        return [replace(way, entry=frame.patient(way.entry), out=frame.patient_direction(way.out)).to_json() for way in self.ways]

    def slot_width(self, clearance: Mm) -> Mm:
        """Blade thickness, the clearance, and what the printer closes up."""
        return self.blade.thickness + clearance + self.printer.slot_compensation


class _Laid(NamedTuple):
    """What a way to sit asks for: its frame, the cuts in it, the rectangle (guide frame, mm) a guide can cover, the stretch of each fence."""

    frame: Frame
    cuts: tuple[SiteCut, ...]
    rectangle: tuple[Mm, Mm, Mm, Mm]
    room: tuple[tuple[Mm, Mm], ...]


def slot_room(blade: Blade) -> Mm:
    """Least slot length for a blade and its sweep, in steps of 5 mm so that similar blades share a body."""
    return float(np.ceil(blade.room / ROOM_STEP - 1e-9) * ROOM_STEP)


def make_site(
    bone: Bone,
    caster: RayCaster,
    about: About,
    every_cut: Sequence[PlannedCut],
    *,
    approach: Array,
    params: SeatParams,
    blade: Blade | None = None,
    ways: tuple[Way, ...] = (),
    avoid: Sequence[Avoided] = (),
    printer: Printer,
    label: tuple[str, ...],
    shifts: Mapping[str, Mm],
    workshop: Workshop,
    laid_out: Callable[[Site], object] | None = None,
    short: Callable[[SeatingAxis, Mm], str] | None = None,
    but: Sequence[Tried] = (),
    closer: Callable[[int], None] | None = None,
    order: Sequence[str] = (),
    holes: Sequence[tuple[str, Array, Array]] = (),
) -> Site:
    """Choose how the guide sits, find the contact, fit the seat.

    `about`: the cuts, where the blade runs, or the entry points of `ways` (patient frame). `every_cut`: as planned; `shifts` (mm, along the normals)
    lead from these to where blades run. `order`: the names of all cuts of the case. `holes`: see `Site`, patient mm.
    `avoid`: what leaning wires keep off.
    What several blades have in common is made once in `workshop`. `laid_out` raises where slots, footplates or wires
    find no room at a site; `short` tells in what a blade is too short along an axis, its guide some mm off the bone ("": in
    nothing); `but` are ways to sit that turned out bad. See `seating.settled`.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    part = one_part(bone, about)
    mend = either([*possible(params, "raise footplate_reach", "raise slope_limit"), "give another approach"])

    def laid(seating: Seating) -> _Laid:
        if isinstance(about, AboutPoints):
            return _laid_points(about, seating)
        assert isinstance(about, AboutCuts) and blade is not None and isinstance(params, GuideParams)
        return _laid_cuts(about, every_cut, seating, params, blade)

    def field_of(seating: Seating) -> HeightField:
        at = laid(seating)
        return workshop.made(
            accessible_field,
            bone,
            caster,
            at.frame,
            about,
            rectangle=at.rectangle,
            reach=seating.reach,
            beyond=1.0,
            fences=at.room,
            slope_limit=seating.slope_limit,
            part=part,
            mend=mend,
        )

    def expect(seating: Seating) -> float:
        return workshop.made(_expected, bone, caster, about, seating.axis.direction, seating.reach, seating.slope_limit, part)

    def hold(seating: Seating) -> float:
        return workshop.made(contact_sliding, field_of(seating)).lock

    def sit(seating: Seating) -> Sat[Site]:
        frame, local, rectangle, stretch = laid(seating)
        first = field_of(seating)

        def make(easing: bool) -> Ground:
            return workshop.made(
                ground,
                bone,
                caster,
                frame,
                about,
                local,
                first=first,
                rectangle=rectangle,
                room=stretch,
                seating=seating,
                gap=params.seat_gap,
                part=part,
                easing=easing,
            )

        field, seat, around, room = _gentle_ground(make, frame, local)
        planes = tuple((frame.local(blade_origin(cut, shifts[cut.name])), frame.local_direction(cut.normal)) for cut in every_cut)
        away = tuple(shifts[cut.name] for cut in every_cut)
        sawn = about.cuts if isinstance(about, AboutCuts) else ()
        there = tuple(way.local(frame) for way in ways)
        off = tuple((one.local(frame), one.distance) for one in avoid)
        bored = tuple((name, frame.local(point), frame.local_direction(out)) for name, point, out in holes)
        known: dict[str, Any] = {"ways": there, "avoid": off, "order": tuple(order), "holes": bored}
        site = Site(frame, seating, local, planes, field, seat, around, room, blade, printer, label, sawn, away, **known)
        if laid_out is not None:
            laid_out(site)
        if not local:
            refuse_missed(bone, caster, frame, field, seat, params)
        lock = None if params.allow_sliding else workshop.made(contact_sliding, site.field).lock
        return Sat(site, lock, ahead(site.axis, site.seat.gap))

    def ahead(axis: SeatingAxis, gap: Mm = params.seat_gap) -> str:
        return short(axis, gap) if short is not None else ""

    def look_about(way: Array, reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        return workshop.made(_looked, bone, caster, about, approach=way, cone=params.axis_search, reach=reach, slope_limit=slope_limit, part=part)

    def look(reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        return look_about(approach, reach, slope_limit)

    def aside(reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        found = []
        for way in about.aside(approach) if params.axis_search > 0.0 else ():
            try:
                best = look_about(way, reach, slope_limit)[0]
            except DesignError:  # no bone is met from there; that is no reason to refuse the approach as asked
                continue
            found.append(replace(best, tilt=tilt_of(best.direction, unit(approach))))
        return found

    asked = params.footplate_reach, params.slope_limit
    seating, site = settled(
        *asked, look, sit, aside=aside, ahead=ahead, expect=expect, hold=hold, may_slide=params.allow_sliding, but=but, closer=closer
    )
    return replace(site, seating=seating)


def _laid_cuts(about: AboutCuts, every_cut: Sequence[PlannedCut], seating: Seating, params: GuideParams, blade: Blade) -> _Laid:
    frame = about.frame(seating.axis.direction)
    every = list(({cut.name: cut for cut in every_cut} | {cut.name: cut for cut in about.cuts}).values())
    local = tuple(site_cut(frame, cut, about.cuts, every) for cut in about.cuts)
    beyond = max(max(params.run_out, (slot_room(blade) - cut.chord) / 2.0) for cut in local) + FENCE_MARGIN
    beyond = float(np.ceil(beyond / 10.0) * 10.0)
    rectangle = rounded(rectangle_of(local, [levels(frame, cut) for cut in about.cuts], reach=seating.reach + RIM_MM, beyond=beyond))
    room = tuple((cut.low - beyond + 1.0, cut.high + beyond - 1.0) for cut in local)
    return _Laid(frame, local, rectangle, room)


def _laid_points(about: AboutPoints, seating: Seating) -> _Laid:
    frame = about.frame(seating.axis.direction)
    entries = about.corners(frame)[:, :2]
    around = shapely.union_all([shapely.MultiPoint(entries).buffer(seating.reach + RIM_MM), *about.sleeves(frame, rim=SLEEVE_MARGIN)])
    x_low, y_low, x_high, y_high = around.bounds
    return _Laid(frame, (), rounded((x_low, y_low, x_high, y_high)), ())


def _gentle_ground(make: Callable[[bool], Ground], frame: Frame, cuts: tuple[SiteCut, ...]) -> Ground:
    """The ground as it is, or eased where its seat is too steep to build on, or does not follow it, or not rise over bone under the fence.

    `make` gives the ground, eased or not.

    Raises
    ------
    DesignError, SeatError, SurfaceError
    """
    plain, why = _without_cliff(make, frame, easing=False)
    if plain is not None and not undercuts_walls(plain[1].patch, plain[0], cuts):
        return plain
    if why is not None and why.reason not in EASED:
        raise why
    gentle, why_not = _without_cliff(make, frame, easing=True)
    if gentle is not None:
        return gentle
    if plain is not None:  # its walls may do all the same
        return plain
    assert why is not None and why_not is not None
    raise why if why_not.reason == NOT_EASED else why_not


def _without_cliff(make: Callable[[bool], Ground], frame: Frame, *, easing: bool) -> tuple[Ground, None] | tuple[None, PsiCadError]:
    try:
        found = make(easing)
    except (DesignError, SeatError) as error:
        return None, error
    field, seat = found[:2]
    cliff = cliff_of(seat.patch, field.points[field.footprint], name="seat")
    return (found, None) if cliff is None else (None, DesignError(cliff.said, where=frame.patient(cliff.place), reason="steep"))


def blade_origin(cut: PlannedCut, shift: Mm) -> Array:
    """A cut's origin (3,) moved to where the blade runs; where that is the plane itself, the very same numbers."""
    return cut.origin + shift * cut.normal if shift else cut.origin


def seating_for(bone: Bone, caster: RayCaster, cuts: Sequence[PlannedCut], *, approach: Array, params: GuideParams) -> Seating:
    """How a guide over `cuts` would sit, whatever its blade is: as `make_site` finds it unless a blade or a seat asks for another way.

    Raises
    ------
    DesignError
        Where the cuts lie on separate bones, or no direction gives enough contact.
    """
    about = AboutCuts(tuple(cuts), side=params.stands_on)
    part = one_part(bone, about)

    def look(reach: Mm, slope_limit: Deg) -> list[SeatingAxis]:
        return _looked(bone, caster, about, approach=approach, cone=params.axis_search, reach=reach, slope_limit=slope_limit, part=part)

    def sit(seating: Seating) -> Sat[None]:
        frame = about.frame(seating.axis.direction)
        local = tuple(site_cut(frame, cut, cuts) for cut in cuts)
        beyond = params.run_out + FENCE_MARGIN
        rectangle = rounded(rectangle_of(local, [levels(frame, cut) for cut in cuts], reach=seating.reach + RIM_MM, beyond=beyond))
        fences = tuple((cut.low, cut.high) for cut in local)
        steepest = seating.slope_limit
        field = accessible_field(
            bone, caster, frame, about, rectangle=rectangle, reach=seating.reach, beyond=1.0, fences=fences, slope_limit=steepest, part=part
        )
        found = contact_sliding(field)
        if (seating.reach, steepest) != (params.footplate_reach, params.slope_limit) and found.lock >= LIMITS.sliding_lock:
            _, trimmed = followed(field, params.seat_gap, frame)  # further out the bone may be too rough to sit on
            found = found if trimmed is field else contact_sliding(trimmed)
        return Sat(None, found.lock)

    if params.allow_sliding:
        return Seating(look(params.footplate_reach, params.slope_limit)[0], params.footplate_reach, params.slope_limit)
    return settled(params.footplate_reach, params.slope_limit, look, sit)[0]


def _looked(bone: Bone, caster: RayCaster, about: About, *, approach: Array, cone: Deg, reach: Mm, slope_limit: Deg, part: int) -> list[SeatingAxis]:
    return seating_axes(caster, bone.part_of_face, about, approach=approach, cone=cone, reach=reach, slope_limit=slope_limit, part=part)


def _expected(bone: Bone, caster: RayCaster, about: About, direction: Array, reach: Mm, slope_limit: Deg, part: int) -> float:
    return expected_lock(caster, bone.part_of_face, about, direction=direction, reach=reach, slope_limit=slope_limit, part=part)
