"""A grip to hold a guide by while it is pinned, a knob on a footplate: its size as printed, how clear it is of saw and wires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import ring, rounded, unit
from psi_cad.readback.corridor import corridor_from
from psi_cad.units import Mm
from psi_cad.verify.features.feature import Triple, kept, place, way
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Grip", "checks", "find", "measure", "said"]

FAR_MM: Final[Mm] = 150.0
SIZE_MM: Final[Mm] = 0.02
MESH_MM: Final[Mm] = 0.1  # of the triangles
NEAR_MM: Final[Mm] = 0.5
BOSS_MM: Final[Mm] = 2.0  # what stands out of its sides is looked at as far as this
TURNS: Final = 24
ALIKE: Final = 1.0 - 1e-6


@dataclass(frozen=True)
class Grip:
    """A knob along the seating axis: `foot`, its axis at the level of the footplate; guide frame, mm.

    `diameter`: of its head, which is `head` long; `shaft`: of what is below; `height`: above the footplate. `clearance`: how far it keeps from every
    corridor of the saw, and `driver` from every one of the `wires` (foot, direction out of the bone).
    """

    name: str
    foot: Triple
    diameter: Mm
    shaft: Mm
    head: Mm
    height: Mm
    clearance: Mm
    driver: Mm
    corridors: tuple[tuple[float, ...], ...]  # origin, normal, along, low, high of each
    wires: tuple[tuple[float, ...], ...]

    @property
    def below(self) -> Mm:
        """Height of the shaft above the footplate, to where it widens towards the head."""
        return self.height - self.head - (self.diameter - self.shaft) / 2.0

    def over(self) -> list[tuple[Mm, Mm]]:
        """Points (x, y) that it stands over."""
        x, y, _ = self.foot
        turns = np.arange(8) * np.pi / 4.0
        return [(x, y), *((float(x + self.diameter / 2.0 * np.cos(turn)), float(y + self.diameter / 2.0 * np.sin(turn))) for turn in turns)]


def find(grip: Grip, faces: Faces) -> list[Round]:
    """The round side of its head."""
    x, y, _ = grip.foot
    return [
        one
        for one in faces.cylinders
        if one[3] > 0.0
        and abs(one[2][2]) >= ALIKE
        and np.hypot(one[1][0] - x, one[1][1] - y) <= NEAR_MM
        and abs(2.0 * one[3] - grip.diameter) <= NEAR_MM
        and one[0].Center().z > grip.foot[2] + grip.below
    ]


def measure(grip: Grip, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its head on the STEP; its shaft, its height, and how near it comes to saw and wires on the STL."""
    values: dict[str, Any] = {}
    foot = np.array(grip.foot)
    if part is not None:
        found = find(grip, part.faces)
        values["diameter_mm"] = max((2.0 * one[3] for one in found), key=lambda size: abs(size - grip.diameter), default=None)
    up = np.array([0.0, 0.0, 1.0])
    levels = np.linspace(0.3, grip.below - 0.3, 5)
    starts = np.repeat(foot + levels[:, None] * up, TURNS, axis=0)
    ways = np.tile(ring(up, TURNS), (len(levels), 1))
    out = way(printed, starts, ways)
    thin = int(np.argmin(out))
    values["shaft_mm"] = 2.0 * float(out[thin]) if np.isfinite(out[thin]) else None
    values["shaft_at"] = rounded(starts[thin] + min(float(out[thin]), FAR_MM) * ways[thin])
    above = foot + FAR_MM * up + np.vstack([np.zeros(3), 0.6 * (grip.diameter / 2.0) * ring(up, TURNS)])
    top = FAR_MM - way(printed, above, -up)
    values["height_mm"] = float(top.min()) if np.isfinite(top).all() else None
    vertices = np.asarray(printed.mesh.vertices)
    off = vertices - foot
    own = vertices[(np.hypot(off[:, 0], off[:, 1]) <= grip.diameter / 2.0 + BOSS_MM) & (off[:, 2] > 1.0) & (off[:, 2] <= grip.height + BOSS_MM)]
    if len(own):
        away = np.min([corridor_from(row).away(own) for row in grip.corridors], axis=0)
        nearest = int(np.argmin(away))
        values["clear_mm"], values["clear_at"] = float(away[nearest]), rounded(own[nearest])
        lines = [(np.array(row[:3]), unit(np.array(row[3:]))) for row in grip.wires]
        beside = np.min([np.linalg.norm(np.cross(own - start, along), axis=1) for start, along in lines], axis=0)
        nearest = int(np.argmin(beside))
        values["wire_mm"], values["wire_at"] = float(beside[nearest]), rounded(own[nearest])
    return values


def checks(grip: Grip, values: dict[str, Any]) -> list[Check]:
    """Every number of the grip against its limit."""
    foot = place(grip.foot)
    top = (foot[0], foot[1], foot[2] + grip.height)
    thin, near, beside = (place(values.get(key) or foot) for key in ("shaft_at", "clear_at", "wire_at"))
    wide, high = values.get("diameter_mm"), values.get("height_mm")
    return [
        kept("grip_size", None if wide is None else abs(wide - grip.diameter), "mm", "<=", SIZE_MM, top),
        held("grip_shaft", values.get("shaft_mm"), "mm", ">=", grip.shaft - MESH_MM, "thinnest of its shaft", where=thin),
        kept("grip_height", None if high is None else abs(high - grip.height), "mm", "<=", MESH_MM, top),
        held("grip_clear", values.get("clear_mm"), "mm", ">=", grip.clearance - SIZE_MM, "from where the saw runs", where=near),
        held("grip_wire", values.get("wire_mm"), "mm", ">=", grip.driver - SIZE_MM, "from the nearest wire, which is driven beside it", where=beside),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    one = found[0]
    clear = one.get("clear_mm")
    return [f"grip: {one['diameter']:g} mm wide, {one['height']:g} high" + (f", {clear:.1f} mm from where the saw runs" if clear else "")]
