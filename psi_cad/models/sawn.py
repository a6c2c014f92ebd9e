"""A piece that has flat faces where it was sawn: its hollow with a drain, the holes and the letters in those faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from psi_cad.models import faces, offsets
from psi_cad.parts.contract import Label
from psi_cad.resection.dust import prism
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.solids import joined, pieces_of
from psi_cad.units import Array, Mm

__all__ = ["RIM", "SUNK", "SawnFace", "hollow", "lettered", "one_piece"]

RIM: Final[Mm] = 1.5  # of material round a hole or a peg
SUNK: Final[Mm] = 0.6  # of letters
FURTHER: Final = (15.0, 30.0)  # mm that a drain may lead to a hollow which does not come near a face
CRUMB_MM3: Final = 1.0
SPLINTER_MM3: Final = 200.0  # a piece of that size is nothing to hold


@dataclass
class SawnFace:
    """A flat face of a piece, along a planned cut.

    Attributes
    ----------
    at : float
        How far along the cut's normal from its plane the face lies, mm.
    sign : float
        +1 where the piece lies on the side to which the normal looks, else -1.
    taken : list of (place, radius)
        Circles (s, u) of the face that are used.
    """

    cut: PlannedCut
    at: Mm
    sign: float
    taken: list[tuple[Array, Mm]] = field(default_factory=list)

    def point(self, place: Array) -> Array:
        """A place (2,) of the face, in the patient frame (3,)."""
        return np.asarray(self.cut.patient(place[None])[0] + self.at * self.cut.normal)

    @property
    def into(self) -> Array:
        """The direction (3,) into the piece."""
        return self.sign * self.cut.normal


def hollow(body: Any, wall: Mm, sawn: Sequence[SawnFace], *, drain: Mm, stays: Sequence[Any] = ()) -> list[Any]:
    """What is taken out of a piece: its inside and a drain from a face; nothing where no drain reaches it. `stays`: not to be hollowed."""
    inside = offsets.hollow_of(body, wall)
    if inside is None:
        return []
    for one in stays:
        inside = inside - one
    inside = pieces_of(inside)[0]
    for deep in (3.0 * wall + RIM, *FURTHER):
        for face in sawn:
            wide = drain / 2.0 + RIM
            for place in faces.places_in(face.cut.section, rim=wide, off=[(taken, radius + wide) for taken, radius in face.taken]):
                found = faces.cylinder(face.point(place), face.into, -1.0, deep, drain)
                if float((found ^ inside).volume()) > 0.2 * drain**3:
                    face.taken.append((place, wide))
                    return [joined([inside, found])]
    return []


def lettered(sawn: Sequence[SawnFace], said: Sequence[str]) -> tuple[list[Any], Label]:
    """Letters in the largest face that holds them, as solids to be taken out; nothing where none does."""
    for face in sorted(sawn, key=lambda one: -float(one.cut.section.area)):
        found = faces.letters_on(face.cut, said, mirrored=face.sign > 0.0, off=face.taken)
        if found is not None:
            region, height = found
            low, high = (face.at - SUNK, face.at + 1.0) if face.sign < 0.0 else (face.at - 1.0, face.at + SUNK)
            return [prism(region, face.cut, low, high)], Label(tuple(said), height)
    return [], Label((), 0.0)


def one_piece(body: Any) -> tuple[Any, list[Any], float]:
    """The largest piece of a body; others that are more than a splinter; and the volume of the splinters, mm³, 0 where they are but crumbs."""
    first, *others = pieces_of(body)
    large = [piece for piece in others if piece.volume() > SPLINTER_MM3]
    lost = sum(float(piece.volume()) for piece in others) - sum(float(piece.volume()) for piece in large)
    return first, large, lost if lost > CRUMB_MM3 else 0.0
