"""Where a saw runs beside its slot: what stands on a guide is held clear of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from psi_cad.frames import triple
from psi_cad.units import Array, Mm

__all__ = ["Corridor", "corridor_from"]

Triple: TypeAlias = tuple[float, float, float]
BESIDE_SLOT_MM: Final[Mm] = 5.0  # past a slot's ends the saw still moves


@dataclass(frozen=True)
class Corridor:
    """Where the saw runs: a cut's plane (`origin`, `normal`), between `low` and `high` along the slot; guide frame, mm."""

    origin: Triple
    normal: Triple
    along: Triple
    low: Mm
    high: Mm

    def away(self, points: Array) -> Array:
        """Distances (n,) of points (n, 3)."""
        off = points - np.array(self.origin)
        s = off @ np.array(self.along)
        beyond = np.maximum(np.maximum(self.low - BESIDE_SLOT_MM - s, s - self.high - BESIDE_SLOT_MM), 0.0)
        return np.asarray(np.hypot(off @ np.array(self.normal), beyond))


def corridor_from(row: Sequence[float]) -> Corridor:
    """A corridor from its eleven numbers."""
    numbers = np.array(row, dtype=np.float64)
    return Corridor(triple(numbers[:3]), triple(numbers[3:6]), triple(numbers[6:9]), float(numbers[9]), float(numbers[10]))
