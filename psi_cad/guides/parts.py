"""On which connected part of a bone the cuts of a guide lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.repair import Bone

__all__ = ["one_part", "part_at"]


def one_part(bone: Bone, cuts: Sequence[PlannedCut]) -> int:
    """The number of the one connected part of the bone on which all cuts of a guide lie.

    Raises
    ------
    DesignError
        Where they lie on several.
    """
    parts = {part_at(bone, cut) for cut in cuts}
    if len(parts) > 1:
        raise DesignError("guide.cuts: the cuts lie on separate bones; make one guide for each bone.", where=cuts[-1].origin)
    return parts.pop()


def part_at(bone: Bone, cut: PlannedCut) -> int:
    """The number of the connected part of the bone that a cut divides."""
    ring = cut.patient(np.asarray(cut.whole.exterior.coords)[:1])
    centres = np.asarray(bone.mesh.triangles_center)[: len(bone.mesh.faces) - bone.beside]
    nearest = int(np.argmin(((centres - ring[0]) ** 2).sum(axis=1)))
    return int(bone.part_of_face[nearest])
