"""What in a surface cannot be trusted, by name and place: false faces, nested shells, a wrong unit."""

from __future__ import annotations

from typing import Final

import numpy as np
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.units import Array, Ints

__all__ = ["at", "refuse_false_faces", "refuse_implausible_size"]

SMALLEST_BONE_MM: Final = 20.0
LARGEST_BONE_MM: Final = 1200.0
_LIKELY_BONE_MM: Final = (60.0, 600.0)
_UNITS: Final = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}

FALSE_EDGE_MM: Final = 15.0
FALSE_EDGE_RATIO: Final = 8.0
FALSE_FOLD_DEG: Final = 50.0
CAP_ONE_WAY: Final = 0.85
CAP_RIM_MM: Final = 5.0
CAP_FLAT_MM: Final = 0.3
CAP_TURN_DEG: Final = 15.0


def at(point: Array) -> str:
    """A place in the patient frame, for a message."""
    return "(" + ", ".join(f"{value:.0f}" for value in point) + ") mm LPS"


def refuse_implausible_size(mesh: trimesh.Trimesh, *, units: str | None, name: str) -> None:
    """Refuse a bone of 0.2 mm or 200 m, and say which unit would make it one.

    Raises
    ------
    SurfaceError
    """
    extent = float(mesh.extents.max())
    if SMALLEST_BONE_MM <= extent <= LARGEST_BONE_MM:
        return
    raw = extent / _UNITS[units or "mm"]
    likely = [u for u, mm in _UNITS.items() if _LIKELY_BONE_MM[0] <= raw * mm <= _LIKELY_BONE_MM[1]]
    hint = f'units = "{likely[0]}" would make it {raw * _UNITS[likely[0]]:.0f} mm' if likely else "check the unit of the export"
    size = f"{extent:.3g} mm" if extent < 10_000 else f"{extent / 1000:.3g} m"
    raise SurfaceError(f"bone.units: '{name}' is {size} long, which no bone is; {hint}.")


def refuse_false_faces(mesh: trimesh.Trimesh, *, name: str) -> list[Ints]:
    """Refuse faces that span a gap no bone fills; return the flat caps met on the way.

    Long slender faces in a finely meshed bone are either a cap (the cropped end of a scan, closed flat: its faces
    look one way) or a web across a gap (a double sheet: its faces look against each other, and fold where they meet
    the bone). Webs are refused. Caps are no bone surface either, so the faces of each are returned: no
    guide may sit there. A decimated shaft has long faces without folds and passes.

    Raises
    ------
    SurfaceError
    """
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.faces).T]  # (3, n, 3)
    squares = [np.einsum("ij,ij->i", side, side) for side in (corners[1] - corners[0], corners[2] - corners[1], corners[0] - corners[2])]
    longest = np.sqrt(np.maximum(np.maximum(squares[0], squares[1]), squares[2]))
    if float(longest.max(initial=0.0)) <= FALSE_EDGE_MM:
        return []  # no edge is long enough to span a gap
    edge_vectors = mesh.vertices[mesh.face_adjacency_edges]
    lengths = np.linalg.norm(edge_vectors[:, 0] - edge_vectors[:, 1], axis=1)
    median = float(np.median(lengths))
    limit = max(FALSE_EDGE_MM, FALSE_EDGE_RATIO * median)
    folded = (np.degrees(mesh.face_adjacency_angles) > FALSE_FOLD_DEG) & (lengths > limit)
    if not folded.any():
        return []
    half = longest > limit / 2.0
    caps: list[tuple[Array, float]] = []
    capped: list[Ints] = []
    webs: list[Ints] = []
    for group in trimesh.graph.connected_components(mesh.face_adjacency[half[mesh.face_adjacency].all(axis=1)], min_len=1):
        areas = mesh.area_faces[group]
        one_way = float(np.linalg.norm((areas[:, None] * mesh.face_normals[group]).sum(axis=0)) / areas.sum())
        corners = mesh.triangles[group].reshape(-1, 3)
        middle = corners.mean(axis=0)
        if one_way >= CAP_ONE_WAY:
            caps.append((middle, float(np.linalg.norm(corners - middle, axis=1).max())))
            capped.append(np.asarray(group, dtype=np.int64))
        elif np.isin(mesh.face_adjacency[folded], group).any():
            webs.append(group)
    for group in webs:
        worst = int(group[np.argmax(longest[group])])
        place = mesh.triangles_center[worst]
        if any(np.linalg.norm(place - middle) < radius + CAP_RIM_MM for middle, radius in caps):
            continue  # the folded rim of a cap
        raise SurfaceError(
            f"bone.surface: '{name}' has {int((longest[group] > limit).sum())} false faces with edges up to "
            f"{longest[worst]:.0f} mm (median edge {median:.1f} mm) that span a gap near {at(place)}; "
            "remove them in the segmentation and export again.",
            where=place,
        )
    return [_whole_cap(mesh, group) for group, (_, radius) in zip(capped, caps, strict=True) if radius > FALSE_EDGE_MM / 2.0]


def _whole_cap(mesh: trimesh.Trimesh, group: Ints) -> Ints:
    """A cap's long faces, and the shorter ones of the same plane that are joined to them."""
    areas = np.asarray(mesh.area_faces)[group]
    normal = (areas[:, None] * np.asarray(mesh.face_normals)[group]).sum(axis=0)
    normal /= np.linalg.norm(normal)
    corners = np.asarray(mesh.triangles) @ normal
    level = float(np.median(corners[group]))
    flat = (np.abs(corners - level).max(axis=1) < CAP_FLAT_MM) & (np.asarray(mesh.face_normals) @ normal > np.cos(np.radians(CAP_TURN_DEG)))
    flat[group] = True
    joined = trimesh.graph.connected_component_labels(mesh.face_adjacency[flat[mesh.face_adjacency].all(axis=1)], node_count=len(flat))
    return np.asarray(np.flatnonzero(flat & np.isin(joined, joined[group])), dtype=np.int64)
