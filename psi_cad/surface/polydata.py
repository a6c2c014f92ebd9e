"""Triangles as VTK sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh

__all__ = ["poly_data"]


def poly_data(mesh: trimesh.Trimesh) -> Any:
    """`mesh` as VTK polygons, in double precision."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.vertices, dtype=np.float64), deep=True))
    cells = vtkCellArray()
    faces = np.column_stack([np.full(len(mesh.faces), 3), mesh.faces]).astype(np.int64).ravel()
    cells.ImportLegacyFormat(numpy_to_vtkIdTypeArray(faces, deep=True))
    data = vtkPolyData()
    data.SetPoints(points)
    data.SetPolys(cells)
    return data
