"""The seating axis: searched near the approach for the largest well-conditioned contact that needs no undercut; and the next best.

Where nothing near the approach will do, it is searched a little further aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import ndimage

from psi_cad.errors import DesignError
from psi_cad.frames import Frame, unit
from psi_cad.siting.about import About, tilt_of
from psi_cad.siting.sliding import sliding, smoothed_normals
from psi_cad.surface.rays import RayCaster, first_hits_down
from psi_cad.units import LIMITS, Array, Bools, Deg, Ints, Mm

__all__ = ["SeatingAxis", "expected_lock", "seating_axes"]

GRID_MM: Final[Mm] = 2.0
FINE_MM: Final[Mm] = 1.0  # a grid, and the spread of what is levelled on it, at which a rough surface locks no more than its shape does
LEAST_SPREAD: Final = 0.02  # of the samples about a place, against those of a full neighbourhood (both to the fourth power of a length)


@dataclass(frozen=True)
class SeatingAxis:
    """The chosen axis (3,) and why: contact seen from it (mm²), resistance to sliding (0–1), tilt from the approach."""

    direction: Array
    contact_area: float
    sliding_lock: float
    tilt: Deg
    searched: int


def _candidates(approach: Array, cone: Deg, first: Array) -> list[Array]:
    """Directions within `cone` of `approach`, evenly spread, the approach first; they turn with the patient, as `first` (3,), across it, does."""
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
    about: About,
    *,
    approach: Array,
    cone: Deg,
    reach: Mm,
    slope_limit: Deg,
    part: int,
) -> list[SeatingAxis]:
    """The directions within `cone` degrees of `approach` that meet bone, that with the best contact first.

    The score is the contact area, less where the guide could slide across its axis and where fences or sleeves would lean;
    contact is bone of the right part, met first, not steeper than `slope_limit`, within `reach` of a cut or an entry.

    Raises
    ------
    DesignError
        If every direction leans too far from a cut plane or a trajectory, or none meets the bone.
    """
    approach = unit(approach)
    found: list[tuple[float, SeatingAxis]] = []
    directions = _candidates(approach, cone, about.across(approach))
    leans = []
    for direction in directions:
        lean = about.lean(direction)
        leans.append(lean)
        if lean > about.most_lean:
            continue
        area, lock = _contact(caster, part_of_face, about, direction, reach, slope_limit, part)
        tilt = tilt_of(direction, approach)
        score = area * min(1.0, 0.25 + 0.75 * lock / LIMITS.sliding_lock) * np.cos(np.radians(lean)) ** 2 * (1.0 - 0.005 * tilt)
        if score > 0.0:
            found.append((score, SeatingAxis(direction, area, lock, tilt, len(directions))))
    if not found:
        if min(leans) > about.most_lean:
            raise about.leans_too_far(min(leans), approach)
        raise DesignError(
            f"guide.approach: from this direction, no bone beside {about.called} can be reached; "
            "give the direction from the bone towards the surgeon.",
            where=about.where,
            reason="contact",
        )
    return [axis for _, axis in sorted(found, key=lambda one: -float(f"{one[0]:.9g}"))]  # of equals the one nearer to the approach


def _contact(
    caster: RayCaster,
    part_of_face: Ints,
    about: About,
    direction: Array,
    reach: Mm,
    slope_limit: Deg,
    part: int,
) -> tuple[float, float]:
    """(area mm², sliding lock) of the contact seen along `direction`."""
    seen = _seen(caster, part_of_face, about, direction, reach, slope_limit, part, GRID_MM)
    near = seen.near
    if not near.any():
        return 0.0, 0.0
    areas = GRID_MM**2 / seen.slope_cos[near]
    normals = smoothed_normals(caster.normals(seen.face) @ caster.frame.axes @ seen.frame.axes.T, near, seen.shape, GRID_MM)
    return float(areas.sum()), sliding(seen.local[near], normals[near], areas).lock


def expected_lock(caster: RayCaster, part_of_face: Ints, about: About, *, direction: Array, reach: Mm, slope_limit: Deg, part: int) -> float:
    """The sliding lock of the contact seen along `direction` (3,), its height levelled over some mm.

    The first look at all directions takes the normals of single faces: what is rough seems to lock there, by half as much again on a scan's
    surface. This is within a tenth of the contact's own for most, and takes a fraction of the time.
    """
    seen = _seen(caster, part_of_face, about, direction, reach, slope_limit, part, FINE_MM)
    there = seen.near.reshape(seen.shape)
    x, y, z = (seen.local[:, k].reshape(seen.shape) for k in range(3))
    weight = np.maximum(_levelled(there, np.ones(seen.shape)), 1e-9)
    mx, my, mz = (_levelled(there, values) / weight for values in (x, y, z))
    xx, xy, yy = (_levelled(there, values) / weight for values in (x * x, x * y, y * y))
    xx, xy, yy = xx - mx * mx, xy - mx * my, yy - my * my
    xz, yz = _levelled(there, x * z) / weight - mx * mz, _levelled(there, y * z) / weight - my * mz
    spread = xx * yy - xy * xy
    inner = ndimage.binary_erosion(there) & (spread > LEAST_SPREAD * FINE_MM**4)
    if not inner.any():
        return 0.0
    # the plane of least squares through what lies about each place
    up = np.stack([(yz * xy - xz * yy)[inner] / spread[inner], (xz * xy - yz * xx)[inner] / spread[inner], np.ones(int(inner.sum()))], axis=-1)
    steep = np.linalg.norm(up, axis=1)
    return sliding(np.column_stack([x[inner], y[inner], mz[inner]]), up / steep[:, None], steep * FINE_MM**2).lock


def _levelled(there: Bools, values: Array) -> Array:
    return np.asarray(ndimage.gaussian_filter(np.where(there, values, 0.0), 1.0, mode="constant"))


class _Seen(NamedTuple):
    """Bone seen along a direction on a grid of `shape`: places (n, 3) in `frame`, and of each its face, slope and whether a guide may rest there."""

    frame: Frame
    shape: tuple[int, int]
    local: Array
    face: Ints
    slope_cos: Array
    near: Bools


def _seen(caster: RayCaster, part_of_face: Ints, about: About, direction: Array, reach: Mm, slope_limit: Deg, part: int, step: Mm) -> _Seen:
    frame = about.frame(direction)
    corners = about.corners(frame)
    low, high = corners[:, :2].min(axis=0) - reach, corners[:, :2].max(axis=0) + reach
    xs, ys = _amid(low[0], high[0], step), _amid(low[1], high[1], step)
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    hits = first_hits_down(caster, grid, frame=frame)
    near = hits.met & (part_of_face[hits.face] == part)
    near &= np.nan_to_num(hits.slope_cos, nan=-1.0) >= np.cos(np.radians(slope_limit))
    local = np.column_stack([grid, np.nan_to_num(hits.height)])
    # only what lies by the cut or entry itself, not a deeper shelf of the same bone seen past its edge
    near &= about.near(frame.patient(local), direction, reach=reach) & (local[:, 2] >= corners[:, 2].min() - reach)
    return _Seen(frame, (len(xs), len(ys)), local, hits.face, hits.slope_cos, near)


def _amid(low: Mm, high: Mm, step: Mm) -> Array:
    """Grid lines amid [low, high]: none on the border of what is looked at, where rounding would decide what counts."""
    count = int(np.ceil((high - low) / step - 1e-6))
    return np.asarray((low + high) / 2.0 + step * (np.arange(count) - (count - 1) / 2.0))
