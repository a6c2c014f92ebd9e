"""The inside of a closed surface as a grid of points, for searches and shortest paths; no number of a report comes from it alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["Grid", "inner_grid"]


@dataclass(frozen=True)
class Grid:
    """Cells of edge `step` mm whose centres lie inside: `index` (n, 3) counts from `origin` (3,), patient mm."""

    origin: Array
    step: Mm
    shape: tuple[int, int, int]
    index: Ints

    @property
    def points(self) -> Array:
        """The centres (n, 3), patient mm."""
        return np.asarray(self.origin + self.step * self.index)

    @property
    def mask(self) -> Bools:
        """Inside or not, for the whole block of cells."""
        inside = np.zeros(self.shape, dtype=bool)
        inside[tuple(self.index.T)] = True
        return inside


def inner_grid(mesh: trimesh.Trimesh, *, step: Mm) -> Grid:
    """The cells of a regular grid whose centres lie inside a closed `mesh`."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

    from psi_cad.planning.nearest import poly_data

    low, high = np.asarray(mesh.bounds)
    origin = low - 1.5 * step
    size = np.ceil((high - low) / step).astype(int) + 4
    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(poly_data(mesh))
    stencil.SetOutputOrigin(*origin)
    stencil.SetOutputSpacing(step, step, step)
    stencil.SetOutputWholeExtent(0, int(size[0]) - 1, 0, int(size[1]) - 1, 0, int(size[2]) - 1)
    image = vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    values = vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(size[::-1])
    index = np.argwhere(values > 0)[:, ::-1].astype(np.int64)
    return Grid(origin, step, (int(size[0]), int(size[1]), int(size[2])), index)
