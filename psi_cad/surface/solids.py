"""Closed triangle surfaces as solids: made, split by planes, taken apart and joined exactly (Manifold)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.surface.repair import edge_keys, parts_of, turned_outward
from psi_cad.surface.trust import at
from psi_cad.surface.weld import weld
from psi_cad.units import Array, Mm

__all__ = ["closed_surface", "joined", "mesh_of", "pieces_of", "printable", "solid_of", "stays_closed", "winding"]

SHORTEST_MM: Final = (1e-3, 4e-3, 1e-2)  # an STL rounds a coordinate of 1 m to 6e-5 mm
FLAT_MM: Final[Mm] = 1e-9  # a triangle no higher is none, to whoever reads the file
PINCH_MM: Final[Mm] = 2e-3  # far more than an STL rounds, and far less than a print shows
CRUMB_MM3: Final = 1e-3  # what is smaller is no piece of anything
WELD_DIGITS: Final = 6  # of a millimetre: the same vertex written twice


def closed_surface(mesh: trimesh.Trimesh, *, name: str, key: str) -> trimesh.Trimesh:
    """`mesh` welded, every part turned outward (a cavity inward), and parts that overlap made one.

    Parameters
    ----------
    name, key : str
        The file's name and the case-file key that names it, for messages.

    Raises
    ------
    SurfaceError
        If it is not closed, or holds an outward shell inside another: which of the two is meant can't be known.
    """
    mesh = mesh.copy()
    weld(mesh, digits=WELD_DIGITS)
    mesh.update_faces(mesh.nondegenerate_faces(height=1e-12) & mesh.unique_faces())
    mesh.remove_unreferenced_vertices()
    if len(mesh.faces) == 0:
        raise SurfaceError(f"{key}: '{name}' has no triangle with an area; export it again.")
    _, first, counts = np.unique(edge_keys(mesh), return_index=True, return_counts=True)
    if (counts % 2 == 1).any():
        place = np.asarray(mesh.vertices)[mesh.edges[first[np.argmax(counts % 2 == 1)]]].mean(axis=0)
        raise SurfaceError(f"{key}: '{name}' has a hole near {at(place)}; close it in the segmentation and export again.", where=place)
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
    mesh, _ = turned_outward(mesh, parts_of(mesh), name=name, key=key)
    return _without_overlap(mesh, name=name, key=key)


def _without_overlap(mesh: trimesh.Trimesh, *, name: str, key: str) -> trimesh.Trimesh:
    """Bodies that reach into each other as one, so that no volume counts twice."""
    if mesh.body_count == 1:
        return mesh
    pieces = pieces_of(solid_of(mesh, name=name, key=key))
    boxes = [np.reshape(piece.bounding_box(), (2, 3)) for piece in pieces]
    for n, m in itertools.combinations(range(len(pieces)), 2):
        near = (boxes[n][0] <= boxes[m][1]).all() and (boxes[m][0] <= boxes[n][1]).all()
        if near and float((pieces[n] ^ pieces[m]).volume()) > 0.0:
            return mesh_of(joined(pieces))
    return mesh


def solid_of(mesh: trimesh.Trimesh, *, name: str, key: str) -> Any:
    """The solid inside a closed surface, as Manifold holds it.

    Raises
    ------
    SurfaceError
        If the surface bounds no solid.
    """
    import manifold3d

    data = manifold3d.Mesh64(
        vert_properties=np.ascontiguousarray(mesh.vertices, dtype=np.float64), tri_verts=np.ascontiguousarray(mesh.faces, dtype=np.uint64)
    )
    solid = manifold3d.Manifold(data)
    if solid.status() != manifold3d.Error.NoError or solid.is_empty():
        raise SurfaceError(f"{key}: '{name}' bounds no solid ({solid.status().name}); mend it in the segmentation and export again.")
    return solid


def mesh_of(solid: Any) -> trimesh.Trimesh:
    """The surface of a solid."""
    data = solid.to_mesh64()
    vertices = np.array(data.vert_properties)[:, :3].copy()  # what Manifold hands out may not be written to
    return trimesh.Trimesh(vertices, np.array(data.tri_verts).astype(np.int64), process=False)


def printable(solid: Any) -> trimesh.Trimesh:
    """The surface of a solid, made to stay closed in an STL, whose rounding folds what is far smaller than a print can show.

    Where a cut grazes a corner, edges may be that short; a solid may also touch itself. So much is taken off as it needs, 0.01 mm at most, and once
    more from what that leaves; what is open all the same fails where its file is measured. Crumbs that rounding has parted from it are left out.
    """
    found = None
    for shortest in SHORTEST_MM:
        found = _unpinched(_without_crumbs(mesh_of(solid.simplify(shortest))))
        if _closed_in_stl(found):
            return found
    assert found is not None
    try:
        again = solid_of(found, name="a part", key="part")
    except SurfaceError:  # nothing to try again from: it fails where its file is measured
        return found
    for shortest in SHORTEST_MM:
        other = _unpinched(_without_crumbs(mesh_of(again.simplify(shortest))))
        if _closed_in_stl(other):
            return other
    return found


def stays_closed(solids: Sequence[Any]) -> trimesh.Trimesh:
    """The surfaces of solids, of each as it is where an STL of it closes, else as `printable` makes it; no triangles where there is none."""
    surfaces = [mesh if _closed_in_stl(mesh := mesh_of(solid)) else printable(solid) for solid in solids]
    return trimesh.util.concatenate(surfaces) if surfaces else trimesh.Trimesh()


def _without_crumbs(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A surface without closed pieces that enclose next to nothing."""
    labels = trimesh.graph.connected_component_labels(mesh.face_adjacency, node_count=len(mesh.faces))
    if not len(labels) or labels.max() == 0:
        return mesh
    corners = np.asarray(mesh.triangles) - np.asarray(mesh.vertices).mean(axis=0)
    volumes = np.bincount(labels, weights=np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0)
    kept = trimesh.Trimesh(mesh.vertices, mesh.faces[(np.abs(volumes) >= CRUMB_MM3)[labels]], process=False)
    kept.remove_unreferenced_vertices()
    return kept


