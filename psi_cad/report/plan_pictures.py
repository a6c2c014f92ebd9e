"""Pictures of a plan (VTK, off-screen): distances on the cut faces, the pieces, the depth below each slot; and the faces as VTP."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
import trimesh

from psi_cad.export.safely import whole_file
from psi_cad.planning.depth import SlotDepth
from psi_cad.planning.margins import CLEAR_MM, FaceMap
from psi_cad.report.views import save_window
from psi_cad.surface.polydata import poly_data
from psi_cad.units import Array, Mm

__all__ = ["DepthPicture", "picture_of_depths", "picture_of_margins", "picture_of_pieces", "write_face_maps"]

BONE: Final = (0.91, 0.86, 0.72)
SPECIMEN: Final = (0.55, 0.68, 0.82)
TUMOUR: Final = (0.75, 0.25, 0.2)
AVOID: Final = (0.35, 0.2, 0.55)
PANEL: Final = (640, 620)
APART: Final = 0.18  # how far the pieces are drawn apart, as a share of the bone's size
BANDS: Final = (
    (0.0, (0.55, 0.0, 0.1)),
    (CLEAR_MM, (0.95, 0.45, 0.1)),
    (5.0, (0.98, 0.85, 0.35)),
    (10.0, (0.45, 0.75, 0.4)),
    (30.0, (0.2, 0.4, 0.65)),
)

LIFT_MM: Final[Mm] = 0.4  # a coloured face is drawn this far off the bone it lies on
LEGEND: Final = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0)


@dataclass(frozen=True)
class DepthPicture:
    """One slot to be drawn: a title, its profile, and how deep the blade reaches (mm)."""

    title: str
    profile: SlotDepth
    reach: Mm


def _ready() -> None:
    """Register what draws on screen and letters; an actor made before that stays blank."""
    import vtkmodules.vtkRenderingFreeType
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401


def _mapper(data: Any) -> Any:
    from vtkmodules.vtkRenderingCore import vtkPolyDataMapper

    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    return mapper


def _body(mesh: trimesh.Trimesh, colour: tuple[float, float, float], opacity: float = 1.0, moved: Array | None = None) -> Any:
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    normals = vtkPolyDataNormals()
    normals.SetInputData(poly_data(mesh))
    normals.SetFeatureAngle(35.0)
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(normals.GetOutputPort())
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    actor.GetProperty().SetOpacity(opacity)
    if moved is not None:
        actor.SetPosition(*(float(v) for v in moved))
    return actor


def _face_data(face: FaceMap) -> Any:
    """A face with a colour for each vertex; grey without a tumour."""
    from vtkmodules.util.numpy_support import numpy_to_vtk

    data = poly_data(trimesh.Trimesh(face.vertices, face.faces, process=False))
    known = np.isfinite(face.distance)
    colours = np.array([colour_of(value) if ok else (0.6, 0.6, 0.6) for value, ok in zip(face.distance, known, strict=True)])
    data.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray((255.0 * colours).astype(np.uint8)), deep=True))
    return data


def _coloured(face: FaceMap, lifted: Array | None = None) -> Any:
    from vtkmodules.vtkRenderingCore import vtkActor

    actor = vtkActor()
    actor.SetMapper(_mapper(_face_data(face)))
    if lifted is not None:
        actor.SetPosition(*(float(v) for v in lifted))
    actor.GetProperty().LightingOff()
    return actor


def _text(words: str, x: int, y: int, size: int = 15) -> Any:
    from vtkmodules.vtkRenderingCore import vtkTextActor

    actor = vtkTextActor()
    actor.SetInput(words)
    actor.GetTextProperty().SetFontSize(size)
    actor.GetTextProperty().SetColor(0.1, 0.1, 0.1)
    actor.SetPosition(x, y)
    return actor


@dataclass(frozen=True)
class _Panel:
    actors: Sequence[Any]
    flat: Sequence[Any]  # text and bars, in pixels
    focus: Array
    direction: Array
    up: Array
    scale: float


def _written(path: Path, panels: Sequence[_Panel], *, columns: int) -> None:
    from vtkmodules.vtkCommonCore import vtkObject
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

    vtkObject.GlobalWarningDisplayOff()
    rows = -(-len(panels) // columns)
    window = vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(4)
    window.SetSize(PANEL[0] * columns, PANEL[1] * rows)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        renderer = vtkRenderer()
        renderer.SetViewport(column / columns, 1.0 - (row + 1) / rows, (column + 1) / columns, 1.0 - row / rows)
        renderer.SetBackground(1, 1, 1)
        for actor in panel.actors:
            renderer.AddActor(actor)
        for actor in panel.flat:
            renderer.AddViewProp(actor)
        window.AddRenderer(renderer)
        camera = renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetFocalPoint(*panel.focus)
        camera.SetPosition(*(panel.focus + 800.0 * panel.direction / np.linalg.norm(panel.direction)))
        camera.SetViewUp(*panel.up)
        camera.SetParallelScale(panel.scale)
        renderer.ResetCameraClippingRange()
    save_window(path, window)


def _legend() -> list[Any]:
    """The colours and what they mean, in pixels at the lower left of a panel."""
    actors = [_text("mm to the tumour", 44, 20 + 24 * len(LEGEND), 14)]
    for number, value in enumerate(LEGEND):
        actors.append(_square(14, 16 + 24 * number, colour_of(value)))
        actors.append(_text(f"{value:g}", 44, 18 + 24 * number, 14))
    return actors


def colour_of(distance: Mm) -> tuple[float, float, float]:
    """The colour of a distance to the tumour on a cut face."""
    at = [value for value, _ in BANDS]
    red, green, blue = (float(np.interp(distance, at, [colour[k] for _, colour in BANDS])) for k in range(3))
    return red, green, blue


def _square(x: int, y: int, colour: tuple[float, float, float]) -> Any:
    from vtkmodules.vtkRenderingCore import vtkActor2D, vtkPolyDataMapper2D

    corners = np.array([[0.0, 0.0, 0.0], [20.0, 0.0, 0.0], [20.0, 20.0, 0.0], [0.0, 20.0, 0.0]])
    mapper = vtkPolyDataMapper2D()
    mapper.SetInputData(poly_data(trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)))
    actor = vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    actor.SetPosition(x, y)
    return actor


def picture_of_margins(
    path: Path, faces: Mapping[str, FaceMap], titles: Mapping[str, str], normals: Mapping[str, Array], *, retained: trimesh.Trimesh,
    tumour: trimesh.Trimesh | None, avoid: Sequence[trimesh.Trimesh]
) -> None:  # fmt: skip
    """A PNG: the faces on the bone that stays with the tumour over them, then each face looked at squarely from the specimen."""
    _ready()
    everything = np.vstack([face.vertices for face in faces.values()])
    middle = everything.mean(axis=0)
    look = np.sum(list(normals.values()), axis=0)
    look = look if np.linalg.norm(look) > 1e-3 else next(iter(normals.values()))
    up = np.array([0.0, 0.0, 1.0]) if abs(look[2]) < 0.9 * np.linalg.norm(look) else np.array([0.0, -1.0, 0.0])
    bodies = [_body(retained, BONE), *[_body(mesh, AVOID) for mesh in avoid]]
    if tumour is not None:
        bodies.append(_body(tumour, TUMOUR, 0.35))
    radius = float(np.linalg.norm(everything - middle, axis=1).max())
    side = np.cross(look, up)
    lifted = [_coloured(face, LIFT_MM * normals[name]) for name, face in faces.items()]
    words = [_text("cut faces from the specimen's side", 14, PANEL[1] - 30), *_legend()]
    panels = [_Panel([*bodies, *lifted], words, middle, look + 0.9 * side + 0.3 * up, up, 1.8 * radius)]
    for name, face in faces.items():
        centre = (face.vertices.min(axis=0) + face.vertices.max(axis=0)) / 2.0
        size = float(np.linalg.norm(face.vertices - centre, axis=1).max())
        normal = normals[name]
        above = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.9 else np.array([0.0, -1.0, 0.0])
        panels.append(_Panel([_coloured(face)], [_text(titles[name], 14, PANEL[1] - 50)], centre, normal, above, 1.25 * size))
    _written(path, panels, columns=min(3, len(panels)))


def picture_of_pieces(
    path: Path,
    specimen: trimesh.Trimesh,
    retained: trimesh.Trimesh,
    *,
    tumour: trimesh.Trimesh | None,
    left: trimesh.Trimesh | None,
    normals: Sequence[Array],
    title: str,
) -> None:
    """A PNG of the specimen with the tumour in it, drawn away from the bone and the tumour (`left`) that stay, from two sides."""
    _ready()
    low = np.minimum(specimen.bounds[0], retained.bounds[0]) if len(retained.faces) else specimen.bounds[0]
    high = np.maximum(specimen.bounds[1], retained.bounds[1]) if len(retained.faces) else specimen.bounds[1]
    size = float(np.linalg.norm(high - low))
    way = np.sum(normals, axis=0)
    way = way / max(float(np.linalg.norm(way)), 1e-3)
    moved = APART * size * way
    actors = [_body(specimen, SPECIMEN, 0.55 if tumour is not None else 1.0, moved)]
    if len(retained.faces):
        actors.append(_body(retained, BONE, 0.5 if left is not None else 1.0))
    if tumour is not None:
        actors.append(_body(tumour, TUMOUR, 1.0, moved))
    if left is not None:
        actors.append(_body(left, TUMOUR))
    middle = (low + high) / 2.0 + moved / 2.0
    up = np.array([0.0, 0.0, 1.0])
    lateral = 1.0 if middle[0] > 0.0 else -1.0
    views = [(np.array([lateral, -0.35, 0.1]), title), (np.array([0.25, -1.0, 0.15]), "from the front")]
    _written(path, [_Panel(actors, [_text(words, 14, PANEL[1] - 50)], middle, way_in, up, 0.58 * size) for way_in, words in views], columns=2)


def picture_of_depths(path: Path, slots: Sequence[DepthPicture]) -> None:
    """A PNG of every cut in its own plane: slot above, bone coloured by the depth below it, a line where the blade ends."""
    _ready()
    panels = []
    for slot in slots:
        profile = slot.profile
        corners = shapely.get_coordinates(profile.region)
        low, high = corners.min(axis=0), corners.max(axis=0)
        actors = [_flat_region(profile), *_lines(profile, slot.reach)]
        focus = np.array([(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0, 0.0])
        scale = 0.75 * float(max(high - low)) + 4.0
        words = f"{slot.title}\ndeepest {profile.deepest:.1f} mm, blade reaches {slot.reach:.1f}, {profile.length:.1f} mm along the slot"
        note = "blue: the slot's exit on bone; red, where it is near: how far the blade can go; bands of 10 mm depth"
        panels.append(
            _Panel(actors, [_text(words, 14, PANEL[1] - 50), _text(note, 14, 12, 12)], focus, np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), scale)
        )
    _written(path, panels, columns=min(3, len(panels)))


def _flat_region(profile: SlotDepth) -> Any:
    """Strips of the section between neighbouring lines, in bands of ten millimetres below the slot."""
    from vtkmodules.vtkRenderingCore import vtkActor

    pieces, shades = [], []
    deepest = profile.deepest
    for band in range(int(deepest // 10.0) + 1):
        upper, lower = profile.top - 10.0 * band, np.maximum(profile.top - 10.0 * (band + 1), profile.far)
        ring = shapely.Polygon(np.vstack([np.column_stack([profile.s, upper]), np.column_stack([profile.s, np.minimum(lower, upper)])[::-1]])).buffer(
            0
        )
        part = ring.intersection(profile.region)
        for piece in shapely.get_parts(part):
            if isinstance(piece, shapely.Polygon) and piece.area > 0.01:
                pieces.append(piece)
                shades.append(0.93 - 0.55 * band / max(1.0, deepest / 10.0))
    from vtkmodules.util.numpy_support import numpy_to_vtk

    meshes = [_triangles(piece) for piece in pieces]
    whole = trimesh.util.concatenate(meshes)
    colours = np.concatenate(
        [np.tile(np.array([shade, 0.9 * shade, 0.72 * shade]) * 255, (len(mesh.vertices), 1)) for mesh, shade in zip(meshes, shades, strict=True)]
    )
    data = poly_data(whole)
    array = numpy_to_vtk(np.ascontiguousarray(colours.astype(np.uint8)), deep=True)
    data.GetPointData().SetScalars(array)
    actor = vtkActor()
    actor.SetMapper(_mapper(data))
    actor.GetProperty().LightingOff()
    return actor


def _triangles(polygon: shapely.Polygon) -> trimesh.Trimesh:
    corners = np.array([np.asarray(t.exterior.coords)[:3] for t in shapely.constrained_delaunay_triangles(polygon).geoms])
    flat = corners.reshape(-1, 2)
    return trimesh.Trimesh(np.column_stack([flat, np.zeros(len(flat))]), np.arange(len(flat)).reshape(-1, 3), process=False)


def _lines(profile: SlotDepth, reach: Mm) -> list[Any]:
    lines = [_line(profile.s, profile.top, (0.15, 0.35, 0.8)), _line(profile.s, profile.far, (0.35, 0.3, 0.2))]
    tip = profile.top - reach
    seen = tip > float(profile.far.min()) - 15.0
    if int(seen.sum()) > 1:
        lines.append(_line(profile.s[seen], tip[seen], (0.85, 0.1, 0.1)))
    return lines


def _line(s: Array, a: Array, colour: tuple[float, float, float]) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkFiltersSources import vtkLineSource
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    points = vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(np.column_stack([s, a, np.full(len(s), 0.5)])), deep=True))
    source = vtkLineSource()
    source.SetPoints(points)
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(source.GetOutputPort())
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    actor.GetProperty().SetLineWidth(3.0)
    actor.GetProperty().LightingOff()
    return actor


def write_face_maps(path: Path, faces: Mapping[str, FaceMap]) -> None:
    """All cut faces as one VTP (patient mm, LPS): `distance_mm` on points, `class` (0–2, −1 without a tumour) and `cut` (number) on cells."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    count, vertices, triangles, distance, number = 0, [], [], [], []
    for index, face in enumerate(faces.values()):
        vertices.append(face.vertices)
        triangles.append(face.faces + count)
        distance.append(face.distance)
        number.append(np.full(len(face.faces), index))
        count += len(face.vertices)
    every, corner = np.concatenate(distance), np.vstack(triangles)
    data = poly_data(trimesh.Trimesh(np.vstack(vertices), corner, process=False))
    least = every[corner].min(axis=1)  # a cell is of the class of its nearest corner, so that none looks better than it is
    kinds = np.where(np.isnan(least), -1, np.where(least <= 0.0, 2, np.where(least <= CLEAR_MM, 1, 0)))
    for name, values, where in (
        ("distance_mm", every, data.GetPointData()), ("class", kinds.astype(np.int32), data.GetCellData()),
        ("cut", np.concatenate(number).astype(np.int32), data.GetCellData()),
    ):  # fmt: skip
        array = numpy_to_vtk(np.ascontiguousarray(values), deep=True)
        array.SetName(name)
        where.AddArray(array)
    with whole_file(path) as temporary:
        writer = vtkXMLPolyDataWriter()
        writer.SetFileName(os.fspath(temporary))
        writer.SetInputData(data)
        writer.Write()
