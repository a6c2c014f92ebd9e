"""How deep each cut is along its slot, whether the blade reaches, how much of it the saw can get at, and what lies beyond.

All of it happens in the cut's plane, in coordinates (s, a): s along the slot, a along the blade, out of the bone. On the
line at s the slot's exit is the first bone met from outside, the far cortex the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
import shapely.affinity
import trimesh

from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.nearest import Face
from psi_cad.siting.about import blade_axes
from psi_cad.surface.section import section_parts
from psi_cad.units import Array, Ints, Mm

__all__ = ["SlotDepth", "beyond", "obstacles_in_plane", "reachable", "slot_depth"]

STEP_MM: Final[Mm] = 0.25
LINES_MM: Final[Mm] = 1.0
FAR_MM: Final[Mm] = 1e4
EDGE_MM: Final[Mm] = 0.25  # beside the bone's outline lies no gap, only rounding
GAP_MM2: Final = 1.0


@dataclass(frozen=True)
class SlotDepth:
    """The profile of one cut below its slot.

    Attributes
    ----------
    along, blade : (3,)
        The slot's axis and the blade's (out of the bone), patient frame.
    region : shapely geometry
        The cut's section in (s, a), mm from the cut's origin.
    s, top, far : (n,)
        Lines through the section: the slot's exit and the far cortex on each, mm.
    """

    along: Array
    blade: Array
    region: shapely.Geometry
    s: Array
    top: Array
    far: Array

    @property
    def depth(self) -> Array:
        """Travel (n,) from the slot's exit to the far cortex, mm."""
        return self.top - self.far

    @property
    def deepest(self) -> Mm:
        """Greatest travel, mm."""
        return float(self.depth.max())

    def deepest_lines(self) -> tuple[tuple[Mm, Mm], ...]:
        """(s, far) of the farthest line in each `LINES_MM` along the slot: all that a blade's reach needs to be held against."""
        bins = np.floor(self.s / LINES_MM)
        order = np.lexsort((self.far, bins))
        first = order[np.unique(bins[order], return_index=True)[1]]
        return tuple((round(float(self.s[k]), 4), round(float(self.far[k]), 4)) for k in first)

    @property
    def deepest_at(self) -> tuple[Mm, Mm]:
        """(s, a) where the blade has to go deepest, mm from the cut's origin."""
        number = int(np.argmax(self.depth))
        return float(self.s[number]), float(self.far[number])

    @property
    def length(self) -> Mm:
        """Length of bone along the slot, mm."""
        return float(np.ptp(self.s))


def slot_depth(cut: PlannedCut, axis: Array) -> SlotDepth:
    """The profile of a cut whose guide comes off along `axis` (or is approached along it)."""
    along, blade = blade_axes(cut.normal, axis)
    region = _turned(cut.section, cut, along, blade)
    s = np.unique(shapely.get_coordinates(region)[:, 0])
    hair = 1e-7 * max(1.0, float(np.ptp(s)))  # at a corner the depth can jump: look at it from both sides
    lines = np.unique(np.clip(np.concatenate([s - hair, s + hair, np.arange(s[0], s[-1], STEP_MM)]), s[0] + hair, s[-1] - hair))
    low, high = _spans(region, lines)
    met = np.isfinite(low)
    return SlotDepth(along, blade, region, lines[met], high[met], low[met])


def _turned(region: shapely.Geometry, cut: PlannedCut, along: Array, blade: Array) -> shapely.Geometry:
    """A region of the plane in (s, a) instead of the plane's own axes."""
    matrix = np.stack([along, blade]) @ cut.axes[:2].T
    return shapely.affinity.affine_transform(region, [*matrix.ravel(), 0.0, 0.0])


