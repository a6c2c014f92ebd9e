"""How far a blade goes past a corner at which its cut ends on the piece of another group: a guide leads it straight, whatever lies below."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.frames import unit
from psi_cad.scene.cuts import PAST_CORNER_MM, PlannedCut, half_plane
from psi_cad.siting.about import blade_axes
from psi_cad.units import Array, Mm

__all__ = ["corner_line", "past_corners", "sawn_past"]

STEP_MM: Final[Mm] = 0.25  # between lines of the blade
FINE: Final = 9  # points along a line in the other piece


def past_corners(sawn: Sequence[PlannedCut], every: Mapping[str, PlannedCut], axis: Array) -> Iterator[DesignError]:
    """Why a guide that comes off along `axis` (3,) would lead a blade past a corner, into the piece of another group; nothing where it does not.

    `sawn`: the cuts of the guide, where its blade runs; `every`: all of the bone.
    """
    everything = list((dict(every) | {cut.name: cut for cut in sawn}).values())
    for cut in sawn:
        past, place = sawn_past(cut, everything, axis, joined=[other.name for other in sawn])
        corner = corner_line(cut, everything)
        if past > PAST_CORNER_MM and corner is not None:
            line = ", ".join(f"{v:.3f}" for v in (corner if float(corner @ axis) > 0.0 else -corner))
            yield DesignError(
                f"guide.approach: along this seating axis the blade in cut '{cut.name}' goes {past:.1f} mm past its corner, into the piece of "
                f"another group, and {PAST_CORNER_MM:g} mm is the most; give an approach nearer to the corner's own line, [{line}], with a small "
                "axis_search.",
                where=place,
            )


def sawn_past(cut: PlannedCut, every: Sequence[PlannedCut], axis: Array, *, joined: Collection[str] = ()) -> tuple[Mm, Array | None]:
    """How deep the blade of a guide that comes off along `axis` (3,) goes into pieces of other groups, and where (3,); 0 and None where it does not.

    Parameters
    ----------
    every : sequence of PlannedCut
        All cuts of the bone.
    joined : names
        Cuts into whose slots this one's opens: there no blade goes in beyond their planes.
    """
    along, blade = blade_axes(cut.normal, axis)
    low, high = cut.extent_along(along)
    worst, place = 0.0, None
    for group in cut.beside:
        others = [other for other in every if other.group == group]
        piece: shapely.Geometry = cut.whole
        for other in others:
            piece = piece.intersection(half_plane(cut, other))
        for s in np.arange(low, high + STEP_MM / 2.0, STEP_MM):
            ends = np.stack([s * along - 1e3 * blade, s * along + 1e3 * blade]) @ cut.axes[:2].T
            line = shapely.LineString(ends)
            bone = cut.whole.intersection(line)
            inside = piece.intersection(line)
            if bone.is_empty or inside.is_empty:
                continue
            if any(other.name in joined for other in others) and _begins_in(bone, piece, cut, blade):
                continue
            for part in shapely.get_parts(inside):
                points = cut.patient(shapely.get_coordinates(part.interpolate(np.linspace(0.0, 1.0, FINE), normalized=True)))
                depth = np.min([(points - other.origin) @ other.normal for other in others], axis=0)
                deepest = int(np.argmax(depth))
                if depth[deepest] > worst:
                    worst, place = float(depth[deepest]), points[deepest]
    return worst, place


def _begins_in(bone: shapely.Geometry, piece: shapely.Geometry, cut: PlannedCut, blade: Array) -> bool:
    """Whether a blade that comes along this line meets bone first in the other piece."""
    corners = shapely.get_coordinates(bone)
    top = corners[int(np.argmax(cut.patient(corners) @ blade))]
    return bool(piece.distance(shapely.Point(*top)) < 1e-6)


def corner_line(cut: PlannedCut, every: Sequence[PlannedCut]) -> Array | None:
    """The direction (3,) of the corner on which a cut ends: along it a blade goes past nothing; None where it ends on none."""
    other = next((one for one in every if one.group in cut.beside and np.linalg.norm(np.cross(one.normal, cut.normal)) > 1e-3), None)
    return None if other is None else unit(np.cross(cut.normal, other.normal))
