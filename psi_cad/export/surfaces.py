"""Triangle surfaces as binary STL; without the geometry kernel, which a plan does not need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from psi_cad.export.safely import whole_file

__all__ = ["write_stl"]


def write_stl(path: Path, mesh: trimesh.Trimesh, *, header: str) -> None:
    """Binary STL; `header` says the unit and frame, which the format itself cannot."""
    normals = np.asarray(mesh.face_normals, dtype="<f4")
    records = np.zeros(len(mesh.faces), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    records["n"] = normals
    records["v"] = np.asarray(mesh.triangles, dtype="<f4")
    with whole_file(path) as temporary:
        text = header.encode("ascii", "replace")[:80].ljust(80, b" ")
        temporary.write_bytes(text + np.uint32(len(records)).astype("<u4").tobytes() + records.tobytes())
