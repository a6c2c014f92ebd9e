"""A number of a depth scale on a fence: whether it stands in the file as it should, and whether it is true there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import unit
from psi_cad.options.digits import AGREES, Digits, agreement, sunk_in
from psi_cad.units import Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Mark", "checks", "find", "measure", "said"]

TRUE_MM: Final[Mm] = 0.75  # a whole number of mm, and what a fence's top lies off as built
ABOVE_MM: Final[Mm] = 150.0
RAYS: Final = 5


@dataclass(frozen=True)
class Mark(Digits):
    """One number: how much blade there is from the fence's top to the far side of the bone where it stands. Guide frame, mm.

    `blade`: of the slot; `s`: where along it the number is true, and `far`, the far side of the bone there along the blade.
    """

    blade: Triple
    slot: Mm
    wall: Mm
    s: Mm
    far: Mm


def find(mark: Mark, faces: Faces) -> list[Flat]:
    """The flat face that it is sunk into."""
    return sunk_in(mark, faces)


def measure(mark: Mark, part: Part | None, printed: Printed) -> dict[str, Any]:
    """From the STL: the length of blade that it tells of, and how well its digits agree with those that belong there."""
    del part
    normal, blade = unit(np.array(mark.normal)), unit(np.array(mark.blade))
    foot = np.array(mark.origin) + mark.s * np.cross(blade, normal)
    offsets = mark.slot / 2.0 + np.linspace(0.1, mark.wall - 0.3, RAYS)
    starts = np.array([foot + ABOVE_MM * blade + offset * normal for offset in (*offsets, *-offsets)])
    way, _ = printed.caster.first(starts, -blade)
    top = ABOVE_MM - float(way.min())
    return {"blade_mm": top - mark.far if np.isfinite(top) else None, "agrees": agreement(mark, printed)}


def checks(mark: Mark, values: dict[str, Any]) -> list[Check]:
    """Whether it is true, and whether it can be read."""
    at, found = f"[{mark.name}]", values.get("blade_mm")
    off = None if found is None else abs(found - float(mark.text))
    return [
        kept(f"mark_true{at}", off, "mm", "<=", TRUE_MM, place(mark.at)),
        held(f"mark_read{at}", values.get("agrees"), "", ">=", AGREES, "of the digits' area as drawn and as found, shared", where=place(mark.at)),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal: the numbers of each cut, as they stand along it."""
    cuts: dict[str, list[str]] = {}
    for one in found:
        cuts.setdefault(str(one["name"]).rpartition(" ")[0], []).append(str(one["text"]))
    return [f"depth scale {cut}: {', '.join(texts)} mm from the fence to the far side" for cut, texts in cuts.items()]
