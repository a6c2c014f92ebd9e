"""Whether a tumour lies where the bones are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from psi_cad.errors import CaseError
from psi_cad.frames import distance_to_box, patient_from_ras
from psi_cad.surface.repair import Bone
from psi_cad.units import Array, Mm

__all__ = ["refuse_apart"]

APART_MM: Final[Mm] = 20.0  # from the box round the bone: a tumour this far away is not of this bone


def refuse_apart(tumour: Array, bones: Sequence[Bone], *, name: str) -> None:
    """Refuse a tumour (points (n, 3), patient mm) that lies nowhere near a bone: it was read in another frame, or belongs to another scan.

    Raises
    ------
    CaseError
    """

    def away(points: Array) -> Mm:
        return min(float(distance_to_box(points, *np.asarray(bone.mesh.bounds)).min()) for bone in bones)

    apart = away(tumour)
    if apart <= APART_MM:
        return
    turned = away(patient_from_ras(tumour)) <= APART_MM
    hint = "the other coordinates (LPS or RAS) would bring it there: check tumour.coordinates" if turned else "check its frame and units"
    raise CaseError(f"tumour: '{name}' lies {apart:.0f} mm from the bone; {hint}.")
