"""Load a case file; every mistake is one sentence with the file and the key."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from psi_cad.case.catalogue import Catalogue, load_catalogue, shipped_catalogue
from psi_cad.case.model import Avoid, Blade, Case, Cut, GuideRequest, Printer
from psi_cad.errors import CaseError

__all__ = ["LoadedCase", "apply_settings", "catalogue_of", "load_case"]

MAX_BYTES: Final = 1_000_000
_LISTS: Final = ("guide", "cut", "avoid")
_EXAMPLES: Final = {
    "guide": "guide.blade=generic-20x1.0 for all guides or guide.NAME.blade=generic-20x1.0 for one",
    "cut": "cut.A.origin=[1.0,2.0,3.0]",
    "avoid": "avoid.NAME.distance=5.0",
}


@dataclass(frozen=True)
class LoadedCase:
    """A case with its folder, its catalogue, the SHA-256 of what was read, and the settings that overrode it."""

    case: Case
    path: Path
    sha256: str
    catalogue: Catalogue
    settings: tuple[str, ...] = ()

    def resolve(self, relative: str) -> Path:
        """A path named in the case, taken from the case file's folder."""
        return (self.path.parent / relative).resolve()

    def blade(self, wanted: str | Blade, *, where: str) -> Blade:
        """The blade meant by a case's entry or by an id on the command line."""
        return wanted if isinstance(wanted, Blade) else self.catalogue.blade(wanted, where=where)

    def printer(self, wanted: str | Printer, *, where: str) -> Printer:
        """The printer meant by a case's entry."""
        return wanted if isinstance(wanted, Printer) else self.catalogue.printer(wanted, where=where)


def load_case(
    path: Path | str, *, settings: list[str] | None = None, catalogue: Path | None = None, needs: tuple[str, ...] = ("cut", "guide")
) -> LoadedCase:
    """Read and check a case file.

    Parameters
    ----------
    path : Path or str
        The TOML file, or a folder that holds `case.toml`.
    settings : list of str, optional
        "key.path=value" overrides, such as "params.clearance=0.12" (for every guide).
    catalogue : Path, optional
        A user's own blades and printers, before those the case names.
    needs : tuple of str
        Tables that must hold an entry: a plan needs no guide yet, and a starting plan no cut.

    Raises
    ------
    CaseError, CatalogueError
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "case.toml").exists():
            raise CaseError(f"{path}: this folder holds no case.toml; name a case file.")
        path = path / "case.toml"
    data, digest = _read(path)
    apply_settings(data, settings or [], path.name)
    try:
        case = Case.model_validate(data)
    except ValidationError as error:
        raise CaseError(f"{path.name}: {_sentence(error, data)}") from None
    for key in needs:
        if not getattr(case, key):
            raise CaseError(f"{path.name}: [[{key}]] is missing (add it; 'psi-cad new DIR' shows a whole case).")
    own = catalogue_of(case, path)
    if catalogue is not None:
        own = own.extended(load_catalogue(catalogue, where="--catalogue"))
    loaded = LoadedCase(case=case, path=path, sha256=digest, catalogue=own, settings=tuple(settings or []))
    for number, guide in enumerate(case.guide):  # unknown ids are found before anything slow runs
        loaded.blade(guide.blade, where=f"{path.name}: guide[{number}].blade")
        loaded.printer(guide.printer, where=f"{path.name}: guide[{number}].printer")
    return loaded


def catalogue_of(case: Case, path: Path) -> Catalogue:
    """The blades and printers that a case in the file `path` finds by itself: the shipped ones, and those it names.

    Raises
    ------
    CatalogueError
    """
    own = shipped_catalogue()
    if case.catalogue is None:
        return own
    return own.extended(load_catalogue(path.parent / case.catalogue, where=f"{path.name}: catalogue"))


def _read(path: Path) -> tuple[dict[str, Any], str]:
    if not path.exists():
        raise CaseError(f"{path}: there is no such case file; check the path, or make one with 'psi-cad new DIR'.")
    if not path.is_file():
        raise CaseError(f"{path}: this is no file; name a case file in TOML.")
    if path.stat().st_size > MAX_BYTES:
        raise CaseError(f"{path.name}: the file is too large for a case file; name the TOML file, not a surface.")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
        data = tomllib.loads(text)
    except UnicodeDecodeError:
        raise CaseError(f"{path.name}: this is not text; a case file is TOML in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f"{path.name}: this is not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}.") from None
    if not data:
        raise CaseError(f"{path.name}: the file is empty; make one to start from with 'psi-cad new DIR'.")
    return data, hashlib.sha256(raw).hexdigest()


def apply_settings(data: dict[str, Any], settings: list[str], name: str) -> None:
    """Apply "key.path=value" overrides in place.

    "params.x" and "guide.x" go to every guide; "guide.NAME.x", "cut.NAME.x" and "avoid.NAME.x" to the entry of that name;
    others from the top.

    Raises
    ------
    CaseError
    """
    for setting in settings:
        key, sign, text = setting.partition("=")
        keys = key.strip().split(".")
        if not sign or not all(keys):
            raise CaseError(f"--set {setting}: write key=value, such as params.clearance=0.12.")
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        targets, rest = _targets(data, keys, setting, name)
        for target in targets:
            for step in rest[:-1]:
                target = target.setdefault(step, {})
                if not isinstance(target, dict):
                    raise CaseError(f"--set {setting}: '{step}' is no table of the case file.")
            target[rest[-1]] = value


def _targets(data: dict[str, Any], keys: list[str], setting: str, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The tables that a setting goes to, and the key in them."""
    if keys[0] != "params" and keys[0] not in _LISTS:
        return [data], keys
    table = "guide" if keys[0] == "params" else keys[0]
    entries = data.get(table)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise CaseError(f"{name}: there is no [[{table}]] for --set {setting}.")
    if keys[0] == "params":
        return entries, keys
    rest = keys[1:]
    if not rest:
        raise CaseError(f"--set {setting}: name a key of the {table}, such as {_EXAMPLES[table]}.")
    if table == "guide" and rest[0] in GuideRequest.model_fields:
        return entries, rest
    named = [entry for entry in entries if entry.get("name") == rest[0]]
    if not named:
        known = ", ".join(str(entry.get("name")) for entry in entries)
        raise CaseError(f"--set {setting}: '{rest[0]}' names no [[{table}]]; they are {known}; write {_EXAMPLES[table]}.")
    if len(rest) < 2:
        raise CaseError(f"--set {setting}: name a key of {table} '{rest[0]}', such as {_EXAMPLES[table]}.")
    return named, rest[1:]


