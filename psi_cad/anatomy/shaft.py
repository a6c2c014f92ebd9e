"""A femur's own directions: along the shaft, from the head to it, and to which side of their plane the lesser trochanter stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.anatomy.balls import Ball, SurfaceSample
from psi_cad.units import Array

__all__ = ["Shaft", "shaft_of"]

# all in radii of the head, from its middle
_ALONG: Final = (4.0, 6.3)  # where the shaft is a tube
_LEAST_POINTS: Final = 60
_ROUND: Final = 0.15  # of the normals' spread that may lie along a tube; a bone that ends there has caps and curves
_OFFSET: Final = (1.0, 3.4)  # of the shaft from the head: 30 to 70 mm in an adult
_LEVELS: Final = (-3.7, -1.3)  # where the lesser trochanter is
_WINDOW: Final = 0.5
_BETWEEN: Final = 0.15
_EDGE: Final = 95.0  # percentile that stands for an outline
_STANDS_OUT: Final = 0.22  # how far it must do so more to one side; four femora have 0.4 to 0.6 and at most 0.1 to the other


@dataclass(frozen=True)
class Shaft:
    """Unit directions `up` (3,), from the shaft towards the head's end, and `lateral` (3,), from the head to the shaft, across it.

    `leaning` tells how much further the lesser trochanter stands out towards up × lateral (the back of a left femur) than
    anything does to the other side, in radii of the head; `clear` whether that tells the hand.
    """

    up: Array
    lateral: Array
    leaning: float

    @property
    def clear(self) -> bool:
        """Whether the lesser trochanter shows."""
        return abs(self.leaning) >= _STANDS_OUT


def shaft_of(sample: SurfaceSample, head: Ball) -> Shaft | None:
    """The shaft below a femoral head; None where there is none."""
    points = (sample.points - head.centre) / head.radius
    away = np.linalg.norm(points, axis=1)
    tube = (away > _ALONG[0]) & (away < _ALONG[1])
    if tube.sum() < _LEAST_POINTS:
        return None
    normals = sample.normals[tube]
    strength, axes = np.linalg.eigh(normals.T @ normals / len(normals))
    middle = points[tube].mean(axis=0)
    up = axes[:, 0] if float(axes[:, 0] @ middle) < 0.0 else -axes[:, 0]
    across = middle - float(middle @ up) * up
    offset = float(np.linalg.norm(across))
    if strength[0] > _ROUND or not _OFFSET[0] <= offset <= _OFFSET[1]:
        return None
    lateral = across / offset
    local = points @ np.column_stack([lateral, np.cross(up, lateral), up])
    return Shaft(up, lateral, _leaning(local[local[:, 0] < offset]))


def _leaning(medial: Array) -> float:
    """How much further the outline (points (n, 3) along lateral, back of a left femur, up) reaches to the back than to the front, or less."""
    back, front = 0.0, 0.0
    for low in np.arange(_LEVELS[0], _LEVELS[1] - _WINDOW, _BETWEEN):
        y = medial[(medial[:, 2] >= low) & (medial[:, 2] < low + _WINDOW), 1]
        if len(y) < 12:
            continue
        more = float(np.percentile(y, _EDGE) + np.percentile(y, 100.0 - _EDGE))
        back, front = max(back, more), max(front, -more)
    return back - front
