"""The prism about a cutting plane that fences and slots are: its shape needs no kernel, so that guides are laid out before one is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.brep import prism
from psi_cad.frames import Frame
from psi_cad.siting.spline import HeightSpline
from psi_cad.surface.envelope import gentle_line
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["Slab", "fence_level", "rise_along"]

_GRID: Final[Mm] = 0.5


class Slab:
    """The plane-sided prism |d| <= half_width, low <= s <= high about a cutting plane, endless along the blade.

    Coordinates: d along `normal`, s along the slot, u along the `blade` direction, from `origin` (guide frame, mm).
    An end that another cut bounds has no wall of its own: the slab stops at `bounds`, planes (point, inward normal).
    """

    def __init__(
        self,
        *,
        origin: Array,
        normal: Array,
        blade: Array,
        half_width: Mm,
        low: Mm,
        high: Mm,
        corner: Mm = 0.0,
        bounds: Sequence[tuple[Array, Array]] = (),
    ) -> None:
        self.frame = Frame(origin=origin, axes=np.stack([normal, np.cross(blade, normal), blade]))
        self.half_width, self.low, self.high, self.corner = half_width, low, high, corner
        self.bounds = tuple(bounds)

    def solid(self, *, bottom: Mm, top: Mm, step: str) -> cq.Solid:
        """The prism between u = bottom and u = top, vertical corners broken by `corner`."""
        return prism.prism(
            self.frame,
            half_width=self.half_width,
            low=self.low,
            high=self.high,
            bottom=bottom,
            top=top,
            corner=self.corner,
            bounds=self.bounds,
            step=step,
        )

    def grid(self, *, margin: Mm, step_d: Mm, step_s: Mm) -> Array:
        """Points (n, 2) in (d, s) that cover the slab and `margin` around it."""
        d = np.linspace(-self.half_width - margin, self.half_width + margin, int(np.ceil(2 * (self.half_width + margin) / step_d)) + 1)
        s = np.linspace(self.low - margin, self.high + margin, int(np.ceil((self.high - self.low + 2 * margin) / step_s)) + 1)
        return np.stack(np.meshgrid(d, s, indexing="ij"), axis=-1).reshape(-1, 2)


def rise_along(patch: HeightSpline, slab: Slab, flat: Array) -> Array:
    """U (n,) at which lines along the blade through (d, s) = `flat` (n, 2) meet the patch."""
    start = slab.frame.patient(np.column_stack([flat, np.zeros(len(flat))]))
    blade = slab.frame.axes[2]
    u = np.zeros(len(flat))
    for _ in range(12):  # Newton on a smooth graph that the blade direction crosses steeply
        point = start + u[:, None] * blade
        fall = point[:, 2] - patch(point[:, :2])
        rate = blade[2] - patch.gradient(point[:, :2]) @ blade[:2]
        u = u - np.clip(fall / np.where(np.abs(rate) < 0.2, 0.2, rate), -5.0, 5.0)
    return u


def fence_level(seat: HeightSpline, slab: Slab, *, height: Mm, inner: Mm) -> tuple[Array, Array, Array]:
    """A fence's grid in (d, s), stations along it, and its level there: `height` above the seat within `inner` of the plane."""
    flat = slab.grid(margin=1.0, step_d=0.25, step_s=_GRID)
    across = np.linspace(-inner, inner, 5)
    stations = np.unique(flat[:, 1])
    seats = rise_along(seat, slab, np.array([(d, s) for d in across for s in stations])).reshape(len(across), -1)
    # one level across the wall, above the higher side of the slot: both sides guide the blade over the whole height
    return flat, stations, gentle_line(stations, seats.max(axis=0)) + height
