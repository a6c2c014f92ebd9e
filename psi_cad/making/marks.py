"""What is drawn into a guide's picture once its files are measured."""

from __future__ import annotations

from psi_cad.records.guide import MeasuredFiles, MeasuredSeat
from psi_cad.remedies.mending import sentence
from psi_cad.report.lettering import Arrow
from psi_cad.report.pictures import Mark

__all__ = ["marks_of", "weakest"]


def marks_of(measured: MeasuredFiles) -> list[Mark]:
    """The places of the checks that failed."""
    return [Mark((x, y, z), sentence(check.to_json()).replace("`", "")) for check in measured.failed if check.where for x, y, z in [check.where]]


def weakest(seat: MeasuredSeat) -> Arrow:
    """The direction in which a guide's contact holds it least, about the middle of that contact."""
    (x, y, z), (u, v, w) = seat.contact_middle_mm, seat.weakest_direction or (0.0, 0.0, 0.0)
    return Arrow(
        (x, y, z),
        (u, v, w),
        f"held least this way and back (lock {seat.sliding_lock or 0.0:.2f}): {seat.weakest_in_words}",
        either_way=True,
    )