def _open_lines(region: shapely.Geometry, s: Array, low: Array) -> tuple[Ints, Array]:
    """The parts of a region on the lines at `s` above `low` (n,): the number of the line (m,) and the part's lower and upper a (m, 2).

    All lines are met with the region at once: that takes a fifth of the time of one at a time.
    """
    ends = np.empty((len(s), 2, 2))
    ends[:, :, 0] = s[:, None]
    ends[:, 0, 1], ends[:, 1, 1] = low, FAR_MM
    parts = shapely.get_parts(shapely.intersection(region, shapely.multilinestrings(shapely.linestrings(ends))))
    bounds = shapely.bounds(parts[~shapely.is_empty(parts)])
    middle = (bounds[:, 0] + bounds[:, 2]) / 2.0
    after = np.clip(np.searchsorted(s, middle), 1, len(s) - 1) if len(s) > 1 else np.zeros(len(bounds), dtype=np.int64)
    line = np.where(np.abs(s[after - 1] - middle) < np.abs(s[after] - middle), after - 1, after)
    return line, bounds[:, [1, 3]]


def _spans(region: shapely.Geometry, s: Array) -> tuple[Array, Array]:
    """Least and greatest a (n,) of a region on the lines at `s` (ascending); nan where they miss it."""
    line, spans = _open_lines(region, s, np.full(len(s), -FAR_MM))
    low, high = np.full(len(s), np.inf), np.full(len(s), -np.inf)
    np.minimum.at(low, line, spans[:, 0])
    np.maximum.at(high, line, spans[:, 1])
    met = np.isfinite(low)
    return np.where(met, low, np.nan), np.where(met, high, np.nan)


def obstacles_in_plane(cut: PlannedCut, profile: SlotDepth, avoid: Sequence[trimesh.Trimesh]) -> shapely.Geometry:
    """What the plane of a cut meets that must not be sawn, in (s, a): bone that stays, and structures to avoid."""
    parts: list[shapely.Geometry] = [*cut.others, cut.whole.difference(cut.section)]
    for mesh in avoid:
        parts += section_parts(mesh, origin=cut.origin, axes=cut.axes)
    return _turned(shapely.union_all(parts), cut, profile.along, profile.blade)


def reachable(profile: SlotDepth, obstacles: shapely.Geometry, *, reach: Mm | None) -> float:
    """The share (0–1) of the cut face that a blade along the slot's direction can get at.

    A point counts where the straight way out along the blade crosses no obstacle, and where it lies no deeper than `reach`
    (mm) below the slot's exit. The blade's own width is not counted.
    """
    s = np.arange(profile.s[0] + STEP_MM / 2.0, profile.s[-1], STEP_MM)
    _, top = _spans(profile.region, s)
    _, blocked = _spans(obstacles, s)
    limit = np.where(np.isfinite(blocked), blocked, -FAR_MM)
    if reach is not None:
        limit = np.maximum(limit, np.where(np.isfinite(top), top - reach, -FAR_MM))
    whole, free = (np.ptp(_open_lines(profile.region, s, low)[1], axis=1).sum() for low in (np.full(len(s), -FAR_MM), limit))
    return float(min(1.0, free / whole)) if whole > 0.0 else 0.0


def beyond(cut: PlannedCut, profile: SlotDepth, *, reach: Mm, run_out: Mm) -> Face | None:
    """Where a blade guided to its full length comes out of bone, as a region of the plane; None where it cannot.

    That is beyond the far cortex, and in gaps between the slot's exit and there.
    """
    s = np.concatenate([[profile.s[0] - run_out], profile.s, [profile.s[-1] + run_out]])
    top = np.concatenate([profile.top[:1], profile.top, profile.top[-1:]])
    far = np.concatenate([profile.far[:1], profile.far, profile.far[-1:]])
    behind = _between(s, far, np.minimum(top - reach, far))
    gaps = _between(profile.s, profile.top, np.maximum(profile.top - reach, profile.far)).difference(profile.region.buffer(EDGE_MM))
    regions = [behind, *(gap for gap in shapely.get_parts(gaps) if gap.area >= GAP_MM2)]
    region = shapely.union_all([part for part in regions if part.area > 0.0])
    if region.is_empty:
        return None
    return Face(cut.origin, np.stack([profile.along, profile.blade, np.cross(profile.along, profile.blade)]), region)


def _between(s: Array, high: Array, low: Array) -> shapely.Geometry:
    return shapely.Polygon(np.vstack([np.column_stack([s, high]), np.column_stack([s, low])[::-1]])).buffer(0)
