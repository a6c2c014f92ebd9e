"""The bones of a case: each a body with its name, and which of them a cut acts on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import trimesh

from psi_cad.scene.cuts import PlannedCut, plan_cuts
from psi_cad.scene.kerf import Kerf, moved_cuts
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone
from psi_cad.units import Array, Mm

__all__ = ["Asked", "Body", "Grounds", "Scene", "on"]


@dataclass(frozen=True)
class Asked:
    """A cut as a case asks for it: the plane (`origin`, `normal`, patient mm) and the name of the bone that it acts on."""

    name: str
    bone: str | None
    origin: Array
    normal: Array
    extent: Mm | None = None
    group: str = "1"


@dataclass(frozen=True)
class Body:
    """One bone of a case, and its name; None where it is the only one and has none."""

    name: str | None
    bone: Bone


@dataclass(frozen=True)
class Scene:
    """The bones of a case, at least one; whatever acts on a bone acts on that one alone."""

    bodies: tuple[Body, ...]

    @property
    def several(self) -> bool:
        """Whether there is more than one bone."""
        return len(self.bodies) > 1

    def body(self, name: str | None) -> Body:
        """The bone called `name`."""
        return next(body for body in self.bodies if body.name == name)

    def others(self, name: str | None) -> tuple[Body, ...]:
        """The bones that are not called `name`."""
        return tuple(body for body in self.bodies if body.name != name)

    @cached_property
    def mesh(self) -> trimesh.Trimesh:
        """All bones as triangles, to be drawn; of one bone its own mesh."""
        meshes = [body.bone.mesh for body in self.bodies]
        return trimesh.util.concatenate(meshes) if self.several else meshes[0]

    def about(self, name: str | None) -> Bone:
        """The bone called `name` with all others around it as further parts: what a guide on it rests on, and what is in its way."""
        if not self.several:
            return self.bodies[0].bone
        order = (self.body(name), *self.others(name))
        parts, first = [], 0
        for body in order:
            parts.append(body.bone.part_of_face + first)
            first = int(parts[-1].max()) + 1
        own = order[0].bone
        mesh = trimesh.util.concatenate([body.bone.mesh for body in order])
        made_up = np.concatenate([body.bone.made_up for body in order])
        defects = tuple(defect for body in order for defect in body.bone.defects)
        beside = len(mesh.faces) - len(own.mesh.faces)
        return replace(own, mesh=mesh, part_of_face=np.concatenate(parts), made_up=made_up, defects=defects, beside=beside)

    def planned(self, cuts: Sequence[Asked]) -> dict[str, PlannedCut]:
        """The cuts on their bones by name, in their order; cuts of one bone bound each other, those of two do not.

        Raises
        ------
        CaseError, SurfaceError
        """
        found: dict[str, PlannedCut] = {}
        for body in self.bodies:
            mine = [cut for cut in cuts if cut.bone == body.name]
            raw = [(cut.name, cut.origin, cut.normal, cut.extent) for cut in mine]
            on_it = plan_cuts(body.bone, raw, groups={cut.name: cut.group for cut in mine})
            found |= {name: replace(cut, bone=body.name) for name, cut in on_it.items()}
        return {cut.name: found[cut.name] for cut in cuts}

    def moved(self, cuts: Mapping[str, PlannedCut], by: Mapping[str, Mm]) -> dict[str, PlannedCut]:
        """The cuts moved along their normals, mm, each on its bone: see `kerf.moved_cuts`.

        Raises
        ------
        CaseError
        """
        return self._each(cuts, lambda bone, mine: moved_cuts(bone, mine, {name: by[name] for name in mine if name in by}))

    def faces(self, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf]) -> dict[str, PlannedCut]:
        """The cuts as the faces that are left on the specimen: see `kerf.specimen_faces`.

        Raises
        ------
        CaseError
        """
        return self.moved(cuts, {name: kerf.high for name, kerf in kerfs.items()})

    def _each(self, cuts: Mapping[str, PlannedCut], change: Callable[[Bone, dict[str, PlannedCut]], dict[str, PlannedCut]]) -> dict[str, PlannedCut]:
        """What `change` makes of the cuts of each bone, in the order of `cuts`."""
        found: dict[str, PlannedCut] = {}
        for body in self.bodies:
            found |= change(body.bone, on(body.name, cuts))
        return {name: found[name] for name in cuts}


class Grounds:
    """Each bone of a scene with the others around it, and rays on all of them; made when it is first asked for."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._made: dict[str | None, tuple[Bone, RayCaster]] = {}

    def of(self, name: str | None) -> tuple[Bone, RayCaster]:
        """The ground of a guide on the bone called `name`."""
        if name not in self._made:
            bone = self._scene.about(name)
            self._made[name] = bone, RayCaster(bone.mesh)
        return self._made[name]


def on(name: str | None, cuts: Mapping[str, PlannedCut]) -> dict[str, PlannedCut]:
    """Those cuts that act on the bone called `name`."""
    return {key: cut for key, cut in cuts.items() if cut.bone == name}
