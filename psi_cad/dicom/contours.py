"""Closed planar contours to the part of each pixel they enclose: exact along rows, finely sampled across them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from psi_cad.units import Array

__all__ = ["covered"]

LINES_PER_PIXEL: Final = 8
"""Scan lines in a row of pixels; the area of a pixel is then right to about 1/100 for smooth outlines."""


def covered(contours: Sequence[Array], *, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Part (rows, columns) of each pixel inside `contours` by the even-odd rule: a contour inside another is a hole.

    Parameters
    ----------
    contours : sequence of (n, 2)
        Closed polygons in (i, j) pixels; pixel (0, 0) reaches from -0.5 to 0.5.

    Notes
    -----
    On each scan line the crossings, sorted, turn the inside on and off. A step at x inside pixel p adds p + 1 - x to that pixel
    and one to all behind it, so the running sum of two deposits for each crossing is the exact covered length.
    """
    area = np.zeros((rows, columns + 2))
    lines, places = _crossings(contours, rows)
    if len(lines):
        order = np.lexsort((places, lines))
        lines, places = lines[order], np.clip(places[order] + 0.5, 0.0, float(columns))
        first = np.r_[0, np.flatnonzero(np.diff(lines)) + 1]
        rank = np.arange(len(lines)) - np.repeat(first, np.diff(np.r_[first, len(lines)]))
        sign = np.where(rank % 2 == 0, 1.0, -1.0)
        pixel = np.floor(places).astype(np.int64)
        part = places - pixel
        row = lines // LINES_PER_PIXEL
        np.add.at(area, (row, pixel), sign * (1.0 - part))
        np.add.at(area, (row, pixel + 1), sign * part)
    return np.asarray(np.clip(np.cumsum(area, axis=1)[:, :columns] / LINES_PER_PIXEL, 0.0, 1.0), dtype=np.float32)


def _crossings(contours: Sequence[Array], rows: int) -> tuple[npt.NDArray[np.int64], Array]:
    """Scan line numbers (m,) and i places (m,) where the polygons cross them."""
    all_lines: list[npt.NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    all_places: list[Array] = [np.zeros(0)]
    for contour in contours:
        # scan line n lies at j = (n + 0.5) / LINES_PER_PIXEL - 0.5
        start = np.asarray(contour, dtype=np.float64)
        end = np.roll(start, -1, axis=0)
        up = start[:, 1] <= end[:, 1]
        low, high = np.where(up[:, None], start, end), np.where(up[:, None], end, start)
        first = np.clip(np.ceil((low[:, 1] + 0.5) * LINES_PER_PIXEL - 0.5), 0, rows * LINES_PER_PIXEL).astype(np.int64)
        last = np.clip(np.ceil((high[:, 1] + 0.5) * LINES_PER_PIXEL - 0.5), 0, rows * LINES_PER_PIXEL).astype(np.int64)
        count = last - first
        edge = np.repeat(np.arange(len(start)), count)
        line = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        j = (line + 0.5) / LINES_PER_PIXEL - 0.5
        rise = high[edge, 1] - low[edge, 1]
        t = (j - low[edge, 1]) / np.where(rise > 0.0, rise, 1.0)
        all_lines.append(line)
        all_places.append(low[edge, 0] + t * (high[edge, 0] - low[edge, 0]))
    return np.concatenate(all_lines), np.concatenate(all_places)
