"""Every cut as every guide and blade would saw it: depth, reach, and what a blade pushed to its full length comes near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.case.model import Blade, GuideRequest
from psi_cad.errors import CaseError, DesignError
from psi_cad.frames import unit
from psi_cad.guides.params import GuideParams
from psi_cad.guides.site import seating_for
from psi_cad.intake.approaches import across_refused
from psi_cad.intake.siting import guided_height
from psi_cad.resection.avoid import over_travel_distance
from psi_cad.resection.depth import SlotDepth, obstacles_in_plane, reachable, slot_depth
from psi_cad.sawing.kerfs import Sawing, shifts_of
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.nearest import Nearest
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from psi_cad.plans.patient import Patient

__all__ = ["Slot", "run_out_of", "slots_of"]

ACROSS: Final = 0.17  # an approach that leans more than 80° from a cut's plane says nothing of the way along it


@dataclass(frozen=True)
class Slot:
    """One cut as one guide would saw it with one blade: its profile where the blade runs, how far the blade reaches, what it comes near."""

    guide: str
    cut: str
    blade: Blade
    height: Mm
    kerf: Mm
    shift: Mm
    reach: Mm
    run_out: Mm
    profile: SlotDepth
    reachable: float
    near: dict[str, Nearest | None]
    from_approach: bool


def run_out_of(slots: tuple[Slot, ...], cut: str) -> Mm:
    """How far the saw runs past the bone at a cut: as its guides say, else the templates' default."""
    found = [slot.run_out for slot in slots if slot.cut == cut]
    return max(found, default=GuideParams().run_out)


def slots_of(patient: Patient, cuts: dict[str, PlannedCut]) -> tuple[Slot, ...]:
    """The slots of every guide and blade, in the order of the case.

    Raises
    ------
    CaseError
    """
    sought: dict[tuple[str, tuple[Mm, ...]], tuple[Array, bool]] = {}
    return tuple(slot for sawing in patient.sawings for slot in _slots(patient, sawing, cuts, sought))


def _slots(patient: Patient, sawing: Sawing, cuts: dict[str, PlannedCut], sought: dict[tuple[str, tuple[Mm, ...]], tuple[Array, bool]]) -> list[Slot]:
    request, params, blade = sawing.request, sawing.params, sawing.blade
    height = guided_height(params)
    shifts = {name: shift for name, shift in shifts_of(patient.loaded.case, sawing, []).items() if name in request.cuts}
    moved = patient.bones.scene.moved(cuts, shifts)
    mine = [moved[name] for name in request.cuts]
    key = (request.name, tuple(shifts.values()))
    if key not in sought:
        sought[key] = _axis(patient, request, mine, params)
    axis, searched = sought[key]
    slots = []
    for cut in mine:
        profile = slot_depth(cut, axis)
        reach = blade.usable_length - height - params.seat_gap
        others = [body.bone.mesh for body in patient.bones.scene.others(cut.bone)]
        blocked = obstacles_in_plane(cut, profile, [*(s.surface.mesh for s in patient.avoid), *others])
        near = {s.name: over_travel_distance(cut, profile, s, reach=reach, run_out=params.run_out) for s in patient.avoid}
        shown = reachable(profile, blocked, reach=reach)
        slots.append(
            Slot(request.name, cut.name, blade, height, sawing.kerf, shifts[cut.name], reach, params.run_out, profile, shown, near, not searched)
        )
    return slots


def _axis(patient: Patient, guide: GuideRequest, cuts: list[PlannedCut], params: GuideParams) -> tuple[Array, bool]:
    """The axis along which the guide will come off, as the build finds it; the approach where none is found."""
    approach = unit(np.array(guide.approach))
    name = patient.loaded.case.bone_of(guide)
    bone, caster = patient.grounds.of(name)
    if any(np.linalg.norm(np.cross(approach, cut.normal)) < ACROSS for cut in cuts):

        def finds_seat(way: list[float]) -> object:
            return seating_for(bone, caster, cuts, approach=unit(np.array(way)), params=params)

        told = across_refused(guide.name, approach, cuts, patient.bones.scene.body(name).bone.mesh, finds_seat)
        raise CaseError(str(told), where=told.where, remedies=told.remedies)
    try:
        found = seating_for(bone, caster, cuts, approach=approach, params=params)
    except DesignError:
        return approach, False
    return found.axis.direction, True
