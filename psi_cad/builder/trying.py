"""Try changes of a guide that was refused or rejected: each is really designed, exported and measured. Runs in the build process."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad.builder.guides import build_case
from psi_cad.builder.kept import Kept
from psi_cad.builder.suggest import PICTURE_FILE, STEM, TRIED_FILE, Attempt
from psi_cad.case.load import LoadedCase, load_case
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.errors import PsiCadError
from psi_cad.files import write_json
from psi_cad.frames import unit
from psi_cad.guides.params import SeatParams, range_of, resolve_params, value_of
from psi_cad.guides.registry import load_template, needs_of
from psi_cad.intake.approaches import in_planes, outward, turned, typed
from psi_cad.intake.bones import BonesRead
from psi_cad.intake.prepare import Progress, asked_cuts, plan_job, planes_of, planned_cuts
from psi_cad.intake.sources import bone_source
from psi_cad.making.stem_sites import draw_refused
from psi_cad.remedies.mending import CHECKS, REFUSALS, Change, base_id, sentence
from psi_cad.report.pictures import picture_of_place
from psi_cad.scene.bodies import Scene
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.repair import Bone
from psi_cad.units import Array, Mm

__all__ = ["attempt", "candidates"]

MOST_CHANGES: Final = 14  # planned, which takes about a second each
MOST_BUILDS: Final = 6  # built and measured, which takes some seconds each; what is refused on the way takes less
ENOUGH: Final = 2  # changes that pass
SECONDS: Final = 60.0  # after which no further change is begun
TURN_DEG: Final = 15.0
AGAINST: Final = 0.1  # trajectories whose directions cancel out have none in common


def attempt(folder: Path, wanted: Attempt, progress: Progress, *, kept: Kept | None = None) -> dict[str, Any]:
    """Draw the place and try the changes; what was tried stands in `folder`/tried.json from the first try on.

    Raises
    ------
    PsiCadError
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = kept if kept is not None else Kept()
    bones = _bones_or_none(wanted.loaded, progress, kept)
    if wanted.place is not None:
        _draw(folder, wanted, bones)
    if wanted.guide is None or bones is None:
        return {"tried": []}
    return {"tried": _tried(folder, wanted, bones, progress, kept)}


def _silent(step: str) -> None:
    """Progress of a step that takes no time."""


def _bones_or_none(loaded: LoadedCase, progress: Progress, kept: Kept) -> BonesRead | None:
    try:
        return kept.bones(loaded, progress)
    except PsiCadError:
        return None


def _draw(folder: Path, wanted: Attempt, bones: BonesRead | None) -> None:
    """The picture of a refusal; of bones that are themselves refused, as they were read."""
    assert wanted.place is not None
    loaded = wanted.loaded
    cuts: tuple[PlannedCut, ...] = ()
    if bones is not None:
        mesh = bones.scene.mesh
        try:
            asked = [dataclasses.replace(cut, group="1") for cut in asked_cuts(loaded, planes_of(loaded))]
            cuts = tuple(bones.scene.planned(asked).values())
        except PsiCadError:
            cuts = ()  # one of them is what was refused
        guides = [guide for guide in loaded.case.guide if guide.name == wanted.guide and wanted.asked == (STEM,)]
        with suppress(PsiCadError):  # then the place alone is drawn
            if any(draw_refused(folder / PICTURE_FILE, loaded, one, bones.scene, planned_cuts(loaded, bones.scene), wanted.place) for one in guides):
                return
    else:
        meshes = [bone_source(loaded, number, progress=_silent).mesh for number in range(len(loaded.case.bones))]
        mesh = trimesh.util.concatenate(meshes) if len(meshes) > 1 else meshes[0]
    x, y, z = wanted.place
    title = f"{loaded.case.id}, {loaded.case.side}: refused"
    picture_of_place(folder / PICTURE_FILE, mesh, place=(x, y, z), text=wanted.text, cuts=cuts, title=title)


