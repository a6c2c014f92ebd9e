"""Which donor of a folder fits a case best: at its osteotomies, and in size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.anatomy.side import verdict_of
from psi_cad.errors import InputError, PsiCadError
from psi_cad.grafting.contact import face_met, on_host, steps
from psi_cad.grafting.placing import Placing, donor_cuts, placed
from psi_cad.phantom.femur import references
from psi_cad.records.grafts import DonorsRanked, RankedDonor, RefusedDonor
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.mesh_files import SUFFIXES, read_surface
from psi_cad.surface.repair import Bone, checked_bone, outside_of
from psi_cad.units import Mm

__all__ = ["PERCENT_MM", "files_in", "ranked"]

PERCENT_MM: Final[Mm] = 0.5
"""What one percent of size counts: over a part of 100 mm it is 1 mm at the far end, and half of that in the middle."""
LEAST_SIZE, MOST_SIZE = 0.6, 1.6  # of the patient's bone; beyond that it is another bone, or in another unit


def files_in(folder: Path) -> list[Path]:
    """The surfaces in a folder, by name.

    Raises
    ------
    InputError
        Where there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: this is no folder; name the folder that holds the donors' surfaces.")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder}: there is no surface in this folder ({', '.join(SUFFIXES)}).")
    return found


def ranked(
    case: str,
    bone: Bone,
    cuts: Mapping[str, PlannedCut],
    files: list[Path],
    *,
    name: str | None = None,
    side: str,
    units: str,
    coordinates: str,
    tumour: trimesh.Trimesh | None = None,
    progress: Callable[[str], None],
) -> DonorsRanked:
    """Fit every donor, and rank those that serve. One whose shape tells its side is taken as of that side; of another both ways are tried.

    Parameters
    ----------
    bone, cuts
        The patient's bone and the planned cuts on it.
    name, side : str
        The bone's name, where there are several, and its side.
    """
    found, refused = list[RankedDonor](), list[RefusedDonor]()
    for number, path in enumerate(files, start=1):
        progress(f"donor {number} of {len(files)}: {path.name}")
        try:
            found.append(_judged(path, bone, cuts, side=side, units=units, coordinates=coordinates, tumour=tumour))
        except PsiCadError as error:
            refused.append(RefusedDonor(file=path.name, reason=str(error).replace("bone.surface: ", "")))
    found.sort(key=lambda donor: (donor.score_mm, donor.file))
    ordered = [donor.but(rank=rank) for rank, donor in enumerate(found, start=1)]
    of_bone = {} if name is None else {"bone": name}
    return DonorsRanked(case=case, **of_bone, donors=ordered, refused=refused)


def _judged(
    path: Path,
    bone: Bone,
    cuts: Mapping[str, PlannedCut],
    *,
    side: str,
    units: str,
    coordinates: str,
    tumour: trimesh.Trimesh | None,
) -> RankedDonor:
    own = None if path.suffix.lower() == ".3mf" else units
    donor = checked_bone(read_surface(path, units=own, coordinates=coordinates, key="donors"), name=path.name, units=own)
    size = (abs(float(donor.mesh.volume)) / abs(float(bone.mesh.volume))) ** (1.0 / 3.0)
    if not LEAST_SIZE <= size <= MOST_SIZE:
        raise InputError(
            f"{path.name}: by its volume it is {size:.2f} times as long as the patient's bone ({LEAST_SIZE:g} to {MOST_SIZE:g}); "
            "check --units, or it is another bone."
        )
    shape = verdict_of(outside_of(donor), references())
    ways = [False, True] if shape.hand is None or side == "midline" else [shape.hand != side]
    placings, why = list[Placing](), list[PsiCadError]()
    for mirrored in ways:
        try:
            placings.append(placed(bone.mesh, donor.mesh, cuts, mirrored=mirrored, tumour=tumour, name="the donor"))
        except PsiCadError as error:
            why.append(error)
    if not placings:
        raise why[0]
    placing = min(placings, key=lambda one: one.fit.residual_mm)
    carried = donor_cuts(placing, donor, cuts, body=None, name="the donor")
    met = {key: on_host(carried[key].section, carried[key], placing.patient_from_donor, cut) for key, cut in cuts.items()}
    away = np.concatenate([steps(cut.section, met[key]) for key, cut in cuts.items()])
    step, percent = float(np.sqrt((away**2).mean())), 100.0 * (size - 1.0)
    return RankedDonor(
        rank=0,
        file=path.name,
        side=shape.hand,
        mirrored=placing.mirrored,
        score_mm=round(step + PERCENT_MM * abs(percent), 3),
        step_rms_mm=round(step, 3),
        size_percent=round(percent, 2),
        fit=placing.report(),
        faces=[face_met(key, cut.section, met[key]) for key, cut in cuts.items()],
    )
