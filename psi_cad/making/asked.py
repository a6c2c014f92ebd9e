"""The parts of bones' bodies that a case asks for: the mistakes in their tables, and what each is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trimesh

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.case.mistakes import Mistake, mistakes_of, place_in
from psi_cad.case.tables import tables_in
from psi_cad.errors import CaseError
from psi_cad.guides.params import Parameters, resolve_params
from psi_cad.guides.registry import load_body, load_template
from psi_cad.outputs.overrides import mark_of, overrides_of_part
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
        if given not in declared.model_fields and (others := _owners(data, given)):
            template = tables_in(data, table)[number].get("template")
            text = f"{path.name}: {key}.{given} is no parameter of template '{template}'; {_owned(given, value, others)}."
            found.append(Mistake(f"{key}.{given}", text, place_in(data, (table, number, "params", given))))
            continue
        try:
            resolve_params(declared, {given: value, **allowances}, where=f"{path.name}: {key}", beside=params.keys())
        except CaseError as error:
            found += mistakes_of(error, key=f"{key}.{given}", place=place_in(data, (table, number, "params", given)))
    return found


def _owners(data: dict[str, Any], given: str) -> list[tuple[str, str, str]]:
    """Table, name and template of each guide and part of a case whose template has a parameter called `given`."""
    found = []
    for table, load in (("guide", load_template), ("part", load_body)):
        for entry in tables_in(data, table):
            name, template = entry.get("name"), entry.get("template")
            if not isinstance(name, str) or not isinstance(template, str):
                continue
            try:
                declared: type[Parameters] = load(template, where="template").Params
            except CaseError:  # told of by itself
                continue
            if given in declared.model_fields:
                found.append((table, name, template))
    return found


def _owned(given: str, value: Any, others: Sequence[tuple[str, str, str]]) -> str:
    """Whose a parameter is, and how to give it to them alone."""
    told = " and ".join(f"'{template}' of {table} '{name}'" for table, name, template in others)
    ways = " ".join(f"--set {table}.{name}.params.{given}={_as_toml(value)}" for table, name, _ in others)
    return f"{told} {'has' if len(others) == 1 else 'have'} it: give it there alone, in the case or with {ways}"


def _as_toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


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
        params, mark = resolved_part(loaded, number), mark_of(overrides_of_part(loaded.settings, request.name))
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
            label=(f"{case.id} {case.side[0].upper()}", request.name, *(() if mark is None else (mark,)), f"v{__version__}"),
            tumour=tumour,
            other_blades=other_blades,
        )
        found.append(PartJob(request, params.model_dump(), site))
    return tuple(found)