def _closed_in_stl(mesh: trimesh.Trimesh) -> bool:
    """Whether every edge has two sides once corners are rounded as an STL rounds them, and corners at one place are one."""
    rounded, first = np.unique(np.asarray(mesh.vertices, dtype=np.float32), axis=0, return_inverse=True)
    whole = trimesh.Trimesh(rounded, first.ravel()[np.asarray(mesh.faces)], process=False)
    return bool(whole.is_watertight and whole.is_winding_consistent and whole.nondegenerate_faces(height=FLAT_MM).all())


def _unpinched(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The surface with corners that lie at one place drawn apart: in an STL, which knows corners by their place, they would be one corner.

    A solid may touch itself along an edge, and each side has corners of its own there; where it all but folds, these may look the same way.
    """
    rounded = np.asarray(mesh.vertices, dtype=np.float32)
    _, first, counts = np.unique(rounded, axis=0, return_inverse=True, return_counts=True)
    twice = counts[first.ravel()] > 1
    if not twice.any():
        return mesh
    vertices = np.array(mesh.vertices)
    own = np.flatnonzero(twice)
    own = own[np.argsort(first.ravel()[own], kind="stable")]  # corners of one place in a row, and each moved farther than the one before it
    place = first.ravel()[own]
    rank = np.arange(len(own)) - np.searchsorted(place, place)
    vertices[own] += (PINCH_MM * (1.0 + rank))[:, None] * _inward(mesh)[own]
    return trimesh.Trimesh(vertices, mesh.faces, process=False)


def _inward(mesh: trimesh.Trimesh) -> Array:
    """For each corner the unit vector (n, 3) to the middle of its own faces."""
    faces = np.asarray(mesh.faces)
    middles = np.asarray(mesh.triangles_center)
    total, count = np.zeros(mesh.vertices.shape), np.bincount(faces.ravel(), minlength=len(mesh.vertices))
    for corner in faces.T:
        np.add.at(total, corner, middles)
    ways = total / np.maximum(count, 1)[:, None] - np.asarray(mesh.vertices)
    return np.asarray(ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12))


def pieces_of(solid: Any) -> list[Any]:
    """The separate pieces of a solid, largest first; a cavity stays with the piece around it."""
    parts = solid.decompose()
    outer = sorted((part for part in parts if part.volume() > 0.0), key=lambda part: -part.volume())
    hollow: dict[int, list[Any]] = {}
    for cavity in (part for part in parts if part.volume() < 0.0):
        point = np.asarray(cavity.to_mesh64().vert_properties)[0, :3]
        around = [n for n, part in enumerate(outer) if winding(mesh_of(part), point) > 0.5]
        if around:
            hollow.setdefault(around[-1], []).append(cavity)  # the smallest that holds it
    return [part if n not in hollow else _with_cavities(part, hollow[n]) for n, part in enumerate(outer)]


def _with_cavities(part: Any, cavities: Sequence[Any]) -> Any:
    """A piece and its cavities as one solid; Manifold's own `compose` drops shells that look inward (seen with 3.5)."""
    return solid_of(trimesh.util.concatenate([mesh_of(part), *[mesh_of(cavity) for cavity in cavities]]), name="a piece", key="bone")


def joined(solids: Sequence[Any]) -> Any:
    """One solid of several that touch."""
    import manifold3d

    return solids[0] if len(solids) == 1 else manifold3d.Manifold.batch_boolean(list(solids), manifold3d.OpType.Add)


def winding(mesh: trimesh.Trimesh, point: Array) -> float:
    """How often a closed surface winds round `point` (3,): 1 inside, 0 outside (van Oosterom and Strackee 1983)."""
    corners = np.asarray(mesh.vertices) - point
    lengths = np.linalg.norm(corners, axis=1)
    a, b, c = (corners[mesh.faces[:, k]] for k in range(3))
    la, lb, lc = (lengths[mesh.faces[:, k]] for k in range(3))
    above = np.einsum("ij,ij->i", a, np.cross(b, c))
    below = la * lb * lc + (a * b).sum(axis=1) * lc + (b * c).sum(axis=1) * la + (c * a).sum(axis=1) * lb
    return float(np.arctan2(above, below).sum() / (2.0 * np.pi))
