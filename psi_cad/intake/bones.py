"""The bones of a case, read and checked each by itself and against each other, and what reports say of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from psi_cad.case.load import LoadedCase
from psi_cad.case.named import BONE, refuse_changed, stamps_of
from psi_cad.errors import PsiCadError, SurfaceError
from psi_cad.findings import Caution, by_weight, place_of
from psi_cad.intake.anatomy import checked_anatomy, cut_cautions
from psi_cad.intake.side import checked_side
from psi_cad.intake.sources import bone_source
from psi_cad.records.bones import AllBones, BoneInPlan, KeptClear, RepairSaid
from psi_cad.records.bones import Bone as BoneSaid
from psi_cad.records.shared import cautions_said
from psi_cad.scene.bodies import Body, Scene, on
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.bodies import deepest_overlap, gaps_of, refuse_overlap
from psi_cad.surface.repair import Bone, checked_bone, outside_of
from psi_cad.surface.trust import at
from psi_cad.units import Mm

__all__ = ["BonesRead", "body_cautions", "cautions_at_cuts", "read_bones"]

Progress = Callable[[str], None]
TOUCHING_MM: Final[Mm] = 0.1  # two bones that reach into each other by less than this touch: half of what a surface may be off
APART_MM: Final[Mm] = 2.0  # a joint is 1 to 3 mm wide, and surfaces of a 1 mm scan are right to about 1 mm each: by more, one lies elsewhere


@dataclass(frozen=True)
class BonesRead:
    """The bones of a case, what a report says of each (in the same order), and the cautions of how they lie to each other."""

    scene: Scene
    said: tuple[BoneSaid, ...]
    cautions: tuple[Caution, ...] = ()

    def of(self, name: str | None, text: str) -> str:
        """A sentence about one bone, with its name where there are several."""
        return f"{name}: {text}" if self.scene.several else text

    def report(self, each: Sequence[BoneSaid]) -> dict[str, Any]:
        """The parts `bone` and, of several, `bones` of a report, from what it says of each.

        Of several, `bone` tells of all together: their names, triangles and mended places, and the sum of their volumes where that is known.
        """
        if not self.scene.several:
            return {"bone": each[0]}
        names = [str(body.name) for body in self.scene.bodies]
        named = list(zip(names, each, strict=True))
        whole = AllBones(
            names=names,
            triangles=sum(said.triangles for said in each),
            repairs=[one.but(bone=name) for name, said in named for one in said.repairs],
            kept_clear_of=[one.but(bone=name) for name, said in named for one in said.kept_clear_of],
        )
        volumes = [said.volume_mm3 for said in each if isinstance(said, BoneInPlan)]
        if volumes:
            whole.volume_mm3 = round(sum(volumes), 3)
        return {"bone": whole, "bones": [type(said).model_validate({"name": name, **said.to_json()}) for name, said in named]}


def read_bones(loaded: LoadedCase, *, progress: Progress) -> BonesRead:
    """The checked bones of a case; `cautions` in what is said of a bone are those of its shape.

    Raises
    ------
    PsiCadError
        Of several bones it names the one that it is about; `BuildError` where a file was changed while it was read.
    """
    several = len(loaded.case.bones) > 1
    stamps = {key: stamp for key, stamp in stamps_of(loaded).items() if key.startswith(BONE)}
    bodies, said = [], []
    for number, source in enumerate(loaded.case.bones):
        try:
            bone, told = _read(loaded, number, progress=progress)
        except PsiCadError as error:
            if not several:
                raise
            raise _about(error, f"bone '{source.name}'") from error
        bodies.append(Body(source.name, bone))
        said.append(told)
    refuse_changed(loaded, stamps)
    return BonesRead(Scene(tuple(bodies)), tuple(said), _against_each_other(bodies))


def cautions_at_cuts(loaded: LoadedCase, scene: Scene, cuts: Mapping[str, PlannedCut]) -> tuple[Caution, ...]:
    """What a person must know of each bone where it is cut."""
    found: list[Caution] = []
    for number, body in enumerate(scene.bodies):
        found += cut_cautions(loaded, body.bone, on(body.name, cuts).values(), number=number)
    return tuple(found)


def _read(loaded: LoadedCase, number: int, *, progress: Progress) -> tuple[Bone, BoneSaid]:
    found = bone_source(loaded, number, progress=progress)
    bone = checked_bone(found.mesh, name=found.name, units=found.units)
    refuse_overlap(bone)
    progress("tell the side from the shape")
    said = BoneSaid.model_validate(found.said)
    scanned = None if said.segmentation is None else said.segmentation.body
    shape, side_said, cautions = checked_side(loaded, outside_of(bone), number=number, scan=scanned)
    anatomy_said, odd = checked_anatomy(loaded, bone, shape, number=number)
    said.side_check, said.anatomy = side_said, anatomy_said
    said.cautions = cautions_said(by_weight((*cautions, *odd, *body_cautions(bone))))
    said.triangles = len(bone.mesh.faces)
    said.extent_mm = [round(float(v), 3) for v in bone.mesh.extents]
    said.repairs = [RepairSaid.model_validate(dataclasses.asdict(repair)) for repair in bone.repairs]
    said.kept_clear_of = [KeptClear.model_validate(defect.to_json()) for defect in bone.defects]
    return bone, said


def _about(error: PsiCadError, what: str) -> PsiCadError:
    """The same error, with what it is about before it."""
    return type(error)(f"{what}: {error}", where=error.where, remedies=error.remedies, errors=error.errors, reason=error.reason)


def _against_each_other(bodies: Sequence[Body]) -> tuple[Caution, ...]:
    """What a person must know of bones that reach into each other a little.

    Raises
    ------
    SurfaceError
        Where it is more than two scanned surfaces of a joint may: one lies in another frame, or a part of one is in both.
    """
    told = []
    for one, two in itertools.combinations(bodies, 2):
        depth, place = deepest_overlap(one.bone.mesh, two.bone.mesh)
        if depth <= TOUCHING_MM:
            continue
        said = f"bones '{one.name}' and '{two.name}' reach into each other by {depth:.1f} mm near {at(place)}"
        if depth > APART_MM:
            raise SurfaceError(f"{said}; check that both are in one frame and unit, and that no piece of one is in the other's surface.", where=place)
        told.append(Caution("bones-overlap", f"{said}: look whether their surfaces are right there", place_of(place)))
    return tuple(told)


def body_cautions(bone: Bone) -> tuple[Caution, ...]:
    """What a person must know of a surface that holds several bodies."""
    told = []
    for gap in gaps_of(bone):
        near = "" if gap.where is None else f" near {at(np.array(gap.where))}"
        text = (
            f"the surface holds separate bodies: one of {gap.volumes[1] / 1000.0:.1f} cm³ lies {gap.width:.1f} mm from that of "
            f"{gap.volumes[0] / 1000.0:.1f} cm³{near}; if they are two bones, export each by itself, for they may move against each other"
        )
        told.append(Caution("several-bodies", text, gap.where))
    return tuple(told)
