"""A proposal of better planes: searched, then corrected and measured exactly, and taken only if it keeps what the plan kept."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely

from psi_cad.errors import CaseError, PsiCadError
from psi_cad.frames import unit
from psi_cad.intake.prepare import Progress, asked_cuts
from psi_cad.plans.evaluated import Evaluated
from psi_cad.plans.measured import evaluate
from psi_cad.plans.patient import Patient
from psi_cad.plans.report import REACH_WANTED
from psi_cad.plans.slots import run_out_of
from psi_cad.plans.stopped import moved, stopped_by
from psi_cad.records.plan import Optimised, SearchBounds, StoppedCut
from psi_cad.resection.margins import CLEAR_MM
from psi_cad.resection.optimise import Bounds, PlaneSearch
from psi_cad.resection.sides import sawn_distance
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.nearest import Surface
from psi_cad.siting.about import LEAN_MAX
from psi_cad.surface.solids import mesh_of
from psi_cad.units import Array, Deg, Mm

__all__ = ["plane_search", "propose"]

CLOSE_MM: Final[Mm] = 0.005  # how near to the wanted margin a plane is brought; never below it
MOST_ANGLE: Final[Deg] = 45.0
MOST_SHIFT: Final[Mm] = 60.0
ROUNDS: Final = 8
TURNS: Final = (1.0, 0.5, 0.2, 0.0)  # of the angle by which planes may turn
STEPS_BACK: Final = (1.0, 0.75, 0.5, 0.25)  # of the way from the surgeon's planes, where the whole way breaks a rule
WORTH_MM3: Final = 1.0  # saving less than this is no proposal
REACH_SAME: Final = 0.005  # of a cut face: less is not worse
NO_GAIN: Final = "no plane within the bounds saves bone"

Planes = dict[str, tuple[Array, Array]]


def plane_search(patient: Patient, given: Evaluated, *, max_angle: Deg, max_shift: Mm) -> PlaneSearch:
    """The search for a plan.

    Raises
    ------
    CaseError
        If there is no tumour, or every cut is declared positive.
    """
    _refuse_bounds(max_angle, max_shift)
    case = patient.loaded.case
    if patient.tumour is None or case.tumour is None:
        raise CaseError(f"{patient.loaded.path.name}: --optimise keeps the margin to the tumour, but the case has no tumour; add [tumour].")
    moving = [cut.name for cut in case.cut if not cut.planned_positive]
    if not moving:
        raise CaseError(f"{patient.loaded.path.name}: every cut is planned_positive, and --optimise does not move such cuts; leave it out.")
    approaches: dict[str, list[Array]] = {}
    for guide in (one.request for one in patient.sawings):
        for name in guide.cuts:
            approaches.setdefault(name, []).append(unit(np.array(guide.approach)))
    leans = [abs(float(given.cuts[name].normal @ way)) for name, ways in approaches.items() for way in ways]
    lean = max(LEAN_MAX, *(float(np.degrees(np.arcsin(min(1.0, value)))) for value in leans)) if leans else 90.0
    return PlaneSearch(
        patient.models[0].in_bone.surface,
        patient.tumour,
        given.cuts,
        moving=moving,
        specimens={group: Surface(mesh_of(solid)) for group, solid in given.resection.specimens.items()},
        avoid=patient.avoid,
        approaches=approaches,
        bounds=Bounds(max_angle, max_shift, max(case.tumour.margin, CLEAR_MM), lean),
        run_out=max(run_out_of(given.slots, name) for name in moving),
        kerfs=patient.kerfs,
    )


def _refuse_bounds(max_angle: Deg, max_shift: Mm) -> None:
    for option, value, most in (("--max-angle", max_angle, MOST_ANGLE), ("--max-shift", max_shift, MOST_SHIFT)):
        if not 0.0 <= value <= most:
            raise CaseError(f"{option} {value:g}: give a value from 0 to {most:g}.")


def propose(patient: Patient, given: Evaluated, *, max_angle: Deg, max_shift: Mm, progress: Progress) -> tuple[Evaluated | None, Optimised]:
    """The proposal and what is said of it; None where nothing within the bounds is better.

    Raises
    ------
    CaseError
    """
    _refuse_bounds(max_angle, max_shift)  # what is no number has no place in a report
    said = Optimised(bounds=SearchBounds(angle_deg=max_angle, shift_mm=max_shift))
    why, best, by, refused, said_no = "no plane within the bounds keeps the wanted margin", None, None, None, None
    for part in TURNS:  # where the best of all fails a rule, the best of planes that turn less may not
        progress(f"optimise: search planes that turn by up to {part * max_angle:g}°")
        search = plane_search(patient, given, max_angle=part * max_angle, max_shift=max_shift)
        said.margin_kept_mm = search.bounds.margin
        found, share, because = _proposed(patient, given, search, progress=progress)
        why = because if because and best is None else why
        said_no = because if because not in (None, NO_GAIN) else said_no
        if found is not None and (best is None or found.healthy_removed < best.healthy_removed):
            best, by, refused = found, search, said_no
        if share == 1.0 or (because == NO_GAIN and found is None):
            break
    if best is None or by is None:
        ends = {name: stopped_by(patient, given, given, search, name, max_angle=max_angle, refused=said_no) for name in given.cuts}
        said.why, said.stopped = why, [StoppedCut(cut=name, stopped_by=kind, why=text) for name, (kind, text) in ends.items()]
        return None, said
    said.moved = moved(patient, given, best, by, max_angle=max_angle, refused=refused)
    said.saved_mm3 = round(given.healthy_removed - best.healthy_removed, 3)
    said.saved_percent = round(100.0 * (1.0 - best.healthy_removed / given.healthy_removed), 3)
    return best, said


def _proposed(patient: Patient, given: Evaluated, search: PlaneSearch, *, progress: Progress) -> tuple[Evaluated | None, float, str | None]:
    """The best planes of a search that break no rule, which share of the way to them was gone, and why not more of it."""
    why: str | None = None
    tilts = search.search()
    for share in STEPS_BACK:
        progress(f"optimise: measure the proposal ({share:.0%} of the way)")
        planes = search.planes(share * tilts)
        if len(planes) < len(search.moving):
            continue
        eased = {name: (origin, normal, shift * share if shift > 0.0 else shift) for name, (origin, normal, shift) in planes.items()}
        try:
            exact = _exact(patient, given, search, eased, full=share == 1.0)
            found = evaluate(patient, planes=exact, progress=lambda _step: None)
        except PsiCadError as error:
            why = str(error)
            continue
        worse = _worse(given, found)
        if worse is None:
            return found, share, why
        why = worse
        if worse == NO_GAIN:
            break  # less of the way saves less
    return None, 0.0, why


def _exact(patient: Patient, given: Evaluated, search: PlaneSearch, planes: dict[str, tuple[Array, Array, Mm]], *, full: bool) -> Planes:
    """Planes of the found directions, their shifts corrected until the exact margin is kept and little more.

    Raises
    ------
    CaseError
        If a plane leaves its bound of shift on the way.
    """
    assert patient.tumour is not None
    wanted, most = search.bounds.margin, search.bounds.shift
    shifts = {name: shift for name, (_, _, shift) in planes.items()}
    room = dict.fromkeys(planes, True)
    for turn in range(ROUNDS):
        here: Planes = {name: (cut.origin, cut.normal) for name, cut in given.cuts.items()}
        for name, (_, normal, _) in planes.items():
            here[name] = (_on_section(given.cuts[name], normal, shifts[name]), normal)
        cuts = patient.bones.scene.planned(asked_cuts(patient.loaded, here))
        faces = patient.bones.scene.faces(cuts, patient.kerfs)
        settled = True
        for name in planes:
            near = sawn_distance(cuts[name], patient.tumour, run_out=run_out_of(given.slots, name), kerf=patient.kerfs[name], face=faces[name])
            spare = near.distance - wanted
            free = room[name] and full and turn < ROUNDS // 2 and not search.shunned(name)
            if spare < 0.0 or (free and spare > 2.0 * CLOSE_MM and shifts[name] < most):
                before = shifts[name]
                shifts[name] = min(most, before + spare - CLOSE_MM)
                room[name] = shifts[name] > before or turn < 1
                settled = settled and abs(shifts[name] - before) < 1e-9
                if shifts[name] < -most:
                    raise CaseError(f"cut '{name}' cannot keep {wanted:g} mm of margin within {most:g} mm of the given plane.")
        if settled:
            break
    return here


def _on_section(cut: PlannedCut, normal: Array, shift: Mm) -> Array:
    """A point of the moved plane beside the old origin if that lies on the section, else beside the section's middle: the same bone is meant."""
    here = shapely.Point(0.0, 0.0)
    beside = here if cut.section.covers(here) else cut.section.representative_point()
    middle = cut.patient(np.array(beside.coords))[0]
    on_plane = cut.origin + shift * normal
    return np.asarray(middle - float((middle - on_plane) @ normal) * normal)


def _worse(given: Evaluated, found: Evaluated) -> str | None:
    """Why a proposal must not be made, or None."""
    passed = {check.id for check in given.report.checks if check.passed}
    for check in found.report.checks:
        if not check.passed and (check.id in passed or check.id.startswith("margin_")):
            return f"the better planes would fail {check.id} ({check.value:g}, wanted {check.rule} {check.limit:g})"
    for before, after in zip(given.slots, found.slots, strict=True):
        if after.reachable < min(before.reachable, REACH_WANTED) - REACH_SAME:
            return f"the saw would reach less of cut {after.cut} ({100 * after.reachable:.0f} % of it)"
    if found.resection.pieces != given.resection.pieces:
        return "the specimen would come out in another number of pieces"
    mended = sum(check.passed for check in found.report.checks) > len(passed)
    if not mended and found.healthy_removed > given.healthy_removed - WORTH_MM3:
        return NO_GAIN
    return None
