"""Pictures of a segmentation on its scan: the surface's outline in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.report.lettering import Mark, Panel, Swatch, save_sheet
from psi_cad.report.slices import ANATOMICAL, plane_view, slice_pixels
from psi_cad.report.views import Colour
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["overlay_planes", "write_overlay", "write_rows"]

_MARGIN_MM: Final = 12.0
_LINE: Final[Colour] = (1.0, 0.67, 0.0)


def overlay_planes(mesh: trimesh.Trimesh) -> Array:
    """The point (3,) of the bone through which its pictures go: a point of the bone near the middle of its box.

    The middle itself often lies beside a curved bone; the nearest surface point is taken, a little inside.
    """
    points = np.asarray(mesh.vertices)
    middle = mesh.bounds.mean(axis=0)
    nearest = int(np.argmin(np.linalg.norm(points - middle, axis=1)))
    return np.asarray(points[nearest])


def write_overlay(path: Path, volume: Volume, mesh: trimesh.Trimesh, *, at: Array, title: str = "", below: Sequence[Panel] = ()) -> None:
    """A PNG with the scan and the outline of `mesh` (patient mm) in the axial, coronal and sagittal plane through `at` (3,), more panels below."""
    panels = _panels(volume, mesh, np.asarray(at), mesh.bounds[0] - _MARGIN_MM, mesh.bounds[1] + _MARGIN_MM)
    save_sheet(path, [*panels, *below], title=title, columns=3, legend=[Swatch(_LINE, "the surface's outline")])


def write_rows(
    path: Path, volume: Volume, mesh: trimesh.Trimesh, rows: Sequence[tuple[Array, str]], *, around: Mm, title: str, marks: Sequence[Mark]
) -> None:
    """A PNG with three planes through each of `rows` (a place (3,) and its name), `around` mm to each side; the mark of each row stands in it."""
    panels = []
    for number, (at, name) in enumerate(rows, start=1):
        low, high = (np.clip(at + side * around, mesh.bounds[0] - _MARGIN_MM, mesh.bounds[1] + _MARGIN_MM) for side in (-1.0, 1.0))
        panels += [replace(panel, caption=f"{name}: {panel.caption}", marks=(number,)) for panel in _panels(volume, mesh, at, low, high)]
    save_sheet(path, panels, title=title, columns=3, legend=[Swatch(_LINE, "the surface's outline")], marks=marks)


def _panels(volume: Volume, mesh: trimesh.Trimesh, at: Array, low: Array, high: Array) -> list[Panel]:
    """The scan and the outline of `mesh` in the three planes of anatomy through `at` (3,), over the box from `low` to `high`."""
    panels = []
    for plane in ANATOMICAL:
        view = plane_view(plane, at, low.copy(), high.copy())
        direction = np.zeros(3)
        direction[plane.normal] = 1.0
        # a plane exactly through points of the mesh meets edges, not faces
        segments = trimesh.intersections.mesh_plane(mesh, direction, at + 1e-4 * direction)
        lines = tuple((np.asarray(segment), _LINE) for segment in segments)
        panels.append(Panel(view, slice_pixels(view, volume), f"{plane.name}; {'xyz'[plane.normal]} = {at[plane.normal]:.1f} mm", lines, thin=True))
    return panels
