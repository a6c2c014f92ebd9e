"""Load a case file; every mistake is one sentence with the file and the key."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from psi_cad.case.catalogue import Catalogue, load_catalogue, shipped_catalogue
from psi_cad.case.mistakes import Mistake, complaints, mistakes_of, place_in, raise_all
from psi_cad.case.model import Blade, Case, GuideRequest, Implant, Printer, Tool, apart_in
from psi_cad.case.tables import tables_in
from psi_cad.errors import CaseError, CatalogueError

__all__ = ["OF_EVERY_GUIDE", "LoadedCase", "apply_settings", "catalogue_of", "load_case", "text_of", "value_of"]

MAX_BYTES: Final = 1_000_000
_LISTS: Final = ("guide", "part", "cut", "trajectory", "avoid")
OF_EVERY_GUIDE: Final = frozenset(GuideRequest.model_fields) - {"bone"}  # what "guide.KEY=…" may set of all guides; they lie on their own bones
_EXAMPLES: Final = {
    "guide": "guide.blade=generic-20x1.0 for all guides or guide.NAME.blade=generic-20x1.0 for one",
    "part": "part.NAME.printer=sls-pa12",
    "cut": "cut.A.origin=[1.0,2.0,3.0]",
    "trajectory": "trajectory.T1.depth=40",
    "avoid": "avoid.NAME.distance=5.0",
    "bone": "bone.NAME.units=mm",
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

    def tool(self, wanted: str | Tool, *, where: str) -> Tool:
        """The drill, wire or reamer meant by a case's entry."""
        return wanted if isinstance(wanted, Tool) else self.catalogue.tool(wanted, where=where)

    def implant(self, wanted: str | Implant, *, where: str) -> Implant:
        """The stem and cup meant by a case's entry."""
        return wanted if isinstance(wanted, Implant) else self.catalogue.implant(wanted, where=where)


def load_case(
    path: Path | str,
    *,
    settings: list[str] | None = None,
    catalogue: Path | None = None,
    needs: tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]] = ("cut", "guide"),
    also: Callable[[dict[str, Any], Path], list[Mistake]] = lambda _data, _path: [],
) -> LoadedCase:
    """Read and check a case file.

    Parameters
    ----------
    path : Path or str
        The TOML file, or a folder that holds `case.toml`.
    settings : list of str, optional
        "key.path=value" overrides, such as "params.clearance=0.12" (for every guide).
    catalogue : Path, optional
        A user's own blades, tools, implants, printers and slot sleeves, before those the case names.
    needs : tuple of str, or callable
        Tables that must hold an entry: a plan needs no guide yet, and a starting plan no cut. A callable tells them of the file as read.
    also : callable
        Gives further mistakes of the file as read; asked only where something is wrong already, so that all is told at once.

    Raises
    ------
    CaseError, CatalogueError
        With a line for each mistake, in the file's order; `errors` lists them.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "case.toml").exists():
            raise CaseError(f"{path}: this folder holds no case.toml; name a case file.")
        path = path / "case.toml"
    data, digest = _read(path)
    apply_settings(data, settings or [], path.name)
    mistakes: list[Mistake] = []
    case: Case | None = None
    try:
        case = Case.model_validate(data)
    except ValidationError as error:
        mistakes += _told(error, data, path.name)
    mistakes += [
        Mistake(key, f"{path.name}: [[{key}]] is missing ({_hint(key, data)}).", (len(data),))
        for key in (needs(data) if callable(needs) else needs)
        if not data.get(key)
    ]
    own = _catalogues(data, path, catalogue, mistakes)
    if own is not None:
        wrong = {mistake.key for mistake in mistakes}
        mistakes += [mistake for mistake in _unknown_entries(data, own, path.name) if mistake.key not in wrong]
    if mistakes or case is None or own is None:
        told = tuple(f"{mistake.key}." for mistake in mistakes)  # of a key or table that is wrong as a whole no more is told
        raise_all([*mistakes, *(mistake for mistake in also(data, path) if not f"{mistake.key}.".startswith(told))])
        raise AssertionError("unreachable")
    return LoadedCase(case=_with_sleeves(case, own), path=path, sha256=digest, catalogue=own, settings=tuple(settings or []))


def _with_sleeves(case: Case, own: Catalogue) -> Case:
    """A case whose guides hold their metal sleeves by value: what is built for one is known by its sizes."""
    if not any(isinstance(one.slot_sleeve, str) for one in case.guide):
        return case
    guides = []
    for one in case.guide:
        named = one.slot_sleeve
        held = own.slot_sleeve(named, where="guide.slot_sleeve") if isinstance(named, str) else named
        guides.append(one.model_copy(update={"slot_sleeve": held}))
    return case.model_copy(update={"guide": tuple(guides)})


def _hint(key: str, data: dict[str, Any]) -> str:
    """What to do about a table that is missing; a case of trajectories alone has nothing that a plan could measure."""
    if key == "cut" and data.get("trajectory"):
        return "this is about cuts, and the case has trajectories alone; 'psi-cad check' tells of their guides"
    return "add it; 'psi-cad new DIR' shows a whole case"


def _told(error: ValidationError, data: dict[str, Any], name: str) -> list[Mistake]:
    """What the models complain of, and what does not fit together even so."""
    apart = [Mistake(key, f"{name}: {text}.", place_in(data, keys)) for key, keys, text in apart_in(data)]
    known = {mistake.message for mistake in apart}
    return [*(mistake for mistake in complaints(error, data, Case, name=name) if mistake.message not in known), *apart]


def _catalogues(data: dict[str, Any], path: Path, more: Path | None, mistakes: list[Mistake]) -> Catalogue | None:
    """The shipped entries, those that the case names, and those of the command line; None where one cannot be read."""
    own = shipped_catalogue()
    named = data.get("catalogue")
    files = [(path.parent / named, f"{path.name}: catalogue")] if isinstance(named, str) else []
    if more is not None:
        files.append((more, "--catalogue"))
    sound = True
    for file, where in files:
        try:
            own = own.extended(load_catalogue(file, where=where))
        except CatalogueError as error:
            sound = False
            mistakes += mistakes_of(error, key="catalogue", place=place_in(data, ("catalogue",)))
    return own if sound else None


def _unknown_entries(data: dict[str, Any], own: Catalogue, name: str) -> list[Mistake]:
    """Blades, printers and tools that guides and trajectories name and no catalogue holds."""
    found: list[Mistake] = []
    named = (
        ("guide", "blade", own.blade),
        ("guide", "printer", own.printer),
        ("part", "printer", own.printer),
        ("trajectory", "tool", own.tool),
        ("trajectory", "implant", own.implant),
        ("guide", "slot_sleeve", own.slot_sleeve),
    )
    for table, kind, find in named:
        for number, entry in enumerate(tables_in(data, table)):
            if not isinstance(entry.get(kind), str):
                continue
            try:
                find(entry[kind], where=f"{name}: {table}[{number}].{kind}")
            except CatalogueError as error:
                found += mistakes_of(error, key=f"{table}[{number}].{kind}", place=place_in(data, (table, number, kind)))
    return found


def catalogue_of(case: Case, path: Path) -> Catalogue:
    """The blades, tools, implants, printers and slot sleeves that a case in the file `path` finds by itself: the shipped ones, and those it names.

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


