"""What a part was promised to have, as plain values: they load no kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from psi_cad.units import Mm

__all__ = ["Bore", "Feature", "Gap", "Triple", "Web"]

Triple: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Gap:
    """Two parallel faces `width` apart that look at each other, in the part's frame, mm.

    `point`: amid them; `normal`: across; `through`: the way in which the gap is open from side to side; `length`, `depth`: its extent
    along the third direction, and along `through`.
    """

    name: str
    point: Triple
    normal: Triple
    through: Triple
    width: Mm
    length: Mm
    depth: Mm


@dataclass(frozen=True)
class Bore:
    """A round hole: a point on its axis, the axis' direction, and its diameter, in the part's frame, mm."""

    name: str
    point: Triple
    direction: Triple
    diameter: Mm


@dataclass(frozen=True)
class Web:
    """A thin wall: a point amid it, the direction across it, and its thickness, in the part's frame, mm."""

    name: str
    point: Triple
    normal: Triple
    thickness: Mm


Feature: TypeAlias = Gap | Bore | Web
