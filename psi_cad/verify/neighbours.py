"""Measure a guide against the other bones of its case: none may reach into it, stand in its way, or be met when it is pulled off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.findings import Place, place_of
from psi_cad.frames import Frame
from psi_cad.readback.printed import Printed
from psi_cad.readback.underside import underside
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.solids import mesh_of, solid_of
from psi_cad.units import Array, Mm
from psi_cad.verify.features.seat import BoneProbe, caught_by

__all__ = ["Neighbour", "measure_neighbours"]

FINE_MM: Final[Mm] = 0.5  # between the points at which what guide and bone share is measured
GUIDE_MM: Final[Mm] = 1.5  # between the points of the guide whose distance from a bone is measured
MOST_ROUNDS: Final = 24  # of halving an edge


@dataclass(frozen=True)
class Neighbour:
    """How a guide lies to one other bone, mm.

    Attributes
    ----------
    overlap : float
        Greatest depth to which guide and bone reach into each other.
    catch : float
        Greatest height of the bone above the guide's underside along the seating axis, measured along the bone's normal.
    gap : float
        Least distance between them; 0 where they overlap.
    deepest, caught, closest : place or None
        Where that is, patient mm.
    """

    name: str
    overlap: Mm
    catch: Mm
    gap: Mm
    deepest: Place | None
    caught: Place | None
    closest: Place | None

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {
            "bone": self.name,
            "overlap_mm": round(self.overlap, 6),
            "pull_off_mm": round(self.catch, 6),
            "gap_mm": round(self.gap, 6),
            "closest": None if self.closest is None else list(self.closest),
        }


def measure_neighbours(part: Printed, frame: Frame, others: Sequence[BoneProbe]) -> tuple[Neighbour, ...]:
    """How a guide, read back from its STL in the guide `frame`, lies to each of the other bones."""
    if not others:
        return ()
    guide = trimesh.Trimesh(frame.patient(np.asarray(part.mesh.vertices)), part.mesh.faces, process=False)
    points = _spread(guide, GUIDE_MM)
    bottom, _, _ = underside(part)
    return tuple(_neighbour(guide, points, bottom, frame, other) for other in others)


def _neighbour(guide: trimesh.Trimesh, points: Array, bottom: Array, frame: Frame, other: BoneProbe) -> Neighbour:
    away = other.distance(points)
    overlap, deepest = _overlap(guide, points, away, other)
    catch, column = caught_by(other, bottom, frame)
    least = int(np.argmin(away))
    return Neighbour(
        name=str(other.name),
        overlap=overlap,
        catch=catch,
        gap=0.0 if overlap > 0.0 else float(max(0.0, away[least])),
        deepest=deepest,
        caught=place_of(frame.patient(bottom[column])) if catch > 0.0 else None,
        closest=place_of(points[least]),
    )


def _overlap(guide: trimesh.Trimesh, points: Array, away: Array, other: BoneProbe) -> tuple[Mm, Place | None]:
    """How deep guide and bone reach into each other, and where: at what both solids share, or where one is no solid, at points of both."""
    low, high = np.asarray(guide.bounds)
    if (low > other.bone.bounds[1]).any() or (other.bone.bounds[0] > high).any():
        return 0.0, None
    try:
        shared = solid_of(guide, name="the guide", key="stl") ^ solid_of(other.bone, name="the bone", key="bone")
    except SurfaceError:
        corners = np.asarray(other.bone.triangles)
        near = (corners.max(axis=1) > low).all(axis=1) & (corners.min(axis=1) < high).all(axis=1)
        met = trimesh.Trimesh(other.bone.vertices, np.asarray(other.bone.faces)[near], process=False)
        theirs = _spread(met, FINE_MM) if near.any() else np.zeros((0, 3))
        return _deepest([(points, away), (theirs, SignedDistance(guide)(theirs))])
    if shared.is_empty():
        return 0.0, None
    within = _spread(mesh_of(shared), FINE_MM)
    return _deepest([(within, other.distance(within)), (within, SignedDistance(guide)(within))])


def _deepest(measured: Sequence[tuple[Array, Array]]) -> tuple[Mm, Place | None]:
    """The greatest depth among points (n, 3) with signed distances (n,), and its place."""
    depth, place = 0.0, None
    for points, away in measured:
        if len(away) and -float(away.min()) > depth:
            depth, place = -float(away.min()), place_of(points[int(np.argmin(away))])
    return depth, place


def _spread(mesh: trimesh.Trimesh, step: Mm) -> Array:
    """Points (n, 3) on a mesh: its vertices, and others between them so that none is farther than `step` from the next along an edge."""
    vertices, _ = trimesh.remesh.subdivide_to_size(np.asarray(mesh.vertices), np.asarray(mesh.faces), max_edge=step, max_iter=MOST_ROUNDS)
    return np.unique(np.asarray(vertices, dtype=np.float64), axis=0)
