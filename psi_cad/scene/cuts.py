"""What each planned plane really cuts: its own piece of the section, and the part of it that bounds the specimen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import CaseError
from psi_cad.frames import unit
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.repair import Bone
from psi_cad.surface.section import section_parts
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["PAST_CORNER_MM", "PlannedCut", "cut_short", "half_plane", "plan_cuts", "plane_axes", "within_extent"]

NEAR_ORIGIN_MM: Final[Mm] = 10.0  # how far from its origin a cut may lie and still be what was meant
CROSSING_MM: Final[Mm] = 0.5  # two cuts cross where their sections share at least this much of their common line
FAR_MM: Final[Mm] = 1e4
PAST_CORNER_MM: Final[Mm] = 1.0  # about as much as a blade is thick: so deep a guide may let it go past a corner into the piece of another group
PARALLEL: Final = 1e-6  # sine of the angle below which two planes are one direction


@dataclass(frozen=True)
class PlannedCut:
    """One cut: a plane and the polygon of bone it divides.

    Attributes
    ----------
    origin, normal : (3,)
        Patient mm; the normal looks towards the specimen.
    axes : (3, 3)
        Rows s, u (in the plane) and the normal.
    section : shapely geometry
        The piece of the section at the origin, cut short where another cut bounds the specimen; (s, u) mm.
    whole : shapely.Polygon
        The same piece before it was cut short.
    others : tuple of shapely.Polygon
        Other bone the infinite plane meets; never meant to be cut.
    neighbours : tuple of str
        Cuts of the same group whose planes cut this one's section short.
    group : str
        Cuts of one group bound one piece together; the specimen is the union over groups.
    bounds : tuple of shapely.Polygon
        The half-planes (s, u) that cut the section short.
    beside : tuple of str
        Other groups, whose pieces cut this one's section short.
    extent : float or None
        The cut's greatest length about its origin, mm.
    bone : str or None
        The bone that it acts on; None where the only bone has no name.
    past : float
        How far in its plane a blade may go past a corner into the piece of another group, mm.
    """

    name: str
    origin: Array
    normal: Array
    axes: Array
    section: shapely.Geometry
    whole: shapely.Polygon
    others: tuple[shapely.Polygon, ...]
    neighbours: tuple[str, ...] = ()
    group: str = "1"
    bounds: tuple[shapely.Polygon, ...] = ()
    beside: tuple[str, ...] = ()
    extent: Mm | None = None
    bone: str | None = None
    past: Mm = 0.0

    def patient(self, flat: Array) -> Array:
        """Points (n, 2) in (s, u), in the patient frame."""
        return np.asarray(self.origin + flat @ self.axes[:2])

    def sawn(self, run_out: Mm) -> shapely.Geometry:
        """The section and `run_out` mm around it (`past` at least), where the blade runs past the bone; cut short as its group cuts the section."""
        around = max(run_out, self.past)
        region = self.section.buffer(around, quad_segs=32) if around > 0.0 else self.section
        for bound in self.bounds:
            region = region.intersection(bound)
        return region

    def extent_along(self, direction: Array) -> tuple[Mm, Mm]:
        """Least and greatest coordinate of the section along a patient `direction`, from the origin."""
        corners = shapely.get_coordinates(self.section) @ (self.axes[:2] @ direction)
        return float(corners.min()), float(corners.max())


def plane_axes(normal: Array) -> Array:
    """In-plane axes that depend on the normal alone."""
    helper = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = unit(np.cross(helper, normal))
    return np.stack([first, np.cross(normal, first), normal])


def plan_cuts(bone: Bone, cuts: list[tuple[str, Array, Array, Mm | None]], *, groups: Mapping[str, str] | None = None) -> dict[str, PlannedCut]:
    """The cuts of a case on its bone, each limited to its own section and to what bounds the specimen.

    Parameters
    ----------
    cuts : list of (name, origin, normal, extent)
        Patient mm; `extent` caps the cut's length about its origin.
    groups : mapping of cut name to group, optional
        Without it all cuts bound one piece.

    Raises
    ------
    CaseError
        Where a plane meets no bone near its origin (with how far the bone is, and what would explain it).
    SurfaceError
        Where the mesh is not sound at a cut.
    """
    planned: dict[str, PlannedCut] = {}
    for name, origin, normal, extent in cuts:
        axes = plane_axes(unit(normal))
        parts = section_parts(bone.mesh, origin=origin, axes=axes)
        here = shapely.Point(0.0, 0.0)
        parts.sort(key=lambda part: float(part.distance(here)))
        if not parts or parts[0].distance(here) > NEAR_ORIGIN_MM:
            raise CaseError(_beside(bone, name, origin, float(parts[0].distance(here)) if parts else None), where=origin)
        whole = parts[0]
        section = within_extent(whole, extent)
        if section.is_empty:
            raise CaseError(f"cut '{name}': no bone lies within extent = {extent:g} mm of its origin; move it or raise extent.")
        group = groups[name] if groups is not None else "1"
        planned[name] = PlannedCut(name, origin, axes[2], axes, section, whole, tuple(parts[1:]), group=group, extent=extent)
    return {name: _bounded(cut, [other for other in planned.values() if other is not cut]) for name, cut in planned.items()}


def within_extent(region: shapely.Geometry, extent: Mm | None) -> shapely.Geometry:
    """A region of a cut's plane (s, u), no farther from the cut's origin than half its `extent`."""
    return region if extent is None else region.intersection(shapely.Point(0.0, 0.0).buffer(extent / 2.0, quad_segs=64))


def _beside(bone: Bone, name: str, origin: Array, in_plane: Mm | None) -> str:
    """The sentence for a cut beside the bone, with the frame or unit that would explain it."""
    distance = SignedDistance(bone.mesh)

    def far_from(point: Array, scale: float = 1.0) -> float:
        """Distance to a bone `scale` times as large; 0 inside."""
        return max(0.0, float(distance(point[None, :] / scale)[0]) * scale)

    away = far_from(origin)
    guesses = [
        (far_from(origin * np.array([-1.0, -1.0, 1.0])), "reading it as RAS would explain it: set bone.coordinates, or give the cut in LPS"),
        *((far_from(origin, f), f"a bone in {u} would explain it: check bone.units")
          for f, u in ((10.0, "cm"), (0.1, "mm instead of cm"), (1000.0, "m"), (0.001, "mm instead of m"), (25.4, "inches"))),
    ]  # fmt: skip
    near = [(far, text) for far, text in guesses if far < NEAR_ORIGIN_MM and far < away / 3.0]
    hint = min(near)[1] if near else "place the origin on the bone, in patient millimetres (LPS)"
    if not origin.any():
        hint = "(0, 0, 0) is the example's origin: give a point on the bone, in patient millimetres (LPS)"
    plane = "meets no bone" if in_plane is None else f"meets bone only {in_plane:.0f} mm from its origin"
    return f"cut '{name}': its plane {plane}, the nearest bone is {away:.0f} mm from the origin {at(origin)}; {hint}."


def _bounded(cut: PlannedCut, others: Sequence[PlannedCut]) -> PlannedCut:
    """`cut` without the part of its section that lies outside its own group's piece, or inside another group's.

    Another plane counts only where its own section crosses this one: infinite planes bound nothing.
    """
    crossing = [other for other in others if _crosses(cut, other)]
    neighbours = tuple(other.name for other in crossing if other.group == cut.group)
    beside = tuple(sorted({other.group for other in crossing} - {cut.group}))
    found = cut_short(replace(cut, neighbours=neighbours, beside=beside), others)
    if found.section.is_empty or found.section.area <= 0.0:
        raise CaseError(f"cut '{cut.name}': the other cuts of its group leave nothing of it; check the normals.")
    return found


def cut_short(cut: PlannedCut, others: Sequence[PlannedCut]) -> PlannedCut:
    """`cut` with its section cut short by its `neighbours`, and by the pieces of the groups `beside` it, among `others`."""
    section, past, bounds = cut.section, 0.0, tuple(half_plane(cut, other) for other in others if other.name in cut.neighbours)
    for bound in bounds:
        section = section.intersection(bound)
    for group in cut.beside:
        inside: shapely.Geometry = shapely.box(-FAR_MM, -FAR_MM, FAR_MM, FAR_MM)
        for other in others:
            if other.group == group:
                inside = inside.intersection(half_plane(cut, other))
                past = max(past, PAST_CORNER_MM / max(float(np.linalg.norm(np.cross(cut.normal, other.normal))), PARALLEL))
        section = section.difference(inside)
    return replace(cut, section=section, bounds=bounds, past=past)


def half_plane(cut: PlannedCut, other: PlannedCut) -> shapely.Polygon:
    """The part of this cut's plane (s, u) that lies on the specimen's side of `other`."""
    slope = cut.axes[:2] @ other.normal
    steepness = float(np.linalg.norm(slope))
    offset = float((cut.origin - other.origin) @ other.normal)
    if steepness < PARALLEL or abs(offset) >= FAR_MM / 2.0 * steepness:  # they meet, if at all, farther away than any bone
        return shapely.box(-FAR_MM, -FAR_MM, FAR_MM, FAR_MM) if offset > 0.0 else shapely.Polygon()
    inward = slope / steepness
    edge = -inward * offset / steepness
    across = np.array([-inward[1], inward[0]])
    return shapely.Polygon([edge - FAR_MM * across, edge + FAR_MM * across, edge + FAR_MM * (across + inward), edge + FAR_MM * (inward - across)])


def _crosses(cut: PlannedCut, other: PlannedCut) -> bool:
    line = np.cross(cut.normal, other.normal)
    return bool(np.linalg.norm(line) >= PARALLEL and _cross(cut, other, unit(line)))


def _cross(one: PlannedCut, two: PlannedCut, line: Array) -> bool:
    """Whether both sections contain the same stretch of the line their planes share."""
    system = np.stack([one.normal, two.normal, line])
    point = np.linalg.solve(system, [one.normal @ one.origin, two.normal @ two.origin, line @ one.origin])
    spans = []
    for cut in (one, two):
        flat, along = cut.axes[:2] @ (point - cut.origin), cut.axes[:2] @ line
        ray = shapely.LineString([flat - FAR_MM * along, flat + FAR_MM * along])
        hits = [part for part in shapely.get_parts(cut.section.intersection(ray)) if part.length > 0.0]  # not where it only touches
        ends = [(shapely.get_coordinates(part)[[0, -1]] - flat) @ along for part in hits]
        spans.append(shapely.union_all([shapely.LineString([(a, 0.0), (b, 0.0)]) for a, b in ends]))
    return bool(spans[0].intersection(spans[1]).length >= CROSSING_MM)
