"""What the planes of a plan are held against: the patient's bone, tumour and structures, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psi_cad.case.load import LoadedCase
from psi_cad.case.named import bone_key, refuse_changed, stamps_of
from psi_cad.intake.bones import BonesRead, read_bones
from psi_cad.intake.loading import resolved_guides
from psi_cad.intake.named import inputs_of
from psi_cad.intake.prepare import Progress
from psi_cad.intake.sources import avoid_source, tumour_source
from psi_cad.resection.avoid import Structure
from psi_cad.resection.throughbone import InBone
from psi_cad.sawing.kerfs import Sawing, kerfs_of, sawings
from psi_cad.scene.apart import refuse_apart
from psi_cad.scene.bodies import Body, Grounds
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Surface
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.surface.solids import closed_surface, joined, solid_of

__all__ = ["BoneModel", "Patient", "read_patient"]


@dataclass(frozen=True)
class BoneModel:
    """One bone as a solid, and as what can be asked what lies in it."""

    name: str | None
    bone: Bone
    solid: Any
    in_bone: InBone


@dataclass(frozen=True)
class Patient:
    """What the planes are held against: bones, tumour and structures, in patient mm, as surfaces and solids; `models` as the bones."""

    loaded: LoadedCase
    bones: BonesRead
    models: tuple[BoneModel, ...]
    inputs: dict[str, str]
    tumour: Surface | None
    tumour_solid: Any
    tumour_file: dict[str, Any] | None
    avoid: tuple[Structure, ...]
    sawings: tuple[Sawing, ...]

    @cached_property
    def kerfs(self) -> dict[str, Kerf]:
        """The kerf of every cut, by name."""
        return kerfs_of(self.loaded.case, self.sawings)

    @cached_property
    def solid(self) -> Any:
        """All bones as one solid."""
        return joined([model.solid for model in self.models])

    @cached_property
    def grounds(self) -> Grounds:
        """Each bone with what is in the way of a guide on it."""
        return Grounds(self.bones.scene)

    def model(self, name: str | None) -> BoneModel:
        """The bone called `name`."""
        return next(model for model in self.models if model.name == name)


def read_patient(loaded: LoadedCase, *, blades: Sequence[str] = (), progress: Progress) -> Patient:
    """Read and check what a case names; `blades` (ids) stand for its guides' own.

    Raises
    ------
    InputError
    BuildError
        Where a file was changed while it was read.
    """
    resolved_guides(loaded)  # mistakes in guides and parameters are told before the bone is read
    sawn_by = tuple(one for one in sawings(loaded, blades) if not one.on_donor)  # the plan is about the patient's own bones
    progress("read the bone")
    stamps = stamps_of(loaded)
    bones = read_bones(loaded, progress=progress)
    models = tuple(_model(body, f"{bone_key(loaded.case, number)}.surface") for number, body in enumerate(bones.scene.bodies))
    tumour, tumour_solid, file = None, None, None
    found = tumour_source(loaded, progress=progress)
    if found is not None:
        mesh = closed_surface(found.mesh, name=found.name, key="tumour")
        tumour, tumour_solid = Surface(mesh), solid_of(mesh, name=found.name, key="tumour")
        file = found.said
        refuse_apart(tumour.vertices, [model.bone for model in models], name=found.name)
    avoid = []
    for number, entry in enumerate(loaded.case.avoid):
        structure = avoid_source(loaded, entry, number=number, progress=progress)
        mesh = closed_surface(structure.mesh, name=structure.name, key=f"avoid[{number}]")
        avoid.append(Structure(entry.name, Surface(mesh), entry.distance))
    inputs = inputs_of(loaded)
    refuse_changed(loaded, stamps)
    return Patient(loaded, bones, models, inputs, tumour, tumour_solid, file, tuple(avoid), sawn_by)


def _model(body: Body, key: str) -> BoneModel:
    mesh = body.bone.mesh
    return BoneModel(body.name, body.bone, solid_of(mesh, name=body.bone.name, key=key), InBone(Surface(mesh), RayCaster(mesh)))
