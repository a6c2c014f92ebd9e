"""The kerf: how wide the saw cuts, on which side of a planned plane that lies, and the cuts moved to its faces or its middle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import shapely

from psi_cad.case.model import Blade, KerfSide
from psi_cad.errors import CaseError
from psi_cad.scene.cuts import PlannedCut, cut_short, within_extent
from psi_cad.surface.section import section_parts
from psi_cad.surface.trust import at
from psi_cad.units import Mm

if TYPE_CHECKING:
    import trimesh

__all__ = ["CLEARANCE_MM", "GraftTerm", "Kerf", "blade_kerf", "blade_shift", "moved_cuts", "specimen_faces"]

CLEARANCE_MM: Final[Mm] = 0.15  # of a slot, where a template has no such parameter: the middle of the binding 0.1–0.2


def blade_kerf(blade: Blade, clearance: Mm) -> Mm:
    """How wide a blade cuts: its measured kerf, else its thickness and the slot's clearance, in which it can lean to either side."""
    return blade.kerf if blade.kerf is not None else blade.thickness + clearance


def blade_shift(side: KerfSide, kerf: Mm) -> Mm:
    """How far along a cut's normal the middle of a kerf lies from the planned plane: there the blade runs.

    >>> [blade_shift(side, 1.0) for side in ("centre", "specimen", "retained")]
    [0.0, 0.5, -0.5]
    """
    return {"centre": 0.0, "specimen": kerf / 2.0, "retained": -kerf / 2.0}[side]


class Surfaced(Protocol):
    """What has a closed surface, patient mm."""

    @property
    def mesh(self) -> trimesh.Trimesh: ...


@dataclass(frozen=True)
class Kerf:
    """The slab that the saw removes at a cut; `width` is None where no guide takes the cut, and so no blade is known."""

    side: KerfSide = "centre"
    width: Mm | None = None

    @property
    def high(self) -> Mm:
        """Where the specimen's face lies, along the cut's normal from its plane."""
        return blade_shift(self.side, self.width or 0.0) + (self.width or 0.0) / 2.0

    @property
    def low(self) -> Mm:
        """Where the face of the bone that stays lies, along the cut's normal from its plane."""
        return self.high - (self.width or 0.0)


@dataclass(frozen=True)
class GraftTerm:
    """Where a donor is sawn for one cut: the terms of the sum, mm along the cut's normal, which looks towards specimen and graft.

    The host's face lies half a kerf of the patient's saw below the middle of its kerf, and the graft's face half a kerf of the donor's saw above the
    middle of that. So the graft's face lies `fit` from the host's where the donor is sawn at `shift` from the planned plane.

    >>> term = GraftTerm("A", "centre", fit=0.2, patient_blade="p", patient_kerf=1.0, donor_blade="d", donor_kerf=1.4)
    >>> round(term.shift, 3), round(term.face, 3), round(term.host, 3)
    (-1.0, -0.3, -0.5)
    """

    cut: str
    side: KerfSide
    fit: Mm
    patient_blade: str
    patient_kerf: Mm
    donor_blade: str
    donor_kerf: Mm

    @property
    def patient_shift(self) -> Mm:
        """Where the middle of the kerf lies on the patient."""
        return blade_shift(self.side, self.patient_kerf)

    @property
    def host(self) -> Mm:
        """Where the face of the bone that stays lies on the patient."""
        return self.patient_shift - self.patient_kerf / 2.0

    @property
    def shift(self) -> Mm:
        """Where the middle of the kerf lies on the donor: fit − (kerf of the patient's saw + kerf of the donor's saw) / 2, from the patient's."""
        return self.patient_shift + self.fit - (self.patient_kerf + self.donor_kerf) / 2.0

    @property
    def face(self) -> Mm:
        """Where the graft's face lies."""
        return self.shift + self.donor_kerf / 2.0


def specimen_faces(bone: Surfaced, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf]) -> dict[str, PlannedCut]:
    """The cuts as the faces that are left on the specimen once the kerf is gone.

    Raises
    ------
    CaseError
    """
    return moved_cuts(bone, cuts, {name: kerf.high for name, kerf in kerfs.items()})


def moved_cuts(bone: Surfaced, cuts: Mapping[str, PlannedCut], by: Mapping[str, Mm]) -> dict[str, PlannedCut]:
    """The cuts with their planes moved along their normals, mm: the same bone, held by the same neighbours, which move too.

    What does not move, and has no neighbour that does, is given back as it is.

    Raises
    ------
    CaseError
        Where a plane meets no bone there.
    """
    if not any(by.values()):
        return dict(cuts)
    raw = {name: _moved(bone, cut, by.get(name, 0.0)) for name, cut in cuts.items()}
    found = {}
    for name, cut in cuts.items():
        around = [other for other in cuts.values() if other.name in cut.neighbours or other.group in cut.beside]
        if not by.get(name) and not any(by.get(other.name) for other in around):
            found[name] = cut
            continue
        found[name] = cut_short(raw[name], [other for other in raw.values() if other.name != name])
        if found[name].section.area <= 0.0:
            raise _nothing(cut)
    return found


def _moved(bone: Surfaced, cut: PlannedCut, by: Mm) -> PlannedCut:
    """One cut moved, not yet cut short by others: all bone in the moved plane that the planned section lies over."""
    if by == 0.0:
        return replace(cut, section=within_extent(cut.whole, cut.extent), bounds=())
    origin = cut.origin + by * cut.normal
    parts = section_parts(bone.mesh, origin=origin, axes=cut.axes)
    shared = [float(part.intersection(cut.whole).area) for part in parts]
    mine = [part for part, area in zip(parts, shared, strict=True) if area > 0.0]
    if not mine:
        raise _nothing(cut)
    main = max(range(len(parts)), key=lambda n: shared[n])
    section = within_extent(shapely.union_all(mine), cut.extent)
    others = tuple(part for part, area in zip(parts, shared, strict=True) if area <= 0.0)
    return replace(cut, origin=origin, whole=parts[main], section=section, others=others, bounds=())


def _nothing(cut: PlannedCut) -> CaseError:
    return CaseError(
        f"cut '{cut.name}': a saw's width beside its plane lies no more bone, near {at(cut.origin)}; move the cut into the bone.",
    )
