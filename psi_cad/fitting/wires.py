"""Where the wires of a saw guide go: to places that psi-cad finds, or into the holes of a plate that the case gives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.fitting import leaning
from psi_cad.frames import angle_between, triple
from psi_cad.guides.contract import Workshop
from psi_cad.guides.site import Site
from psi_cad.siting.pins import HOLDS_MM, PAST_BONE_MM, UP, WIRES_APART_MM, Pin, axis_clearance, place_pins, triangle_lever
from psi_cad.siting.spline import HeightSpline
from psi_cad.surface.lines import segments_apart
from psi_cad.surface.rays import SignedDistance, nearest_along
from psi_cad.units import LIMITS, Array, Deg, Mm

__all__ = ["WiresAsked", "place_wires"]

LEAST: Final = 3
MOST_LEAN_DEG: Final[Deg] = 20.0  # from the seating axis
FAR_MM: Final[Mm] = 10.0  # from the seat to the point that is given: further off, it lies on another bone, or in another frame
UPRIGHT_DEG: Final[Deg] = 1e-6


@dataclass(frozen=True)
class WiresAsked:
    """Sizes of wires and sleeves, what they keep from, and how many are wanted; mm. `keep_off`: from a cut plane to the axis of a sleeve."""

    wanted: int
    diameter: Mm
    clearance: Mm
    sleeve: Mm  # radius
    sleeve_height: Mm
    depth: Mm
    off_cuts: Mm
    keep_off: Mm
    divergence: Deg
    metal: Mm  # length of a metal sleeve in a wire's hole, whose own play is not known: the print below it is what holds
    mend: str  # what may give wires room


def place_wires(site: Site, asked: WiresAsked, area: shapely.Geometry, workshop: Workshop) -> list[Pin]:
    """The wires of a guide whose footplates cover `area` (guide xy).

    Raises
    ------
    DesignError
        Where they have no room, or would not hold.
    """
    if site.holes:
        return _into_holes(site, asked, area)
    points = site.field.points
    lean: dict[str, Any] = {}
    if asked.divergence:
        middle = np.asarray(area.centroid.coords)[0]
        lean |= {
            "leans": leaning.ways_out(points, middle, asked.divergence),
            "avoid": site.avoid,
        }
    pins = workshop.made(
        place_pins,
        site.field,
        site.seat.patch(points),
        site.seat.patch.steepness(points),
        area,
        site.planes,
        wanted=asked.wanted,
        radius=asked.diameter / 2.0,
        sleeve_radius=asked.sleeve,
        keep_off=asked.keep_off,
        clearance=asked.off_cuts,
        depth=asked.depth,
        top=asked.sleeve_height,
        mend=asked.mend,
        **lean,
    )
    if asked.divergence:
        leaning.refuse_loose(pins, site.seat.patch, asked.sleeve_height - asked.metal, asked.clearance, asked.divergence, metal=asked.metal)
    return pins


def _into_holes(site: Site, asked: WiresAsked, area: shapely.Geometry) -> list[Pin]:
    """One wire for each hole that is given, along its axis."""
    if asked.divergence:
        raise DesignError("params.pin_divergence: the holes of a plate say how the wires lean; leave pin_divergence or guide.hole out.")
    if site.graft is not None:
        raise DesignError("guide.hole: the holes of a plate lie on the patient's bone, and this guide sits on the donor's; leave hole out.")
    pins = [_into(site, asked, area, *hole) for hole in site.holes]
    for (one, first), (two, second) in itertools.combinations(zip(pins, site.holes, strict=True), 2):
        _refuse_near(site.seat.patch, asked, (one, first[0]), (two, second[0]))
    feet = np.array([pin.centre for pin in pins])
    if len(pins) < LEAST or triangle_lever(feet) < LIMITS.pin_lever:
        said = f"names {len(pins)}" if len(pins) < LEAST else "names some that lie nearly in a line"
        raise DesignError(
            f"guide.hole {said}: a guide needs three wires that are not in a line; name other holes of the plate.", where=site.holes[0][1]
        )
    return pins


def _into(site: Site, asked: WiresAsked, area: shapely.Geometry, name: str, point: Array, out: Array) -> Pin:
    """The wire of one hole.

    Raises
    ------
    DesignError
    """
    lean = angle_between(out, np.array(UP))
    if lean > MOST_LEAN_DEG:
        raise DesignError(
            f"guide.hole '{name}': its axis leans {lean:.0f}° from the seating axis, and {MOST_LEAN_DEG:g}° is the most; "
            "give an approach nearer to it, or name another hole.",
            where=point,
        )
    way = np.array(UP) if lean < UPRIGHT_DEG else out
    foot = _on_seat(site.seat.patch, point, way)
    off = float(np.linalg.norm(foot - point))
    if off > FAR_MM:
        raise DesignError(
            f"guide.hole '{name}': its point lies {off:.0f} mm along its axis from the guide's seat, and {FAR_MM:g} mm is the most; "
            "give the point where the axis meets the bone.",
            where=point,
        )
    if not area.buffer(-(asked.sleeve - 0.8)).contains(shapely.Point(*foot[:2])):
        gone = float(area.buffer(-(asked.sleeve - 0.8)).distance(shapely.Point(*foot[:2])))
        raise DesignError(
            f"guide.hole '{name}': its sleeve would stand {gone:.1f} mm beside the footplates; raise footplate_reach, or name another hole.",
            where=foot,
            reason="contact",
        )
    cell = int(np.argmin(np.linalg.norm(site.field.points - foot[:2], axis=1)))
    thick = float(site.field.thickness[cell])
    if thick < HOLDS_MM:
        raise DesignError(f"guide.hole '{name}': a wire in {thick:.1f} mm of bone does not hold, {HOLDS_MM:g} mm are the least.", where=foot)
    depth = min(asked.depth, thick / float(way[2]) + PAST_BONE_MM)
    at, ways = foot[None, :], way[None, :]
    far = float(axis_clearance(at, ways, site.planes, depth=np.array([depth]), top=asked.sleeve_height)[0]) - asked.diameter / 2.0
    beside = float(axis_clearance(at, ways, site.planes, depth=np.zeros(1), top=asked.sleeve_height)[0])
    if far < asked.off_cuts:
        raise DesignError(
            f"guide.hole '{name}': its wire comes within {max(far, 0.0):.1f} mm of a cut plane, and pin_clearance is {asked.off_cuts:g} mm; "
            "name another hole, or lower wire_depth.",
            where=foot,
        )
    if beside < asked.keep_off:
        raise DesignError(f"guide.hole '{name}': its sleeve has no room beside the fence of a cut; name another hole.", where=foot)
    for mesh, away in site.avoid:
        least, _ = nearest_along(SignedDistance(mesh), foot - depth * way, foot + asked.sleeve_height * way)
        if least - asked.diameter / 2.0 < away:
            raise DesignError(f"guide.hole '{name}': its wire comes within {least:.1f} mm of a structure to avoid; name another hole.", where=foot)
    return Pin((float(foot[0]), float(foot[1])), far, depth, triple(way))


def _on_seat(seat: HeightSpline, point: Array, out: Array) -> Array:
    """Where a line meets the seat."""
    t = 0.0
    for _ in range(20):
        here = point + t * out
        fall = float(here[2] - seat(here[None, :2])[0])
        rate = float(out[2] - seat.gradient(here[None, :2])[0] @ out[:2])
        t -= float(np.clip(fall / max(rate, 0.2), -10.0, 10.0))
    return np.asarray(point + t * out)


def _refuse_near(seat: HeightSpline, asked: WiresAsked, one: tuple[Pin, str], two: tuple[Pin, str]) -> None:
    """Refuse two holes whose sleeves, or whose wires, would meet.

    Raises
    ------
    DesignError
    """
    stands = [pin.stands(seat, asked.sleeve_height) for pin, _ in (one, two)]
    sleeves = segments_apart((stands[0][0], stands[0][1]), (stands[1][0], stands[1][1]))[0]
    deep = [(ends[0] - pin.depth * np.array(pin.out), ends[1]) for ends, (pin, _) in zip(stands, (one, two), strict=True)]
    wires = segments_apart(*deep)[0]
    if sleeves < 2.0 * asked.sleeve + 0.5 or wires < asked.diameter + WIRES_APART_MM:
        raise DesignError(f"guide.hole: '{one[1]}' and '{two[1]}' lie too near to each other for two wires; name others.", where=stands[0][0])
