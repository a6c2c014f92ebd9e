"""On which connected part of a bone the cuts or trajectories of a guide lie."""

from __future__ import annotations

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.siting.about import About
from psi_cad.surface.repair import Bone
from psi_cad.units import Array

__all__ = ["one_part", "part_at"]


def one_part(bone: Bone, about: About) -> int:
    """The number of the one connected part of the bone on which all that a guide is about lies.

    Raises
    ------
    DesignError
        Where it lies on several.
    """
    anchors = about.anchors()
    parts = {part_at(bone, place) for place in anchors}
    if len(parts) > 1:
        raise DesignError(f"{about.key}: the {about.plural} lie on separate bones; make one guide for each bone.", where=about.last)
    return parts.pop()


def part_at(bone: Bone, place: Array) -> int:
    """The number of the connected part of the bone that is nearest to a place (3,)."""
    centres = np.asarray(bone.mesh.triangles_center)[: len(bone.mesh.faces) - bone.beside]
    nearest = int(np.argmin(((centres - place) ** 2).sum(axis=1)))
    return int(bone.part_of_face[nearest])
