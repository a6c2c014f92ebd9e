"""Pictures of a plan (off-screen): distances on the cut faces, and the pieces; and the faces as VTP."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.files import whole_file
from psi_cad.frames import triple
from psi_cad.report.depth_picture import DepthPicture, picture_of_depths
from psi_cad.report.lettering import Label, Mark, Panel, Swatch, save_sheet
from psi_cad.report.views import AVOID, BONE, TUMOUR, Body, Colour, Studio, upright, view_onto
from psi_cad.resection.margins import CLEAR_MM, FaceMap
from psi_cad.surface.polydata import poly_data
from psi_cad.units import Array, Mm

__all__ = ["Closest", "DepthPicture", "picture_of_depths", "picture_of_margins", "picture_of_pieces", "write_face_maps"]

SPECIMEN: Final[Colour] = (0.55, 0.68, 0.82)
WANTED: Final[Colour] = (0.0, 0.0, 0.0)
LINK: Final[Colour] = (0.8, 0.0, 0.24)
GREY: Final[Colour] = (0.6, 0.6, 0.6)
SIZE: Final = (700, 600)
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
class Closest:
    """Where a cut comes nearest to the tumour: the points (3,) on either, patient mm, and how far they lie apart."""

    on_cut: Array
    on_tumour: Array
    distance: Mm


def colour_of(distance: Mm) -> Colour:
    """The colour of a distance to the tumour on a cut face."""
    at = [value for value, _ in BANDS]
    red, green, blue = (float(np.interp(distance, at, [colour[k] for _, colour in BANDS])) for k in range(3))
    return red, green, blue


def _face_body(face: FaceMap, moved: Array | None = None) -> Body:
    """A face with a colour for each vertex; grey without a tumour."""
    at = [value for value, _ in BANDS]
    known = np.isfinite(face.distance)
    shades = np.column_stack([np.interp(np.where(known, face.distance, 0.0), at, [colour[k] for _, colour in BANDS]) for k in range(3)])
    shades = np.where(known[:, None], shades, GREY)
    return Body(trimesh.Trimesh(face.vertices, face.faces, process=False), GREY, colours=shades, moved=moved)


def contour(face: FaceMap, level: Mm) -> list[Array]:
    """The line of a face at `level` mm from the tumour, as pieces (2, 3) within its triangles."""
    distance = np.asarray(face.distance)[face.faces]
    corners = np.asarray(face.vertices)[face.faces]
    pieces = []
    above = distance >= level
    for number in np.flatnonzero(np.isfinite(distance).all(axis=1) & above.any(axis=1) & ~above.all(axis=1)):
        ends = []
        for i, j in ((0, 1), (1, 2), (2, 0)):
            a, b = distance[number, i], distance[number, j]
            if above[number, i] != above[number, j]:
                ends.append(corners[number, i] + (level - a) / (b - a) * (corners[number, j] - corners[number, i]))
        pieces.append(np.array(ends))
    return pieces


def picture_of_margins(
    path: Path,
    faces: Mapping[str, FaceMap],
    titles: Mapping[str, str],
    normals: Mapping[str, Array],
    *,
    retained: trimesh.Trimesh,
    tumour: trimesh.Trimesh | None,
    avoid: Sequence[trimesh.Trimesh],
    wanted: Mm | None = None,
    closest: Mapping[str, Closest] | None = None,
    title: str = "",
) -> None:
    """A PNG: the faces on the bone that stays with the tumour over them, whole and close, then each face square from the specimen.

    `wanted` (mm) is drawn as a line on each face; where each cut comes closest to the tumour is marked.
    """
    studio = Studio()
    closest = closest or {}
    everything = np.vstack([face.vertices for face in faces.values()])
    look = np.sum(list(normals.values()), axis=0)
    look = look if np.linalg.norm(look) > 1e-3 else next(iter(normals.values()))
    up = upright(look)
    side = np.cross(look, up)
    towards = look + 0.9 * side / np.linalg.norm(side) + 0.3 * up
    bodies = [*([Body(retained, BONE)] if len(retained.faces) else []), *[Body(mesh, AVOID) for mesh in avoid]]
    bodies += [] if tumour is None else [Body(tumour, TUMOUR, 0.35)]
    bodies += [_face_body(face, LIFT_MM * normals[name]) for name, face in faces.items()]
    marks = [
        Mark(triple(near.on_cut), f"cut {name} and the tumour are {near.distance:.2f} mm apart: {_said(near.on_cut)} and {_said(near.on_tumour)}")
        for name, near in closest.items()
    ]
    links = tuple((np.stack([near.on_cut, near.on_tumour]), LINK) for near in closest.values())
    names = tuple(Label(face.vertices[int(np.argmax(face.vertices[:, 2]))], f"cut {name}", WANTED) for name, face in faces.items())
    whole = np.vstack([everything, *[np.asarray(body.mesh.vertices) for body in bodies]])
    panels: list[Panel] = []
    low = np.array([*towards[:2] / max(float(np.linalg.norm(towards[:2])), 1e-3), np.clip(towards[2], -0.5, 0.5)])  # the bone stands upright
    for points, way, caption, room in (
        (whole, low, "all that stays, and the tumour", 1.08),
        (everything, towards, "the cut faces, from the specimen's side", 1.5),
    ):
        view = view_onto(points, way, size=SIZE, room=room)
        panels.append(Panel(view, studio.drawn(view, bodies), caption, links, names, legend=() if panels or tumour is None else tuple(_bands())))
    reached = False
    for name, face in faces.items():
        view = view_onto(face.vertices, normals[name], size=SIZE, room=1.3)
        lines = tuple((piece, WANTED) for piece in contour(face, wanted)) if wanted is not None else ()
        reached = reached or bool(lines)
        own = tuple(number for number, other in enumerate(closest, 1) if other == name)
        panels.append(Panel(view, studio.drawn(view, [_face_body(face)]), titles[name], lines, marks=own))
    studio.close()
    legend = [Swatch(BONE, "bone that stays")]
    legend += [Swatch(GREY, "cut face")] if tumour is None else []
    legend += [Swatch(TUMOUR, "tumour")] if tumour is not None else []
    legend += [Swatch(AVOID, "structures to avoid")] if avoid else []
    notes = []
    if tumour is not None:
        notes.append("The marked distance counts wherever the saw runs, its run-out past the bone included.")
        if wanted is not None:
            legend.append(Swatch(WANTED, f"line: the wanted margin of {wanted:g} mm" + ("" if reached else ", which runs over no face")))
    save_sheet(path, panels, title=title, columns=3, legend=legend, marks=marks, notes=notes)


def _bands() -> list[Swatch]:
    first, *others = (Swatch(colour_of(value), f"{value:g}") for value in LEGEND)
    return [Swatch(first.colour, f"{first.text} mm to the tumour"), *others]


def _said(point: Array) -> str:
    return "(" + ", ".join(f"{float(v):.1f}" for v in point) + ")"


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
    """A PNG of the specimen with the tumour in it, drawn away from the bone and the tumour (`left`) that stay, upright from two sides."""
    studio = Studio()
    stays = [retained] if len(retained.faces) else []
    corners = np.vstack([mesh.bounds for mesh in (specimen, *stays)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    way = np.sum(normals, axis=0)
    way = way / max(float(np.linalg.norm(way)), 1e-3)
    moved = APART * float(np.linalg.norm(high - low)) * way
    solid, glass = [Body(mesh, BONE) for mesh in stays], [Body(specimen, SPECIMEN, moved=moved)]
    within = [Body(tumour, TUMOUR, moved=moved)] if tumour is not None else []
    if left is not None:  # it may lie within the bone that stays
        within, glass, solid = [*within, Body(left, TUMOUR)], [*glass, *solid], []
    points = np.vstack(
        [np.asarray(specimen.vertices) + moved, *[np.asarray(mesh.vertices) for mesh in (*stays, *([left] if left is not None else []))]]
    )
    lateral = 1.0 if float(points[:, 0].mean()) > 0.0 else -1.0
    panels = []
    for towards, caption in ((np.array([lateral, -0.35, 0.1]), "from the side"), (np.array([0.25, -1.0, 0.15]), "from the front")):
        view = view_onto(points, towards, size=(1000, 900), room=1.08)
        pixels = studio.ghosted(view, [*solid, *within], glass, share=0.55) if within else studio.drawn(view, [*solid, *glass])
        panels.append(Panel(view, pixels, caption))
    studio.close()
    legend = [Swatch(SPECIMEN, "specimen, drawn away from its place"), Swatch(BONE, "bone that stays")]
    save_sheet(path, panels, title=title, columns=2, legend=[*legend, *([Swatch(TUMOUR, "tumour")] if within else [])])


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
