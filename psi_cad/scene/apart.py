"""Whether a tumour lies where the bones are, and on the side of the cuts that is taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from psi_cad.errors import CaseError
from psi_cad.frames import distance_to_box, patient_from_ras
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.repair import Bone
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["refuse_apart", "refuse_behind"]

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


def refuse_behind(tumour: Array, cuts: Mapping[str, PlannedCut], *, name: str) -> None:
    """Refuse a tumour (points (n, 3), patient mm) of which no group of cuts takes out anything: a normal is turned round.

    Cuts of a group that do not cross are left to the plan, which knows what hangs together.

    Raises
    ------
    CaseError
    """
    if not cuts:
        return
    behind = list[str]()
    for group in {cut.group for cut in cuts.values()}:
        own = [cut for cut in cuts.values() if cut.group == group]
        above = np.array([(tumour - cut.origin) @ cut.normal > 0.0 for cut in own])
        if above.all(axis=0).any() or any(len(cut.neighbours) < len(own) - 1 for cut in own):
            return
        behind += [cut.name for cut, some in zip(own, above, strict=True) if not some.any()]
    which = f"cut{'s' if len(behind) > 1 else ''} {', '.join(repr(one) for one in sorted(behind))}" if behind else "the cuts"
    middle = tumour.mean(axis=0)
    raise CaseError(
        f"{which}: the tumour '{name}', near {at(middle)}, lies wholly on the side that stays; a normal looks towards what is taken out: "
        f"turn {'it' if len(behind) == 1 else 'the wrong one'} round, or move the cut.",
        where=middle,
    )
