"""One slot as it is laid out: where it lies, its fence, and what is cut out for the blade."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import shapely

from psi_cad.brep.slab import Slab, rise_along
from psi_cad.findings import Caution
from psi_cad.guides.ground import SiteCut
from psi_cad.sawing.ledges import open_side
from psi_cad.sawing.liners import Lined, pocket
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["Joint", "SlotPlan"]

TOOLS_DEEP: Final[Mm] = 30.0  # below the lowest seat, and `TOOLS_HIGH` above the highest, a slot is cut
TOOLS_HIGH: Final[Mm] = 60.0
PARALLEL: Final = 1e-6  # sine of an angle between planes that do not meet anywhere near


class Joint(NamedTuple):
    """Where a slot opens into another: a point of that one's plane, the normal into this slot, that one's half width.

    `side`: +1 where both planes bound one piece, which lies on the normals' side of both; -1 where they bound two that meet there, and the bone that
    stays lies on the other side of both.
    """

    point: Array
    inward: Array
    half: Mm
    side: float


@dataclass(frozen=True)
class SlotPlan:
    """One slot and its fence: extents along the slot from the cut's origin (mm), and the planes that end them."""

    cut: SiteCut
    width: Mm
    half_width: Mm
    low: Mm
    high: Mm
    fence_low: Mm
    fence_high: Mm
    windows: tuple[tuple[Mm, Mm], ...]
    joints: tuple[Joint, ...]
    free_ends: tuple[bool, bool]
    cautions: tuple[Caution, ...] = ()
    open_ends: tuple[bool, bool] = (False, False)
    ledge: int = 0  # see `SlotFeature`
    lined: Lined | None = None  # with a metal sleeve, in which lies the slot from `low` to `high`

    @staticmethod
    def outer_half(width: Mm, wall: Mm) -> Mm:
        """Half the fence's thickness: `wall` beside the slot, whatever blade and clearance made it so wide."""
        return wall + width / 2.0

    def slab(self, *, corner: Mm) -> Slab:
        """The fence's prism."""
        return Slab(
            origin=self.cut.origin,
            normal=self.cut.normal,
            blade=self.cut.blade,
            half_width=self.half_width,
            low=self.fence_low,
            high=self.fence_high,
            corner=corner,
            bounds=self.outer_bounds(),
        )

    def outer_bounds(self) -> list[tuple[Array, Array]]:
        """Planes (point, inward normal) that end the fence at its joints: the neighbour's outer side, and a blunt corner.

        Two outer sides that meet at an angle make an edge that stands further from the slots the sharper it is. A
        flat as far from the slots' own corner as the walls are thick takes that edge off, and no wall with it.
        """
        found = []
        for point, normal, half, side in self.joints:
            found.append((point - self.half_width * normal, normal))
            own = side * self.cut.normal
            line = np.cross(own, normal)
            across = own + normal
            if np.linalg.norm(line) < PARALLEL or np.linalg.norm(across) < PARALLEL:
                continue
            across = across / np.linalg.norm(across)
            offsets = np.array([own @ self.cut.origin - self.width / 2.0, normal @ point - half, 0.0])
            slots_corner = np.linalg.solve(np.stack([own, normal, line]), offsets)
            found.append((slots_corner - (self.half_width - self.width / 2.0) * across, across))
        return found

    def slot_slabs(self) -> list[Slab]:
        """The slot's prisms, one per window."""
        bounds = [(point - half * normal, normal) for point, normal, half, _ in self.joints]
        return [
            Slab(
                origin=self.cut.origin,
                normal=self.cut.normal,
                blade=self.cut.blade,
                half_width=self.width / 2.0,
                low=low,
                high=high,
                bounds=bounds,
            )
            for low, high in self.windows
        ]

    def label_span(self) -> tuple[Mm, Mm]:
        """Where along the fence a label may lie: not past a joint."""
        low = self.fence_low if self.free_ends[0] else self.cut.low + 4.0
        high = self.fence_high if self.free_ends[1] else self.cut.high - 4.0
        return low, high

    def slot_tools(self, seat: HeightSpline) -> list[cq.Solid]:
        """What is cut out for the blade: its slot, or all that lies past the face of its ledge."""
        if self.ledge:
            return [open_side(self.cut.origin, self.cut.normal, side=self.ledge, half_width=self.width / 2.0)]
        low, high = float(seat.poles.min()) - TOOLS_DEEP, float(seat.poles.max()) + TOOLS_HIGH
        slots = [slab.solid(bottom=low, top=high, step=f"slot {self.cut.name}") for slab in self.slot_slabs()]
        return slots if self.lined is None else [*slots, pocket(self.lined, self.cut, amid=(self.low + self.high) / 2.0)]

    @property
    def opens(self) -> tuple[tuple[int, Mm], ...]:
        """Ends (-1 low, 1 high) that are open, and how far along the slot it guides there."""
        return tuple((end, s) for end, s, one in zip((-1, 1), (self.low, self.high), self.open_ends, strict=True) if one)

    def bridges(self) -> tuple[tuple[Mm, Mm], ...]:
        """Where along the fence bridges cross the slot."""
        return tuple((one[1], two[0]) for one, two in itertools.pairwise(self.windows))

    def footprint(self, seat: HeightSpline) -> shapely.Polygon:
        """The fence's outline where it stands on the seat (guide xy)."""
        slab = self.slab(corner=0.0)
        s = np.linspace(self.fence_low, self.fence_high, 12)
        flat = np.vstack([np.column_stack([np.full(12, side * self.half_width), s[::side]]) for side in (1, -1)])
        points = slab.frame.patient(np.column_stack([flat, rise_along(seat, slab, flat)]))
        for point, inward in slab.bounds:
            points = points - np.minimum((points - point) @ inward, 0.0)[:, None] * inward
        return shapely.Polygon(points[:, :2]).buffer(0)

    def covers(self, points: Array, margin: Mm) -> Bools:
        """Which points (n, 3) lie within the fence, endless along the blade, or `margin` beside it."""
        off = points - self.cut.origin
        s = off @ self.cut.along
        within = (s > self.fence_low - margin) & (s < self.fence_high + margin)
        return np.asarray(within & (np.abs(off @ self.cut.normal) < self.half_width + margin))

    def meets(self, other: SlotPlan, seat: HeightSpline) -> bool:
        """Whether the two fences touch."""
        return bool(self.footprint(seat).distance(other.footprint(seat)) < 0.5)
