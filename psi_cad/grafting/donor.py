"""The donor of a case, as checked values: where it lies on the patient's bone, the planes carried over, and what a guide on it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh

from psi_cad.anatomy.side import BONE_NAMES, verdict_of
from psi_cad.case.donor import Donor
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import GuideRequest
from psi_cad.errors import CaseError, PsiCadError
from psi_cad.files import sha256_of
from psi_cad.findings import Caution
from psi_cad.grafting.placing import Placing, donor_cuts, placed
from psi_cad.parts.grafts import GraftSite
from psi_cad.phantom.femur import references
from psi_cad.records.grafts import DonorSaid
from psi_cad.registration.rigid import apply
from psi_cad.sawing.kerfs import Sawing, graft_terms
from psi_cad.scene.bodies import Body, Scene, on
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.mesh_files import read_surface
from psi_cad.surface.repair import checked_bone, outside_of

__all__ = ["DonorRead", "read_donor"]


@dataclass(frozen=True)
class DonorRead:
    """A donor's bone as it lies in its own frame.

    `scene` holds it under the name of the patient's bone that it replaces, `cuts` are the planned planes carried over; `patient` and `planned` are
    the patient's bones and the cuts on them.
    """

    source: Donor
    scene: Scene
    placing: Placing
    cuts: Mapping[str, PlannedCut]
    said: DonorSaid
    patient: Scene
    planned: Mapping[str, PlannedCut]
    cautions: tuple[Caution, ...]

    def carried(self, request: GuideRequest) -> GuideRequest:
        """A guide of the case with its approach in the donor's frame."""
        x, y, z = (float(v) for v in self.placing.direction(np.array(request.approach)))
        return request.model_copy(update={"approach": (x, y, z)})

    def tells(self, error: PsiCadError) -> None:
        """A refusal with a place on the donor: the text says in whose frame it is told, and `where` is the same place on the patient."""
        if error.where is None:
            return
        x, y, z = (round(float(v), 2) for v in apply(self.placing.patient_from_donor, np.array([error.where]))[0])
        error.where = (x, y, z)
        error.args = (f"donor '{self.source.name}', in its own frame: {error}",)

    def graft(self, loaded: LoadedCase, sawing: Sawing, own: Sequence[Sawing]) -> GraftSite:
        """What one guide on the donor is given.

        Raises
        ------
        CaseError
            Where a kerf is not known, or a plane moved by the kerfs meets no bone.
        """
        case = loaded.case
        terms, body = graft_terms(case, sawing, own), self.scene.bodies[0]
        try:
            sawn = self.scene.moved(self.cuts, {name: term.shift for name, term in terms.items()})
            faces = self.scene.moved(self.cuts, {name: term.face for name, term in terms.items()})
            hosts = on(body.name, self.patient.moved(self.planned, {name: term.host for name, term in terms.items()}))
        except CaseError as error:
            raise CaseError(f"guide '{sawing.request.name}': on the donor or its host, {error}", where=error.where) from error
        first = {cut.group: cut.name for cut in reversed(case.cut) if cut.name in terms}
        groups = tuple(group for group, cut in first.items() if cut in sawing.request.cuts)
        run_outs = dict.fromkeys(terms, sawing.params.run_out)
        return GraftSite(self.source.name, body.bone, sawn, faces, terms, run_outs, groups, self.placing.patient_from_donor, hosts)


def read_donor(loaded: LoadedCase, patient: Scene, planned: Mapping[str, PlannedCut], tumour: trimesh.Trimesh | None) -> DonorRead:
    """The donor of a case, which names one.

    Raises
    ------
    PsiCadError
        Where its surface cannot be trusted, its shape is of another side than the case says, or it does not fit.
    """
    case = loaded.case
    source = case.donor
    assert source is not None  # a template that needs a donor is refused in a case without one
    what, name = f"donor '{source.name}'", source.bone if len(case.bones) > 1 else case.bones[0].name
    try:
        path = loaded.resolve(source.surface)
        mesh = read_surface(path, units=source.units, coordinates=source.coordinates, key="donor.surface")
        bone = checked_bone(mesh, name=path.name, units=source.units)
    except PsiCadError as error:
        raise type(error)(str(error).replace("bone.", "donor."), where=error.where, reason=error.reason) from error
    shape = verdict_of(outside_of(bone), references())
    if shape.hand is not None and source.side != shape.hand:
        raise CaseError(
            f'{loaded.path.name}: donor.side = "{source.side}", but by its shape this is a {shape.hand} {BONE_NAMES[shape.bone or "hip"]}.'
        )
    side = case.side_of(next(one for one in case.bones if one.name == name))
    cuts, mirrored = on(name, planned), source.side != side
    marks = None
    if source.landmarks:
        both = list(source.landmarks)
        marks = np.array([case.landmarks[key] for key in both]), np.array([source.landmarks[key] for key in both])
    placing = placed(patient.body(name).bone.mesh, bone.mesh, cuts, mirrored=mirrored, tumour=tumour, landmarks=marks, name=what)
    carried = donor_cuts(placing, bone, cuts, body=name, name=what)
    of_bone: dict[str, Any] = {"bone": name} if len(case.bones) > 1 else {}
    said = DonorSaid.model_validate(
        {
            "name": source.name,
            "file": path.name,
            "sha256": sha256_of(path),
            "side": source.side,
            **of_bone,
            "mirrored": mirrored,
            "fit": placing.report().to_json(),
            "triangles": len(bone.mesh.faces),
            "extent_mm": [round(float(v), 3) for v in bone.mesh.extents],
            "repairs": [dataclasses.asdict(repair) for repair in bone.repairs],
            "kept_clear_of": [defect.to_json() for defect in bone.defects],
        }
    )
    told = _cautions(what, placing, verified=shape.hand is not None or source.side == "midline")
    return DonorRead(source, Scene((Body(name, bone),)), placing, carried, said, patient, planned, told)


def _cautions(what: str, placing: Placing, *, verified: bool) -> tuple[Caution, ...]:
    """What a person must know of a donor."""
    fit = placing.fit
    told = [
        Caution(
            "donor-fit",
            f"{what} lies {fit.residual_mm:.2f} mm off the part of the bone that the cuts are on, {fit.overlap:.0%} of it within 5 mm, and may lie "
            f"otherwise by {fit.uncertainty_mm:.2f} mm: look at the graft in its host",
        )
    ]
    if placing.mirrored:
        told.append(
            Caution(
                "donor-mirrored",
                f"{what} is of the other side: its planes are mirrored, and the graft is a mirror image of what fills the defect",
            )
        )
    if not verified:
        told.append(Caution("side-not-verified", f"the side of {what} is not verified: its shape does not tell it"))
    return tuple(told)
