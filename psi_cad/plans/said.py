"""Numbers of a plan as its report holds them: rounded, and the least or worst of several cuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psi_cad.records.bones import Retained
from psi_cad.records.plan import CutSaid
from psi_cad.resection.margins import MarginClass
from psi_cad.resection.pieces import Resection
from psi_cad.units import Array, Mm

__all__ = ["least", "least_sawn", "retained_said", "rounded", "triple", "worst"]

ORDER: Final[dict[MarginClass, int]] = {"R0": 0, "R1": 1, "R2": 2}


def rounded(value: Any, digits: int = 3) -> float:
    """A number as it is written; never a negative zero."""
    return round(float(value), digits) + 0.0


def triple(values: Array, digits: int = 4) -> list[float]:
    """A point or direction (3,) as it is written."""
    return [rounded(v, digits) for v in values]


def least(values: Iterable[Mm | None]) -> Mm | None:
    """The least of the values that are known; None where none is."""
    return min((value for value in values if value is not None), default=None)


def least_sawn(cuts: Sequence[CutSaid]) -> Mm | None:
    """The least sawn margin of all cuts; None where one of them has none, because it could be that one's."""
    sawn = [cut.margin_sawn_mm for cut in cuts]
    return None if None in sawn else least(sawn)


def worst(cuts: Sequence[CutSaid]) -> MarginClass | None:
    """The worst class of all cuts; None where none has one."""
    return max((cut.class_ for cut in cuts if cut.class_ is not None), key=lambda kind: ORDER[kind], default=None)


def retained_said(found: Resection) -> Retained:
    """What is said of the bone that stays."""
    pieces = [rounded(piece.volume()) for piece in found.retained]
    return Retained(volume_mm3=rounded(sum(piece.volume() for piece in found.retained)), pieces=len(pieces), pieces_mm3=pieces)
