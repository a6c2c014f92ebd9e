"""Digits sunk into a flat face: that face, as found in a STEP file, and how well they agree in an STL with those that belong there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.frames import Frame, unit
from psi_cad.units import Array, Mm
from psi_cad.verify.features.feature import Triple

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.printed import Printed

__all__ = ["AGREES", "Digits", "agreement", "sunk_in"]

AGREES: Final = 0.75  # of the area of the letters as drawn and as found together: what both share
CELL_MM: Final[Mm] = 0.1
SUNK_MM: Final[Mm] = 0.25  # a place of the face that lies deeper is taken for a letter's groove
OUTSIDE_MM: Final[Mm] = 1.5
ALIKE: Final = 1.0 - 1e-6


@dataclass(frozen=True)
class Digits:
    """What is engraved beside the slot of a cut; guide frame, mm.

    `at`, `x`, `y`: middle of its flat face, and its axes (z out of it); `width`, `height` of that face, `letters` of its digits. `origin`, `normal`:
    of the slot.
    """

    name: str
    text: str
    at: Triple
    x: Triple
    y: Triple
    width: Mm
    height: Mm
    letters: Mm
    condensed: float
    origin: Triple
    normal: Triple

    @property
    def frame(self) -> Frame:
        """Of its face."""
        x, y = unit(np.array(self.x)), unit(np.array(self.y))
        return Frame(origin=np.array(self.at), axes=np.stack([x, y, np.cross(x, y)]))


def sunk_in(digits: Digits, faces: Faces) -> list[Flat]:
    """The flat face that they are sunk into."""
    frame = digits.frame
    return [
        flat
        for flat in faces.planes
        if float(flat[2] @ frame.axes[2]) > ALIKE
        and abs(frame.local(flat[1])[2]) < 1e-3
        and (np.abs(frame.local(flat[1])[:2]) < (digits.width / 2.0, digits.height / 2.0)).all()
    ]


def agreement(digits: Digits, printed: Printed) -> float:
    """Of the area of the digits as drawn and as found together, the share that both have."""
    import shapely

    from psi_cad.brep import label

    frame, width, height = digits.frame, digits.width, digits.height
    shape = label.text_shape((digits.text,), height=digits.letters, condensed=digits.condensed)
    xs = np.arange(-width / 2.0 + CELL_MM, width / 2.0, CELL_MM)
    ys = np.arange(-height / 2.0 + CELL_MM, height / 2.0, CELL_MM)
    cells = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    wanted = shapely.contains_xy(shape, cells[:, 0], cells[:, 1])
    looks: Array = frame.patient(np.column_stack([cells, np.full(len(cells), OUTSIDE_MM)]))
    deep, _ = printed.caster.first(looks, -frame.axes[2])
    sunk = deep - OUTSIDE_MM > SUNK_MM
    either = int((wanted | sunk).sum())
    return float((wanted & sunk).sum() / either) if either else 0.0
