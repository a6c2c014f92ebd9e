"""Windows through a footplate, to see that it lies on bone: where they go; their faces in a file, what stands over them, the wall round them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.findings import Check
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Keep", "Window", "checks", "find", "measure", "place_windows", "said"]

Keep = tuple[Mm, Mm, Mm]  # a round place (x, y, radius) that no window comes into
LEAST_WALL_MM: Final[Mm] = 2.0  # the least wall of any guide
RIM_MM: Final[Mm] = 0.8  # of a footplate, where it is thinner
SPARE_MM: Final[Mm] = 0.3
STEP_MM: Final[Mm] = 1.5  # between places that are tried
STEEPEST: Final = 1.7  # √(1 + slope²): on steeper bone one does not see where it lies
ABOVE_MM: Final[Mm] = 2.0  # the footplate, to where a window is cut: nothing that stands there is cut
FAR_MM: Final[Mm] = 150.0
SIZE_MM: Final[Mm] = 0.02
NEAR_MM: Final[Mm] = 0.5
TURNS: Final = 48
OUT_MM: Final[Mm] = 0.2  # between columns that are looked at outward from its edge
MOST_MM: Final[Mm] = 3.0  # further out no wall is looked at
FOLLOWS: Final = 4.0  # slope: an underside that leaves the one beside it more steeply is another one
SLACK_MM: Final[Mm] = 1e-6  # of a sum of steps
AXIS_COS: Final = 1.0 - 1e-6


@dataclass(frozen=True)
class Window:
    """A round hole through a footplate along the seating axis: its middle (x, y, and the seat there), its diameter; guide frame, mm.

    `wall`: least material round it. `top`: the level up to which it is cut.
    """

    name: str
    middle: Triple
    diameter: Mm
    wall: Mm
    top: Mm

    def over(self) -> list[tuple[Mm, Mm]]:
        """Points (x, y) that have to stay free above it."""
        x, y, _ = self.middle
        turns = np.arange(8) * np.pi / 4.0
        return [(x, y), *((float(x + self.diameter / 2.0 * np.cos(turn)), float(y + self.diameter / 2.0 * np.sin(turn))) for turn in turns)]


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
    points = np.zeros((0, 2))
    if not free.is_empty:
        x_low, y_low, x_high, y_high = free.bounds
        grid = np.stack(np.meshgrid(np.arange(x_low, x_high, STEP_MM), np.arange(y_low, y_high, STEP_MM), indexing="ij"), axis=-1).reshape(-1, 2)
        points = grid[shapely.contains_xy(free, grid[:, 0], grid[:, 1])]
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


def find(window: Window, faces: Faces) -> list[Round]:
    """The hollow cylinders about its axis."""
    x, y, _ = window.middle
    return [
        one
        for one in faces.cylinders
        if one[3] < 0.0
        and abs(one[2][2]) >= AXIS_COS
        and np.hypot(one[1][0] - x, one[1][1] - y) <= NEAR_MM
        and abs(-2.0 * one[3] - window.diameter) <= NEAR_MM
    ]


def measure(window: Window, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its diameter and place on the STEP; on the STL what stands in the line of sight, and how far material reaches all round."""
    values: dict[str, Any] = {}
    if part is not None:
        found = find(window, part.faces)
        values["diameter_mm"] = max((-2.0 * one[3] for one in found), key=lambda size: abs(size - window.diameter), default=None)
        offs = [float(np.hypot(one[1][0] - window.middle[0], one[1][1] - window.middle[1])) for one in found]
        values["offset_mm"] = max(offs, default=None)
    turns = np.arange(TURNS) * 2.0 * np.pi / TURNS
    ways = np.column_stack([np.cos(turns), np.sin(turns)])
    middle = np.array(window.middle[:2])
    radius = window.diameter / 2.0
    seen = np.vstack([middle, *(middle + share * radius * ways for share in (0.5, 0.97))])
    met, _ = printed.caster.first(np.column_stack([seen, np.full(len(seen), window.middle[2] + FAR_MM)]), np.array([0.0, 0.0, -1.0]))
    blocked = np.isfinite(met)
    values["blocked"] = int(blocked.sum())
    if blocked.any():
        first = int(np.argmax(blocked))
        values["blocked_at"] = [round(float(v), 3) for v in (*seen[first], window.middle[2] + FAR_MM - met[first])]
    outs = np.arange(1, round(MOST_MM / OUT_MM) + 1) * OUT_MM
    columns = (middle + (radius + outs)[:, None, None] * ways[None]).reshape(-1, 2)
    low = float(printed.bounds[0][2]) - 5.0
    up, _ = printed.caster.first(np.column_stack([columns, np.full(len(columns), low)]), np.array([0.0, 0.0, 1.0]))
    under = (low + up).reshape(len(outs), TURNS)
    whole: Bools = np.isfinite(under)
    with np.errstate(invalid="ignore"):
        whole[1:] &= np.abs(np.diff(under, axis=0)) <= FOLLOWS * OUT_MM
    whole[0] &= np.abs(under[0] - window.middle[2]) <= FOLLOWS * (radius + OUT_MM)
    held_out = np.cumprod(whole, axis=0).sum(axis=0)
    reach = np.where(held_out > 0, outs[np.maximum(held_out, 1) - 1], 0.0)
    thin = int(np.argmin(reach))
    values["wall_mm"] = float(reach[thin])
    values["wall_at"] = [round(float(v), 3) for v in (*(middle + (radius + reach[thin]) * ways[thin]), window.middle[2])]
    return values


def checks(window: Window, values: dict[str, Any]) -> list[Check]:
    """Every number of one window against its limit."""
    at, middle = f"[{window.name.removeprefix('window ')}]", place(window.middle)
    found = values.get("diameter_mm")
    thin, stopped = place(values.get("wall_at") or middle), place(values.get("blocked_at") or middle)
    return [
        kept(f"window_size{at}", None if found is None else abs(found - window.diameter), "mm", "<=", SIZE_MM, middle),
        kept(f"window_place{at}", values.get("offset_mm"), "mm", "<=", SIZE_MM, middle),
        kept(f"window_open{at}", values.get("blocked"), "", "==", 0.0, stopped),
        held(
            f"window_wall{at}",
            values.get("wall_mm"),
            "mm",
            ">=",
            window.wall - SLACK_MM,
            f"material round it, at most {MOST_MM:g} mm",
            where=thin,
        ),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    return [f"windows: {len(found)} of {found[0]['diameter']:g} mm"]
