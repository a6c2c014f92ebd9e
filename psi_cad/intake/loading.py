"""A case file for a run: loaded, and the mistakes that only templates and files on disk can tell of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from psi_cad.case.load import LoadedCase, load_case
from psi_cad.case.mistakes import Mistake, mistakes_of, place_in, raise_all
from psi_cad.case.tables import bones_in, tables_in
from psi_cad.errors import CaseError
from psi_cad.guides.contract import Needs
from psi_cad.guides.params import SeatParams, resolve_params
from psi_cad.guides.registry import load_template, needs_of
from psi_cad.making.asked import wrong_params, wrong_parts

__all__ = ["load", "resolved_guides"]

FILE_KEYS: Final = ("surface", "labels", "ct", "mri", "transform", "markups")


def load(
    path: Path | str, *, settings: Sequence[str] = (), catalogue: Path | str | None = None, needs: tuple[str, ...] = ("cut", "guide")
) -> LoadedCase:
    """The case in a file; where something is wrong, everything that is wrong with it.

    A case of which every guide does without cuts needs none, where guides are needed.

    Raises
    ------
    CaseError, CatalogueError
        With a line for each mistake.
    """
    own = Path(catalogue) if catalogue is not None else None

    def wanted(data: dict[str, Any]) -> tuple[str, ...]:
        alone = "guide" in needs and bool(data.get("part")) and not data.get("guide")  # parts alone need neither guide nor cut
        return tuple(key for key in needs if not alone and (key != "cut" or "guide" not in needs or _cuts_needed(data)))

    loaded = load_case(path, settings=list(settings), catalogue=own, needs=wanted, also=_more_mistakes)
    missing = _missing_files(_as_read(loaded), loaded.path)
    if len(missing) > 1:  # of a single one its reader tells best
        raise_all(missing)
    return loaded


def resolved_guides(loaded: LoadedCase) -> list[SeatParams]:
    """The parameters of every guide of a case, by its template.

    Raises
    ------
    CaseError
        With a line for each unknown template and each wrong parameter.
    """
    data = _as_read(loaded)
    mistakes = [*_wrong_guides(data, loaded.path), *wrong_parts(data, loaded.path)]
    if mistakes:
        raise_all([*mistakes, *_missing_files(data, loaded.path)])
    found = []
    for number, guide in enumerate(loaded.case.guide):
        where = f"{loaded.path.name}: guide[{number}]"
        template = load_template(guide.template, where=f"{where}.template")
        found.append(resolve_params(template.Params, guide.params, where=f"{where}.params"))
    return found


def _cuts_needed(data: dict[str, Any]) -> bool:
    """Whether a case has a guide that takes cuts, or none of which that is known."""
    return not all(needs is not None and not needs.cuts[0] for needs in map(_needs, tables_in(data, "guide"))) or not data.get("guide")


def _needs(guide: dict[str, Any]) -> Needs | None:
    """What the template of a guide takes; None where there is no such template."""
    try:
        return needs_of(load_template(str(guide.get("template")), where="guide.template"))
    except CaseError:
        return None


def _as_read(loaded: LoadedCase) -> dict[str, Any]:
    return loaded.case.model_dump(mode="json", by_alias=True)


def _more_mistakes(data: dict[str, Any], path: Path) -> list[Mistake]:
    return [*_wrong_guides(data, path), *wrong_parts(data, path), *_missing_files(data, path)]


def _wrong_guides(data: dict[str, Any], path: Path) -> list[Mistake]:
    """Guides whose template does not exist, that lack what it takes or have what it does not, or whose parameters it does not have or allow."""
    found: list[Mistake] = []
    for number, guide in enumerate(tables_in(data, "guide")):
        key, name = f"guide[{number}]", guide.get("template")
        if not isinstance(name, str):
            continue
        try:
            template = load_template(name, where=f"{path.name}: {key}.template")
        except CaseError as error:
            found += mistakes_of(error, key=f"{key}.template", place=place_in(data, ("guide", number, "template")))
            continue
        found += _misfits(data, path, number, guide, needs_of(template))
        params = guide.get("params", {})
        if isinstance(params, dict):
            allowed = _allowances(template.Params, params)
            found += wrong_params(template.Params, params, allowed, data=data, path=path, table="guide", number=number)
    return found


def _misfits(data: dict[str, Any], path: Path, number: int, guide: dict[str, Any], needs: Needs) -> list[Mistake]:
    """Cuts, trajectories or a blade that a guide lacks, or that its template does not take."""
    name, where = guide.get("template"), f"{path.name}: guide[{number}]"
    told = []
    kinds = (
        ("cuts", needs.cuts, "makes a slot for each cut", "makes no slots", "the case's cuts"),
        ("trajectories", needs.trajectories, "carries a sleeve for each trajectory", "carries no sleeves", "the case's trajectories"),
    )
    for key, (least, most), does, does_not, those in kinds:
        given = guide.get(key)
        count = len(given) if isinstance(given, list | tuple) else 0
        if count > most == 0:
            told.append((key, f"{where}.{key}: template '{name}' {does_not}; leave {key} out, or name another template."))
        elif count < least and (given is None or isinstance(given, list | tuple)):
            lacks = "is missing" if not count else f"names only {count}"
            told.append((key, f"{where}.{key} {lacks}: template '{name}' {does}; name {least} to {most} of {those}."))
        elif count > most:
            told.append((key, f"{where}.{key} names {count}: template '{name}' takes at most {most}; make several guides."))
    donor = data.get("donor")
    if needs.donor and not isinstance(donor, dict):
        told.append(
            ("template", f"{where}.template: '{name}' sits on a donor's bone, and the case names none; add [donor], or name another template.")
        )
    elif needs.donor and isinstance(donor, dict) and donor.get("bone") is not None and donor["bone"] != guide.get("bone") and guide.get("bone"):
        told.append(("bone", f"{where}.bone: template '{name}' sits on the donor, which replaces '{donor['bone']}'; name that bone."))
    told += _stem_lacks(data, where, guide, needs)
    holes = guide.get("hole")
    names = [one.get("name") for one in holes if isinstance(one, dict)] if isinstance(holes, list) else []
    if holes and not needs.holes:
        told.append(("hole", f"{where}.hole: template '{name}' places its wires itself; leave hole out, or name another template."))
    if guide.get("slot_sleeve") is not None and not needs.slot_sleeve:
        told.append(("slot_sleeve", f"{where}.slot_sleeve: template '{name}' takes no metal sleeve for slots; leave it out, or take 'osteotomy'."))
    if twice := next((one for one in names if names.count(one) > 1), None):
        told.append(("hole", f"{where}.hole: two holes are called '{twice}'; give each a name of its own."))
    if needs.blade and guide.get("blade") is None:
        told.append(("blade", f"{where}.blade is missing (add it; 'psi-cad new DIR' shows a whole case)."))
    elif not needs.blade and guide.get("blade") is not None:
        told.append(("blade", f"{where}.blade: template '{name}' guides no saw; leave blade out, and name a tool for each trajectory."))
    return [Mistake(f"guide[{number}].{key}", text, place_in(data, ("guide", number, key))) for key, text in told]


def _stem_lacks(data: dict[str, Any], where: str, guide: dict[str, Any], needs: Needs) -> list[tuple[str, str]]:
    """What a guide for a stem lacks, or an implant that its template does not take: keys of its table and sentences."""
    named = guide.get("trajectories")
    given = {entry.get("name"): entry.get("implant") for entry in tables_in(data, "trajectory")}
    named = [name for name in named if isinstance(name, str) and name in given] if isinstance(named, list | tuple) else []
    template, told = guide.get("template"), []
    for name in named:
        if needs.stem and given[name] is None:
            told.append(("trajectories", f"{where}.trajectories: template '{template}' is for a stem; give trajectory '{name}' an implant."))
        elif not needs.stem and given[name] is not None:
            text = (
                f"{where}.trajectories: trajectory '{name}' has an implant, and template '{template}' takes none; leave it out, or take 'acetabular'."
            )
            told.append(("trajectories", text))
    on_it = [cut for cut in tables_in(data, "cut") if len(bones_in(data)) < 2 or cut.get("bone") == guide.get("bone")]
    if needs.stem and not on_it:
        told.append(("template", f"{where}.template: '{template}' sits on bone that cuts leave, and there is none on its bone; add a [[cut]]."))
    return told


def _allowances(kind: type[SeatParams], params: dict[str, Any]) -> dict[str, Any]:
    """Those parameters that allow another to leave its range: each is judged with them."""
    return {name: params[name] for name in kind.override_key().values() if isinstance(params.get(name), bool)}


def _missing_files(data: dict[str, Any], path: Path) -> list[Mistake]:
    """Files and folders that the case names and that are not there."""
    places: list[tuple[tuple[int | str, ...], dict[str, Any]]] = [(place, table) for _, place, table in bones_in(data)]
    places += [((key,), data[key]) for key in ("tumour", "donor") if isinstance(data.get(key), dict)]
    for key in ("avoid", "cut"):
        places += [((key, number), entry) for number, entry in enumerate(tables_in(data, key))]
    found = []
    for place, entry in places:
        for key in FILE_KEYS:
            named = entry.get(key)
            if isinstance(named, str) and not (path.parent / named).exists():
                label = f"{place[0]}.{key}" if len(place) == 1 else f"{place[0]}[{place[1]}].{key}"
                text = f"{path.name}: {label}: there is no file '{named}'; paths are taken from the case file's folder."
                found.append(Mistake(label, text, place_in(data, (*place, key))))
    return found
