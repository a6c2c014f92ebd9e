"""Triangle surfaces as binary STL; without the geometry kernel, which a plan does not need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from psi_cad.files import whole_file
from psi_cad.surface.mesh_files import CLOSED, MARK
from psi_cad.units import Ints

__all__ = ["write_stl"]


def write_stl(path: Path, mesh: trimesh.Trimesh, *, header: str, patch: Ints | None = None) -> None:
    """Binary STL; `header` says the unit and frame, which the format itself cannot.

    `patch` (n faces,): above 0 where a face is no measured bone but closes a hole, with the hole's number. Such faces carry that number and the
    colour red in their attribute, and the header says how many there are.
    """
    records = np.zeros(len(mesh.faces), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    records["v"] = np.asarray(mesh.triangles, dtype="<f4")
    corners = records["v"].astype(np.float64)  # the normals of what is written: rounding turns those of slivers
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    records["n"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    if patch is not None and (patch > 0).any():
        records["a"] = np.where(patch > 0, MARK | np.minimum(patch, ~MARK & 0xFFFF), 0)
        header = f"{CLOSED}={int((patch > 0).sum())}, {header}"  # first, for what is too long is cut off
    with whole_file(path) as temporary:
        text = header.encode("ascii", "replace")[:80].ljust(80, b" ")
        temporary.write_bytes(text + np.uint32(len(records)).astype("<u4").tobytes() + records.tobytes())
