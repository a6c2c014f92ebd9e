"""Why a proposed plane went as far as it did and no farther, and what it costs in length and area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.plans.slots import run_out_of
from psi_cad.records.plan import MovedCut
from psi_cad.resection.avoid import face_distance
from psi_cad.resection.optimise import CELL_MM, PlaneSearch
from psi_cad.units import Deg, Mm

if TYPE_CHECKING:
    from psi_cad.plans.evaluated import Evaluated
    from psi_cad.plans.patient import Patient

__all__ = ["moved", "stopped_by"]

MARGIN_MM: Final[Mm] = 0.02  # a plane is brought to the wanted margin within a few steps of 0.005 mm
BOUND_MM: Final[Mm] = 0.01
BOUND_DEG: Final[Deg] = 0.05


def moved(patient: Patient, given: Evaluated, found: Evaluated, search: PlaneSearch, *, max_angle: Deg, refused: str | None) -> list[MovedCut]:
    """For each cut how it was moved (turned by degrees, shifted by mm along its new normal at the surgeon's origin), why no farther, what that costs.

    Parameters
    ----------
    search : PlaneSearch
        That found the planes.
    max_angle : degrees
        By which planes could turn at first.
    refused : str or None
        Why planes that go farther were not taken, where some were refused.
    """
    before, after = ({cut.name: cut for cut in plan.report.cuts} for plan in (given, found))
    rows = []
    for name in found.cuts:
        turned, shifted = _way(given, found, name)
        kind, why = stopped_by(patient, given, found, search, name, max_angle=max_angle, refused=refused)
        rows.append(
            MovedCut(
                cut=name,
                turned_deg=round(turned, 3),
                shifted_mm=round(shifted, 3),
                stopped_by=kind,
                why=why,
                length_change_mm=round(after[name].length_mm - before[name].length_mm, 3),
                area_change_mm2=round(after[name].area_mm2 - before[name].area_mm2, 3),
            )
        )
    return rows


def _way(given: Evaluated, found: Evaluated, name: str) -> tuple[Deg, Mm]:
    before, cut = given.cuts[name], found.cuts[name]
    turned = float(np.degrees(np.arccos(np.clip(before.normal @ cut.normal, -1.0, 1.0))))
    return turned, float((cut.origin - before.origin) @ cut.normal)


def stopped_by(
    patient: Patient, given: Evaluated, found: Evaluated, search: PlaneSearch, name: str, *, max_angle: Deg, refused: str | None
) -> tuple[str, str]:
    """What keeps a cut from going farther, as one word or two, and as a sentence."""
    if name not in search.moving:
        return "declared", "it is declared positive and stays where it was given"
    cut, margin, wanted = found.cuts[name], found.margins[name].sawn.distance, search.bounds.margin
    turned, shifted = _way(given, found, name)
    turn = f"; it turned by the {max_angle:g}° that --max-angle allows" if max_angle > 0.0 and turned >= max_angle - BOUND_DEG else ""
    if margin - wanted <= MARGIN_MM:
        return "margin", f"{margin:.2f} mm are left to the tumour, and {wanted:g} mm are to be kept{turn}"
    run_out = run_out_of(given.slots, name)
    for structure in patient.avoid:
        away = face_distance(cut, structure, run_out=run_out, kerf=patient.kerfs[name], face=found.faces[name]).distance
        if away - structure.distance <= 2.0 * CELL_MM:
            return f"structure {structure.name}", f"{structure.name} lies {away:.1f} mm away, and {structure.distance:g} mm are to be kept{turn}"
    if shifted >= search.bounds.shift - BOUND_MM:
        return "bound", f"it moved by the {search.bounds.shift:g} mm that --max-shift allows{turn}"
    if refused is not None:
        return "check", f"planes that go farther were refused: {refused}"
    return "search", f"no better plane was found within the bounds{turn}"
