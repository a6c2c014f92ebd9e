"""A case written as TOML again: for a proposal or a starting plan beside the original, which is never changed. Comments stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel
from tomlkit.items import AoT, Item, Table

from psi_cad.case.load import LoadedCase, catalogue_of, text_of
from psi_cad.case.model import Filed, Printer
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.files import whole_file
from psi_cad.units import Array

__all__ = ["case_with_planes", "cuts_as_toml", "write_case", "write_printer"]

_PLACES = 6  # decimals of a position in mm, and three more of a direction


def cuts_as_toml(cuts: list[dict[str, Any]]) -> str:
    """[[cut]] entries as text."""
    document = tomlkit.document()
    document["cut"] = _item(cuts)
    return tomlkit.dumps(document)


def case_with_planes(loaded: LoadedCase, planes: Mapping[str, tuple[Array, Array]], *, folder: Path) -> tomlkit.TOMLDocument:
    """The case file with other planes (origin, normal; patient mm), its paths taken from `folder`, and its comments kept.

    What was overridden on the command line is written in, and so is a blade, printer or tool that only a catalogue there holds.

    Raises
    ------
    CaseError
        Where the file is not the one that was loaded any more.
    """
    data = loaded.case.model_dump(mode="json", by_alias=True, exclude_none=True)
    brief = loaded.case.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    for content in (data, brief):
        _rebase(loaded.case, content, loaded, folder)
    found = catalogue_of(loaded.case, loaded.path)
    for table, kind, known, find in (
        ("guide", "blade", found.blades, loaded.blade),
        ("guide", "printer", found.printers, loaded.printer),
        ("part", "printer", found.printers, loaded.printer),
        ("trajectory", "tool", found.tools, loaded.tool),
        ("trajectory", "implant", found.implants, loaded.implant),
    ):
        for number, one in enumerate(getattr(loaded.case, table)):
            named = getattr(one, kind)
            if isinstance(named, str) and known.get(named) != (entry := find(named, where=f"{table}.{kind}")):
                data[table][number][kind] = brief[table][number][kind] = entry.model_dump(mode="json", exclude_none=True)
    for number, guide in enumerate(loaded.case.guide):  # held by value since it was loaded
        if isinstance(guide.slot_sleeve, SlotSleeve) and found.slot_sleeves.get(guide.slot_sleeve.id) == guide.slot_sleeve:
            data["guide"][number]["slot_sleeve"] = brief["guide"][number]["slot_sleeve"] = guide.slot_sleeve.id
    for content in (data, brief):
        for cut in content.get("cut", []):
            origin, normal = planes[cut["name"]]
            cut.pop("markups", None)
            cut.pop("flip", None)
            cut["origin"] = [round(float(v), _PLACES) for v in origin]
            cut["normal"] = [round(float(v), _PLACES + 3) for v in normal]
    document = tomlkit.parse(text_of(loaded))
    _bring_up(document, data, brief)
    return document


def _bring_up(table: Any, data: Mapping[str, Any], brief: Mapping[str, Any]) -> None:
    """Have a table say what `data` says: what is the same stays as it is written; what is missing and in `brief`, no default, is added."""
    for key in [key for key in table if key not in data]:
        del table[key]
    for key, value in data.items():
        if key not in table:
            if key in brief:
                table[key] = _item(brief[key])
        elif isinstance(value, Mapping) and isinstance(table[key], Mapping):
            _bring_up(table[key], value, brief.get(key, {}))
        elif _is_tables(value) and isinstance(table[key], AoT) and len(table[key]) == len(value):
            for entry, said, short in zip(table[key], value, brief[key], strict=True):
                _bring_up(entry, said, short)
        elif _plain(table[key]) != value:
            table[key] = _item(value)


def _plain(value: Any) -> Any:
    return value.unwrap() if isinstance(value, Item) else value


def _item(value: Any) -> Any:
    """A value as TOML; entries of lists of tables each on lines of their own."""
    if not _is_tables(value):
        return tomlkit.item(value) if not isinstance(value, Mapping) else _table(value)
    found = tomlkit.aot()
    for entry in value:
        found.append(_table(entry))
    return found


def _table(entries: Mapping[str, Any]) -> Table:
    found = tomlkit.table()
    for key, value in entries.items():
        found[key] = _inline(value) if isinstance(value, Mapping) else value
    return found


def _inline(value: Mapping[str, Any]) -> Any:
    found = tomlkit.inline_table()
    found.update(value)
    return found


def _rebase(model: BaseModel, data: dict[str, Any], loaded: LoadedCase, folder: Path) -> None:
    """Name every file of a dumped model, and of those in it, from `folder`."""
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        if key not in data or value is None:
            continue
        if any(isinstance(mark, Filed) for mark in field.metadata):
            data[key] = _relative(loaded.resolve(value), folder)
        elif isinstance(value, BaseModel):
            _rebase(value, data[key], loaded, folder)
        elif isinstance(value, tuple):
            for entry, written in zip(value, data[key], strict=True):
                if isinstance(entry, BaseModel):
                    _rebase(entry, written, loaded, folder)


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def write_case(path: Path, document: tomlkit.TOMLDocument, *, comment: str) -> None:
    """Write a case's content as TOML under a comment."""
    above = "".join(f"# {line}\n" for line in comment.splitlines())
    with whole_file(path) as temporary:
        temporary.write_text(above + tomlkit.dumps(document).lstrip("\n"), "utf-8")


def write_printer(path: Path, printer: Printer, *, comment: str) -> None:
    """A catalogue file with one printer, as `--catalogue` and a case's `catalogue` take it."""
    document = tomlkit.document()
    document["printer"] = _item([printer.model_dump(mode="json", exclude_none=True)])
    with whole_file(path) as temporary:
        temporary.write_text(f"# {comment}\n\n" + tomlkit.dumps(document), "utf-8")


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
