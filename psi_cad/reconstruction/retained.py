"""The bones as the saw leaves them, for what is made for the bone that stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import trimesh

from psi_cad.errors import CaseError
from psi_cad.resection.dust import resected
from psi_cad.scene.bodies import Body, Scene, on
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import printable, solid_of
from psi_cad.units import Array, Bools, Mm

__all__ = ["Planes", "Retained", "onto_sawn", "retained", "sawn_faces"]

CRUMB_MM3: Final = 200.0  # a piece so small is nothing to sit on
IN_PLANE_MM: Final[Mm] = 0.02  # what makes a piece printable moves a corner by no more
SAME_MM: Final[Mm] = 1e-3
KERF_MM: Final[Mm] = 4.0  # along a stem, from a planned plane to the face that its kerf leaves
SLANT: Final = 0.2  # cosine: a line that runs along a face does not meet it anywhere near
Planes: TypeAlias = tuple[tuple[Array, Array], ...]


@dataclass(frozen=True)
class Retained:
    """The bones that stay, and by their names the planes of the sawn faces of each: a point and the normal out of the bone, patient mm.

    `unsawn`: the cuts of which no saw is known, and so not where their faces lie.
    """

    scene: Scene
    planes: Mapping[str | None, Planes]
    unsawn: Mapping[str | None, tuple[str, ...]]


def retained(scene: Scene, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], run_outs: Mapping[str, Mm]) -> Retained:
    """What the saw leaves of every bone, its kerf taken off; a bone that no cut takes is as it was.

    Raises
    ------
    CaseError
        Where the cuts free no specimen.
    """
    bodies, planes = list[Body](), dict[str | None, Planes]()
    for body in scene.bodies:
        mine = on(body.name, cuts)
        bone = body.bone if not mine else _left(body.bone, mine, kerfs, run_outs)
        bodies.append(Body(body.name, bone))
        planes[body.name] = tuple((cut.origin + kerfs[name].low * cut.normal, cut.normal) for name, cut in mine.items())
    unsawn = {body.name: tuple(name for name in on(body.name, cuts) if kerfs[name].width is None) for body in scene.bodies}
    return Retained(Scene(tuple(bodies)), planes, unsawn)


def _left(bone: Bone, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], run_outs: Mapping[str, Mm]) -> Bone:
    found = resected(solid_of(bone.mesh, name=bone.name, key="bone"), bone.mesh, cuts, kerfs, run_outs)
    pieces = [printable(solid) for solid in found.retained if float(solid.volume()) > CRUMB_MM3]
    if not pieces:
        raise CaseError(f"cut '{next(iter(cuts))}': nothing of the bone stays, so nothing can sit on it; turn the cut's normal towards the specimen.")
    mesh = trimesh.util.concatenate(pieces) if len(pieces) > 1 else pieces[0]
    parts = np.repeat(np.arange(len(pieces)), [len(piece.faces) for piece in pieces])
    return replace(bone, mesh=mesh, part_of_face=parts, made_up=_still_made_up(bone, mesh))


def _still_made_up(bone: Bone, mesh: trimesh.Trimesh) -> Bools:
    """Which faces (n,) of what is left lie in faces of the bone that are no measured bone."""
    if not bone.made_up.any():
        return np.zeros(len(mesh.faces), dtype=bool)
    patch = trimesh.Trimesh(bone.mesh.vertices, np.asarray(bone.mesh.faces)[bone.made_up], process=True)
    return np.asarray(np.abs(SignedDistance(patch)(np.asarray(mesh.triangles_center))) < SAME_MM)


def onto_sawn(entry: Array, into: Array, planes: Planes) -> Array:
    """Where a line through `entry` (3,) along `into` (3,) meets the sawn face: planes are given by the middle of their kerfs, or a side of them.

    An entry that lies no kerf away from any sawn face stays where it is.
    """
    found = [float((point - entry) @ normal) / float(into @ normal) for point, normal in planes if abs(float(into @ normal)) > SLANT]
    nearest = min(found, key=abs, default=np.inf)
    return np.asarray(entry + nearest * into if abs(nearest) <= KERF_MM else entry)


def sawn_faces(mesh: trimesh.Trimesh, planes: Planes) -> Bools:
    """Which faces (n,) of a bone that stays lie in one of these planes (point, normal): where it was sawn."""
    found, corners = np.zeros(len(mesh.faces), dtype=bool), np.asarray(mesh.vertices)[np.asarray(mesh.faces)]
    for point, normal in planes:
        found |= np.abs((corners - point) @ normal).max(axis=1) < IN_PLANE_MM
    return found
