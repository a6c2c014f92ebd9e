"""Metal sleeves for the wires' holes: one for each, where its seat leaves a shoulder and enough of the hole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.frames import triple
from psi_cad.options.insert import Insert
from psi_cad.siting.pins import Pin
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["place_inserts", "refuse_shoulderless"]

SHOULDER_MM: Final[Mm] = 0.5  # all round, on which it stands
UNDER_MM: Final[Mm] = 2.0  # of the wire's hole, that is left below it


def place_inserts(
    pins: Sequence[Pin], seat: HeightSpline, *, diameter: Mm, length: Mm, fit: Mm, compensation: Mm, bore: Mm, wall: Mm, top: Mm
) -> tuple[Insert, ...]:
    """One for every wire, flush with its sleeve's top.

    Raises
    ------
    DesignError
        Where it would leave no shoulder to stand on, or too little of the hole below; it names the parameter.
    """
    where = np.array([*pins[0].centre, 0.0])
    refuse_shoulderless(diameter=diameter, length=length, fit=fit, bore=bore, top=top, where=where)
    sizes = (diameter, length, diameter + fit + compensation, bore + compensation, wall)
    ends = [pin.stands(seat, top)[1] for pin in pins]
    return tuple(Insert(f"pin {number}", triple(end), pin.out, *sizes) for number, (pin, end) in enumerate(zip(pins, ends, strict=True), start=1))


def refuse_shoulderless(*, diameter: Mm, length: Mm, fit: Mm, bore: Mm, top: Mm, where: Array | None = None) -> None:
    """Refuse a metal sleeve that has no shoulder, or no printed sleeve below it; on whatever bone.

    Raises
    ------
    DesignError
        It names the parameter.
    """
    if diameter + fit < bore + 2.0 * SHOULDER_MM:
        raise DesignError(
            f"params.insert_diameter = {diameter:g}: it has no shoulder to stand on round a hole of {bore:g} mm; "
            f"take one of {bore + 2.0 * SHOULDER_MM - fit:.1f} mm at least, or a thinner wire_diameter.",
            where=where,
        ).on_any_seat()
    if length > top - UNDER_MM:
        raise DesignError(
            f"params.insert_length = {length:g}: it would leave {top - length:.1f} mm of the sleeve below it, and {UNDER_MM:g} mm is the least; "
            f"raise sleeve_height to {length + UNDER_MM:g}, or take a shorter one.",
            where=where,
        ).on_any_seat()
