"""What a template on a donor's bone is given besides its site: where the donor is sawn, and where the graft meets its host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from psi_cad.resection.dust import resected
from psi_cad.resection.pieces import Resection
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import GraftTerm, Kerf
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import solid_of
from psi_cad.units import Array, Mm

__all__ = ["GraftSite"]


@dataclass(frozen=True)
class GraftSite:
    """A donor's bone and the cuts on it, in the donor's own frame, mm.

    Attributes
    ----------
    donor : str
        Its name.
    bone : Bone
        Its surface.
    cuts : mapping of name to PlannedCut
        Every cut that bounds the graft, where the donor's saw runs.
    faces : mapping of name to PlannedCut
        The same where the graft's faces are to lie.
    terms : mapping of name to GraftTerm
        Why they lie there.
    run_outs : mapping
        How far past the bone the saw runs.
    groups : tuple of str
        The pieces that come with this guide: each comes once, whatever guides the donor has.
    patient_from_donor : (4, 4)
        With a mirror image in it where the donor is of the other side.
    hosts : mapping of name to PlannedCut
        The faces of the bone that stays, patient frame.
    """

    donor: str
    bone: Bone
    cuts: Mapping[str, PlannedCut]
    faces: Mapping[str, PlannedCut]
    terms: Mapping[str, GraftTerm]
    run_outs: Mapping[str, Mm]
    groups: tuple[str, ...]
    patient_from_donor: Array
    hosts: Mapping[str, PlannedCut]

    @cached_property
    def left(self) -> Resection:
        """What the saw leaves of the donor's bone, as solids (Manifold), its kerf taken off.

        Raises
        ------
        CaseError
            Where the cuts do not free a graft.
        """
        kerfs = {name: Kerf("centre", term.donor_kerf) for name, term in self.terms.items()}
        solid = solid_of(self.bone.mesh, name=f"donor '{self.donor}'", key="donor")
        return resected(solid, self.bone.mesh, self.cuts, kerfs, self.run_outs)
