"""A scene as one self-contained HTML file that needs no network: bodies, lines, words, and a scan's slices."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.files import whole_file
from psi_cad.report.look.made import STYLE, LookMade, section_of_made
from psi_cad.report.views import Colour
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["MOST_TRIANGLES", "LookBody", "LookLine", "LookScene", "LookWord", "write_page"]

MOST_TRIANGLES: Final = 300_000  # of one body: beyond, it is drawn and picked from a simpler surface
MOST_VOXELS: Final = 80_000_000  # a browser holds them unpacked
MOST_PACKED: Final = 17_000_000  # bytes of a packed scan; a third more as text
SCRIPTS: Final = ("geometry.js", "space.js", "slices.js", "main.js")
CT_RANGE: Final = (-300.0, 1750.0)  # HU: fat to dense cortex, in 256 steps of 8
AIR_HU: Final = -500.0


@dataclass(frozen=True)
class LookBody:
    """A surface (patient mm) with its name, colour and opacity; `pick` where a click may land on it."""

    name: str
    mesh: trimesh.Trimesh
    colour: Colour
    opacity: float = 1.0
    pick: bool = True


@dataclass(frozen=True)
class LookLine:
    """Lines between pairs of points (2n, 3), patient mm; shown and hidden with others of its `group`."""

    group: str
    points: Array
    colour: Colour


@dataclass(frozen=True)
class LookWord:
    """A word at a place (3,), patient mm."""

    group: str
    text: str
    place: Array
    colour: Colour


@dataclass(frozen=True)
class LookScene:
    """All that a page shows."""

    title: str
    bodies: Sequence[LookBody] = ()
    lines: Sequence[LookLine] = ()
    words: Sequence[LookWord] = ()
    volume: Volume | None = None
    notes: Sequence[str] = ()
    made: Sequence[LookMade] = ()


def write_page(path: Path, scene: LookScene) -> list[str]:
    """Write `scene` as HTML to `path`, whole or not at all; what the page says of its own limits."""
    notes: list[str] = []
    data: dict[str, Any] = {"bodies": [_body(body, notes) for body in scene.bodies]}
    data |= _frame_of(scene)
    data["lines"] = [_line(line, data["centre"]) for line in scene.lines]
    data["words"] = [
        {"group": word.group, "text": word.text, "place": _list(word.place), "colour": word.colour, "ink": _css(word.colour), "shown": True}
        for word in scene.words
    ]
    data["volume"] = None if scene.volume is None else _volume(scene.volume, notes)
    data["notes"] = [*scene.notes, *notes]
    room = resources.files("psi_cad.report.look")
    script = "\n".join((room / name).read_text("utf-8") for name in SCRIPTS)
    style = (room / "look.css").read_text("utf-8") + (STYLE if scene.made else "")
    images = "img-src data:; " if any(one.picture is not None for one in scene.made) else ""  # those in the page itself
    policy = f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; {images}base-uri 'none'; form-action 'none'"
    parts = {
        "policy": policy,
        "title": html.escape(scene.title),
        "style": style,
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),  # no name in it can end the element
        "made": section_of_made(scene.made),
        "script": script,
    }
    pieces = (room / "template.html").read_text("utf-8").split("@@")
    text = "".join(piece if number % 2 == 0 else parts[piece] for number, piece in enumerate(pieces))
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
    return notes


def _digest(text: str) -> str:
    """What a browser compares a script with before it runs it: nothing else of the page can run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(values: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def _list(point: Array) -> list[float]:
    return [float(v) for v in point]


def _css(colour: Colour) -> str:
    return "#" + "".join(f"{round(200 * v):02x}" for v in colour)  # darker than the body: words have to be read


def _body(body: LookBody, notes: list[str]) -> dict[str, Any]:
    mesh, away = _light(body.mesh)
    if away is not None:
        notes.append(
            f"{body.name} is drawn with {len(mesh.faces)} of its {len(body.mesh.faces)} triangles; a picked point lies within {away:.2f} mm of it"
        )
    centre = np.asarray(mesh.bounds).mean(axis=0)
    return {
        "name": body.name,
        "centre": _list(centre),
        "positions": _packed(np.asarray(mesh.vertices) - centre, "<f4"),
        "faces": _packed(np.asarray(mesh.faces), "<u4"),
        "colour": body.colour,
        "opacity": body.opacity,
        "pick": body.pick,
        "shown": True,
    }


def _light(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, Mm | None]:
    """`mesh` with points that are shared, and few enough triangles; how far the simpler surface's points lie from it, at most."""
    joined = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    joined.merge_vertices()
    if len(joined.faces) <= MOST_TRIANGLES:
        return joined, None
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersCore import vtkQuadricDecimation

    from psi_cad.surface.polydata import poly_data
    from psi_cad.surface.rays import SignedDistance

    fewer = vtkQuadricDecimation()
    fewer.SetInputData(poly_data(joined))
    fewer.SetTargetReduction(1.0 - MOST_TRIANGLES / len(joined.faces))
    fewer.Update()
    data = fewer.GetOutput()
    vertices = vtk_to_numpy(data.GetPoints().GetData()).astype(np.float64)
    faces = vtk_to_numpy(data.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    simple = trimesh.Trimesh(vertices, faces, process=False)
    places = np.vstack([vertices, np.asarray(simple.triangles_center)])
    return simple, float(np.abs(SignedDistance(joined)(places)).max())


def _line(line: LookLine, centre: list[float]) -> dict[str, Any]:
    return {"group": line.group, "centre": centre, "positions": _packed(line.points - np.array(centre), "<f4"), "colour": line.colour, "shown": True}


def _frame_of(scene: LookScene) -> dict[str, Any]:
    """The middle of the bodies and how far they reach from it."""
    corners = np.vstack([np.asarray(body.mesh.bounds) for body in scene.bodies]) if scene.bodies else np.array([[-1.0] * 3, [1.0] * 3])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return {"centre": _list((low + high) / 2.0), "radius": float(np.linalg.norm(high - low)) / 2.0}


def _volume(volume: Volume, notes: list[str]) -> dict[str, Any]:
    values = np.asarray(volume.values)
    is_ct = str(volume.facts.get("modality", "")).upper() == "CT" or float(values.min()) < AIR_HU
    low, high = CT_RANGE if is_ct else (float(np.percentile(values[::2, ::2, ::2], q)) for q in (0.2, 99.8))
    low, high = float(np.floor(low)), float(max(np.ceil(high), np.floor(low) + 1.0))
    factors = [1, 1, 1]  # along i, j, k
    while True:
        while np.prod([-(-n // f) for n, f in zip(values.shape[::-1], factors, strict=True)]) > MOST_VOXELS:
            _coarser(factors, volume)
        small, patient_from_index = _reduced(volume, factors)
        grey = np.rint(np.clip((small - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
        packed = gzip.compress(grey.tobytes(), compresslevel=6, mtime=0)
        if len(packed) <= MOST_PACKED:
            break
        _coarser(factors, volume)
    spacing = np.linalg.norm(patient_from_index[:3, :3], axis=0)
    size = grey.shape[::-1]
    notes.append(
        f"the scan is shown with {size[0]} × {size[1]} × {size[2]} voxels of {spacing[0]:.2f} × {spacing[1]:.2f} × {spacing[2]:.2f} mm, "
        f"values in 256 steps from {low:g} to {high:g}"
        + ("" if factors == [1, 1, 1] else f"; the scan itself has voxels of {_by(volume.spacing)} mm")
    )
    corners = np.array([[i, j, k, 1.0] for i in (-0.5, size[0] - 0.5) for j in (-0.5, size[1] - 0.5) for k in (-0.5, size[2] - 0.5)])
    places = (corners @ patient_from_index.T)[:, :3]
    bounds = np.stack([places.min(axis=0), places.max(axis=0)])
    level, width = (350.0, 1100.0) if is_ct else ((low + high) / 2.0, high - low)
    return {
        "size": [int(n) for n in size],
        "data": base64.b64encode(packed).decode(),
        "index_from_patient": [float(v) for v in np.linalg.inv(patient_from_index).ravel()],
        "bounds": [_list(bounds[0]), _list(bounds[1])],
        "middle": _list(bounds.mean(axis=0)),
        "step": float(spacing.min()),
        "low": low,
        "high": high,
        "level": round(level),
        "width": round(width),
        "unit": "HU" if is_ct else "",
    }


def _by(values: Array) -> str:
    return " × ".join(f"{float(v):.2f}" for v in values)


def _coarser(factors: list[int], volume: Volume) -> None:
    """Join one more voxel along the axis that is finest now."""
    finest = int(np.argmin(np.array(factors) * volume.spacing))
    factors[finest] += 1


def _reduced(volume: Volume, factors: Sequence[int]) -> tuple[npt.NDArray[np.float32], Array]:
    """The volume's means over blocks of `factors` (i, j, k) voxels, and where their middles lie (4, 4); a last part block is left out."""
    values = np.asarray(volume.values)
    matrix = volume.patient_from_index.copy()
    blocks = [max(1, n // f) for n, f in zip(values.shape, factors[::-1], strict=True)]
    steps = [min(f, n) for n, f in zip(values.shape, factors[::-1], strict=True)]
    (nz, ny, nx), (fz, fy, fx) = blocks, steps
    small = np.zeros((nz, ny, nx), dtype=np.float32)
    for a in range(fz):
        for b in range(fy):
            for c in range(fx):
                small += values[a : nz * fz : fz, b : ny * fy : fy, c : nx * fx : fx]
    small /= fz * fy * fx
    by = np.array([fx, fy, fz], dtype=np.float64)
    matrix[:3, 3] += matrix[:3, :3] @ ((by - 1.0) / 2.0)
    matrix[:3, :3] = matrix[:3, :3] * by
    return small, matrix
