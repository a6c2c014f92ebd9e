"""The seating axis: searched near the approach for the largest well-conditioned contact that needs no undercut; and the next best.

Where nothing near the approach will do, it is searched a little further aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.frames import Frame, unit
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.sliding import sliding, smoothed_normals
from psi_cad.surface.rays import RayCaster, first_hits_down
from psi_cad.units import LIMITS, Array, Bools, Deg, Ints, Mm

__all__ = ["SeatingAxis", "blade_axes", "seating_axes", "site_frame", "tilt_of", "ways_aside"]

GRID_MM: Final[Mm] = 2.0
ALONG: Final = 1e-3  # an approach this near a cut's normal leans too far from its plane whichever way it is turned
ASIDE: Final[Deg] = 25.0
ASIDE_MOST: Final[Deg] = 30.0  # between an approach and what is looked about aside: as far as a user can have it searched
LAID_LEAST: Final[Deg] = 5.0  # an approach this near the planes need not be laid into them
PULL: Final = 0.02  # of the approach, against the planes it is laid into: decides where one plane alone leaves the direction open
LEAN_MAX: Final[Deg] = 50.0  # between the seating axis and a cut plane: a fence that leans more cannot be sawn through


@dataclass(frozen=True)
class SeatingAxis:
    """The chosen axis (3,) and why: contact seen from it (mm²), resistance to sliding (0–1), tilt from the approach."""

    direction: Array
    contact_area: float
    sliding_lock: float
    tilt: Deg
    searched: int


def blade_axes(normal: Array, seating_axis: Array) -> tuple[Array, Array]:
    """(t, a): along the slot, and the blade direction (out of the bone), both in the cut plane.

    a is the seating axis projected into the plane; t = a x n.
    """
    a = unit(seating_axis - float(seating_axis @ normal) * normal)
    return np.cross(a, normal), a


def site_frame(cuts: Sequence[PlannedCut], axis: Array) -> Frame:
    """The guide frame: origin amid the cuts' sections, z the seating axis, x along the first slot."""
    middles = [cut.patient(np.array([[*cut.section.centroid.coords[0]]]))[0] for cut in cuts]
    along, _ = blade_axes(cuts[0].normal, axis)
    return Frame.from_z(origin=np.mean(middles, axis=0), z=axis, x_near=along)


def _candidates(approach: Array, cone: Deg, cut: PlannedCut) -> list[Array]:
    """Directions within `cone` of `approach`, evenly spread, the approach first; they turn with the patient, as the cut does."""
    across = np.cross(cut.normal, approach)
    first = unit(across if np.linalg.norm(across) > ALONG else np.cross(cut.axes[0], approach))
    second = np.cross(approach, first)
    found = [approach]
    if cone > 0.0:
        for ring, count in ((1, 6), (2, 12), (3, 18)):
            tilt = np.radians(cone * ring / 3.0)
            for turn in np.arange(count) * 2.0 * np.pi / count:
                side = np.cos(turn) * first + np.sin(turn) * second
                found.append(unit(np.cos(tilt) * approach + np.sin(tilt) * side))
    return found


def seating_axes(
    caster: RayCaster,
    part_of_face: Ints,
    cuts: Sequence[PlannedCut],
    *,
    approach: Array,
    cone: Deg,
    reach: Mm,
    slope_limit: Deg,
    part: int,
) -> list[SeatingAxis]:
    """The directions within `cone` degrees of `approach` that meet bone, that with the best contact first.

    The score is the contact area, less where the guide could slide across its axis and where fences would lean;
    contact is bone of the right part, met first, not steeper than `slope_limit`, within `reach` of a cut.

    Raises
    ------
    DesignError
        If every direction leans too far from a cut plane, or none meets the bone.
    """
    approach = unit(approach)
    found: list[tuple[float, SeatingAxis]] = []
    directions = _candidates(approach, cone, cuts[0])
    leans = []
    for direction in directions:
        lean = max(float(np.degrees(np.arcsin(min(1.0, abs(float(direction @ cut.normal)))))) for cut in cuts)
        leans.append(lean)
        if lean > LEAN_MAX:
            continue
        area, lock = _contact(caster, part_of_face, cuts, direction, reach, slope_limit, part)
        tilt = tilt_of(direction, approach)
        score = area * min(1.0, 0.25 + 0.75 * lock / LIMITS.sliding_lock) * np.cos(np.radians(lean)) ** 2 * (1.0 - 0.005 * tilt)
        if score > 0.0:
            found.append((score, SeatingAxis(direction, area, lock, tilt, len(directions))))
    if not found:
        if min(leans) > LEAN_MAX:
            raise DesignError(
                f"guide.approach leans {min(leans):.0f}° or more out of the plane of a cut, so the saw cannot enter; "
                f"give an approach within {LEAN_MAX:.0f}° of every cut plane of the guide.",
                where=max(cuts, key=lambda cut: abs(float(approach @ cut.normal))).origin,
                reason="across",
            )
        raise DesignError(
            "guide.approach: from this direction, no bone beside the cut can be reached; give the direction from the bone towards the surgeon.",
            where=cuts[0].origin,
            reason="contact",
        )
    return [axis for _, axis in sorted(found, key=lambda one: -float(f"{one[0]:.9g}"))]  # of equals the one nearer to the approach


