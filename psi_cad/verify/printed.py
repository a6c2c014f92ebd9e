"""A guide read back from STL: the triangles that will be printed, in the guide frame, and rays on them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import trimesh

from psi_cad.errors import InputError
from psi_cad.frames import Frame
from psi_cad.surface.rays import RayCaster
from psi_cad.units import Array

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
            raise InputError(f"'{path.name}' cannot be read back as STL ({type(error).__name__}).") from error
        if len(mesh.faces) == 0:
            raise InputError(f"'{path.name}' holds no triangles.")
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
    def caster(self) -> RayCaster:
        """Rays on the triangles."""
        return RayCaster(self.mesh, frame=Frame(origin=np.zeros(3), axes=np.eye(3)))
