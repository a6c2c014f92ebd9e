"""Pictures of how a scan's bone was parted: each part in a colour of its own, seeds and contacts as marks, millimetres along the edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.findings import Place
from psi_cad.report.lettering import Label, Mark, Panel, Swatch, save_sheet
from psi_cad.report.slices import ANATOMICAL, pixel_points, plane_view, slice_pixels
from psi_cad.report.views import Colour, View
from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["Cut", "part_colour", "parts_panels", "write_parts_picture"]

# told apart also by those who see few colours (after Okabe and Ito); more parts than these repeat them
_COLOURS: Final[tuple[Colour, ...]] = (
    (0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.00, 0.62, 0.45), (0.94, 0.89, 0.26),
    (0.80, 0.47, 0.65), (0.84, 0.37, 0.00), (0.20, 0.35, 0.90), (0.55, 0.90, 0.35),
)  # fmt: skip
_TINT: Final = 0.45
_TICK: Final[Colour] = (1.0, 1.0, 1.0)
_TICK_MM: Final[Mm] = 10.0
_LETTERED_MM: Final[Mm] = 50.0
_INSET_PX: Final = (80.0, 90.0, 60.0)  # left, right, above and below: words nearer to an edge would be moved, and then name the wrong tick
_ON_PLANE_MM: Final[Mm] = 3.0
"""A mark further from a plane does not belong in it."""


@dataclass(frozen=True)
class Cut:
    """One row of the picture: planes through `at`, of the box from `low` to `high` (patient mm)."""

    at: Array
    low: Array
    high: Array
    title: str


def part_colour(number: int) -> Colour:
    """The colour of a part's number, from 1."""
    return _COLOURS[(number - 1) % len(_COLOURS)]


def write_parts_picture(
    path: Path, volume: Volume, parts: Volume, rows: Sequence[Cut], *, title: str, names: Mapping[int, str], marks: Sequence[Mark]
) -> None:
    """A PNG with a row of three planes for each of `rows`; `parts` hold each voxel's number, and `names` say what each number is."""
    panels = [panel for row in rows for panel in parts_panels(volume, parts, row, marks=marks)]
    save_sheet(path, panels, title=title, columns=3, legend=[Swatch(part_colour(n), text) for n, text in names.items()], marks=marks)


def parts_panels(volume: Volume, parts: Volume, row: Cut, *, marks: Sequence[Mark] = ()) -> list[Panel]:
    """The three planes of one row."""
    out = []
    for plane in ANATOMICAL:
        view = plane_view(plane, row.at, row.low.copy(), row.high.copy())
        here = tuple(n for n, mark in enumerate(marks, 1) if abs(mark.place[plane.normal] - row.at[plane.normal]) <= _ON_PLANE_MM)
        lines, labels = _ticks(view)
        caption = f"{row.title}: {plane.name}; {'xyz'[plane.normal]} = {row.at[plane.normal]:.1f} mm"
        out.append(Panel(view, _tinted(view, volume, parts), caption, lines, labels, marks=here, thin=True))
    return out


def _tinted(view: View, volume: Volume, parts: Volume) -> npt.NDArray[np.uint8]:
    pixels = slice_pixels(view, volume).astype(np.float32)
    number = parts.sampled(pixel_points(view), order=0, outside=0.0).reshape(view.size[::-1]).astype(int)
    table = np.array([(0.0, 0.0, 0.0), *(part_colour(n) for n in range(1, max(int(number.max()), 1) + 1))], dtype=np.float32) * 255.0
    inside: Bools = number > 0
    pixels[inside] = (1.0 - _TINT) * pixels[inside] + _TINT * table[number[inside]]
    border = np.zeros_like(inside)
    border[:, 1:] |= number[:, 1:] != number[:, :-1]
    border[1:] |= number[1:] != number[:-1]
    pixels[border] = np.maximum(table[np.maximum(number, np.roll(number, 1, axis=1))][border], 60.0)
    return np.asarray(np.clip(pixels + 0.5, 0, 255), dtype=np.uint8)


def _ticks(view: View) -> tuple[tuple[tuple[Array, Colour], ...], tuple[Label, ...]]:
    """Marks every 10 mm along the lower and the left edge, with the patient coordinate at every 50."""
    right, up, _ = view.axes
    lines: list[tuple[Array, Colour]] = []
    labels: list[Label] = []
    halves = np.array(view.size) / view.pixels_per_mm / 2.0
    for along, across, half, edge in ((right, up, halves[0], halves[1]), (up, right, halves[1], halves[0])):
        axis = int(np.argmax(np.abs(along)))
        sign, middle = float(np.sign(along[axis])), float(view.focus[axis])
        first, last = middle - half, middle + half
        for value in np.arange(np.ceil(first / _TICK_MM) * _TICK_MM, last, _TICK_MM):
            lettered = abs(value / _LETTERED_MM - round(value / _LETTERED_MM)) < 1e-6
            base = view.focus + sign * (value - middle) * along - edge * across
            lines.append((np.stack([base, base + (4.0 if lettered else 2.0) * across]), _TICK))
            px, py = view.project(base[None])[0]
            left, right_, high = _INSET_PX
            free = left + 60.0 <= px <= view.size[0] - right_ if along is right else high <= py <= view.size[1] - high - 30.0
            if lettered and free:
                labels.append(Label(base + 6.0 * across, f"{'xyz'[axis]} {value + 0.0:.0f}", (0.1, 0.1, 0.1)))
    return tuple(lines), tuple(labels)


def place_text(place: Place | Array | Any) -> str:
    """A place as it is pasted into an option."""
    return ",".join(f"{float(v):.1f}" for v in place)