def ways_aside(cuts: Sequence[PlannedCut], approach: Array) -> list[Array]:
    """Directions (3,) further from the approach that are worth a look where nothing near it will do.

    First the approach laid into the planes of the cuts, where the saw and the guide come from one side; then that, turned to
    either side in the plane of a single cut, past bone that stands before it. None of these is far from the approach.
    """
    approach = unit(approach)
    normals = np.array([cut.normal for cut in cuts])
    laid = unit(np.linalg.solve(normals.T @ normals + PULL * np.eye(3), approach))
    ways = [laid] if tilt_of(laid, approach) >= LAID_LEAST else []
    if len(cuts) == 1:
        across = np.cross(cuts[0].normal, laid)
        ways += [unit(np.cos(turn) * laid + np.sin(turn) * across) for turn in np.radians([ASIDE, -ASIDE])]
    return [way for way in ways if tilt_of(way, approach) <= ASIDE_MOST]


def tilt_of(one: Array, other: Array) -> Deg:
    """The angle between two unit vectors (3,)."""
    return float(np.degrees(np.arccos(np.clip(one @ other, -1.0, 1.0))))


def strip(
    cuts: Sequence[PlannedCut],
    points: Array,
    axis: Array,
    *,
    reach: Mm,
    beyond: Mm = 0.0,
    ends: Sequence[tuple[Mm, Mm]] | None = None,
) -> Bools:
    """Which patient `points` (n, 3) lie within `reach` of a cut plane and along its section.

    Along the slot that is the section and `beyond`, or for each cut the stretch given in `ends` (from its origin).
    """
    near = np.zeros(len(points), dtype=bool)
    for number, cut in enumerate(cuts):
        along, _ = blade_axes(cut.normal, axis)
        low, high = cut.extent_along(along)
        low, high = (low - beyond, high + beyond) if ends is None else ends[number]
        offset = points - cut.origin
        s = offset @ along
        near |= (np.abs(offset @ cut.normal) <= reach) & (s >= low) & (s <= high)
    return near


def _contact(
    caster: RayCaster,
    part_of_face: Ints,
    cuts: Sequence[PlannedCut],
    direction: Array,
    reach: Mm,
    slope_limit: Deg,
    part: int,
) -> tuple[float, float]:
    """(area mm², sliding lock) of the contact seen along `direction`."""
    frame = site_frame(cuts, direction)
    corners = np.vstack([frame.local(cut.patient(shapely.get_coordinates(cut.section))) for cut in cuts])
    low, high = corners[:, :2].min(axis=0) - reach, corners[:, :2].max(axis=0) + reach
    xs, ys = _amid(low[0], high[0]), _amid(low[1], high[1])
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    hits = first_hits_down(caster, grid, frame=frame)
    near = hits.met & (part_of_face[hits.face] == part)
    near &= np.nan_to_num(hits.slope_cos, nan=-1.0) >= np.cos(np.radians(slope_limit))
    local = np.column_stack([grid, np.nan_to_num(hits.height)])
    # only what lies by the cut itself, not a deeper shelf of the same bone seen past its edge
    near &= strip(cuts, frame.patient(local), direction, reach=reach) & (local[:, 2] >= corners[:, 2].min() - reach)
    if not near.any():
        return 0.0, 0.0
    areas = GRID_MM**2 / hits.slope_cos[near]
    normals = smoothed_normals(caster.normals[hits.face] @ caster.frame.axes @ frame.axes.T, near, (len(xs), len(ys)), GRID_MM)
    return float(areas.sum()), sliding(local[near], normals[near], areas).lock


def _amid(low: Mm, high: Mm) -> Array:
    """Grid lines amid [low, high]: none on the border of what is looked at, where rounding would decide what counts."""
    count = int(np.ceil((high - low) / GRID_MM - 1e-6))
    return np.asarray((low + high) / 2.0 + GRID_MM * (np.arange(count) - (count - 1) / 2.0))
