"""What a bone of a known kind can be like: its size, and where a scan cropped it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh

from psi_cad.units import Array, Deg, Mm

__all__ = ["ANATOMIES", "Anatomy", "FlatEnd", "flat_ends", "length_of"]

_FLAT_MM: Final[Mm] = 1.0  # a scan's edge is flat to a voxel
_FLAT_DEG: Final[Deg] = 4.0
_EVEN_DEG: Final[Deg] = 1.5
_EVEN: Final = 0.6  # of a flat end is flatter than that; of anything round a third at most
_FLAT_WIDE_MM: Final[Mm] = 4.0  # a lying tube of 19 mm radius is flat to 4° over less than 3 mm
_FLAT_MM2: Final = 80.0  # a condyle is flat to 4° over 10 mm²
_FROM_END: Final = 1.5  # mm below the outermost vertex


@dataclass(frozen=True)
class Anatomy:
    """The range of a bone from about 8 years on: `length` in mm along its longest axis, `volume` in cm³ with its marrow."""

    name: str
    length: tuple[Mm, Mm]
    volume: tuple[float, float]
    reference: str


ANATOMIES: Final[dict[str, Anatomy]] = {
    "hip": Anatomy(
        "hip bone",
        (115.0, 275.0),
        (50.0, 700.0),
        "anatomy texts: adult os coxae 180–240 mm from crest to ischium and 200–450 cm³; at 8 years about two thirds of the length; widened",
    ),
    "femur": Anatomy(
        "femur",
        (210.0, 580.0),
        (60.0, 1100.0),
        "anatomy texts: adult femur 380–520 mm and 300–700 cm³; growth charts (Anderson, Green): 270–360 mm at 8 years; widened",
    ),
    "sacrum": Anatomy(
        "sacrum",
        (60.0, 190.0),
        (40.0, 500.0),
        "anatomy texts: adult sacrum 90–140 mm long, 100–130 mm wide, 120–280 cm³; at 8 years about two thirds of the length; widened",
    ),
}


@dataclass(frozen=True)
class FlatEnd:
    """A flat end of a bone: a point in its middle, points (n, 3) of it, its outward direction (3,) and its area in mm²."""

    middle: Array
    points: Array
    outward: Array
    area: float


def length_of(mesh: trimesh.Trimesh) -> Mm:
    """Greatest extent along the bone's own longest axis, mm; the same however the bone lies."""
    points = np.asarray(mesh.vertices)[np.unique(mesh.faces)]
    centred = points - np.asarray(mesh.triangles_center).T @ mesh.area_faces / mesh.area
    _, axes = np.linalg.eigh(centred.T @ centred)
    return float(np.ptp(centred @ axes[:, 2]))


def flat_ends(mesh: trimesh.Trimesh) -> list[FlatEnd]:
    """Where the bone ends flat against a patient axis: the edge of the scan that cropped it."""
    normals, areas, middles = np.asarray(mesh.face_normals), np.asarray(mesh.area_faces), np.asarray(mesh.triangles_center)
    vertices = np.asarray(mesh.vertices)[np.unique(mesh.faces)]
    ends = []
    for outward in np.vstack([np.eye(3), -np.eye(3)]):
        height = middles @ outward
        facing = normals @ outward > np.cos(np.radians(_FLAT_DEG))
        held = facing & (height > float((vertices @ outward).max()) - _FROM_END)
        if not held.any():
            continue
        level = float(np.average(height[held], weights=areas[held]))
        held &= np.abs(height - level) < _FLAT_MM
        area = float(areas[held].sum())
        middle = np.average(middles[held], axis=0, weights=areas[held])
        even = float(areas[held & (normals @ outward > np.cos(np.radians(_EVEN_DEG)))].sum())
        if area >= _FLAT_MM2 and even >= _EVEN * area and _width(middles[held] - middle, areas[held]) >= _FLAT_WIDE_MM:
            ends.append(FlatEnd(middle, np.asarray(mesh.vertices)[np.unique(np.asarray(mesh.faces)[held])], outward, area))
    return ends


def _width(middles: Array, areas: Array) -> Mm:
    """The width of a flat patch of faces, as that of the rectangle of the same spread; `middles` (n, 3) about the patch's own middle."""
    spread = np.linalg.eigvalsh((middles * areas[:, None]).T @ middles / areas.sum())
    return float(np.sqrt(12.0 * max(spread[1], 0.0)))
