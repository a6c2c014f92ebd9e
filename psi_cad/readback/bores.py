"""Round holes of a solid, looked at again on the triangles that will be printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from psi_cad.readback.faces import Round
from psi_cad.readback.printed import Printed
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["OFF_MM", "off_on_triangles"]

OFF_MM: Final[Mm] = LIMITS.stl_chord + 0.005  # triangles lie that far from a round face at most
INSET: Final = np.array([(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 4.0, 1.0), (1.0, 1.0, 4.0)])  # weights of a triangle's corners: inside it
FINE: Final = 0.2  # radians


def off_on_triangles(holes: Sequence[Round], printed: Printed) -> tuple[Mm, Array] | None:
    """How far the triangles lie from the round faces of holes, at most, and where; None without holes. Holes and triangles in one frame.

    Looked at is all of each face, as it is trimmed: from the axis, through places on it.
    """
    worst: tuple[Mm, Array] | None = None
    for face, point, direction, radius in holes:
        vertices, triangles = face.tessellate(LIMITS.stl_chord, FINE)
        corners = np.array([vertex.toTuple() for vertex in vertices])[np.array(triangles)]
        places = np.einsum("kc,ncd->nkd", INSET / INSET.sum(axis=1, keepdims=True), corners).reshape(-1, 3)
        axis = point + ((places - point) @ direction)[:, None] * direction
        ways = (places - axis) / np.linalg.norm(places - axis, axis=1, keepdims=True)
        met, _ = printed.caster.first(axis, ways)
        off = np.abs(met - abs(radius))
        most = int(np.argmax(off))
        if worst is None or off[most] > worst[0]:
            worst = float(off[most]), axis[most] + abs(radius) * ways[most]
    return worst
