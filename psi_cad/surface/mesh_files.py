"""Read a triangle surface from any common format into the patient frame (LPS, mm)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.errors import EnvironmentProblem, SurfaceError
from psi_cad.frames import patient_from_ras
from psi_cad.units import MM_PER_UNIT, Ints

__all__ = ["CLOSED", "CLOSED_HOLE", "MARK", "SUFFIXES", "UNITS_IN_FILE", "binary_corners", "read_surface"]

SUFFIXES: Final = (".stl", ".ply", ".obj", ".vtp", ".vtk", ".3mf")
UNITS_IN_FILE: Final = (".3mf",)
"""Formats that carry their unit; for all others the case file has to say it."""

CLOSED: Final = "CLOSED"
"""In the header of an STL: how many of its faces close holes, and are no measured bone."""
MARK: Final = 0xFC00
"""In such a face's attribute, above the hole's number: a colour, red, as several programs read it."""
CLOSED_HOLE: Final = "closed_hole"
"""Face attribute of a mesh that was read: the number of the closed hole that a face covers; 0 for measured bone."""

_THREEMF_MM: Final = {"micron": 0.001, "millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0, "inch": 25.4, "foot": 304.8}
_HEAD_BYTES: Final = 2048
_STL_HEAD: Final = 84
_STL_FACE: Final = np.dtype([("floats", "<f4", 12), ("attribute", "<u2")])
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
        If the file is missing, is not a surface, contradicts `units` or `coordinates`, or has lost the marks of closed holes.

    Notes
    -----
    Where psi-cad has closed holes, the mesh has the face attribute `CLOSED_HOLE`.
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
    found = trimesh.Trimesh(vertices, faces, process=False)
    marks = _closed_holes(path, len(faces), key) if suffix == ".stl" else None
    if marks is not None:
        found.face_attributes[CLOSED_HOLE] = marks
    return found


def binary_corners(path: Path) -> npt.NDArray[np.float32] | None:
    """The corners (3 n faces, 3) of a binary STL, one face after the other, as they are written; None where it is none."""
    data = path.read_bytes()
    count = int.from_bytes(data[_STL_HEAD - 4 : _STL_HEAD], "little")
    if len(data) < _STL_HEAD or len(data) != _STL_HEAD + count * _STL_FACE.itemsize:
        return None
    return np.ascontiguousarray(np.frombuffer(data, dtype=_STL_FACE, offset=_STL_HEAD)["floats"][:, 3:]).reshape(-1, 3)


def _closed_holes(path: Path, count: int, key: str) -> Ints | None:
    """The numbers (n faces,) of closed holes in an STL of psi-cad's; None where it has none."""
    data = path.read_bytes()
    said = re.search(rb"\b" + CLOSED.encode() + rb"=(\d+)", data[:_STL_HEAD])
    if said is None:
        return None
    marks = np.zeros(0, dtype=np.int64)
    if len(data) == _STL_HEAD + count * _STL_FACE.itemsize:
        attribute = np.frombuffer(data, dtype=_STL_FACE, offset=_STL_HEAD)["attribute"].astype(np.int64)
        marks = np.where((attribute & MARK) == MARK, np.maximum(attribute & ~MARK, 1), 0)
    if int((marks > 0).sum()) != int(said.group(1)):
        raise SurfaceError(
            f"{key}: '{path.name}' says that {int(said.group(1))} of its faces close holes, but their marks are lost; give it as psi-cad wrote it."
        )
    return marks


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
