"""One measured number held against its limit."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from psi_cad.findings import Check, Place, place_of
from psi_cad.promises.expected import Expected
from psi_cad.units import Array

__all__ = ["UNMEASURED", "held", "in_patient"]

UNMEASURED: Final = 1e9  # stands in JSON for a number that could not be measured; it fails every limit


def held(
    id: str, value: float | None, unit: str, rule: Literal["<=", ">=", "=="], limit: float, note: str = "", *, where: Place | None = None
) -> Check:
    """The check of a value, which fails where it was not measured."""
    number = float(value) if value is not None and np.isfinite(value) else (-UNMEASURED if rule == ">=" else UNMEASURED)
    passed = {"<=": number <= limit, ">=": number >= limit, "==": number == limit}[rule]
    return Check(id, round(number, 5), unit, rule, limit, bool(passed), note, where)


def in_patient(expected: Expected, point: Array | None) -> Place | None:
    """A point (3,) of the guide frame as a place."""
    return None if point is None else place_of(expected.frame.patient(point))
