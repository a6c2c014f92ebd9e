"""Triangle surfaces as binary STL; without the geometry kernel, which a plan does not need."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.files import whole_file
from psi_cad.surface.mesh_files import CLOSED, MARK
from psi_cad.units import Array, Ints

__all__ = ["write_stl"]

AT_ONCE: Final = 1 << 14  # triangles


def write_stl(path: Path, mesh: trimesh.Trimesh, *, header: str, patch: Ints | None = None) -> None:
    """Binary STL; `header` says the unit and frame, which the format itself cannot.

    `patch` (n faces,): above 0 where a face is no measured bone but closes a hole, with the hole's number. Such faces carry that number and the
    colour red in their attribute, and the header says how many there are.
    """
    if patch is not None and (patch > 0).any():
        header = f"{CLOSED}={int((patch > 0).sum())}, {header}"  # first, for what is too long is cut off
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        stream.write(header.encode("ascii", "replace")[:80].ljust(80, b" ") + np.uint32(len(faces)).astype("<u4").tobytes())
        for start in range(0, len(faces), AT_ONCE):  # a million at once take four times as long, for want of memory that is at hand
            some = slice(start, start + AT_ONCE)
            stream.write(_records(vertices[faces[some]], None if patch is None else patch[some]).tobytes())


def _records(triangles: Array, patch: Ints | None) -> npt.NDArray[np.void]:
    """Triangles (n, 3, 3) as the format holds them."""
    records = np.zeros(len(triangles), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    records["v"] = triangles
    corners = records["v"].astype(np.float64)  # the normals of what is written: rounding turns those of slivers
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    records["n"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    if patch is not None:
        records["a"] = np.where(patch > 0, MARK | np.minimum(patch, ~MARK & 0xFFFF), 0)
    return records
