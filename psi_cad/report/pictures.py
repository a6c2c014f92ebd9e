"""Off-screen pictures of a guide on its bone (VTK, no display needed)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad.export.safely import whole_file
from psi_cad.frames import Frame
from psi_cad.surface.polydata import poly_data
from psi_cad.units import Array

__all__ = ["picture_of_guide", "save_window"]

BONE: Final = (0.91, 0.86, 0.72)
GUIDE: Final = (0.25, 0.47, 0.72)
TUMOUR: Final = (0.75, 0.25, 0.2)
SIZE: Final = (1500, 540)


def _actor(mesh: trimesh.Trimesh, colour: tuple[float, float, float], opacity: float) -> Any:
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    normals = vtkPolyDataNormals()
    normals.SetInputData(poly_data(mesh))
    normals.SetFeatureAngle(28.0)
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(normals.GetOutputPort())
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    actor.GetProperty().SetOpacity(opacity)
    return actor


def picture_of_guide(path: Path, guide: trimesh.Trimesh, bone: trimesh.Trimesh, frame: Frame, *, tumour: trimesh.Trimesh | None = None) -> None:
    """A PNG of `guide` on `bone` (patient mm) from three sides: along the seating axis, along the slot, and oblique."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (registers the renderer)
    from vtkmodules.vtkCommonCore import vtkObject
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

    vtkObject.GlobalWarningDisplayOff()
    x, y, z = frame.axes
    views: list[tuple[Array, Array]] = [(z, y), (y * -1.0 + 0.25 * z, z), (z + 1.3 * x - 0.7 * y, z)]
    window = vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(4)
    window.SetSize(*SIZE)
    actors = [_actor(_nearby(bone, guide), BONE, 1.0), _actor(guide, GUIDE, 1.0)]
    if tumour is not None:
        actors.append(_actor(tumour, TUMOUR, 1.0))
    middle = np.asarray(guide.bounds).mean(axis=0)
    radius = float(np.linalg.norm(np.asarray(guide.vertices) - middle, axis=1).max())
    for number, (direction, up) in enumerate(views):
        renderer = vtkRenderer()
        renderer.SetViewport(number / 3, 0, (number + 1) / 3, 1)
        renderer.SetBackground(1, 1, 1)
        for actor in actors:
            renderer.AddActor(actor)
        window.AddRenderer(renderer)
        camera = renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetFocalPoint(*middle)
        camera.SetPosition(*(middle + 600.0 * direction / np.linalg.norm(direction)))
        camera.SetViewUp(*up)
        camera.SetParallelScale(radius * 1.12)
        renderer.ResetCameraClippingRange()
    save_window(path, window)


def save_window(path: Path, window: Any) -> None:
    """Render a VTK window into a PNG at `path`, whole or not at all, and close it."""
    from vtkmodules.vtkIOImage import vtkPNGWriter
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    window.Render()
    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    with whole_file(path) as temporary:
        writer = vtkPNGWriter()
        writer.SetFileName(os.fspath(temporary))
        writer.SetInputConnection(grab.GetOutputPort())
        writer.Write()
    window.Finalize()


def _nearby(bone: trimesh.Trimesh, guide: trimesh.Trimesh, margin: float = 90.0) -> trimesh.Trimesh:
    """The bone around the guide: enough to know where one looks."""
    low, high = np.asarray(guide.bounds) + np.array([[-margin], [margin]])
    centres = np.asarray(bone.triangles_center)
    keep = ((centres > low) & (centres < high)).all(axis=1)
    return trimesh.Trimesh(bone.vertices, np.asarray(bone.faces)[keep], process=False)
