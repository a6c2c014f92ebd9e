"""A picture of parts that have no seat: from above, from the front, from the side, and aslant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.report.lettering import Panel, save_sheet
from psi_cad.report.views import GUIDE, Body, Studio, view_onto
from psi_cad.units import Array, Mm

__all__ = ["picture_of_part"]

SIZE: Final = (900, 700)
# what is seen, the way to the eye, and what is up
VIEWS: Final = (
    ("from above, as it lies on the printer's bed", (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    ("from the front", (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the right", (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("aslant", (0.8, -1.0, 0.9), (0.0, 0.0, 1.0)),
)
# the same of what lies in the patient frame, LPS
PATIENT_VIEWS: Final = (
    ("from the head", (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
    ("from the front", (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the patient's left", (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the patient's right", (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
)
# the same of several parts there: as they lie, and each beside the other
SEVERAL: Final = (
    ("from the patient's left, put together", (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the patient's right, put together", (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the front, side by side", (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the front and above, side by side", (0.0, -0.8, 1.0), (0.0, 0.0, 1.0)),
)
BETWEEN_MM: Final[Mm] = 12.0  # parts that are drawn side by side
Shown = tuple[trimesh.Trimesh, str]


def picture_of_part(path: Path, parts: Sequence[Shown], *, title: str, in_patient: bool = False, label: tuple[Array, Array] | None = None) -> None:
    """A PNG of parts (mm, standing on z = 0, or in the patient frame), each with its colour, from four sides, with a scale; whole or not at all.

    What lies in the patient frame has the letters of its ends. `label`: the way out of the face that carries the letters, and what is up on it;
    then the last side is that one.
    """
    together = [Body(mesh, _colour(colour), edges=len(parts) == 1) for mesh, colour in parts]
    apart = [Body(mesh, _colour(colour), edges=False) for mesh, colour in _side_by_side(parts)]
    several = in_patient and len(parts) > 1
    sides = SEVERAL if several else PATIENT_VIEWS if in_patient else VIEWS
    studio, panels = Studio(), []
    for number, (caption, direction, up) in enumerate(sides if label is None else (*sides[:-1], ("onto its label", *label))):
        shown = apart if several and number >= 2 else together
        corners = np.vstack([np.asarray(body.mesh.vertices) for body in shown])
        view = view_onto(corners, np.array(direction), size=SIZE, up=np.array(up), room=1.25)
        panels.append(Panel(view, studio.drawn(view, shown), caption, letters=in_patient))
    studio.close()
    save_sheet(path, panels, title=title, columns=2)


def _colour(said: str) -> tuple[float, float, float]:
    """Of "#rrggbb", or the one that parts have."""
    if not said:
        return GUIDE
    red, green, blue = (int(said[at : at + 2], 16) / 255.0 for at in (1, 3, 5))
    return red, green, blue


def _side_by_side(parts: Sequence[Shown]) -> list[Shown]:
    """The parts moved along x, so that each stands to the right of the one before, seen from the front."""
    found, edge = [], 0.0
    for mesh, colour in parts:
        low, high = np.asarray(mesh.bounds)
        shift = np.array([edge - low[0], -(low[1] + high[1]) / 2.0, -(low[2] + high[2]) / 2.0])
        found.append((trimesh.Trimesh(np.asarray(mesh.vertices) + shift, mesh.faces, process=False), colour))
        edge += float(high[0] - low[0]) + BETWEEN_MM
    return found
