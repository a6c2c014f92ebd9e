"""Whether the landmarks of a pelvis can be where they are said to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import trimesh

from psi_cad.errors import CaseError
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.trust import at
from psi_cad.units import Mm

__all__ = ["refuse_far"]

OFF_BONE_MM: Final[Mm] = 10.0  # a spine that is clicked on the skin, or on another bone, lies further
SPINES_MM: Final = (160.0, 320.0)  # between both anterior superior spines of adults, with room


def refuse_far(landmarks: Mapping[str, Sequence[float]], bone: trimesh.Trimesh) -> None:
    """Refuse spines that do not lie as they do on any pelvis: that of this side lies on `bone`, the hip bone that stays, the other far from it.

    Raises
    ------
    CaseError
    """
    if "asis" not in landmarks or "asis-other-side" not in landmarks:
        return  # told by what needs them
    own, other = (np.asarray(landmarks[name], dtype=np.float64) for name in ("asis", "asis-other-side"))
    off, off_other = (abs(float(value)) for value in SignedDistance(bone)(np.stack([own, other])))
    if off > OFF_BONE_MM and off_other < off:
        raise CaseError(
            f"landmarks: 'asis-other-side' lies {off_other:.0f} mm from the bone that the stem goes into and 'asis' {off:.0f} mm: they are swapped; "
            "'asis' is the spine of that bone's own side."
        )
    if off > OFF_BONE_MM:
        raise CaseError(f"landmarks.asis: {at(own)} lies {off:.0f} mm off the bone that the stem goes into; click the spine on its surface.")
    apart = float(np.linalg.norm(own - other))
    if not SPINES_MM[0] <= apart <= SPINES_MM[1]:
        raise CaseError(
            f"landmarks.asis-other-side: the two spines lie {apart:.0f} mm apart, and on adults {SPINES_MM[0]:g} to {SPINES_MM[1]:g}; check them, "
            "and that the case's coordinates are LPS."
        )
