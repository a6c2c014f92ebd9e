"""Off-screen views of bodies (VTK, no display needed) and where a patient point lies in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.surface.polydata import poly_data
from psi_cad.units import Array, Mm

__all__ = ["AVOID", "BONE", "GUIDE", "PART", "PLANE", "TUMOUR", "Body", "Colour", "Pixels", "Studio", "View", "upright", "view_onto"]

Colour: TypeAlias = tuple[float, float, float]
Pixels: TypeAlias = npt.NDArray[np.uint8]

BONE: Final[Colour] = (0.91, 0.86, 0.72)
GUIDE: Final[Colour] = (0.25, 0.47, 0.72)
PART: Final[Colour] = (0.2, 0.6, 0.62)
TUMOUR: Final[Colour] = (0.75, 0.25, 0.2)
PLANE: Final[Colour] = (0.1, 0.6, 0.35)
AVOID: Final[Colour] = (0.35, 0.2, 0.55)
FEATURE_DEG: Final = 30.0  # edges sharper than this stay sharp
SUPERIOR: Final = np.array([0.0, 0.0, 1.0])
ANTERIOR: Final = np.array([0.0, -1.0, 0.0])
FINER: Final = 2  # so many pixels are drawn along each side of one that is shown: half the time of the driver's own smoothing of edges
NEARLY_VERTICAL: Final = 0.9  # a view along the body's length has no superior end to put on top


@dataclass(frozen=True)
class Body:
    """A surface (patient mm) to draw.

    Attributes
    ----------
    colours : (n, 3), optional
        0 to 1 for each vertex; they stand in for `colour`, and there is no light and shade.
    moved : (3,), optional
        How far from its place it is drawn, mm.
    edges : bool
        Draw its sharp edges as dark lines.
    """

    mesh: trimesh.Trimesh
    colour: Colour
    opacity: float = 1.0
    colours: Array | None = None
    moved: Array | None = None
    edges: bool = False


@dataclass(frozen=True)
class View:
    """A parallel view: `direction` (3,) from `focus` (3,) to the eye, `half` mm from the middle to the upper edge, `size` in pixels."""

    focus: Array
    direction: Array
    up: Array
    half: Mm
    size: tuple[int, int]

    @cached_property
    def axes(self) -> Array:
        """Rows (3, 3): to the right in the picture, up in it, and towards the eye."""
        eye = self.direction / np.linalg.norm(self.direction)
        right = np.cross(self.up, eye)
        if float(np.linalg.norm(right)) < 1e-6 * float(np.linalg.norm(self.up)):  # up is the line of sight: any direction across it
            right = np.cross(np.eye(3)[int(np.argmin(np.abs(eye)))], eye)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(eye, right), eye])

    @property
    def pixels_per_mm(self) -> float:
        """How large a millimetre is drawn."""
        return self.size[1] / (2.0 * self.half)

    def project(self, points: Array) -> Array:
        """Patient points (n, 3) as pixels (n, 2), from the upper left corner."""
        flat = (np.asarray(points, dtype=np.float64) - self.focus) @ self.axes[:2].T * self.pixels_per_mm
        return np.asarray(np.array(self.size) / 2.0 + flat * np.array([1.0, -1.0]))

    def shows(self, point: Array) -> bool:
        """Whether a patient point lies within the picture."""
        place = self.project(np.asarray(point)[None, :])[0]
        return bool((place >= 0.0).all() and (place <= np.array(self.size)).all())


def upright(direction: Array) -> Array:
    """What is up in a view along `direction`: superior, or anterior where one looks along the body."""
    steep = abs(float(direction[2])) > NEARLY_VERTICAL * float(np.linalg.norm(direction))
    return ANTERIOR if steep else SUPERIOR


def view_onto(points: Array, direction: Array, *, size: tuple[int, int], up: Array | None = None, room: float = 1.12) -> View:
    """The view along `direction` that holds all `points` (n, 3), with `room` times their size."""
    up = upright(direction) if up is None else up
    axes = View(points[0], direction, up, 1.0, size).axes
    flat = points @ axes.T
    low, high = flat.min(axis=0), flat.max(axis=0)
    wide, tall = (high - low)[:2] / 2.0
    half = max(tall, wide * size[1] / size[0], 1.0) * room
    return View((low + high) / 2.0 @ axes, direction, up, float(half), size)


@dataclass
class Studio:
    """Draws bodies; each surface is made ready for the graphics driver once, however many views show it, and must not change meanwhile."""

    _actors: dict[tuple[Any, ...], tuple[Body, list[Any]]] = field(default_factory=dict)
    _window: Any = None

    def drawn(self, view: View, bodies: Sequence[Body]) -> Pixels:
        """The picture (height, width, 3) of `bodies` in `view`, on white."""
        import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (registers the renderer)
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkObject
        from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow, vtkWindowToImageFilter

        vtkObject.GlobalWarningDisplayOff()
        if self._window is None:
            self._window = vtkRenderWindow()
            self._window.SetOffScreenRendering(1)
            self._window.SetMultiSamples(0)
        window = self._window
        window.SetSize(*(FINER * pixels for pixels in view.size))
        renderer = vtkRenderer()
        renderer.SetBackground(1, 1, 1)
        # walls of one glassy body have one colour and need no order, which takes the driver as long as all else
        renderer.SetUseOIT(sum(body.opacity < 1.0 for body in bodies) > 1)
        for body in sorted(bodies, key=lambda body: -body.opacity):
            for actor in self._made(body):
                renderer.AddActor(actor)
        camera = renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetFocalPoint(*view.focus)
        camera.SetPosition(*(view.focus + 1000.0 * view.axes[2]))
        camera.SetViewUp(*view.axes[1])
        camera.SetParallelScale(view.half)
        window.AddRenderer(renderer)
        renderer.ResetCameraClippingRange()
        window.Render()
        grab = vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.ShouldRerenderOff()
        grab.Update()
        image = grab.GetOutput()
        wide, tall, _ = image.GetDimensions()
        pixels = _coarser(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(tall, wide, -1)[::-1, :, :3])
        window.RemoveRenderer(renderer)
        return pixels

    def ghosted(self, view: View, bodies: Sequence[Body], ghosts: Sequence[Body], *, share: float = 0.35) -> Pixels:
        """The picture of `bodies`, with `ghosts` over them as if of glass: `share` of each pixel is theirs.

        Two pictures blended: exact whatever lies before what, which sorting triangles is not.
        """
        with_all, without = self.drawn(view, [*bodies, *ghosts]), self.drawn(view, bodies)
        return np.asarray(share * with_all + (1.0 - share) * without).astype(np.uint8)

    def forget(self, *, but: trimesh.Trimesh) -> None:
        """Let the bodies go that were drawn, but for those of one surface; the graphics driver stays."""
        self._actors = {key: (body, actors) for key, (body, actors) in self._actors.items() if body.mesh is but}

    def close(self) -> None:
        """Let the graphics driver go."""
        if self._window is not None:
            self._window.Finalize()
            self._window = None

    def _made(self, body: Body) -> list[Any]:
        """What draws a body; the body is kept beside it, so that the ids of what it holds stay its own."""
        key = (id(body.mesh), body.colour, body.opacity, body.edges, id(body.colours), id(body.moved))
        if key not in self._actors:
            data = poly_data(body.mesh)
            actors = [_surface(body, data), *([_edges(data)] if body.edges else [])]
            if body.moved is not None:
                for actor in actors:
                    actor.SetPosition(*(float(v) for v in body.moved))
            self._actors[key] = (body, actors)
        return self._actors[key][1]


def _coarser(fine: Pixels) -> Pixels:
    """The means of the pixels drawn for each one that is shown."""
    total = np.full((fine.shape[0] // FINER, fine.shape[1] // FINER, 3), FINER**2 // 2, dtype=np.uint16)
    for row, column in np.ndindex(FINER, FINER):
        total += fine[row::FINER, column::FINER]
    return np.asarray(total // FINER**2, dtype=np.uint8)


def _surface(body: Body, data: Any) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    mapper, actor = vtkPolyDataMapper(), vtkActor()
    if body.colours is not None:
        data.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray((255.0 * body.colours).astype(np.uint8)), deep=True))
        mapper.SetInputData(data)
        actor.GetProperty().LightingOff()
    else:
        normals = vtkPolyDataNormals()
        normals.SetInputData(data)
        normals.SetFeatureAngle(FEATURE_DEG)
        mapper.SetInputConnection(normals.GetOutputPort())
    mapper.SetScalarVisibility(body.colours is not None)
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*body.colour)
    actor.GetProperty().SetOpacity(body.opacity)
    if (
        body.mesh.is_watertight and body.mesh.volume > 0.0
    ):  # nobody sees far walls from behind, and of glass they would lie over near ones in any order
        actor.GetProperty().BackfaceCullingOn()
    return actor


def _edges(data: Any) -> Any:
    from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkFeatureEdges
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    joined = vtkCleanPolyData()  # an edge lies between triangles that share points
    joined.SetInputData(data)
    edges = vtkFeatureEdges()
    edges.SetInputConnection(joined.GetOutputPort())
    edges.SetFeatureAngle(FEATURE_DEG)
    edges.ColoringOff()
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(edges.GetOutputPort())
    mapper.SetResolveCoincidentTopologyToPolygonOffset()
    mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0.0, -4.0)
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(0.05, 0.1, 0.2)
    actor.GetProperty().SetLineWidth(1.6 * FINER)
    actor.GetProperty().LightingOff()
    return actor
