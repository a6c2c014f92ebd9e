"""Planes of 3D Slicer markups files (`.mrk.json`, schema 1.0.x): read by name, and written back.

The format is described by Slicer's own schema (markups-schema-v1.0.3.json) and by how its plane storage node writes:
`orientation` is row-major with the object's axes as columns, `baseToNode` is the same frame with the centre (where
`objectToBase` is no identity it is not used), and control points, centre and normal are in the file's `coordinateSystem`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from psi_cad.errors import CaseError
from psi_cad.files import write_json
from psi_cad.frames import Frame, patient_from_ras, unit
from psi_cad.units import Array, Mm

__all__ = ["SCHEMA", "markups_of", "read_planes", "write_planes"]

SCHEMA: Final = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
PLANE_SIZE_MM: Final[Mm] = 100.0  # how large Slicer draws a plane
AGREE: Final = 1e-3  # sine between two statements of one normal in a file, above which they contradict each other
_TO_MM: Final = {"mm": 1.0, "um": 0.001}
_THREE_POINTS: Final = ("3points", "threepoints")
MOST_BYTES: Final = 20_000_000


def read_planes(path: Path, *, key: str = "markups") -> dict[str, tuple[Array, Array]]:
    """Every plane of a file by name: (origin, unit normal), patient mm.

    Parameters
    ----------
    key : str
        The case-file key that named the file, for messages.

    Raises
    ------
    CaseError
        If the file is missing, is no markups file of version 1.0.x, holds two planes of one name, or a plane that is
        not defined or contradicts itself.
    """
    found: dict[str, tuple[Array, Array]] = {}
    for number, markup in enumerate(_markups(path, key)):
        if not isinstance(markup, dict) or markup.get("type") != "Plane":
            continue
        name = str(markup.get("name") or f"plane-{number + 1}")
        if name in found:
            raise CaseError(f"{key}: '{path.name}' holds two planes called '{name}'; rename one in Slicer.")
        try:
            found[name] = _plane(markup)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CaseError(
                f"{key}: the plane '{name}' of '{path.name}' cannot be read: {str(error).strip(chr(39))}; place it again in Slicer."
            ) from error
    return found


def _markups(path: Path, key: str) -> list[Any]:
    if not path.is_file():
        raise CaseError(f"{key}: there is no file '{path}'; paths are taken relative to the case file.")
    if path.stat().st_size > MOST_BYTES:
        raise CaseError(f"{key}: '{path.name}' is too large for a markups file; save the planes alone.")
    try:
        data = json.loads(path.read_text("utf-8-sig"))
        schema, markups = str(data["@schema"]), data["markups"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CaseError(f"{key}: '{path.name}' is no markups file of 3D Slicer (.mrk.json); save the planes from Slicer's Markups module.") from error
    if "markups-schema-v1.0." not in schema or not isinstance(markups, list):
        raise CaseError(
            f"{key}: '{path.name}' follows '{schema[-40:]}', and only markups-schema-v1.0.x can be read; save it again with a Slicer of today."
        )
    return markups


def _plane(markup: dict[str, Any]) -> tuple[Array, Array]:
    """(origin, normal) of one markup, by what its own type says defines it."""
    system = markup.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        raise ValueError(f"its coordinateSystem is {system!r}, not LPS or RAS")
    units = markup.get("coordinateUnits", "mm")
    units = units[0] if isinstance(units, list) and units else units
    if units not in _TO_MM:
        raise ValueError(f"its unit is {units!r}, not mm or um")
    points = _points(markup)
    kind = str(markup.get("planeType", "3Points")).lower()  # Slicer's oldest planes had three points and no type
    if kind in _THREE_POINTS and len(points) == 3:
        origin, normal = points[0], np.cross(points[1] - points[0], points[2] - points[0])
        if not np.linalg.norm(normal) > 1e-9 * max(1.0, float(np.ptp(points, axis=0).max())) ** 2:
            raise ValueError("its three points lie on one line")
        normal = unit(normal)
    else:
        origin, normal = _stated(markup, points)
    stated = _normals(markup)
    if any(np.linalg.norm(np.cross(normal, other)) > AGREE or other @ normal < 0.0 for other in stated):
        raise ValueError("its normal, orientation, matrix and points do not agree")
    if system == "RAS":
        origin, normal = patient_from_ras(origin[None])[0], patient_from_ras(normal[None])[0]
    return origin * _TO_MM[units], normal


def _points(markup: dict[str, Any]) -> Array:
    listed = markup.get("controlPoints", [])
    if not isinstance(listed, list) or not all(isinstance(p, dict) for p in listed):
        raise ValueError("controlPoints is no list of points")
    defined = [p for p in listed if p.get("positionStatus", "defined") == "defined" and "position" in p]
    points = np.array([_numbers(p["position"], 3, "a control point") for p in defined]).reshape(-1, 3)
    return np.asarray(points, dtype=np.float64)


def _numbers(values: Any, count: int, what: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"{what} is not {count} finite numbers")
    return array


def _object_to_node(markup: dict[str, Any]) -> Array | None:
    if "baseToNode" not in markup:
        return None
    base = _numbers(markup["baseToNode"], 16, "baseToNode").reshape(4, 4)
    if np.allclose(base, np.eye(4)) and ("normal" in markup or "orientation" in markup):
        return None  # written so where the plane was made by a script and never drawn
    if "objectToBase" not in markup:
        return base
    if np.allclose(_numbers(markup["objectToBase"], 16, "objectToBase").reshape(4, 4), np.eye(4)):
        return base
    if "normal" not in markup and "orientation" not in markup:  # how this matrix is written has differed between Slicer's versions
        raise ValueError("it states its direction by objectToBase alone; save it with its normal")
    return None


def _normals(markup: dict[str, Any]) -> list[Array]:
    """Every statement of the normal that a file makes."""
    found = []
    if "normal" in markup:
        found.append(unit(_numbers(markup["normal"], 3, "normal")))
    if "orientation" in markup:
        found.append(unit(_numbers(markup["orientation"], 9, "orientation").reshape(3, 3)[:, 2]))
    matrix = _object_to_node(markup)
    if matrix is not None and np.linalg.norm(matrix[:3, 2]) > 0.0:
        found.append(unit(matrix[:3, 2]))
    return found


def _stated(markup: dict[str, Any], points: Array) -> tuple[Array, Array]:
    """The plane as its centre, normal, orientation or matrix say; a control point may be the centre."""
    matrix, normals = _object_to_node(markup), _normals(markup)
    if not normals:
        raise ValueError("it states no normal, orientation or baseToNode")
    if "center" in markup:
        origin = _numbers(markup["center"], 3, "center")
    elif matrix is not None:
        origin = matrix[:3, 3]
    elif len(points) > 0:
        origin = points[0]
    else:
        raise ValueError("it states no centre and no control point")
    return origin, normals[0]


def markups_of(planes: Mapping[str, tuple[Array, Array]], *, coordinates: Literal["LPS", "RAS"] = "LPS") -> dict[str, Any]:
    """Planes (origin, normal; patient mm) as the content of a markups file."""
    sign = np.array([1.0, 1.0, 1.0]) if coordinates == "LPS" else np.array([-1.0, -1.0, 1.0])
    return {
        "@schema": SCHEMA,
        "markups": [_markup(name, sign * origin, sign * unit(normal), coordinates) for name, (origin, normal) in planes.items()],
    }


def _markup(name: str, origin: Array, normal: Array, coordinates: str) -> dict[str, Any]:
    helper = np.eye(3)[int(np.argmin(np.abs(normal)))]
    frame = Frame.from_z(origin=origin, z=normal, x_near=helper)
    orientation = frame.axes.T  # columns are the object's axes
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = orientation, origin
    half = PLANE_SIZE_MM / 2.0
    return {
        "type": "Plane",
        "name": name,
        "coordinateSystem": coordinates,
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "planeType": "pointNormal",
        "sizeMode": "absolute",
        "autoScalingSizeFactor": 1.0,
        "center": _listed(origin),
        "normal": _listed(frame.axes[2]),
        "objectToBase": _listed(np.eye(4).ravel()),
        "baseToNode": _listed(matrix.ravel()),
        "orientation": _listed(orientation.ravel()),
        "size": [PLANE_SIZE_MM, PLANE_SIZE_MM, 0.0],
        "planeBounds": [-half, half, -half, half],
        "controlPoints": [
            {
                "id": "1",
                "label": f"{name}-1",
                "position": _listed(origin),
                "orientation": _listed(orientation.ravel()),
                "selected": True,
                "locked": False,
                "visibility": True,
                "positionStatus": "defined",
            }
        ],
    }


def _listed(values: Array) -> list[float]:
    return [float(value) + 0.0 for value in values]


def write_planes(path: Path, planes: Mapping[str, tuple[Array, Array]], *, coordinates: Literal["LPS", "RAS"] = "LPS") -> None:
    """Write planes (origin, normal; patient mm) as a markups file that 3D Slicer opens."""
    write_json(path, markups_of(planes, coordinates=coordinates))
