"""The parts of bones' bodies that a case asks for: the mistakes in their tables, and what each is made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trimesh

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.case.mistakes import Mistake, mistakes_of, place_in
from psi_cad.case.tables import tables_in
from psi_cad.errors import CaseError
from psi_cad.guides.params import Parameters, resolve_params
from psi_cad.guides.registry import load_body
from psi_cad.parts.contract import BodySite, PartJob
from psi_cad.scene.bodies import Scene, on
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.units import Mm

__all__ = ["part_jobs", "resolved_part", "wrong_params", "wrong_parts"]


def wrong_parts(data: dict[str, Any], path: Path) -> list[Mistake]:
    """Parts whose template does not exist or is of another kind, or whose parameters it does not have or allow."""
    found: list[Mistake] = []
    for number, part in enumerate(tables_in(data, "part")):
        key, name, params = f"part[{number}]", part.get("template"), part.get("params", {})
        if not isinstance(name, str):
            continue
        try:
            template = load_body(name, where=f"{path.name}: {key}.template")
        except CaseError as error:
            found += mistakes_of(error, key=f"{key}.template", place=place_in(data, ("part", number, "template")))
            continue
        found += wrong_params(template.Params, params, {}, data=data, path=path, table="part", number=number)
    return found


def wrong_params(
    declared: type[Parameters], params: object, allowances: Mapping[str, Any], *, data: dict[str, Any], path: Path, table: str, number: int
) -> list[Mistake]:
    """Every one of `params`, as read for entry `number` of a table, that is none of a template's or out of its range, `allowances` set."""
    found: list[Mistake] = []
    key = f"{table}[{number}].params"
    if not isinstance(params, dict):
        return found
    for given, value in params.items():
        try:
            resolve_params(declared, {given: value, **allowances}, where=f"{path.name}: {key}", beside=params.keys())
        except CaseError as error:
            found += mistakes_of(error, key=f"{key}.{given}", place=place_in(data, (table, number, "params", given)))
    return found


def resolved_part(loaded: LoadedCase, number: int) -> Parameters:
    """The parameters of a part of the case, each checked.

    Raises
    ------
    CaseError
    """
    request, where = loaded.case.part[number], f"{loaded.path.name}: part[{number}]"
    return resolve_params(load_body(request.template, where=f"{where}.template").Params, request.params, where=f"{where}.params")


def part_jobs(
    loaded: LoadedCase,
    scene: Scene,
    cuts: Mapping[str, PlannedCut],
    *,
    kerfs: Mapping[str, Kerf],
    run_outs: Mapping[str, Mm],
    tumour: trimesh.Trimesh | None,
    other_blades: tuple[str, ...] = (),
) -> tuple[PartJob, ...]:
    """Every part of a case with what it is made from; `kerfs` and `run_outs` of every cut by name, `other_blades`: see `BodySite`.

    Raises
    ------
    CaseError
        Where a parameter is none of its template, or out of its range; where a template needs cuts, and its bone has none.
    """
    case, found = loaded.case, []
    for number, request in enumerate(case.part):
        where = f"{loaded.path.name}: part[{number}]"
        params = resolved_part(loaded, number)
        name = case.bone_of(request)
        if getattr(load_body(request.template, where=f"{where}.template"), "CUTS", False) and not on(name, cuts):
            raise CaseError(f"{where}.template: '{request.template}' is made of the planned cuts on its bone, and there is none; add a [[cut]].")
        site = BodySite(
            bone=name,
            mesh=scene.body(name).bone.mesh,
            cuts=on(name, cuts),
            kerfs=kerfs,
            run_outs=run_outs,
            printer=loaded.printer(request.printer, where=f"{where}.printer"),
            label=(f"{case.id} {case.side[0].upper()}", request.name, f"v{__version__}"),
            tumour=tumour,
            other_blades=other_blades,
        )
        found.append(PartJob(request, params.model_dump(), site))
    return tuple(found)
