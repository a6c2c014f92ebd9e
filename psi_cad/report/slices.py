"""A scan in the axial, coronal and sagittal plane, as panels of a sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from psi_cad.report.lettering import Panel, save_sheet
from psi_cad.report.views import Pixels, View
from psi_cad.units import Array, Mm
from psi_cad.voxels.pyramid import CT_AIR
from psi_cad.voxels.volume import Volume

__all__ = ["ANATOMICAL", "CT_GREYS", "Plane", "grey", "pixel_points", "plane_view", "write_scan_picture"]

CT_GREYS: Final = (-200.0, 1200.0)  # HU from black to white: bone and soft tissue both show
LARGEST: Final = 700  # pixels
FINEST: Final[Mm] = 0.1  # a pixel


@dataclass(frozen=True)
class Plane:
    """One of the planes of anatomy: the patient axis across it, and what is up and towards the eye."""

    name: str
    normal: int
    up: tuple[float, float, float]
    eye: tuple[float, float, float]


ANATOMICAL: Final = (
    Plane("axial, from the feet", 2, (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
    Plane("coronal, from the front", 1, (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
    Plane("sagittal, from the left", 0, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
)


def plane_view(plane: Plane, at: Array, low: Array, high: Array) -> View:
    """The view square onto `plane` through `at` (3,) that holds the box from `low` to `high`, patient mm."""
    focus = (low + high) / 2.0
    focus[plane.normal] = at[plane.normal]
    flat = View(focus, np.array(plane.eye), np.array(plane.up), 1.0, (2, 2))
    wide, tall = (float(np.abs(axis) @ (high - low)) for axis in flat.axes[:2])
    pixel = max(max(wide, tall) / LARGEST, FINEST)
    size = (max(2, round(wide / pixel)), max(2, round(tall / pixel)))
    return View(focus, flat.direction, flat.up, size[1] * pixel / 2.0, size)


def pixel_points(view: View) -> Array:
    """The patient points (height * width, 3) in the middles of a view's pixels, row by row."""
    wide, tall = view.size
    right, up, _ = view.axes
    x = (np.arange(wide) + 0.5 - wide / 2.0) / view.pixels_per_mm
    y = (tall / 2.0 - np.arange(tall) - 0.5) / view.pixels_per_mm
    return np.asarray((view.focus + x[None, :, None] * right + y[:, None, None] * up).reshape(-1, 3))


def grey(volume: Volume, values: Array, *, ct_greys: tuple[float, float] = CT_GREYS) -> npt.NDArray[np.uint8]:
    """Values of `volume` as 0 to 255; a CT by HU, anything else by what is usual in it. Unknown is black."""
    low, high = ct_greys
    if not float(volume.values.min()) < CT_AIR:
        low, high = (float(v) for v in np.percentile(volume.values[:, ::3, ::3], (1.0, 99.5)))
    shown = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    return np.asarray(np.nan_to_num(shown, nan=0.0) * 255.0 + 0.5, dtype=np.uint8)


def slice_pixels(view: View, volume: Volume) -> Pixels:
    """The scan in a view's plane, in grey."""
    shades = grey(volume, volume.sampled(pixel_points(view))).reshape(view.size[::-1])
    return np.repeat(shades[..., None], 3, axis=2)


def write_scan_picture(path: Path, volume: Volume, *, title: str) -> None:
    """A PNG of a scan in three planes through its middle."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (np.array(volume.values.shape[::-1]) - 1)
    places = volume.patient(corners)
    low, high = places.min(axis=0), places.max(axis=0)
    middle = (low + high) / 2.0
    panels = []
    for plane in ANATOMICAL:
        view = plane_view(plane, middle, low, high)
        where = f"{'xyz'[plane.normal]} = {middle[plane.normal]:.1f} mm"
        panels.append(Panel(view, slice_pixels(view, volume), f"{plane.name}; {where}", thin=True))
    save_sheet(path, panels, title=title, columns=3)
