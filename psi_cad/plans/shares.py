"""Each bone's part in a plan: what the cuts on it leave, and the tumour in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from psi_cad.resection.pieces import Resection
from psi_cad.scene.nearest import Surface
from psi_cad.surface.solids import joined, mesh_of
from psi_cad.units import Array, Mm

__all__ = ["Share", "share_of"]

CANDIDATES: Final = 500  # vertices nearest to the tumour's, whose distance from its surface is measured


@dataclass(frozen=True)
class Share:
    """One bone's part in a plan: what the cuts on it leave, and the tumour in it.

    Attributes
    ----------
    in_bone, left : float
        Tumour in all of the bone, and in what stays of it, mm³.
    to_retained : float or None
        From the tumour to what stays of it, mm, 0 where the tumour lies in that; None without a tumour, or where nothing stays.
    nearest : (3,) or None
        The place of that on the bone, patient mm.
    """

    name: str | None
    resection: Resection
    in_bone: float = 0.0
    left: float = 0.0
    to_retained: Mm | None = None
    nearest: Array | None = None


def share_of(name: str | None, resection: Resection, solid: Any, tumour: Surface | None, tumour_solid: Any) -> Share:
    """The share of the bone called `name`, which is `solid` as a whole."""
    if tumour is None or tumour_solid is None:
        return Share(name, resection)
    in_bone = float((solid ^ tumour_solid).volume())
    if not resection.retained:
        return Share(name, resection, in_bone)
    stays = joined(resection.retained)
    left = float((stays ^ tumour_solid).volume())
    away, place = _nearest(mesh_of(stays), tumour)
    return Share(name, resection, in_bone, left, 0.0 if left > 0.0 else away, place)


def _nearest(mesh: Any, tumour: Surface) -> tuple[Mm, Array]:
    """The least distance between a mesh and the tumour, mm, and where on the mesh: from the vertices of each to the surface of the other."""
    bone = Surface(mesh)
    away, found = bone.closest(tumour.vertices)
    least = int(np.argmin(away))
    near, _ = tumour.tree.query(bone.vertices)
    some = np.argsort(near, kind="stable")[:CANDIDATES]
    theirs, _ = tumour.closest(bone.vertices[some])
    if float(theirs.min()) < float(away[least]):
        return float(theirs.min()), bone.vertices[some[int(np.argmin(theirs))]]
    return float(away[least]), found[least]
