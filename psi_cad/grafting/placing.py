"""Where a donor's bone lies on the patient's, and the planned planes carried over to it, in the donor's own frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh

from psi_cad.anatomy.balls import sample_surface
from psi_cad.errors import CaseError
from psi_cad.frames import unit
from psi_cad.records.grafts import DonorFit
from psi_cad.registration.rigid import apply, inverse, rigid_from_points
from psi_cad.registration.surfaces import Patch, SurfaceFit, fit_surface, refuse_poor
from psi_cad.scene.bodies import Asked, Body, Scene
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.repair import Bone
from psi_cad.units import Array, Bools, Mm

__all__ = ["Placing", "donor_cuts", "mirror_of", "part_points", "placed"]

BESIDE_MM: Final[Mm] = 20.0
"""Bone that stays counts within so much of a cut's plane: there the graft is joined to it, and the plate goes over the joint."""
TUMOUR_MM: Final[Mm] = 5.0
"""Bone within so much of the tumour does not count: the tumour may have moved its surface."""
WHOLE: Final = 6000  # points
PART: Final = 2000
LANDMARKS_MM: Final[Mm] = 20.0
"""Root mean square by which landmarks of two people may miss each other; by more, one of them is set wrong."""
_MIRROR: Final = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Placing:
    """How a donor lies.

    Attributes
    ----------
    patient_from_donor : (4, 4)
        Rigid; with a mirror image in it where the donor is of the other side.
    mirrored : bool
    fit : SurfaceFit
        Of the donor, mirrored first where it is of the other side.
    landmarks : bool
        Whether it started from landmarks.
    """

    patient_from_donor: Array
    mirrored: bool
    fit: SurfaceFit
    landmarks: bool

    @property
    def donor_from_patient(self) -> Array:
        """The way back, (4, 4)."""
        return inverse(self.patient_from_donor)

    def direction(self, patient: Array) -> Array:
        """A direction (3,) of the patient frame in the donor's."""
        return unit(self.patient_from_donor[:3, :3].T @ patient)

    def report(self) -> DonorFit:
        """The numbers, rounded."""
        fit = self.fit
        return DonorFit(
            start="landmarks" if self.landmarks else "axes",
            residual_mm=round(fit.residual_mm, 4),
            median_mm=round(fit.median_mm, 4),
            p95_mm=round(fit.p95_mm, 4),
            overlap=round(fit.overlap, 4),
            uncertainty_mm=round(fit.uncertainty_mm, 4),
            rival_share=round(fit.rival_share, 4),
            landmark_rms_mm=None if fit.landmark_rms_mm is None else round(fit.landmark_rms_mm, 3),
            patient_from_donor=np.round(self.patient_from_donor, 9).tolist(),
        )


def placed(
    bone: trimesh.Trimesh,
    donor: trimesh.Trimesh,
    cuts: Mapping[str, PlannedCut],
    *,
    mirrored: bool,
    tumour: trimesh.Trimesh | None = None,
    landmarks: tuple[Array, Array] | None = None,
    name: str,
) -> Placing:
    """Fit a donor's surface to the part of the patient's bone that the cuts are on.

    Parameters
    ----------
    bone, donor : trimesh.Trimesh
        Closed; patient frame, and the donor's own, mm.
    cuts : mapping
        The planned cuts on the bone.
    mirrored : bool
        The donor is of the other side.
    tumour : trimesh.Trimesh, optional
        Bone near it does not count.
    landmarks : pair of (n, 3), optional
        The same n ≥ 3 places on the patient's bone and on the donor's.
    name : str
        Of the donor, for messages.

    Raises
    ------
    RegistrationError
        Where the fit is poor, or could be another.
    CaseError
        Where the landmarks of both do not belong together.
    """
    whole = _patch(bone, WHOLE)
    points = part_points(whole.points, cuts, tumour)
    part = Patch(whole.points[points], whole.normals[points]).few(PART)
    flip = _MIRROR if mirrored else np.eye(4)
    moving = mirror_of(donor) if mirrored else donor
    start = None
    if landmarks is not None:
        start, off = rigid_from_points(apply(flip, landmarks[1]), landmarks[0])
        if off > LANDMARKS_MM:
            text = f"landmarks of patient and donor miss each other by {off:.0f} mm (at most {LANDMARKS_MM:g} mm); check their names and frames"
            raise CaseError(f"{name}: the {text}{' and donor.side' if mirrored else ''}.")
    fit = fit_surface(part, whole, moving, _patch(moving, WHOLE), start=start, name=name)
    if landmarks is not None:
        missed = apply(fit.fixed_from_moving @ flip, landmarks[1]) - landmarks[0]
        fit = dataclasses.replace(fit, landmark_rms_mm=float(np.sqrt((missed**2).sum(axis=1).mean())))
    refuse_poor(fit, name=name)
    return Placing(fit.fixed_from_moving @ flip, mirrored, fit, landmarks is not None)


def mirror_of(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A surface mirrored left for right, its faces looking out."""
    return trimesh.Trimesh(apply(_MIRROR, np.asarray(mesh.vertices)), np.asarray(mesh.faces)[:, ::-1], process=False)


def part_points(points: Array, cuts: Mapping[str, PlannedCut], tumour: trimesh.Trimesh | None = None) -> Bools:
    """Which points (n, 3) of a bone's surface matter for a graft: those that are removed, or near a cut's plane, and not beside the tumour."""
    inside: Bools = np.zeros(len(points), dtype=bool)
    for group in dict.fromkeys(cut.group for cut in cuts.values()):
        mine = [(points - cut.origin) @ cut.normal > -BESIDE_MM for cut in cuts.values() if cut.group == group]
        inside |= np.all(mine, axis=0)
    if tumour is None:
        return inside
    far: Bools = np.ones(len(points), dtype=bool)
    low, high = np.asarray(tumour.bounds) + np.array([[-TUMOUR_MM], [TUMOUR_MM]])
    near = np.flatnonzero(inside & (points >= low).all(axis=1) & (points <= high).all(axis=1))
    far[near] = SignedDistance(tumour)(points[near]) > TUMOUR_MM
    return inside & far


def _patch(mesh: trimesh.Trimesh, count: int) -> Patch:
    sample = sample_surface(mesh, count)
    return Patch(sample.points, sample.normals)


def donor_cuts(placing: Placing, donor: Bone, cuts: Mapping[str, PlannedCut], *, body: str | None, name: str) -> dict[str, PlannedCut]:
    """The planned cuts carried over to the donor, each at the same plane; `body` names its bone. Donor frame.

    Raises
    ------
    CaseError
        Where the donor has no bone at one.
    SurfaceError
        Where its mesh is not sound at one.
    """
    asked: Sequence[Asked] = [
        Asked(
            cut.name,
            body,
            apply(placing.donor_from_patient, cut.origin[None])[0],
            placing.direction(cut.normal),
            cut.extent,
            cut.group,
        )
        for cut in cuts.values()
    ]
    try:
        return Scene((Body(body, donor),)).planned(asked)
    except CaseError as error:
        named = next((cut.name for cut in cuts.values() if str(error).startswith(f"cut '{cut.name}'")), None)
        which = "a cut" if named is None else f"cut '{named}'"
        raise CaseError(
            f"{name}: {which}, carried over to the donor, does not meet it as it meets the patient's bone; take another donor."
        ) from error