def _model_at(place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model whose keys are valid at a place in the case file."""
    model: type[BaseModel] = Case
    for step in place:
        if step == "cut":
            model = Cut
        elif step == "guide":
            model = GuideRequest
        elif step == "avoid":
            model = Avoid
        elif step in ("Blade", "blade"):
            model = Blade
        elif step in ("Printer", "printer"):
            model = Printer
        elif isinstance(step, str) and step in model.model_fields:
            annotation = model.model_fields[step].annotation
            options = [annotation, *getattr(annotation, "__args__", ())]
            model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return model


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step in ("Blade", "Printer") or step.startswith(("constrained-str", "function-", "nullable", "tuple")):
            continue
        else:
            text += f".{step}" if text else step
    return text or "the file"


_RULES: Final = {
    "missing": "is missing",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "dict_attributes_type": "must be a table",
}


def _sentence(error: ValidationError, data: dict[str, Any]) -> str:
    details = error.errors(include_url=False, include_input=True)
    # of a union's complaints the deepest is about what was meant
    unknown = [d for d in details if d["type"] == "extra_forbidden"]
    first = unknown[0] if unknown else max(details, key=lambda d: (-_order(d, data), len(d["loc"])))
    place = _place(first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        known = [f.alias or key for key, f in _model_at(first["loc"][:-1]).model_fields.items()]
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"the keys here are {', '.join(known)}."
        return f"'{place}' is no key of a case file; {hint}"
    if kind == "value_error":
        return f"{'' if place == 'the file' else place + ' '}{first['ctx']['error']!s}."
    if kind in ("missing", "too_short", "too_long") and first["loc"] and isinstance(first["loc"][-1], int):
        return f"{_place(first['loc'][:-1])} must be three numbers."
    if kind == "string_pattern_mismatch":
        return (
            f"{place} = {_shown(first)} is no valid name; use letters, digits and '-' (ids and guide names in lower case), "
            "no spaces or slashes, at most 40."
        )
    if kind == "missing" and place == "side":
        return 'side is missing: write side = "left", "right" or "midline", the side of the patient that the bone is of.'
    if kind == "literal_error":
        return f"{place} must be {first['ctx']['expected']}, not {_shown(first)}."
    if kind in ("too_short", "too_long"):
        if first["loc"][-1] in ("origin", "normal", "approach"):
            return f"{place} must be three numbers."
        bound = f"at least {first['ctx']['min_length']}" if kind == "too_short" else f"at most {first['ctx']['max_length']}"
        return f"{place} must have {bound} entries."
    rule = _RULES.get(kind)
    if rule is None:
        message = first["msg"].replace("Input should be", "must be")
        rule = message[:1].lower() + message[1:]
    shown = "" if kind == "missing" else f", not {_shown(first)}"
    hint = " (add it; 'psi-cad new DIR' shows a whole case)" if kind == "missing" else ""
    return f"{place} {rule}{shown}{hint}."


def _order(detail: ErrorDetails, data: dict[str, Any]) -> int:
    """Where in the file a complaint is, by top-level table, so that the first mistake is told first."""
    keys = list(data)
    head = detail["loc"][0] if detail["loc"] else ""
    return keys.index(head) if head in keys else len(keys)


def _shown(detail: ErrorDetails) -> str:
    text = repr(detail["input"])
    return text if len(text) <= 40 else text[:37] + "…"
