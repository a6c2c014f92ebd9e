"""Where windows go: as far from each other, and from fences, wires and edges, as the footplates have room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.options.window import TURNS, Window
from psi_cad.siting.access import grid_in
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["Keep", "place_windows"]

Keep = tuple[Mm, Mm, Mm]  # a round place (x, y, radius) that no window comes into
LEAST_WALL_MM: Final[Mm] = 2.0  # the least wall of any guide
RIM_MM: Final[Mm] = 0.8  # of a footplate, where it is thinner
SPARE_MM: Final[Mm] = 0.3
STEP_MM: Final[Mm] = 1.5  # between places that are tried
STEEPEST: Final = 1.7  # √(1 + slope²): on steeper bone one does not see where it lies
ABOVE_MM: Final[Mm] = 2.0  # the footplate, to where a window is cut: nothing that stands there is cut


def place_windows(
    seat: HeightSpline,
    plates: Sequence[shapely.Polygon],
    strips: shapely.Geometry,
    keep: Sequence[Keep],
    *,
    count: int,
    size: Mm,
    plate_thickness: Mm,
) -> tuple[Window, ...]:
    """`count` windows of `size` mm, as far from each other and from what they keep off as can be.

    Parameters
    ----------
    strips
        What stands along the cuts, as an outline (guide xy).

    Raises
    ------
    DesignError
        If there is no room for so many; it names the parameters.
    """
    radius, area = size / 2.0, shapely.union_all(list(plates))
    free = area.buffer(-(radius + LEAST_WALL_MM + RIM_MM)).difference(strips.buffer(radius + LEAST_WALL_MM + SPARE_MM))
    free = free.difference(shapely.union_all([shapely.Point(x, y).buffer(off + radius + LEAST_WALL_MM / 2.0) for x, y, off in keep]))
    points = grid_in(free, STEP_MM)
    points = points[seat.steepness(points) <= STEEPEST] if len(points) else points
    chosen: list[Array] = []
    others = np.array([(x, y) for x, y, _ in keep]).reshape(-1, 2)
    while len(chosen) < count and len(points):
        off = np.full(len(points), np.inf)
        for place_of in (*others, *chosen):
            off = np.minimum(off, np.linalg.norm(points - place_of, axis=1))
        best = points[int(np.argmax(off))]
        chosen.append(best)
        points = points[np.linalg.norm(points - best, axis=1) >= size + LEAST_WALL_MM + SPARE_MM]
    if len(chosen) < count:
        raise DesignError(
            f"params.windows = {count}: the footplates have room for {len(chosen)} of window_size = {size:g} mm beside fence, wires and their edges; "
            "lower windows or window_size, or raise footplate_reach.",
            where=np.array([*area.representative_point().coords[0], 0.0]),
            reason="contact",
        )
    return tuple(_window(seat, number, at, size, plate_thickness) for number, at in enumerate(chosen, start=1))


def _window(seat: HeightSpline, number: int, at: Array, size: Mm, plate_thickness: Mm) -> Window:
    turns = np.arange(TURNS) * 2.0 * np.pi / TURNS
    round_ = np.vstack([at, at + size / 2.0 * np.column_stack([np.cos(turns), np.sin(turns)])])
    top = float((seat(round_) + plate_thickness * seat.steepness(round_)).max()) + ABOVE_MM
    return Window(f"window {number}", (float(at[0]), float(at[1]), float(seat(at[None, :])[0])), size, LEAST_WALL_MM, top)
