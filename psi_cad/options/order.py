"""The number of a cut, engraved on its own fence: which of the case's cuts is sawn first, second, …; whether it stands there and can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import unit
from psi_cad.options.digits import AGREES, Digits, agreement, sunk_in
from psi_cad.units import Mm
from psi_cad.verify.features.feature import kept, place, way
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Order", "checks", "find", "measure", "said"]

OUTSIDE_MM: Final[Mm] = 1.5
RIM_MM: Final[Mm] = 0.3  # of the face beside the digit
FACE_MM: Final[Mm] = 0.05


@dataclass(frozen=True)
class Order(Digits):
    """The number of the cut `name`; guide frame, mm. `off`: of its face from the plane of the cut's slot."""

    off: Mm


def find(order: Order, faces: Faces) -> list[Flat]:
    """The flat face that it is sunk into."""
    return sunk_in(order, faces)


def measure(order: Order, part: Part | None, printed: Printed) -> dict[str, Any]:
    """From the STL: how far its face lies from the plane of its own cut, and how well its digits agree with those that belong there."""
    del part
    frame = order.frame
    xs, ys = (np.array([-1.0, 0.0, 1.0]) * (size / 2.0 - RIM_MM) for size in (order.width, order.height))
    rim = np.array([(x, y) for x in xs for y in ys if x or y])
    starts = frame.patient(np.column_stack([rim, np.full(len(rim), OUTSIDE_MM)]))
    met = starts - way(printed, starts, -frame.axes[2])[:, None] * frame.axes[2]
    off = np.abs((met - np.array(order.origin)) @ unit(np.array(order.normal)))
    worst = float(off[int(np.argmax(np.abs(off - order.off)))])
    return {"face_mm": worst if np.isfinite(worst) else None, "agrees": agreement(order, printed)}


def checks(order: Order, values: dict[str, Any]) -> list[Check]:
    """Whether it stands beside its own slot, and whether it can be read."""
    at, found = f"[{order.name}]", values.get("face_mm")
    return [
        kept(f"order_face{at}", None if found is None else abs(found - order.off), "mm", "<=", FACE_MM, place(order.at)),
        held(f"order_read{at}", values.get("agrees"), "", ">=", AGREES, "of the digits' area as drawn and as found, shared", where=place(order.at)),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    numbers = [f"{one['text']} on {one['name']}" for one in found]
    return [f"order engraved: {', '.join(numbers)}"]
