"""Donor bones for the phantom: its hip bone grown otherwise, as another person's, each in a frame of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh

from psi_cad.phantom.hemipelvis import bone_mesh
from psi_cad.units import Array, Mm

__all__ = ["DONORS", "Grown", "donor_mesh"]


@dataclass(frozen=True)
class Grown:
    """How a donor differs from the phantom.

    Attributes
    ----------
    size : (3,)
        Factors along x, y and z.
    bend : float
        By how much the ends along z are bent sideways, mm.
    turn : (3,)
        How it lies in its own frame: a rotation vector, radians.
    mirrored : bool
        Whether it is of the other side.
    """

    size: tuple[float, float, float]
    bend: Mm
    turn: tuple[float, float, float]
    mirrored: bool


DONORS: Final = {
    "donor-a": Grown((1.04, 1.03, 1.035), 1.5, (0.3, -0.2, 0.5), False),
    "donor-b": Grown((0.97, 0.98, 0.96), -1.0, (-0.4, 0.3, -0.9), True),
}
"""A larger right hip bone, and a smaller left one."""
_ACROSS: Final = 120.0  # mm from the middle to either end


def donor_mesh(grown: Grown, *, spacing: Mm = 1.5) -> trimesh.Trimesh:
    """A donor's surface, mm, in its own frame."""
    from scipy.spatial.transform import Rotation

    mesh = bone_mesh(spacing=spacing)
    points: Array = np.asarray(mesh.vertices)
    middle = points.mean(axis=0)
    points = (points - middle) * np.array(grown.size)
    points[:, 0] += grown.bend * (points[:, 2] / _ACROSS) ** 2
    faces = np.asarray(mesh.faces)
    if grown.mirrored:
        points, faces = points * np.array([-1.0, 1.0, 1.0]), faces[:, ::-1]
    return trimesh.Trimesh(Rotation.from_rotvec(grown.turn).apply(points), faces, process=False)
