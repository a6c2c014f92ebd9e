"""Holes through a bone: where, how large, how thick the bone around them is; and which are closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

from psi_cad.extraction.lids import Lid, lids
from psi_cad.findings import Place, inmost, place_of
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.relax import point_normals
from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["THIN_MM", "Hole", "Holes", "found_holes"]

THIN_MM: Final[Mm] = 3.0
"""A hole in bone no thicker may be bone that the scan has lost: a sheet of 1 mm of cortex needs voxels well below that."""
_AROUND_MM: Final[Mm] = 4.0  # from a lid: the bone around the hole, past its rounded rim
_ALONG: Final = 0.7  # cosine: faces that look along the hole, not into it
_FLAT_FROM: Final = 10  # voxels; a smaller sheet does not tell how it lies, but the bone around it does
_INTO_MM: Final[Mm] = 0.05


@dataclass(frozen=True)
class Hole:
    """A hole through a bone.

    Attributes
    ----------
    number : int
        From 1, the largest first.
    centre : (3,)
        Patient mm.
    diameter, width : float
        Greatest and least extent of the sheet that would close it, mm.
    ball : float
        Diameter of the largest ball that goes through, mm.
    bone_around : float or None
        Median thickness of the bone around it, mm.
    closed : bool
        Whether it was closed, so that the surface there is no measured bone.
    """

    number: int
    centre: Place
    diameter: Mm
    width: Mm
    ball: Mm
    bone_around: Mm | None
    closed: bool

    @property
    def thin(self) -> bool:
        """Whether the bone around it is so thin that the scan may have lost the rest."""
        return self.bone_around is None or self.bone_around < THIN_MM

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {
            "number": self.number, "centre_mm": list(self.centre), "diameter_mm": round(self.diameter, 1), "width_mm": round(self.width, 1),
            "ball_mm": round(self.ball, 1), "bone_around_mm": None if self.bone_around is None else round(self.bone_around, 2),
            "thin_bone": self.thin, "closed": self.closed,
        }  # fmt: skip


@dataclass(frozen=True)
class Holes:
    """The holes of a body of voxels, before its surface is known; `lids` (nz, ny, nx): what closes those that are to be closed."""

    sheets: tuple[tuple[Array, Lid, bool], ...]
    lids: Bools

    def near(self, points: Array, reach: Mm) -> Bools:
        """Which `points` (n, 3) lie within `reach` mm of a lid that is closed."""
        shut = [sheet for sheet, _, closed in self.sheets if closed]
        if not shut:
            return np.zeros(len(points), dtype=bool)
        return np.asarray(np.isfinite(cKDTree(np.vstack(shut)).query(points, distance_upper_bound=reach)[0]))

    def patch_of(self, mesh: trimesh.Trimesh, guessed: Bools) -> Ints:
        """The number (n faces,) of the closed hole that each face with a `guessed` point covers; 0 for measured bone."""
        out = np.zeros(len(mesh.faces), dtype=np.int64)
        patch = np.flatnonzero(guessed[np.asarray(mesh.faces)].any(axis=1))
        if len(patch):
            shut = [(number, points) for number, (points, _, closed) in enumerate(self.sheets, start=1) if closed]
            owner = np.concatenate([np.full(len(points), number) for number, points in shut])
            out[patch] = owner[cKDTree(np.vstack([points for _, points in shut])).query(np.asarray(mesh.triangles_center)[patch])[1]]
        return out

    def measured(self, mesh: trimesh.Trimesh, guessed: Bools) -> tuple[Hole, ...]:
        """The holes with the thickness of the bone around them, as the finished surface has it."""
        if not self.sheets:
            return ()
        points, normals = np.asarray(mesh.vertices), point_normals(np.asarray(mesh.vertices), np.asarray(mesh.faces))
        owner = np.concatenate([np.full(len(sheet), number) for number, (sheet, _, _) in enumerate(self.sheets)])
        _, nearest = cKDTree(np.vstack([sheet for sheet, _, _ in self.sheets])).query(points, distance_upper_bound=_AROUND_MM)
        beside = np.flatnonzero((nearest < len(owner)) & ~guessed)
        beside = beside[np.argsort(owner[nearest[beside]], kind="stable")]
        starts = np.searchsorted(owner[nearest[beside]], np.arange(len(self.sheets) + 1))
        caster = RayCaster(mesh)
        found = []
        for number, (sheet, lid, closed) in enumerate(self.sheets):
            near = beside[starts[number] : starts[number + 1]]
            middle = sheet - sheet.mean(axis=0)
            place = place_of(inmost(sheet))
            assert place is not None
            flat = middle if len(sheet) >= _FLAT_FROM or not len(near) else points[near] - points[near].mean(axis=0)
            across = np.linalg.eigh(flat.T @ flat)[1][:, 0]
            near = near[np.abs(normals[near] @ across) > _ALONG]
            away = caster.first(caster.frame.local(points[near] - _INTO_MM * normals[near]), -caster.frame.local_direction(normals[near]))[0]
            away = away[np.isfinite(away)]
            thick = float(np.median(away)) + _INTO_MM if len(away) else None
            found.append(Hole(number + 1, place, lid.length, lid.width, lid.ball, thick, closed))
        return tuple(found)


def found_holes(body: Bools, *, patient_from_index: Array, step: Mm, close: Mm) -> Holes:
    """The holes through the one connected `body` (nz, ny, nx), on cubes of `step` mm; those of less than `close` mm across are to be closed."""
    matrix = np.asarray(patient_from_index, dtype=np.float64)
    shut = np.zeros(body.shape, dtype=bool)
    sheets = []
    for lid in lids(body, step):
        closed = lid.length < close
        if closed:
            inside = ((lid.index >= 0) & (lid.index < body.shape)).all(axis=1)
            shut[tuple(lid.index[inside].T)] = True
        sheets.append((lid.index[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3], lid, closed))
    if shut.any():
        shut = ndimage.binary_dilation(shut)  # a sheet of single voxels that touch by corners would leak
    return Holes(tuple(sheets), shut)