def _tried(folder: Path, wanted: Attempt, bones: BonesRead, progress: Progress, kept: Kept) -> list[dict[str, Any]]:
    tried: list[dict[str, Any]] = []
    until, builds = time.monotonic() + SECONDS, 0
    for setting, change in candidates(wanted, bones.scene)[:MOST_CHANGES]:
        if builds >= MOST_BUILDS or time.monotonic() > until or sum(bool(one["passed"]) for one in tried) >= ENOUGH:
            break
        progress(f"{wanted.guide}: try --set {setting}")
        entry: dict[str, Any] = {"set": [setting], "passed": False, "why": change.why, "failed": "the geometry kernel crashed or hung"}
        tried.append(entry)
        write_json(folder / TRIED_FILE, tried)  # a crash in this try loses no other
        failed, built = _failed(folder / "try", wanted, setting, progress, kept)
        builds += built
        entry.update(passed=not failed, failed=failed)
        write_json(folder / TRIED_FILE, tried)
    return tried


def _failed(folder: Path, wanted: Attempt, setting: str, progress: Progress, kept: Kept) -> tuple[str, bool]:
    """What still fails with a setting ("" where all passes), and whether it was measured; in the very way that the pasted setting goes."""
    built = False
    shutil.rmtree(folder, ignore_errors=True)
    try:
        loaded = load_case(wanted.loaded.path, settings=[*wanted.loaded.settings, setting], catalogue=wanted.catalogue, needs=("guide",))
        only = tuple(guide for guide in loaded.case.guide if guide.name == wanted.guide)
        needs = [needs_of(load_template(guide.template, where="guide.template")) for guide in only]
        hang = any(one.donor or one.stem for one in needs)  # on how the patient is sawn
        guides = loaded.case.guide if hang else only
        loaded = dataclasses.replace(loaded, case=loaded.case.model_copy(update={"guide": guides, "part": ()}))
        saws = any(guide.blade is not None for guide in only)
        blades = [wanted.blade] if wanted.given and wanted.blade is not None and saws else []
        job = plan_job(loaded, blades=blades, progress=_silent, read=kept.bones, workshop=kept.workshop, suggest=False, only=wanted.guide)
        report = build_case(job, folder, progress=progress, pictures=False, kept=kept)
        built = True
    except PsiCadError as error:
        return str(error), built
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    failed = [sentence(check.to_json()) for guide in report.guides for check in guide.checks if not check.passed]
    return "; ".join(failed), built


def candidates(wanted: Attempt, scene: Scene) -> list[tuple[str, Change]]:
    """The settings to try (as `--set` takes them) for what failed, those that belong to the first failure first; each once."""
    # "pins" is a check and a refusal; only a refusal brings its sentence along
    known = {**CHECKS, **REFUSALS} if wanted.text else {**REFUSALS, **CHECKS}
    lists = [known[base_id(asked)].changes for asked in wanted.asked if base_id(asked) in known]
    ordered = [change for row in zip_longest(*lists) for change in row if change is not None]
    loaded = wanted.loaded
    guide = next(guide for guide in loaded.case.guide if guide.name == wanted.guide)
    bone = scene.body(loaded.case.bone_of(guide)).bone
    template = load_template(guide.template, where="guide.template")
    params = resolve_params(template.Params, guide.params, where="guide.params")
    chosen_blade = wanted.blade if wanted.given and wanted.blade and guide.blade is not None else guide.blade
    blade = None if chosen_blade is None else loaded.blade(chosen_blade, where="guide.blade")
    found: dict[str, Change] = {}
    for change in ordered:
        if change.key == "blade" and wanted.given:
            continue  # the command line's blade would win over the setting
        for value in chosen(change, loaded, guide, params, blade, bone, needed=wanted.needed):
            found.setdefault(f"guide.{guide.name}.{change.key}={value}", change)
    return list(found.items())


