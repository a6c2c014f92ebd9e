"""Catalogues of blades, tools, implants, printers and metal sleeves for slots: the shipped entries, and a user's own file in the same form."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from psi_cad.case.implants import Implant
from psi_cad.case.mistakes import Mistake, complaints, raise_all
from psi_cad.case.model import Blade, Printer, Tool
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.errors import CatalogueError

__all__ = ["Catalogue", "catalogue_with", "load_catalogue", "shipped_catalogue"]

Entry = TypeVar("Entry", Blade, Printer, Tool, Implant, SlotSleeve)
KINDS_OF: Final[Mapping[type, str]] = {Blade: "blade", Tool: "tool", Implant: "implant", Printer: "printer", SlotSleeve: "slot_sleeve"}
TABLES: Final = ", ".join(f"[[{kind}]]" for kind in KINDS_OF.values())


@dataclass(frozen=True)
class Catalogue:
    """Blades, printers, tools, implants and slot sleeves by id."""

    blades: Mapping[str, Blade]
    printers: Mapping[str, Printer]
    tools: Mapping[str, Tool] = field(default_factory=dict)
    implants: Mapping[str, Implant] = field(default_factory=dict)
    slot_sleeves: Mapping[str, SlotSleeve] = field(default_factory=dict)

    def extended(self, other: Catalogue) -> Catalogue:
        """This catalogue with the entries of `other`, which win."""
        return Catalogue(
            {**self.blades, **other.blades},
            {**self.printers, **other.printers},
            {**self.tools, **other.tools},
            {**self.implants, **other.implants},
            {**self.slot_sleeves, **other.slot_sleeves},
        )

    def blade(self, name: str, *, where: str) -> Blade:
        """The blade called `name`, or a `CatalogueError` that names the nearest."""
        return _find(self.blades, name, "blade", "psi-cad blades", where)

    def printer(self, name: str, *, where: str) -> Printer:
        """The printer called `name`, or a `CatalogueError` that names the nearest."""
        return _find(self.printers, name, "printer", "psi-cad printers", where)

    def tool(self, name: str, *, where: str) -> Tool:
        """The drill, wire or reamer called `name`, or a `CatalogueError` that names the nearest."""
        return _find(self.tools, name, "tool", "psi-cad drills", where)

    def implant(self, name: str, *, where: str) -> Implant:
        """The implant called `name`, or a `CatalogueError` that names the nearest."""
        return _find(self.implants, name, "implant", "psi-cad implants", where)

    def slot_sleeve(self, name: str, *, where: str) -> SlotSleeve:
        """The metal sleeve called `name`, or a `CatalogueError`: nobody but the user enters any."""
        if name not in self.slot_sleeves:
            known = f"your catalogue has {', '.join(self.slot_sleeves)}" if self.slot_sleeves else "psi-cad comes with none"
            raise CatalogueError(f"{where}: there is no slot sleeve '{name}'; {known}; enter yours in a catalogue, as [[slot_sleeve]].")
        return self.slot_sleeves[name]


def _find(entries: Mapping[str, Entry], name: str, kind: str, command: str, where: str) -> Entry:
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=1, cutoff=0.3)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise CatalogueError(f"{where}: there is no {kind} '{name}'; {hint}'{command}' lists them, a catalogue file adds your own.")


@lru_cache(maxsize=1)
def shipped_catalogue() -> Catalogue:
    """The entries that come with psi-cad."""
    folder = files("psi_cad.case") / "data"
    found = Catalogue({}, {})
    for name in ("blades.toml", "printers.toml", "tools.toml", "implants.toml"):
        found = found.extended(_parsed((folder / name).read_text("utf-8"), name))
    return found


def catalogue_with(own: Path | None) -> Catalogue:
    """The shipped entries, and those of a user's own file on the command line.

    Raises
    ------
    CatalogueError
    """
    return shipped_catalogue() if own is None else shipped_catalogue().extended(load_catalogue(own, where="--catalogue"))


def load_catalogue(path: Path, *, where: str) -> Catalogue:
    """A user's own entries: a TOML file with [[blade]], [[tool]], [[implant]], [[printer]] and [[slot_sleeve]] tables.

    Raises
    ------
    CatalogueError
    """
    if not path.is_file():
        raise CatalogueError(f"{where}: there is no catalogue file '{path}'.")
    try:
        return _parsed(path.read_text("utf-8"), path.name)
    except UnicodeDecodeError:
        raise CatalogueError(f"{where}: '{path.name}' is not text; a catalogue is TOML with the tables {TABLES}.") from None


def _parsed(text: str, name: str) -> Catalogue:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{name}: this is not valid TOML: {error}.") from None
    mistakes = [
        Mistake(key, f"{name}: '{key}' is no key of a catalogue; it has the tables {TABLES}.", (number,), CatalogueError)
        for number, key in enumerate(data)
        if key not in KINDS_OF.values()
    ]
    found = Catalogue(
        _entries(data, Blade, name, mistakes),
        _entries(data, Printer, name, mistakes),
        _entries(data, Tool, name, mistakes),
        _entries(data, Implant, name, mistakes),
        _entries(data, SlotSleeve, name, mistakes),
    )
    raise_all(mistakes)
    return found


def _entries(data: dict[str, Any], model: type[Entry], name: str, mistakes: list[Mistake]) -> dict[str, Entry]:
    """The entries of one kind by id; what is wrong with any of them is added to `mistakes`."""
    kind = KINDS_OF[model]
    items = data.get(kind, [])
    if not isinstance(items, list):
        mistakes.append(Mistake(kind, f"{name}: write each {kind} as [[{kind}]] with an id.", (list(data).index(kind),), CatalogueError))
        return {}
    found: dict[str, Entry] = {}
    for number, item in enumerate(items):
        place: tuple[int, ...] = (list(data).index(kind), number)
        try:
            entry = model.model_validate(item)
        except ValidationError as error:
            mistakes += complaints(
                error, item, model, name=name, what="a catalogue", hint=" (add it)", at=(kind, number), place=place, kind=CatalogueError
            )
            continue
        if entry.id in found:
            mistakes.append(Mistake(f"{kind}[{number}].id", f"{name}: two entries of [[{kind}]] have the id '{entry.id}'.", place, CatalogueError))
        found[entry.id] = entry
    return found
