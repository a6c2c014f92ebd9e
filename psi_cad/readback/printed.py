"""A guide read back from STL: the triangles that will be printed, in the guide frame, and rays on them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import trimesh

from psi_cad.errors import InputError
from psi_cad.frames import Frame
from psi_cad.surface.rays import RayCaster
from psi_cad.units import Array, Mm

__all__ = ["Printed"]


class Printed:
    """What an STL file holds, moved into `frame`.

    Raises
    ------
    InputError
        If the file is no STL.
    """

    def __init__(self, path: Path, frame: Frame) -> None:
        try:
            mesh = trimesh.load_mesh(path, process=False)
            mesh.merge_vertices(digits_vertex=5)
            mesh.update_faces(mesh.nondegenerate_faces(height=1e-9))
        except Exception as error:  # a broken file may fail its reader in any way
            raise InputError(f"'{path.name}' cannot be read back as STL ({type(error).__name__}); build it again.") from error
        if len(mesh.faces) == 0:
            raise InputError(f"'{path.name}' holds no triangles; build it again.")
        self.mesh = trimesh.Trimesh(frame.local(np.asarray(mesh.vertices, dtype=np.float64)), mesh.faces, process=False)

    @property
    def bounds(self) -> Array:
        """Least and greatest corner (2, 3)."""
        return np.asarray(self.mesh.bounds)

    @cached_property
    def closed(self) -> bool:
        """Whether every edge joins two faces that agree which side is out."""
        return bool(self.mesh.is_watertight and self.mesh.is_winding_consistent)

    @cached_property
    def bodies(self) -> int:
        """How many separate pieces the triangles make."""
        return len(trimesh.graph.connected_components(self.mesh.face_adjacency, nodes=np.arange(len(self.mesh.faces))))

    @cached_property
    def open_edge(self) -> Array | None:
        """The middle (3,) of an edge that does not join two faces that agree which side is out; None where all do."""
        edges = self.mesh.edges
        codes = edges[:, 0].astype(np.int64) * len(self.mesh.vertices) + edges[:, 1]
        back = edges[:, 1].astype(np.int64) * len(self.mesh.vertices) + edges[:, 0]
        values, counts = np.unique(codes, return_counts=True)
        alone = ~np.isin(codes, back) | np.isin(codes, values[counts > 1])
        if not alone.any():
            return None
        return np.asarray(np.asarray(self.mesh.vertices)[edges[alone][0]].mean(axis=0))

    @cached_property
    def least_body(self) -> Array | None:
        """The middle (3,) of the piece with the least area; None where there is one piece."""
        parts = trimesh.graph.connected_components(self.mesh.face_adjacency, nodes=np.arange(len(self.mesh.faces)))
        if len(parts) < 2:
            return None
        least = min(parts, key=lambda faces: float(self.mesh.area_faces[faces].sum()))
        return np.asarray(np.average(self.mesh.triangles_center[least], axis=0, weights=self.mesh.area_faces[least] + 1e-12))

    def level_beside(self, x: Mm, y: Mm, bore: Mm) -> Mm:
        """The height of the seat beside a hole along z of this diameter; the lowest of all where nothing is met."""
        bottom = float(self.bounds[0][2]) - 5.0
        seat, _ = self.caster.first(np.array([[x + bore / 2.0 + 0.3, y, bottom]]), np.array([0.0, 0.0, 1.0]))
        return bottom + float(seat[0]) if np.isfinite(seat[0]) else float(self.bounds[0][2])

    @cached_property
    def caster(self) -> RayCaster:
        """Rays on the triangles."""
        return RayCaster(self.mesh, frame=Frame(origin=np.zeros(3), axes=np.eye(3)))
