"""Read a triangle surface from any common format into the patient frame (LPS, mm)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.errors import EnvironmentProblem, SurfaceError
from psi_cad.frames import patient_from_ras
from psi_cad.units import MM_PER_UNIT

__all__ = ["SUFFIXES", "UNITS_IN_FILE", "read_surface"]

SUFFIXES: Final = (".stl", ".ply", ".obj", ".vtp", ".vtk", ".3mf")
UNITS_IN_FILE: Final = (".3mf",)
"""Formats that carry their unit; for all others the case file has to say it."""

_THREEMF_MM: Final = {"micron": 0.001, "millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0, "inch": 25.4, "foot": 304.8}
_HEAD_BYTES: Final = 2048
_SPACE: Final = re.compile(rb"SPACE\s*[=:]\s*(LPS|RAS)", re.IGNORECASE)


def read_surface(path: Path, *, units: str | None, coordinates: str, key: str = "surface") -> trimesh.Trimesh:
    """The triangles of `path` as they are in the file, but in millimetres and LPS.

    Parameters
    ----------
    path : Path
        STL, PLY, OBJ, VTP, VTK or 3MF.
    units : str or None
        "mm", "cm", "m" or "in"; may be None only for a format that carries its unit.
    coordinates : str
        "LPS" or "RAS".
    key : str
        The case-file key that named the file, for messages.

    Raises
    ------
    SurfaceError
        If the file is missing, is not a surface, or contradicts `units` or `coordinates`.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise SurfaceError(f"{key}: '{path.name}' is a folder; give a surface file ({_list(SUFFIXES)}).")
    if not path.exists():
        raise SurfaceError(f"{key}: there is no file '{path}'; paths are taken relative to the case file.")
    if suffix not in SUFFIXES:
        raise SurfaceError(f"{key}: '{path.name}' has a format that psi-cad cannot read; give {_list(SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise SurfaceError(f"{key}: '{path.name}' is empty; export the surface again.")
    _agree_on_space(path, coordinates, key)
    mesh = _read_vtk(path, key) if suffix in (".vtp", ".vtk") else _read_trimesh(path, key)
    if len(mesh.faces) == 0:
        raise SurfaceError(f"{key}: '{path.name}' holds no triangles; export a surface, not points or a volume.")
    if not np.isfinite(mesh.vertices).all():
        raise SurfaceError(f"{key}: '{path.name}' has vertices that are not finite numbers; export it again.")
    vertices = np.asarray(mesh.vertices, dtype=np.float64) * _scale(path, mesh, units, key)
    faces = np.asarray(mesh.faces, dtype=np.int64)
    if coordinates == "RAS":
        vertices = patient_from_ras(vertices)  # a half turn about z: orientation of the faces is kept
    return trimesh.Trimesh(vertices, faces, process=False)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(name.lstrip(".").upper() for name in names)


def _agree_on_space(path: Path, coordinates: str, key: str) -> None:
    """Some programs (3D Slicer) write SPACE=LPS or RAS into the header: it must not contradict the case."""
    with path.open("rb") as stream:
        said = _SPACE.search(stream.read(_HEAD_BYTES))
    if said and said.group(1).decode().upper() != coordinates:
        raise SurfaceError(
            f"{key}: the header of '{path.name}' says its coordinates are {said.group(1).decode().upper()}, "
            f"the case says '{coordinates}'; set coordinates to what the file says."
        )


def _scale(path: Path, mesh: trimesh.Trimesh, units: str | None, key: str) -> float:
    if path.suffix.lower() in UNITS_IN_FILE:
        carried = _THREEMF_MM.get(str(mesh.units or "millimeter"), 1.0)
        if units is not None and abs(MM_PER_UNIT[units] - carried) > 1e-12:
            raise SurfaceError(f"{key}: '{path.name}' says its unit is {mesh.units}, the case says '{units}'; remove units.")
        return carried
    if units is None:
        raise SurfaceError(f"{key}: '{path.name}' carries no unit; add units = \"mm\" (or cm, m, in) beside it.")
    return MM_PER_UNIT[units]


def _read_trimesh(path: Path, key: str) -> trimesh.Trimesh:
    try:
        loaded = trimesh.load(path, process=False)
        if isinstance(loaded, trimesh.Scene):
            unit_name = loaded.units
            loaded = loaded.to_mesh()
            loaded.units = unit_name
    except ImportError as error:
        if path.suffix.lower() != ".3mf":  # on the way through a broken file trimesh also tries packages that are not needed
            raise _unreadable(path, key) from error
        raise EnvironmentProblem(f"The Python package '{error.name}' is missing, {path.suffix} files need it; install psi-cad again.") from error
    except Exception as error:  # any reader of any format may fail in its own way on a broken file
        raise _unreadable(path, key) from error
    if not isinstance(loaded, trimesh.Trimesh):
        raise SurfaceError(f"{key}: '{path.name}' holds no triangle surface; export a closed surface mesh.")
    return loaded


def _unreadable(path: Path, key: str) -> SurfaceError:
    return SurfaceError(f"{key}: '{path.name}' cannot be read as {_list((path.suffix,))}; export it again.")


def _read_vtk(path: Path, key: str) -> trimesh.Trimesh:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkObject
    from vtkmodules.vtkFiltersCore import vtkTriangleFilter
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    vtkObject.GlobalWarningDisplayOff()  # a broken file is told in our sentence, not on stderr
    reader = vtkXMLPolyDataReader() if path.suffix.lower() == ".vtp" else vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    triangles = vtkTriangleFilter()
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    triangles.SetInputConnection(reader.GetOutputPort())
    triangles.Update()
    data = triangles.GetOutput()
    if data is None or data.GetNumberOfPolys() == 0:
        raise SurfaceError(f"{key}: '{path.name}' holds no polygons that can be read; export PolyData with triangles.")
    vertices = vtk_to_numpy(data.GetPoints().GetData()).astype(np.float64)
    faces = vtk_to_numpy(data.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    return trimesh.Trimesh(vertices, faces, process=False)
