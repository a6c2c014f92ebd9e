"""Check a bone surface and repair what can be trusted; each repair is reported with its size and place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import shapely
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.surface.defects import Defect, DefectKind, between, patch
from psi_cad.surface.ends import cropped_ends
from psi_cad.surface.mesh_files import CLOSED_HOLE
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.trust import at, refuse_false_faces, refuse_implausible_size
from psi_cad.surface.weld import hashes, weld
from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["Bone", "Defect", "Repair", "checked_bone", "edge_keys", "outside_of", "parts_of", "signed_volume", "turned_outward"]

SMALL_HOLE_MM: Final[Mm] = 10.0  # across; filled, reported, and kept clear of by every guide
CAP_FLATNESS_MM: Final[Mm] = 1.5  # an open end this flat is the edge of the scan
DEBRIS_AREA: Final = 0.02  # of the largest part
_WELD_DIGITS: Final = 6


@dataclass(frozen=True)
class Repair:
    """One thing that was mended: `kind`, how many, and its size in mm (mm² for debris)."""

    kind: str
    count: int
    size_mm: float
    where: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Bone:
    """A bone surface that may be trusted outside its `defects`; vertices in patient mm (LPS).

    `made_up` (n faces,): the faces that are no measured bone. `beside`: how many faces, the last ones, are other bones around it.
    """

    mesh: trimesh.Trimesh
    part_of_face: Ints
    made_up: Bools
    repairs: tuple[Repair, ...] = ()
    defects: tuple[Defect, ...] = ()
    name: str = field(default="bone")
    beside: int = 0

    def __getstate__(self) -> dict[str, Any]:  # what trimesh keeps of a mesh is nine times its size, and quicker made anew than sent
        return {**self.__dict__, "mesh": self.mesh.copy()}


def checked_bone(mesh: trimesh.Trimesh, *, name: str, units: str | None = "mm") -> Bone:
    """The bone of `mesh`, repaired, or a refusal that names the defect and its place.

    Parameters
    ----------
    mesh : Trimesh
        As read: patient mm (LPS), vertices not yet merged.
    name : str
        The file's name, for messages.
    units : str or None
        The unit that was declared, for the message about an impossible size.

    Raises
    ------
    SurfaceError
        False faces across a gap, large holes, nested shells that are no cavity, an impossible size.
    """
    repairs: list[Repair] = []
    defects: list[Defect] = []
    mesh = mesh.copy()
    _weld(mesh, repairs)
    refuse_implausible_size(mesh, units=units, name=name)
    edges = Edges.of(mesh)
    labels = _labels(mesh, edges)
    whole = _without_debris(mesh, labels, repairs)
    if whole is not mesh:
        mesh, edges = whole, Edges.of(whole)
        labels = _labels(mesh, edges)
    if _wind_alike(mesh, edges, repairs):
        edges = Edges.of(mesh)
    caps = refuse_false_faces(mesh, name=name)
    for cap in caps:
        defects.append(patch(mesh, cap, "flat cap"))
    shut = _closed_holes(mesh, repairs, defects)
    defects += _non_manifold(mesh, edges)
    closed = _closed(mesh, edges, repairs, defects, name)
    made_up = np.arange(len(closed.faces)) >= len(mesh.faces)
    made_up[np.concatenate([shut, *caps])] = True
    for end in cropped_ends(closed):
        if not made_up[end].any():  # else it is known as what closed it
            defects.append(patch(closed, end, "cropped end"))
        made_up[end] = True
    if closed is not mesh:
        mesh, labels = closed, _labels(closed, Edges.of(closed))
    mesh, turned = turned_outward(mesh, labels, name=name, key="bone.surface")
    repairs += [Repair("inside-out part turned outward", 1, volume ** (1 / 3)) for volume in turned]
    return Bone(mesh=mesh, part_of_face=labels, made_up=made_up, repairs=tuple(repairs), defects=tuple(defects), name=name)


def _closed_holes(mesh: trimesh.Trimesh, repairs: list[Repair], defects: list[Defect]) -> Ints:
    """The faces that close holes, as their file marks them; told once a hole."""
    number = np.asarray(mesh.face_attributes.get(CLOSED_HOLE, np.zeros(len(mesh.faces))), dtype=np.int64)
    for one in np.unique(number[number > 0]):
        defect = patch(mesh, np.flatnonzero(number == one), "closed hole")
        repairs.append(Repair(defect.kind, 1, 2.0 * defect.radius, defect.centre))
        defects.append(defect)
    return np.flatnonzero(number)


def _place(point: Array) -> tuple[float, float, float]:
    return (float(point[0]), float(point[1]), float(point[2]))


def _weld(mesh: trimesh.Trimesh, repairs: list[Repair]) -> None:
    """Merge equal vertices, drop unused ones, and faces without area or written twice."""
    soup = len(mesh.vertices) == 3 * len(mesh.faces)  # how STL is always stored: no defect
    before = len(mesh.vertices)
    weld(mesh, digits=_WELD_DIGITS)
    mesh.remove_unreferenced_vertices()
    if not soup and before > len(mesh.vertices):
        repairs.append(Repair("duplicate or unused vertices removed", before - len(mesh.vertices), 0.0))
    faces = mesh.faces
    keep = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    if _repeated(np.sort(faces, axis=1)):
        keep &= mesh.unique_faces()
    if not keep.all():
        repairs.append(Repair("degenerate or duplicate faces removed", int((~keep).sum()), 0.0))
        mesh.update_faces(keep)
        mesh.remove_unreferenced_vertices()


def _repeated(rows: Ints) -> bool:
    """Whether a row may occur twice; False is certain."""
    key = np.sort(hashes(rows))
    return bool((key[1:] == key[:-1]).any())


@dataclass(frozen=True)
class Edges:
    """The edges of all faces of a mesh, equal ones together.

    Attributes
    ----------
    order : (3 n faces,)
        Numbers of the faces' edges (as `mesh.edges`), such that equal edges stand side by side, the first one first.
    start, count : (n edges,)
        Where in `order` each different edge begins, and how many faces hold it.
    """

    order: Ints
    start: Ints
    count: Ints

    @classmethod
    def of(cls, mesh: trimesh.Trimesh) -> Edges:
        """The edges of `mesh`."""
        keys = edge_keys(mesh)
        order = np.argsort(keys, kind="stable")
        sorted_keys = keys[order]
        start = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]]))
        return cls(order, start, np.diff(np.concatenate([start, [len(order)]])))

    @property
    def pairs(self) -> Ints:
        """The two edges (n, 2) of faces that meet in an edge of just two."""
        start = self.start[self.count == 2]
        return np.column_stack([self.order[start], self.order[start + 1]])

    @property
    def links(self) -> Ints:
        """Pairs (n, 2) of neighbours among edges that are equal."""
        inner = np.ones(len(self.order), dtype=bool)
        inner[self.start] = False
        here = np.flatnonzero(inner)
        return np.column_stack([self.order[here], self.order[here - 1]])

    def firsts(self, held: Any) -> Ints:
        """The first edge of each group for which `held` (n edges,) is true."""
        return np.asarray(self.order[self.start[held]], dtype=np.int64)


def _labels(mesh: trimesh.Trimesh, edges: Edges) -> Ints:
    """The connected part (n faces,) each face belongs to, largest area first."""
    labels = trimesh.graph.connected_component_labels(edges.links // 3, node_count=len(mesh.faces))
    areas = np.bincount(labels, weights=mesh.area_faces)
    rank = np.empty(len(areas), dtype=np.int64)
    rank[np.argsort(-areas, kind="stable")] = np.arange(len(areas))
    return np.asarray(rank[labels], dtype=np.int64)


def _without_debris(mesh: trimesh.Trimesh, labels: Ints, repairs: list[Repair]) -> trimesh.Trimesh:
    """`mesh` without parts that are far smaller than the largest; the same object where there are none."""
    areas = np.bincount(labels, weights=mesh.area_faces)
    debris = areas < DEBRIS_AREA * areas[0]
    if debris.any():
        repairs.append(Repair("loose debris removed", int(debris.sum()), float(areas[debris].max())))
        mesh = mesh.copy()
        mesh.update_faces(~debris[labels])
        mesh.remove_unreferenced_vertices()
    return mesh


def _wind_alike(mesh: trimesh.Trimesh, edges: Edges, repairs: list[Repair]) -> bool:
    """Turn faces that look against their neighbours, in place; whether there were any."""
    one, two = (np.asarray(mesh.edges)[edges.pairs[:, k]] for k in range(2))
    if (one[:, 0] == two[:, 1]).all():  # neighbours run along their common edge in opposite directions
        return False
    before = np.asarray(mesh.faces).copy()
    trimesh.repair.fix_winding(mesh)
    turned = int((np.asarray(mesh.faces) != before).any(axis=1).sum())
    repairs.append(Repair("inverted faces turned", min(turned, len(before) - turned), 0.0))
    return True


def edge_keys(mesh: trimesh.Trimesh) -> Ints:
    """One number (3 n faces,) for each edge of each face, the same for both directions: far quicker to compare than pairs."""
    one, two = np.asarray(mesh.edges, dtype=np.int64).T
    return np.asarray(np.minimum(one, two) * len(mesh.vertices) + np.maximum(one, two))


def _non_manifold(mesh: trimesh.Trimesh, edges: Edges) -> list[Defect]:
    crowded = np.sort(np.asarray(mesh.edges)[edges.firsts(edges.count > 2)], axis=1)
    ends = [np.asarray(mesh.vertices[pair]) for pair in crowded]
    return [Defect("non-manifold edge", _place(pair.mean(axis=0)), float(np.ptp(pair, axis=0).max()), between(pair[:1], pair[1:])) for pair in ends]


def _boundary_loops(mesh: trimesh.Trimesh, edges: Edges) -> list[Ints]:
    """Closed loops of vertex numbers around each hole, in the direction that closes it."""
    open_edges = np.asarray(mesh.edges)[np.sort(edges.firsts(edges.count == 1))]
    following: dict[int, list[int]] = {}
    for start, end in open_edges:
        following.setdefault(int(end), []).append(int(start))  # against the face, so that the fill faces alike
    loops = []
    while following:
        walk = [next(iter(following))]
        while (nexts := following.get(walk[-1])) is not None:
            step = nexts.pop()
            if not nexts:
                del following[walk[-1]]
            if step in walk:  # a ring is closed; where holes touch in one vertex, the walk goes on from there
                ring = walk[walk.index(step) :]
                walk = walk[: walk.index(step) + 1]
                if len(ring) >= 3:
                    loops.append(np.array(ring, dtype=np.int64))
            else:
                walk.append(step)
    return loops


def _closed(mesh: trimesh.Trimesh, edges: Edges, repairs: list[Repair], defects: list[Defect], name: str) -> trimesh.Trimesh:
    """Fill small holes and the flat ends of a cropped scan; refuse what is neither."""
    vertices, added = np.asarray(mesh.vertices), []
    for loop in _boundary_loops(mesh, edges):
        points = vertices[loop]
        middle = points.mean(axis=0)
        across = float(2.0 * np.linalg.norm(points - middle, axis=1).max())
        _, _, axes = np.linalg.svd(points - middle)
        off_plane = float(np.abs((points - middle) @ axes[2]).max())
        if across <= SMALL_HOLE_MM:
            kind: DefectKind = "filled hole"
            fan = len(vertices)
            vertices = np.vstack([vertices, middle])
            added.append(np.column_stack([loop, np.roll(loop, -1), np.full(len(loop), fan)]))
        elif off_plane <= CAP_FLATNESS_MM and (cap := _flat_cap(points, middle, axes)) is not None:
            kind = "closed flat end"
            added.append(loop[cap])
        else:
            raise SurfaceError(
                f"bone.surface: '{name}' has a hole {across:.0f} mm across near {at(middle)}, too large to fill; "
                "close it in the segmentation and export again.",
                where=middle,
            )
        repairs.append(Repair(kind, 1, across, _place(middle)))
        defects.append(Defect(kind, _place(middle), across / 2.0, between(points, np.roll(points, -1, axis=0))))
    if not added:
        return mesh
    return trimesh.Trimesh(vertices, np.vstack([mesh.faces, *added]), process=False)


def _flat_cap(points: Array, middle: Array, axes: Array) -> Ints | None:
    """Triangles (n, 3) over the loop `points`, turned as the loop turns; None where the loop crosses itself."""
    flat = (points - middle) @ axes[:2].T
    outline = shapely.Polygon(flat)
    if not outline.is_valid:
        return None
    index = {(float(x), float(y)): number for number, (x, y) in enumerate(flat)}
    triangles = [
        [index[(float(x), float(y))] for x, y in list(piece.exterior.coords)[:3]] for piece in shapely.constrained_delaunay_triangles(outline).geoms
    ]
    turned = np.array(triangles, dtype=np.int64)
    corner = flat[turned]
    one, two = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    clockwise = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] < 0
    if outline.exterior.is_ccw:
        turned[clockwise] = turned[clockwise][:, ::-1]
    else:
        turned[~clockwise] = turned[~clockwise][:, ::-1]
    return turned


def turned_outward(mesh: trimesh.Trimesh, labels: Ints, *, name: str, key: str) -> tuple[trimesh.Trimesh, list[float]]:
    """Each part of a closed mesh turned outward, and the volumes (mm³) of those that were turned.

    Parameters
    ----------
    labels : (n faces,)
        The part each face belongs to (`parts_of`).
    name, key : str
        The file's name and the case-file key that names it, for messages.

    Raises
    ------
    SurfaceError
        If a part inside another is no cavity: its faces look outward.
    """
    faces = np.asarray(mesh.faces).copy()
    parts = [trimesh.Trimesh(mesh.vertices, faces[labels == number], process=False) for number in range(int(labels.max()) + 1)]
    turned = []
    for number, part in enumerate(parts):
        inside = _is_inside(part, [other for other in parts if other is not part])
        volume = signed_volume(part)
        if inside and volume > 0:
            middle = part.triangles_center[0]
            raise SurfaceError(
                f"{key}: '{name}' holds a closed shell of {volume / 1000:.1f} cm³ inside another near {at(middle)} "
                "that is not a cavity (its faces look outward); keep one outer surface.",
                where=middle,
            )
        if not inside and volume < 0:
            faces[labels == number] = faces[labels == number][:, ::-1]
            turned.append(abs(volume))
    return trimesh.Trimesh(mesh.vertices, faces, process=False), turned


def parts_of(mesh: trimesh.Trimesh) -> Ints:
    """The connected part (n faces,) each face belongs to, largest area first."""
    return _labels(mesh, Edges.of(mesh))


def outside_of(bone: Bone) -> trimesh.Trimesh:
    """The bone's surface without its cavities."""
    mesh, parts = bone.mesh, bone.part_of_face
    if int(parts.max()) == 0:
        return mesh
    faces = [np.asarray(mesh.faces)[parts == number] for number in range(int(parts.max()) + 1)]
    kept = [part for part in faces if signed_volume(trimesh.Trimesh(mesh.vertices, part, process=False)) > 0.0]
    return trimesh.Trimesh(mesh.vertices, np.vstack(kept or faces), process=False)


def signed_volume(mesh: trimesh.Trimesh) -> float:
    """Volume (mm³) of a closed mesh, negative where it looks inward; from its middle, so that a far frame costs no digits."""
    a, b, c = ((np.asarray(mesh.vertices) - np.asarray(mesh.bounds).mean(axis=0))[mesh.faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def _is_inside(part: trimesh.Trimesh, others: list[trimesh.Trimesh]) -> bool:
    """Whether all of `part` lies within the closed sheet of any other part."""
    points = np.asarray(part.vertices)[np.unique(part.faces)]
    for other in others:
        if (points.min(axis=0) < other.bounds[0]).any() or (points.max(axis=0) > other.bounds[1]).any():
            continue
        caster = RayCaster(other)
        if caster.inside(caster.frame.local(points)).all():
            return True
    return False
