"""Triangles of a guide: binary STL and 3MF, from one triangulation with absolute tolerances."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cadquery as cq
import numpy as np
import trimesh
from OCP.BRepMesh import BRepMesh_IncrementalMesh
from OCP.BRepTools import BRepTools
from OCP.IMeshTools import IMeshTools_Parameters

from psi_cad.errors import KernelError
from psi_cad.export.lying import laid_out
from psi_cad.export.surfaces import write_stl
from psi_cad.files import whole_file
from psi_cad.processes.cores import one_core
from psi_cad.surface.triangles import triangles_of
from psi_cad.units import LIMITS, Array, Deg, Mm

__all__ = ["triangulated", "write_3mf", "write_stl"]

SPARE_BYTES: Final = 1 << 16


def triangulated(solid: cq.Solid, *, chord: Mm = LIMITS.stl_chord, angle: Deg = LIMITS.stl_angle) -> trimesh.Trimesh:
    """The closed triangulation of `solid`, no triangle further than `chord` from its face.

    Raises
    ------
    KernelError
        If it does not close.
    """
    BRepTools.Clean_s(solid.wrapped)
    parameters = IMeshTools_Parameters()
    parameters.Deflection, parameters.DeflectionInterior = chord, chord
    parameters.Angle, parameters.AngleInterior = float(np.radians(angle)), float(np.radians(2.0 * angle))
    parameters.Relative = False
    parameters.InParallel = not one_core()
    parameters.MinSize = chord / 2.0
    parameters.InternalVerticesMode = True
    parameters.ControlSurfaceDeflection = True
    BRepMesh_IncrementalMesh(solid.wrapped, parameters)
    vertices, faces, count = [], [], 0
    for face in solid.Faces():
        made = triangles_of(face)
        if made is None:
            raise KernelError("A face of the guide could not be triangulated; try another footplate_reach or slope_limit.")
        nodes, triangles = made
        vertices.append(nodes)
        faces.append(triangles + count)
        count += len(nodes)
    whole = trimesh.Trimesh(np.vstack(vertices), np.vstack(faces), process=False)
    whole.merge_vertices(digits_vertex=6)
    whole.update_faces(whole.nondegenerate_faces(height=1e-9))
    whole.remove_unreferenced_vertices()
    return whole


def write_3mf(
    path: Path,
    mesh: trimesh.Trimesh,
    *,
    title: str,
    software: str,
    metadata: dict[str, str],
    further: Sequence[tuple[str, trimesh.Trimesh]] = (),
    colours: Sequence[str] = (),
    ups: Sequence[Array | None] = (),
) -> None:
    """3MF in millimetres, with what the guide is as metadata (lib3mf); `further` parts are objects of their own, by name.

    `colours` ("#rrggbb", or "" for none) and `ups` of each: the way up (3,) in which it is to be printed, or None for as it lies. The
    triangles stay in their own frame; a build item says how its part is turned and put on the bed.
    """
    import lib3mf
    from lib3mf import get_wrapper

    wrapper = get_wrapper()
    model = wrapper.CreateModel()
    model.SetUnit(lib3mf.ModelUnit.MilliMeter)
    identity = "{:08d}-0000-4000-8000-000000000000"
    paints = None
    every = [(title, mesh), *further]
    places = laid_out([part for _, part in every], [*ups, *[None] * (len(every) - len(ups))])
    for number, (name, part) in enumerate(every):
        body = model.AddMeshObject()
        body.SetName(name)
        points, corners = np.ascontiguousarray(part.vertices, dtype=np.float32), np.ascontiguousarray(part.faces, dtype=np.uint32)
        positions, triangles = (lib3mf.Position * len(points)).from_buffer_copy(points), (lib3mf.Triangle * len(corners)).from_buffer_copy(corners)
        body.SetGeometry(positions, triangles)
        colour = colours[number] if number < len(colours) else ""
        if colour:
            paints = paints if paints is not None else model.AddBaseMaterialGroup()
            red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
            paint = paints.AddMaterial(name, wrapper.RGBAToColor(red, green, blue, 255))
            body.SetObjectLevelProperty(paints.GetUniqueResourceID(), paint)
        item = model.AddBuildItem(body, _transform(wrapper, places[number]))
        item.SetUUID(identity.format(2 + 2 * number))
        body.SetUUID(identity.format(3 + 2 * number))
    group = model.GetMetaDataGroup()
    group.AddMetaData("", "Title", title, "xs:string", True)
    group.AddMetaData("", "Application", software, "xs:string", True)
    told = [f"{key}: {value}" for key, value in metadata.items()]
    told += ["each build item turns its triangles for printing"] if any(up is not None for up in ups) else []
    group.AddMetaData("", "Description", "; ".join(told), "xs:string", True)
    model.SetBuildUUID(identity.format(1))
    with whole_file(path) as temporary:
        try:
            model.QueryWriter("3mf").WriteToFile(os.fspath(temporary))
        except lib3mf.ELib3MFException as error:
            with temporary.open("ab") as stream:  # the library does not say why; the system does, when it is asked for as much again
                stream.write(bytes(SPARE_BYTES))
            raise KernelError(f"The 3MF file '{path.name}' could not be written ({error}).") from error


def _transform(wrapper: Any, place: Array) -> Any:
    """A rigid (4, 4) as lib3mf takes it: it multiplies rows, so the rotation is given by columns."""
    found = wrapper.GetIdentityTransform()
    for row in range(3):
        for column in range(3):
            found.Fields[row][column] = float(place[column, row])
        found.Fields[3][row] = float(place[row, 3])
    return found