def text_of(loaded: LoadedCase) -> str:
    """The text of a case file that was loaded.

    Raises
    ------
    CaseError
        Where another text lies there now.
    """
    raw = loaded.path.read_bytes() if loaded.path.is_file() else b""
    if hashlib.sha256(raw).hexdigest() != loaded.sha256:
        raise CaseError(f"{loaded.path.name}: the file was changed while psi-cad was at work; run it again.")
    return raw.decode("utf-8-sig")


def apply_settings(data: dict[str, Any], settings: list[str], name: str) -> None:
    """Apply "key.path=value" overrides in place.

    "params.x" and "guide.x" go to every guide; "guide.NAME.x", "part.NAME.x", "cut.NAME.x", "trajectory.NAME.x" and "avoid.NAME.x" to the entry
    of that name, and so does "bone.NAME.x" where there are several bones; others from the top.

    Raises
    ------
    CaseError
    """
    for setting in settings:
        key, sign, text = setting.partition("=")
        keys = key.strip().split(".")
        if not sign or not all(keys):
            raise CaseError(f"--set {setting}: write key=value, such as params.clearance=0.12.")
        value = value_of(text)
        targets, rest = _targets(data, keys, setting, name)
        for target in targets:
            for step in rest[:-1]:
                target = target.setdefault(step, {})
                if not isinstance(target, dict):
                    raise CaseError(f"--set {setting}: '{step}' is no table of the case file.")
            target[rest[-1]] = value


def value_of(text: str) -> Any:
    """The value of a setting: TOML where it is, else the text itself."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _targets(data: dict[str, Any], keys: list[str], setting: str, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The tables that a setting goes to, and the key in them."""
    listed = keys[0] in _LISTS or (keys[0] == "bone" and isinstance(data.get("bone"), list))
    if keys[0] != "params" and not listed:
        return [data], keys
    table = "guide" if keys[0] == "params" else keys[0]
    entries = data.get(table)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        parts = f"; a part's own is part.NAME.{'.'.join(keys)}" if keys[0] == "params" and data.get("part") else ""
        raise CaseError(f"{name}: there is no [[{table}]] for --set {setting}{parts}.")
    if keys[0] == "params":
        return entries, keys
    rest = keys[1:]
    if not rest:
        raise CaseError(f"--set {setting}: name a key of the {table}, such as {_EXAMPLES[table]}.")
    if table == "guide" and rest[0] in OF_EVERY_GUIDE:
        return entries, rest
    named = [entry for entry in entries if entry.get("name") == rest[0]]
    if not named:
        known = ", ".join(str(entry.get("name")) for entry in entries)
        raise CaseError(f"--set {setting}: '{rest[0]}' names no [[{table}]]; they are {known}; write {_EXAMPLES[table]}.")
    if len(rest) < 2:
        raise CaseError(f"--set {setting}: name a key of {table} '{rest[0]}', such as {_EXAMPLES[table]}.")
    return named, rest[1:]
