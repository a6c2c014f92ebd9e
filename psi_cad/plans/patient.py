"""What the planes of a plan are held against: the patient's bone, tumour and structures, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from psi_cad.case.load import LoadedCase
from psi_cad.errors import CaseError
from psi_cad.frames import distance_to_box, patient_from_ras
from psi_cad.intake.kerfs import Sawing, kerfs_of, sawings
from psi_cad.intake.loading import resolved_guides
from psi_cad.intake.prepare import Progress, read_bone
from psi_cad.intake.sources import avoid_source, inputs_of, tumour_source
from psi_cad.resection.avoid import Structure
from psi_cad.resection.throughbone import InBone
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Surface
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import closed_surface, solid_of
from psi_cad.units import Mm

__all__ = ["Patient", "read_patient"]

APART_MM: Final[Mm] = 20.0  # from the box round the bone: a tumour this far away is not of this bone


@dataclass(frozen=True)
class Patient:
    """What the planes are held against: bone, tumour and structures, in patient mm, as surfaces and solids."""

    loaded: LoadedCase
    bone: Bone
    bone_said: dict[str, Any]
    inputs: dict[str, str]
    solid: Any
    caster: RayCaster
    in_bone: InBone
    tumour: Surface | None
    tumour_solid: Any
    tumour_file: dict[str, Any] | None
    avoid: tuple[Structure, ...]
    sawings: tuple[Sawing, ...]

    @cached_property
    def kerfs(self) -> dict[str, Kerf]:
        """The kerf of every cut, by name."""
        return kerfs_of(self.loaded.case, self.sawings)


def read_patient(loaded: LoadedCase, *, blades: Sequence[str] = (), progress: Progress) -> Patient:
    """Read and check what a case names; `blades` (ids) stand for its guides' own.

    Raises
    ------
    InputError
    """
    sawn_by = tuple(sawings(loaded, blades))  # mistakes in guides are told before the bone is read
    resolved_guides(loaded)  # mistakes in parameters are told before the bone is read
    progress("read the bone")
    bone, said = read_bone(loaded, progress=progress)
    solid = solid_of(bone.mesh, name=bone.name, key="bone.surface")
    tumour, tumour_solid, file = None, None, None
    found = tumour_source(loaded, progress=progress)
    if found is not None:
        mesh = closed_surface(found.mesh, name=found.name, key="tumour")
        tumour, tumour_solid = Surface(mesh), solid_of(mesh, name=found.name, key="tumour")
        file = found.said
        _refuse_apart(tumour, bone, name=found.name)
    avoid = []
    for number, entry in enumerate(loaded.case.avoid):
        structure = avoid_source(loaded, entry, number=number, progress=progress)
        mesh = closed_surface(structure.mesh, name=structure.name, key=f"avoid[{number}]")
        avoid.append(Structure(entry.name, Surface(mesh), entry.distance))
    caster = RayCaster(bone.mesh)
    in_bone = InBone(Surface(bone.mesh), caster)
    return Patient(loaded, bone, said, inputs_of(loaded), solid, caster, in_bone, tumour, tumour_solid, file, tuple(avoid), sawn_by)


def _refuse_apart(tumour: Surface, bone: Bone, *, name: str) -> None:
    """Refuse a tumour that lies nowhere near the bone: it was read in another frame, or belongs to another scan."""
    low, high = np.asarray(bone.mesh.bounds)

    apart = float(distance_to_box(tumour.vertices, low, high).min())
    if apart <= APART_MM:
        return
    turned = distance_to_box(patient_from_ras(tumour.vertices), low, high).min() <= APART_MM
    hint = "the other coordinates (LPS or RAS) would bring it there: check tumour.coordinates" if turned else "check its frame and units"
    raise CaseError(f"tumour: '{name}' lies {apart:.0f} mm from the bone; {hint}.")
