"""Blade and printer catalogues: the shipped entries, and a user's own file in the same form."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from psi_cad.case.model import Blade, Printer
from psi_cad.errors import CatalogueError

__all__ = ["Catalogue", "load_catalogue", "shipped_catalogue"]

Entry = TypeVar("Entry", Blade, Printer)


@dataclass(frozen=True)
class Catalogue:
    """Blades and printers by id."""

    blades: Mapping[str, Blade]
    printers: Mapping[str, Printer]

    def extended(self, other: Catalogue) -> Catalogue:
        """This catalogue with the entries of `other`, which win."""
        return Catalogue({**self.blades, **other.blades}, {**self.printers, **other.printers})

    def blade(self, name: str, *, where: str) -> Blade:
        """The blade called `name`, or a `CatalogueError` that names the nearest."""
        return _find(self.blades, name, "blade", "psi-cad blades", where)

    def printer(self, name: str, *, where: str) -> Printer:
        """The printer called `name`, or a `CatalogueError` that names the nearest."""
        return _find(self.printers, name, "printer", "psi-cad printers", where)


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
    blades = _parsed((folder / "blades.toml").read_text("utf-8"), "blades.toml")
    printers = _parsed((folder / "printers.toml").read_text("utf-8"), "printers.toml")
    return blades.extended(printers)


def load_catalogue(path: Path, *, where: str) -> Catalogue:
    """A user's own entries: a TOML file with [[blade]] and [[printer]] tables.

    Raises
    ------
    CatalogueError
    """
    if not path.is_file():
        raise CatalogueError(f"{where}: there is no catalogue file '{path}'.")
    try:
        return _parsed(path.read_text("utf-8"), path.name)
    except UnicodeDecodeError:
        raise CatalogueError(f"{where}: '{path.name}' is not text; a catalogue is TOML with [[blade]] and [[printer]].") from None


def _parsed(text: str, name: str) -> Catalogue:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{name}: this is not valid TOML: {error}.") from None
    unknown = set(data) - {"blade", "printer"}
    if unknown:
        raise CatalogueError(f"{name}: '{sorted(unknown)[0]}' is no key of a catalogue; use [[blade]] and [[printer]].")
    return Catalogue(_entries(data.get("blade", []), Blade, name), _entries(data.get("printer", []), Printer, name))


def _entries(items: object, model: type[Entry], name: str) -> dict[str, Entry]:
    kind = model.__name__.lower()
    if not isinstance(items, list):
        raise CatalogueError(f"{name}: write each {kind} as [[{kind}]] with an id.")
    found: dict[str, Entry] = {}
    for number, item in enumerate(items):
        try:
            entry = model.model_validate(item)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(step) for step in first["loc"])
            raise CatalogueError(f"{name}: {kind}[{number}].{key}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None
        if entry.id in found:
            raise CatalogueError(f"{name}: two entries of [[{kind}]] have the id '{entry.id}'.")
        found[entry.id] = entry
    return found
