"""A metal sleeve pressed into a wire's hole: the seat that the guide has for it, its diameter, its depth, and the wall round it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import ring, rounded, unit
from psi_cad.units import Mm
from psi_cad.verify.features.feature import Triple, kept, place, way
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Insert", "checks", "find", "measure", "said"]

NEAR_MM: Final[Mm] = 0.5
AXIS_MM: Final[Mm] = 0.02
SIZE_MM: Final[Mm] = 0.01
DEEP_MM: Final[Mm] = 0.05
MESH_MM: Final[Mm] = 0.06  # of the triangles
ABOVE_MM: Final[Mm] = 20.0
TURNS: Final = 24
LEVELS: Final = 5
ALIKE: Final = 1.0 - 1e-6


@dataclass(frozen=True)
class Insert:
    """The seat of a metal sleeve in the hole of one wire: `top`, where its axis leaves the printed sleeve; its direction `out` of the bone; mm.

    `diameter` and `length` of the metal sleeve; `seat`: the diameter that is drawn for it. `bore`: of the wire's hole below. `wall`: of what
    is printed round it.
    """

    name: str
    top: Triple
    out: Triple
    diameter: Mm
    length: Mm
    seat: Mm
    bore: Mm
    wall: Mm


def find(insert: Insert, faces: Faces) -> list[Round]:
    """The hollow cylinders about its axis that are as wide."""
    out, top = unit(np.array(insert.out)), np.array(insert.top)
    return [
        one
        for one in faces.cylinders
        if one[3] < 0.0
        and abs(float(one[2] @ out)) >= ALIKE
        and float(np.linalg.norm(np.cross(one[1] - top, out))) <= NEAR_MM
        and abs(-2.0 * one[3] - insert.seat) <= min(NEAR_MM, (insert.seat - insert.bore) / 2.0)
    ]


def measure(insert: Insert, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Its diameter and axis on the STEP; its depth, and the wall round it, on the STL."""
    out, top = unit(np.array(insert.out)), np.array(insert.top)
    values: dict[str, Any] = {}
    if part is not None:
        found = find(insert, part.faces)
        values["seat_mm"] = max((-2.0 * one[3] for one in found), key=lambda size: abs(size - insert.seat), default=None)
        values["off_mm"] = max((float(np.linalg.norm(np.cross(one[1] - top, out))) for one in found), default=None)
    ways = ring(out, TURNS)
    floor = way(printed, top + ABOVE_MM * out + (insert.bore + insert.seat) / 4.0 * ways, -out) - ABOVE_MM
    worst = int(np.argmax(np.abs(floor - insert.length)))
    values["depth_mm"] = float(floor[worst]) if np.isfinite(floor[worst]) else None
    levels = np.linspace(0.15, 0.9, LEVELS) * insert.length
    starts = np.repeat(top - levels[:, None] * out, TURNS, axis=0)
    sides = np.tile(ways, (LEVELS, 1))
    inner = way(printed, starts, sides)
    inner = np.where(np.isfinite(inner), inner, insert.seat / 2.0)
    outer = way(printed, starts + (inner + 1e-3)[:, None] * sides, sides) + 1e-3
    thin = int(np.argmin(np.where(np.isfinite(outer), outer, 0.0)))
    values["wall_mm"] = float(outer[thin]) if np.isfinite(outer[thin]) else 0.0
    values["wall_at"] = rounded(starts[thin] + inner[thin] * sides[thin])
    return values


def checks(insert: Insert, values: dict[str, Any]) -> list[Check]:
    """Every number of one seat against its limit."""
    at, top = f"[{insert.name.removeprefix('pin ')}]", place(insert.top)
    size, deep = values.get("seat_mm"), values.get("depth_mm")
    thin = place(values.get("wall_at") or top)
    return [
        kept(f"insert_seat{at}", None if size is None else abs(size - insert.seat), "mm", "<=", SIZE_MM, top),
        kept(f"insert_axis{at}", values.get("off_mm"), "mm", "<=", AXIS_MM, top),
        kept(f"insert_depth{at}", None if deep is None else abs(deep - insert.length), "mm", "<=", DEEP_MM, top),
        held(f"insert_wall{at}", values.get("wall_mm"), "mm", ">=", insert.wall - MESH_MM, "print round the metal sleeve", where=thin),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal and the sheet: what has to be pressed in."""
    one = found[0]
    return [f"inserts: press {len(found)} metal sleeves of {one['diameter']:g} mm, {one['length']:g} mm long, into seats of {one['seat']:.2f} mm"]