def chosen(
    change: Change,
    loaded: LoadedCase,
    guide: GuideRequest,
    params: SeatParams,
    blade: Blade | None,
    bone: Bone,
    *,
    needed: Mm = 0.0,
) -> list[str]:
    """The values (as TOML) that a change gives a guide; none where it changes nothing."""
    head, _, name = change.key.partition(".")
    if head == "params":
        return _number(change, name, loaded, guide, params)
    if head == "blade" and blade is None:
        return []
    if head == "blade" and blade is not None:
        longer = change.way == "longer"
        reach = max(blade.usable_length, needed)
        fits: Callable[[Blade], bool] = (
            (lambda b: b.usable_length > blade.usable_length and b.usable_length >= needed) if longer else (lambda b: b.room < blade.room)
        )
        near = sorted(
            (b for b in loaded.catalogue.blades.values() if fits(b)),
            key=lambda b: (
                abs(b.thickness - blade.thickness) > 0.15,
                abs(b.usable_length - reach) + abs(b.cutting_width - blade.cutting_width),
                b.id,
            ),
        )
        return [f'"{b.id}"' for b in near[:2]]
    if head == "printer":
        now = loaded.printer(guide.printer, where="guide.printer")
        known = loaded.catalogue.printers.values()
        if change.way == "finer":
            finer = [p for p in known if p.minimum_wall <= (params.least_wall or 0.0) < now.minimum_wall]
            return [f'"{p.id}"' for p in sorted(finer, key=lambda p: (p.process != now.process, -p.minimum_wall, p.id))[:2]]
        larger = [p for p in known if np.prod(p.build_volume) > np.prod(now.build_volume)]
        return [f'"{p.id}"' for p in sorted(larger, key=lambda p: (p.process != now.process, float(np.prod(p.build_volume)), p.id))[:2]]
    return [_triple(direction) for direction in [_approach(change, loaded, guide, bone)] if direction is not None]


def _number(change: Change, name: str, loaded: LoadedCase, guide: GuideRequest, params: SeatParams) -> list[str]:
    now = value_of(params, name)
    if now is None:
        return []  # this template declares no such parameter
    if isinstance(change.way, bool):
        return [] if now == change.way else [str(change.way).lower()]
    least = loaded.printer(guide.printer, where="guide.printer").minimum_wall
    value = np.ceil(least * 10.0) / 10.0 if change.way == "thicker" else now + float(change.way)
    low, high = range_of(type(params), name)
    value = min(max(value, low if low is not None else value), high if high is not None else value)
    value = type(now)(round(float(value), 3))
    return [] if abs(value - now) < 1e-9 or (change.way == "thicker" and value < now) else [f"{value:g}"]


def _approach(change: Change, loaded: LoadedCase, guide: GuideRequest, bone: Bone) -> Array | None:
    """Another approach (3,) for a guide; None where it would be the one that the case has."""
    now = unit(np.array(guide.approach))
    if guide.trajectories:
        return _approach_of_ways(change, loaded, guide, bone)
    planes: Mapping[str, tuple[Array, Array]] = planes_of(loaded)
    normals = [unit(planes[name][1]) for name in guide.cuts]
    middle = np.mean([planes[name][0] for name in guide.cuts], axis=0)
    if change.way == "reversed":
        return -now
    if change.way == "along":
        return None  # of trajectories, and the guide has none
    if change.way in ("turned", "turned-back"):
        return turned(now, normals[0], TURN_DEG if change.way == "turned" else -TURN_DEG)
    start = outward(bone.mesh, now, middle) if change.way == "outward" else now
    found = None if start is None else in_planes(start, normals)
    return None if found is None or float(found @ now) > np.cos(np.radians(1.0)) else found


def _approach_of_ways(change: Change, loaded: LoadedCase, guide: GuideRequest, bone: Bone) -> Array | None:
    """The same for a guide with trajectories: against them, outward of the bone about their entries, or from the other side."""
    now = unit(np.array(guide.approach))
    lines = [loaded.case.trajectory_named(name).line for name in guide.trajectories]
    middle, against = np.mean([entry for entry, _ in lines], axis=0), -np.sum([into for _, into in lines], axis=0)
    found = {"reversed": -now, "outward": outward(bone.mesh, now, middle), "along": unit(against) if np.linalg.norm(against) > AGAINST else None}
    way = found.get(str(change.way))
    return None if way is None or float(way @ now) > np.cos(np.radians(1.0)) else way


def _triple(values: Array) -> str:
    return "[" + ",".join(f"{v:g}" for v in typed(values)) + "]"
