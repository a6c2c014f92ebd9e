"""Relief where two slots meet at a sharp angle and would leave a brittle wedge between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cadquery as cq
import numpy as np

from psi_cad.brep.checked import common
from psi_cad.brep.prism import half_space
from psi_cad.units import Deg, Mm

__all__ = ["SHARP", "corner_reliefs", "wedge_angle"]

SHARP: Final[Deg] = 75.0  # between two slots; a wedge below this breaks off


def wedge_angle(one: Any, two: Any) -> Deg:
    """The angle of the material between two joined slots (of plans with `.cut.normal`): the edge of a piece, or of what stays between two."""
    return 180.0 - float(np.degrees(np.arccos(np.clip(one.cut.normal @ two.cut.normal, -1.0, 1.0))))


def corner_reliefs(plans: Sequence[Any], *, wall: Mm) -> list[cq.Solid]:
    """Prisms that take a sharp wedge back to where it is `wall` thick; none where slots meet bluntly."""
    tools = []
    for number, plan in enumerate(plans):
        joints = [(n, 1.0) for n, _ in plan.cut.neighbours] + [(n, -1.0) for n, _ in plan.cut.beside]
        for other_number, side in joints:
            if other_number < number:
                continue
            other = plans[other_number]
            angle = wedge_angle(plan, other)
            if angle >= SHARP:
                continue
            n1, n2, half = side * plan.cut.normal, side * other.cut.normal, plan.width / 2.0
            line = np.cross(n1, n2)
            line /= np.linalg.norm(line)
            tip = np.linalg.solve(np.stack([n1, n2, line]), [n1 @ plan.cut.origin + half, n2 @ other.cut.origin + half, line @ plan.cut.origin])
            inward = (n1 + n2) / np.linalg.norm(n1 + n2)
            back = wall / (2.0 * np.tan(np.radians(angle) / 2.0))
            tool = half_space(tip - half * n1, n1, tip)
            tool = common("corner relief", tool, half_space(tip - half * n2, n2, tip))
            tools.append(common("corner relief", tool, half_space(tip + back * inward, -inward, tip)))
    return tools
