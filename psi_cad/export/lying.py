"""How a part is proposed to lie in the printer: what then hangs over and needs supports, and where each part of a 3MF goes on the bed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import trimesh

from psi_cad.frames import Frame, across, all_round, ring, unit
from psi_cad.units import Array, Bools, Deg, Mm

__all__ = ["OVERHANG", "hanging", "laid_out", "least_supported", "seat_up"]

OVERHANG: Final[Deg] = 45.0  # from upright: what leans further is supported, as slicers and makers of printers have it
BED: Final[Mm] = 0.3  # about a layer: what lies so near the bed stands on it
TRIED: Final = 96  # directions all round, some 20° apart
FLATS: Final = 12  # largest flat faces that may lie on the bed
FLAT_COS: Final = 0.9999
MOST_LEAN: Final[Deg] = 45.0  # a seat of 65° still looks sideways then, and hangs over by 20°
LEANS: Final = (*np.arange(0.0, MOST_LEAN, 2.5).tolist(), MOST_LEAN)
ROUND: Final = 24  # ways to lean
SPARE: Final[Deg] = 2.0  # less than the printer can, of a bore: its round wall is as steep as its axis at one line alone
APART: Final[Mm] = 8.0  # parts on the bed, and from its corner
UP: Final = np.array([0.0, 0.0, 1.0])


def hanging(mesh: trimesh.Trimesh, up: Array, *, angle: Deg = OVERHANG) -> Bools:
    """Which triangles hang over by more than `angle` from upright where `up` (3,) is up, and do not lie on the bed."""
    down = np.asarray(mesh.face_normals) @ up < -np.sin(np.radians(angle))
    height = np.asarray(mesh.vertices) @ up
    return np.asarray(down & (height[np.asarray(mesh.faces)].max(axis=1) > height.min() + BED))


def seat_up(frame: Frame, bores: Sequence[Array] = ()) -> Array:
    """The way up (3,), patient frame, in which a guide is printed: its seat, which comes off along z of the guide `frame`, hangs over nowhere.

    Where one of the `bores` (directions (3,), patient frame) would lean so far that supports stood in it, the guide leans as little as keeps all of
    them free, by `MOST_LEAN` at most: that is less than would have even the steepest seat hang over.
    """
    up = -frame.axes[2]
    if not len(bores):
        return np.asarray(up)
    every = np.array([up, *(unit(bore) for bore in bores)])  # with the wires, which stand along z
    lines = np.abs(every @ np.array([_leant(up, way, lean) for lean in LEANS for way in ring(up, ROUND)]).T)
    leans = np.degrees(np.arccos(np.clip(lines.min(axis=0), 0.0, 1.0))).reshape(len(LEANS), ROUND)
    over = np.maximum(leans - (OVERHANG - SPARE), 0.0)
    best = np.unravel_index(int(np.argmin(np.round(over, 6))), over.shape)  # the first of equals: the one that leans least
    return _leant(up, ring(up, ROUND)[best[1]], LEANS[best[0]])


def _leant(up: Array, way: Array, lean: Deg) -> Array:
    """A unit direction turned by an angle towards one across it."""
    return np.asarray(np.cos(np.radians(lean)) * up + np.sin(np.radians(lean)) * way)


def least_supported(mesh: trimesh.Trimesh) -> Array:
    """The way up (3,) for which the least of a closed surface hangs over: one of its largest flat faces on the bed, or one of many directions."""
    areas, normals = np.asarray(mesh.area_faces), np.asarray(mesh.face_normals)
    ways = [*_flat_ways(normals, areas), *all_round(TRIED)]
    return np.asarray(min(ways, key=lambda way: round(float((areas * -(normals @ way))[hanging(mesh, way)].sum()), 3)))


def _flat_ways(normals: Array, areas: Array) -> list[Array]:
    """Ways up that put a large flat face on the bed, the largest first."""
    found, order = list[Array](), np.argsort(-areas, kind="stable")
    left = np.ones(len(areas), dtype=bool)
    sums = list[float]()
    for number in order[: 8 * FLATS]:
        if left[number]:
            same = normals @ normals[number] > FLAT_COS
            left &= ~same
            found.append(-unit(normals[number]))
            sums.append(float(areas[same].sum()))
    return [found[number] for number in np.argsort(-np.array(sums), kind="stable")[:FLATS]]


def laid_out(meshes: Sequence[trimesh.Trimesh], ups: Sequence[Array | None]) -> list[Array]:
    """For each mesh the rigid (4, 4) that turns its way up (3,) to z and stands it on the bed, beside those before; None: as it lies."""
    found, edge = [], APART
    for mesh, up in zip(meshes, ups, strict=True):
        matrix = np.eye(4)
        if up is not None:
            points = np.asarray(mesh.vertices)
            matrix[:3, :3] = _turned(points, unit(up))
            low, high = (points @ matrix[:3, :3].T).min(axis=0), (points @ matrix[:3, :3].T).max(axis=0)
            matrix[:3, 3] = np.array([edge, APART, 0.0]) - low
            edge += float(high[0] - low[0]) + APART
        found.append(matrix)
    return found


def _turned(points: Array, up: Array) -> Array:
    """The rotation (3, 3) that turns `up` to z, and the longest way across it to x."""
    x = across(up)
    flat = np.column_stack([points @ x, points @ np.cross(up, x)])
    longest = np.linalg.eigh(np.cov(flat.T))[1][:, 1]
    longest = longest if longest[int(np.argmax(np.abs(longest)))] > 0.0 else -longest
    first = unit(longest[0] * x + longest[1] * np.cross(up, x))
    return np.array([first, np.cross(up, first), up])
