"""A picture to judge a registration by: CT and MRI as a checkerboard, and the CT's bone outline on the MRI, in three planes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from psi_cad.registration.rigid import apply
from psi_cad.report.lettering import Panel, Swatch, save_sheet
from psi_cad.report.slices import ANATOMICAL, Plane, grey, pixel_points, plane_view
from psi_cad.report.views import Colour
from psi_cad.units import Array, Mm
from psi_cad.voxels.pyramid import CT_AIR
from psi_cad.voxels.volume import Volume

__all__ = ["FUSED_TITLE", "write_fused"]

FUSED_TITLE: Final = "registration of CT and MRI: borders have to run on from square to square"

CT_GREYS: Final = (-200.0, 800.0)  # HU, black to white: soft tissue and bone both show
BONE_HU: Final = 250.0
SQUARE: Final[Mm] = 25.0
_LINE: Final[Colour] = (1.0, 0.78, 0.0)


def write_fused(path: Path, fixed: Volume, moving: Volume, *, moving_from_fixed: Array, box: Array, title: str = "") -> None:
    """A PNG of the three planes (axial, coronal, sagittal) through the middle of `box` (8, 3), fixed scan's frame.

    Upper row: squares of the one and the other scan by turns; borders of bone and body run on across them where the
    registration is right. Lower row: the moving scan, with the outline of bone from the fixed one.
    """
    low, high = box.min(axis=0), box.max(axis=0)
    pairs = [_plane(fixed, moving, moving_from_fixed, low, high, plane) for plane in ANATOMICAL]
    panels = [*(board for board, _ in pairs), *(outlined for _, outlined in pairs)]
    save_sheet(path, panels, title=title, columns=3, legend=[Swatch(_LINE, "outline of the CT's bone")])


def _plane(fixed: Volume, moving: Volume, moving_from_fixed: Array, low: Array, high: Array, plane: Plane) -> tuple[Panel, Panel]:
    view = plane_view(plane, 0.5 * (low + high), low, high)
    points = pixel_points(view)
    shape = view.size[::-1]
    values = fixed.sampled(points)
    still = grey(fixed, values, ct_greys=CT_GREYS)
    other = grey(moving, moving.sampled(apply(moving_from_fixed, points)), ct_greys=CT_GREYS)
    squares = np.floor((points - low) / SQUARE)
    squares[:, plane.normal] = 0.0
    board = np.where(squares.sum(axis=1) % 2 == 0, still, other).reshape(shape)
    bone = (np.nan_to_num(values, nan=-2000.0) > _bone_level(fixed)).reshape(shape)
    edge = bone & ~(np.roll(bone, 1, 0) & np.roll(bone, -1, 0) & np.roll(bone, 1, 1) & np.roll(bone, -1, 1))
    outlined = np.repeat(other.reshape(shape)[..., None], 3, axis=2)
    outlined[edge] = [round(255 * v) for v in _LINE]
    return (
        Panel(view, np.repeat(board[..., None], 3, axis=2), f"CT and MRI by turns; {plane.name}", thin=True),
        Panel(view, outlined, f"MRI, outline of bone from the CT; {plane.name}", thin=True),
    )


def _bone_level(volume: Volume) -> float:
    return BONE_HU if float(volume.values.min()) < CT_AIR else float(np.percentile(volume.values, 90.0))
