"""Windows through a footplate, to see that it lies on bone: where they go; their faces in a file, what stands over them, the wall round them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import rounded
from psi_cad.units import Bools, Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Window", "checks", "find", "measure", "said"]

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
        values["blocked_at"] = rounded((*seen[first], window.middle[2] + FAR_MM - met[first]))
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
    values["wall_at"] = rounded((*(middle + (radius + reach[thin]) * ways[thin]), window.middle[2]))
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
