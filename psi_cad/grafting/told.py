"""Grafts and donors as people read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from psi_cad.records.grafts import DonorsRanked, GraftSaid

__all__ = ["graft_lines", "ranking_lines"]

HEAD: Final = ("rank", "donor", "score mm", "step mm", "covered", "size", "residual mm", "uncertain mm")


def graft_lines(graft: GraftSaid | None) -> list[str]:
    """Of a guide on a donor: where it is sawn, term by term, and how the graft meets its host."""
    told = []
    for face in () if graft is None else graft.faces:
        terms = (
            f"{face.patient_shift_mm:+.3f} {face.fit_mm:+.3f} − ({face.patient_kerf_mm:.3f} + {face.donor_kerf_mm:.3f}) / 2 = {face.shift_mm:+.3f} mm"
        )
        told.append(f"  graft at {face.cut}: the donor is sawn at {terms} (plan, fit, kerfs of {face.patient_blade} and {face.donor_blade})")
        if face.met is not None:
            step = f"step of the rims {face.met.step_median_mm:.2f} mm median, {face.met.step_p95_mm:.2f} for 95 %"
            told.append(f"    it covers {face.met.covered:.0%} of the host's face, {face.met.overhang:.0%} of it overhangs; {step}")
    return told


def ranking_lines(found: DonorsRanked, table: Callable[[Sequence[Sequence[object]], Sequence[str]], str]) -> list[str]:
    """A ranking of donors; `table` lays rows out under a head."""
    rows = [
        [
            one.rank,
            f"{one.file} (mirrored)" if one.mirrored else one.file,
            f"{one.score_mm:.2f}",
            f"{one.step_rms_mm:.2f}",
            f"{min(face.covered for face in one.faces):.0%}",
            f"{one.size_percent:+.1f} %",
            f"{one.fit.residual_mm:.2f}",
            f"{one.fit.uncertainty_mm:.2f}",
        ]
        for one in found.donors
    ]
    told = table(rows, HEAD).splitlines() if rows else ["No donor of this folder serves."]
    if any(one.mirrored for one in found.donors):
        told.append(
            "mirrored: the donor is of the other side, and these numbers are of its mirror image; what is cut of it is not, so the surgeon decides"
        )
    return [*told, *(f"refused: {one.file}: {one.reason}" for one in found.refused)]
