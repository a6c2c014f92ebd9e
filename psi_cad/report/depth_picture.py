"""The depth below each slot, drawn in the cut's own plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import shapely

from psi_cad.report.lettering import Panel, Swatch, save_sheet
from psi_cad.report.views import Colour, Pixels, View
from psi_cad.resection.depth import SlotDepth
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from PIL import ImageDraw

__all__ = ["DepthPicture", "filled", "picture_of_depths"]

SIZE: Final = (700, 600)
FINER: Final = 2  # drawn this many times larger and shrunk, for smooth edges
BAND_MM: Final[Mm] = 10.0
EXIT: Final[Colour] = (0.15, 0.35, 0.8)
FAR: Final[Colour] = (0.35, 0.3, 0.2)
TIP: Final[Colour] = (0.85, 0.1, 0.1)
SHALLOW: Final[Colour] = (0.93, 0.84, 0.67)


@dataclass(frozen=True)
class DepthPicture:
    """One slot to be drawn: a title, its profile, and how deep the blade reaches (mm)."""

    title: str
    profile: SlotDepth
    reach: Mm


def picture_of_depths(path: Path, slots: Sequence[DepthPicture], *, title: str = "") -> None:
    """A PNG of every cut in its own plane: slot above, bone coloured by the depth below it, a line where the blade ends."""
    panels = []
    for slot in slots:
        profile = slot.profile
        corners = shapely.get_coordinates(profile.region)
        low, high = corners.min(axis=0), corners.max(axis=0)
        wide, tall = high - low
        half = 1.2 * max(tall / 2.0, wide / 2.0 * SIZE[1] / SIZE[0]) + 3.0
        view = View(np.array([*(low + high) / 2.0, 0.0]), np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), float(half), SIZE)
        lines = [(_flat(profile.s, profile.top), EXIT), (_flat(profile.s, profile.far), FAR)]
        tip = profile.top - slot.reach
        near = tip > float(profile.far.min()) - 15.0
        if int(near.sum()) > 1:
            lines.append((_flat(profile.s[near], tip[near]), TIP))
        words = f"{slot.title}\ndeepest {profile.deepest:.1f} mm, blade reaches {slot.reach:.1f}, {profile.length:.1f} mm along the slot"
        axes = np.stack([profile.along, profile.blade, np.cross(profile.along, profile.blade)])
        panels.append(Panel(view, _bands(profile, view), words, tuple(lines), axes=axes))
    legend = [
        Swatch(EXIT, "the slot's exit on bone"),
        Swatch(FAR, "the far cortex"),
        Swatch(TIP, "how far the blade can go, where that is near"),
        Swatch(SHALLOW, f"bone, darker with every {BAND_MM:g} mm of depth"),
    ]
    save_sheet(path, panels, title=title, columns=min(3, len(panels)), legend=legend)


def _flat(s: Array, a: Array) -> Array:
    return np.column_stack([s, a, np.zeros(len(s))])


def _bands(profile: SlotDepth, view: View) -> Pixels:
    """The section in bands of ten millimetres below the slot."""
    from PIL import Image, ImageDraw

    fine = View(view.focus, view.direction, view.up, view.half, (FINER * SIZE[0], FINER * SIZE[1]))
    image = Image.new("RGB", fine.size, (255, 255, 255))
    draw = ImageDraw.Draw(image)
    deepest = profile.deepest
    for band in range(int(deepest // BAND_MM) + 1):
        upper, lower = profile.top - BAND_MM * band, np.maximum(profile.top - BAND_MM * (band + 1), profile.far)
        ring = shapely.Polygon(np.vstack([np.column_stack([profile.s, upper]), np.column_stack([profile.s, np.minimum(lower, upper)])[::-1]]))
        shade = 1.0 - 0.6 * band / max(1.0, deepest / BAND_MM)
        for piece in shapely.get_parts(ring.buffer(0).intersection(profile.region)):
            if isinstance(piece, shapely.Polygon) and not piece.is_empty:  # a last band of no height leaves nothing
                filled(draw, fine, piece, tuple(round(255 * shade * v) for v in SHALLOW))
    return np.asarray(image.resize(view.size, Image.Resampling.BOX), dtype=np.uint8)


def filled(draw: ImageDraw.ImageDraw, view: View, piece: shapely.Polygon, ink: tuple[int, ...]) -> None:
    """Paint a region of a plane (s, a), its holes left white."""
    for number, ring in enumerate((piece.exterior, *piece.interiors)):
        points = np.asarray(ring.coords)
        corners = view.project(_flat(points[:, 0], points[:, 1]))
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=ink if number == 0 else (255, 255, 255))
