"""Where the plane of a cut meets a hole in thin bone: the cut ends at the hole, and bone stays attached beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from shapely.ops import nearest_points

from psi_cad.scene.cuts import PlannedCut
from psi_cad.units import Array, Mm

__all__ = ["Tear", "tear_between"]

WIDEST_MM: Final[Mm] = 25.0
"""A wider gap is a foramen or a notch, whatever the bone beside it."""
THIN_MM: Final[Mm] = 3.0
"""Bone beside the gap; a rim around a foramen is thicker."""
_LOOK_MM: Final[Mm] = 5.0  # how far from the gap's ends its bone is measured: at a corner of thick bone, too, a circle of more than `THIN_MM` fits in


@dataclass(frozen=True)
class Tear:
    """A gap of `across` mm between two pieces of a section, its middle (3,) in patient mm, and the thickness of the thicker end."""

    across: Mm
    middle: Array
    bone: Mm


def tear_between(cut: shapely.Geometry, beyond: shapely.Geometry, plane: PlannedCut) -> Tear | None:
    """The tear between what a cut takes and the bone beyond it, both in (s, u) of `plane`; None where they touch, or where bone is thick or far."""
    across = float(cut.distance(beyond))
    if not 0.0 < across <= WIDEST_MM:
        return None
    here, there = nearest_points(cut, beyond)
    bone = max(_thickness(cut, here), _thickness(beyond, there))
    if bone > THIN_MM:
        return None
    middle = plane.patient(np.array([[(here.x + there.x) / 2.0, (here.y + there.y) / 2.0]]))[0]
    return Tear(across, middle, bone)


def _thickness(piece: shapely.Geometry, end: shapely.Point) -> Mm:
    """The thickness of a strip near its end: the largest circle that fits in there."""
    parts = shapely.get_parts(piece.intersection(end.buffer(_LOOK_MM)))
    return 2.0 * max((float(shapely.maximum_inscribed_circle(part, tolerance=0.05).length) for part in parts if part.area > 0.0), default=0.0)
