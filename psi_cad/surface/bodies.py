"""Several bodies in one bone surface: refused where they reach into each other, told where they lie apart."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from psi_cad.errors import SurfaceError
from psi_cad.findings import Place, inmost, place_of
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.repair import Bone, signed_volume
from psi_cad.surface.solids import solid_of
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["Gap", "deepest_overlap", "gaps_of", "refuse_overlap"]

OVERLAP_MM3: Final = 0.1  # less is rounding where two bodies touch


@dataclass(frozen=True)
class Gap:
    """Two bodies of one surface that lie apart: their volumes (mm³), larger first, and the place where they come closest, `width` mm."""

    volumes: tuple[float, float]
    width: Mm
    where: Place | None


def refuse_overlap(bone: Bone) -> None:
    """Refuse a bone whose surface holds bodies that reach into each other: two bones, or one bone twice; which of them is not to be known.

    Raises
    ------
    SurfaceError
    """
    bodies = _bodies(bone)
    for one, two in itertools.combinations(bodies, 2):
        if (one.bounds[0] > two.bounds[1]).any() or (two.bounds[0] > one.bounds[1]).any():
            continue
        volume, place = _overlap(one, two)
        if volume > OVERLAP_MM3:
            sizes = " and ".join(f"{signed_volume(body) / 1000.0:.1f}" for body in (one, two))
            raise SurfaceError(
                f"bone.surface: '{bone.name}' holds two bodies, of {sizes} cm³, that reach into each other over {volume / 1000.0:.2g} cm³ "
                f"near {at(place)}; export each bone by itself, or unite them in the segmentation if they are one bone.",
                where=place,
            )


def deepest_overlap(one: trimesh.Trimesh, two: trimesh.Trimesh) -> tuple[Mm, Array]:
    """By how much (mm) two closed surfaces reach into each other, and where (3,); 0 where they do not.

    Measured at the vertices and the middles of the faces of each in the other: a surface that bounds no sound solid has those too.
    """
    low, high = np.maximum(one.bounds[0], two.bounds[0]), np.minimum(one.bounds[1], two.bounds[1])
    best, place = 0.0, np.zeros(3)
    if (low > high).any():
        return best, place
    for mine, other in ((one, two), (two, one)):
        points = np.vstack([np.asarray(mine.vertices), np.asarray(mine.triangles_center)])
        points = points[((points >= low) & (points <= high)).all(axis=1)]
        depth = -SignedDistance(other)(points)
        if len(depth) and float(depth.max()) > best:
            best, place = float(depth.max()), points[int(np.argmax(depth))]
    return best, place


def gaps_of(bone: Bone) -> list[Gap]:
    """Between the largest body of a bone's surface and each other one."""
    bodies = _bodies(bone)
    found = []
    for other in bodies[1:]:
        mine, theirs = np.asarray(bodies[0].vertices), np.asarray(other.vertices)
        away, nearest = cKDTree(mine).query(theirs)
        here = int(np.argmin(away))
        middle = (theirs[here] + mine[nearest[here]]) / 2.0
        found.append(Gap((signed_volume(bodies[0]), signed_volume(other)), float(away[here]), place_of(middle)))
    return found


def _bodies(bone: Bone) -> list[trimesh.Trimesh]:
    """The parts of a bone's surface that look outward, largest volume first; cavities are none."""
    if int(bone.part_of_face.max()) == 0:
        return [bone.mesh]
    faces = np.asarray(bone.mesh.faces)
    parts = []
    for number in range(int(bone.part_of_face.max()) + 1):
        part = trimesh.Trimesh(bone.mesh.vertices, faces[bone.part_of_face == number], process=False)
        part.remove_unreferenced_vertices()
        parts.append(part)
    return sorted((part for part in parts if signed_volume(part) > 0.0), key=lambda part: -signed_volume(part))


def _overlap(one: trimesh.Trimesh, two: trimesh.Trimesh) -> tuple[float, Array]:
    """What two bodies share, mm³, and a point in it."""
    solids: list[Any] = [solid_of(body, name="a body", key="bone.surface") for body in (one, two)]
    shared = solids[0] ^ solids[1]
    if shared.is_empty():
        return 0.0, np.zeros(3)
    points = np.asarray(shared.to_mesh64().vert_properties)[:, :3]
    return float(shared.volume()), np.asarray(inmost(points))
