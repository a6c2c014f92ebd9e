"""`psi-cad donors`: a folder of donor bones, ranked for the cuts of a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psi_cad.case.load import LoadedCase
from psi_cad.errors import CaseError
from psi_cad.grafting.ranking import files_in, ranked
from psi_cad.intake.bones import read_bones
from psi_cad.intake.prepare import planned_cuts
from psi_cad.intake.sources import tumour_source
from psi_cad.records.grafts import DonorsRanked
from psi_cad.scene.bodies import on
from psi_cad.units import MM_PER_UNIT

__all__ = ["rank_donors"]


def rank_donors(
    loaded: LoadedCase, folder: Path, *, bone: str | None = None, units: str = "mm", coordinates: str = "LPS", progress: Callable[[str], None]
) -> DonorsRanked:
    """Every surface in `folder` as a donor for the cuts on one bone of the case (`bone`; by default that of [donor], or the one with cuts).

    Raises
    ------
    PsiCadError
        Where the case cannot be used, or the folder holds no surface; what is wrong with one donor is told with it.
    """
    for option, value, known in (("--units", units, (*MM_PER_UNIT,)), ("--coordinates", coordinates, ("LPS", "RAS"))):
        if value not in known:
            raise CaseError(f"{option} {value}: must be one of {', '.join(known)}.")
    files, case = files_in(folder), loaded.case
    names = [one.name for one in case.bones]
    wanted = bone if bone is not None else None if case.donor is None else case.donor.bone
    if wanted is None and len(names) == 1:
        wanted = names[0]
    if wanted not in names:
        if names == [None]:
            raise CaseError(f"--bone {wanted}: the only bone of this case has no name; leave --bone out.")
        raise CaseError(f"--bone: name the bone that the donor replaces, one of {', '.join(str(name) for name in names)}.")
    read = read_bones(loaded, progress=progress)
    progress("plan the cuts")
    cuts = on(wanted, planned_cuts(loaded, read.scene))
    if not cuts:
        raise CaseError(f"{loaded.path.name}: there is no [[cut]] on bone '{wanted}'; a donor is judged at the cuts.")
    tumour = tumour_source(loaded, progress=progress)
    return ranked(
        case.id,
        read.scene.body(wanted).bone,
        cuts,
        files,
        name=wanted if len(names) > 1 else None,
        side=case.side_of(case.bones[names.index(wanted)]),
        units=units,
        coordinates=coordinates,
        tumour=None if tumour is None else tumour.mesh,
        progress=progress,
    )
