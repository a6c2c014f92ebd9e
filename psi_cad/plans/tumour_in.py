"""Where the tumour goes: into the specimen, the saw's dust, the bone that stays, or soft tissue beside that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from psi_cad.case.model import Case
from psi_cad.resection.pieces import Resection
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Face, Surface, nearest
from psi_cad.surface.solids import joined, mesh_of, pieces_of
from psi_cad.units import Array, Mm

__all__ = ["LEFT_MM3", "Left", "TumourIn", "tumour_in"]

TOUCH_MM: Final[Mm] = 0.01  # tumour this near the face of a cut was parted by it
LEFT_MM3: Final = 1.0  # tumour left behind that is more than rounding


@dataclass(frozen=True)
class Left:
    """A piece of tumour that stays in the patient: its solid, volume (mm³), a place of it, and the declared cut that parted it, if one did."""

    solid: Any
    volume: float
    place: Array
    parted_by: str | None


@dataclass(frozen=True)
class TumourIn:
    """How much of the tumour (mm³) lies in the specimen's bone, in the saw's dust and in bone at all, and what stays.

    Attributes
    ----------
    left : tuple of Left
        In the bone that stays.
    beyond : tuple of Left
        Bodies that lie beyond the cuts of every group.
    beside : tuple of Left
        Outside bone and beyond the cuts, nearer to bone that stays than to the specimen.
    """

    specimen: float
    dust: float
    bone: float
    left: tuple[Left, ...]
    beyond: tuple[Left, ...]
    beside: tuple[Left, ...]

    @property
    def retained(self) -> float:
        """Tumour in the bone that stays, mm³."""
        return sum(piece.volume for piece in self.left)


def tumour_in(
    tumour: Any, bone: Any, resection: Resection, case: Case, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], run_outs: Mapping[str, Mm]
) -> TumourIn:
    """Each piece of bone met with the tumour (solids) once: together they are all of the bone."""
    specimen = resection.specimen
    faces = [_retained_face(cuts[c.name], kerfs[c.name], run_outs[c.name]) for c in case.cut if c.planned_positive]
    declared = dict(zip((c.name for c in case.cut if c.planned_positive), faces, strict=True))
    removed = float((specimen ^ tumour).volume())
    dust = sum(float((solid ^ tumour).volume()) for solid in resection.dust)
    left = tuple(_left(part, declared) for piece in resection.retained for part in pieces_of(piece ^ tumour))
    crumbs = sum(float((crumb ^ tumour).volume()) for crumb in resection.crumbs)
    beyond = tuple(_left(body, {}) for body in pieces_of(tumour) if _is_beyond(body, cuts) and float((specimen ^ body).volume()) <= 0.0)
    in_bone = removed + dust + sum(piece.volume for piece in left) + crumbs
    return TumourIn(removed, dust, in_bone, left, beyond, _beside(tumour, bone, resection, specimen, cuts, kerfs))


def _retained_face(cut: PlannedCut, kerf: Kerf, run_out: Mm) -> Face:
    """Where a cut parts bone that stays from what the saw takes; without a kerf, the planned section."""
    if not kerf.width:
        return Face(cut.origin, cut.axes, cut.section)
    return Face(cut.origin + kerf.low * cut.normal, cut.axes, cut.sawn(run_out))


def _left(part: Any, declared: Mapping[str, Face]) -> Left:
    mesh = mesh_of(part)
    surface = Surface(mesh)
    parted = (name for name, face in declared.items() if nearest(surface, face).distance <= TOUCH_MM)
    return Left(part, float(part.volume()), np.asarray(mesh.vertices).mean(axis=0), next(parted, None))


def _is_beyond(body: Any, cuts: Mapping[str, PlannedCut]) -> bool:
    """Whether a body of tumour has no point on the specimen's side of all cuts of any group: no cut can take it along."""
    points = np.asarray(mesh_of(body).vertices)
    for group in {cut.group for cut in cuts.values()}:
        heights = [(points - cut.origin) @ cut.normal for cut in cuts.values() if cut.group == group]
        if (np.min(heights, axis=0) > 0.0).any():
            return False
    return True


def _beside(
    tumour: Any, bone: Any, resection: Resection, specimen: Any, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf]
) -> tuple[Left, ...]:
    """Tumour in soft tissue that lies beyond the kerfs of every group, in pieces that come nearer to bone that stays than to the specimen."""
    groups = {cut.group for cut in cuts.values()}
    corners = np.asarray(mesh_of(tumour).vertices)
    for group in groups:
        heights = [(corners - cut.origin) @ cut.normal - kerfs[cut.name].low for cut in cuts.values() if cut.group == group]
        if np.min(heights) >= 0.0:
            return ()  # all of it lies with that group's piece
    past = tumour
    for group in groups:
        taken = past
        for cut in cuts.values():
            if cut.group == group:
                taken = taken.trim_by_plane(tuple(float(v) for v in cut.normal), float(cut.normal @ cut.origin) + kerfs[cut.name].low)
        past = past - taken
    if past.volume() <= LEFT_MM3:
        return ()
    pieces = [piece for piece in pieces_of(past - bone) if piece.volume() > LEFT_MM3]
    if not pieces or not resection.retained:
        return ()
    stays, goes = (Surface(mesh_of(solid)) for solid in (joined(resection.retained), specimen))
    found = []
    for piece in pieces:
        points = np.asarray(mesh_of(piece).vertices)
        if (stays.closest(points)[0] < goes.closest(points)[0]).any():
            found.append(_left(piece, {}))
    return tuple(found)
