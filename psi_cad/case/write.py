"""A case written as TOML again: for a proposal or a starting plan beside the original, which is never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from psi_cad.case.load import LoadedCase, catalogue_of
from psi_cad.case.model import Filed, Printer
from psi_cad.files import whole_file
from psi_cad.units import Array

__all__ = ["case_with_planes", "cuts_as_toml", "write_case", "write_printer"]

_PLACES = 6  # decimals of a position in mm, and three more of a direction


def cuts_as_toml(cuts: list[dict[str, Any]]) -> str:
    """[[cut]] entries as text."""
    return "\n".join(_table("cut", cut, many=True) for cut in cuts)


def case_with_planes(loaded: LoadedCase, planes: Mapping[str, tuple[Array, Array]], *, folder: Path) -> dict[str, Any]:
    """The content of a case with other planes (origin, normal; patient mm), its paths taken from `folder`.

    A blade or printer that only a catalogue on the command line holds is written out.
    """
    data = loaded.case.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    _rebase(loaded.case, data, loaded, folder)
    found = catalogue_of(loaded.case, loaded.path)
    for guide, written in zip(loaded.case.guide, data.get("guide", []), strict=True):
        blade, printer = loaded.blade(guide.blade, where="guide.blade"), loaded.printer(guide.printer, where="guide.printer")
        if isinstance(guide.blade, str) and found.blades.get(guide.blade) != blade:
            written["blade"] = blade.model_dump(mode="json", exclude_none=True)
        if isinstance(guide.printer, str) and found.printers.get(guide.printer) != printer:
            written["printer"] = printer.model_dump(mode="json", exclude_none=True)
    for cut in data.get("cut", []):
        origin, normal = planes[cut["name"]]
        cut.pop("markups", None)
        cut.pop("flip", None)
        cut["origin"] = [round(float(v), _PLACES) for v in origin]
        cut["normal"] = [round(float(v), _PLACES + 3) for v in normal]
    return data


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


def write_case(path: Path, data: Mapping[str, Any], *, comment: str) -> None:
    """Write a case's content as TOML under a comment."""
    lines = [f"# {line}" for line in comment.splitlines()]
    plain = {key: value for key, value in data.items() if not isinstance(value, dict) and not _is_tables(value)}
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in data.items():
        if isinstance(value, dict):
            lines.append("\n" + _table(key, value).rstrip())
        elif _is_tables(value):
            lines += ["\n" + _table(key, entry, many=True).rstrip() for entry in value]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


def write_printer(path: Path, printer: Printer, *, comment: str) -> None:
    """A catalogue file with one printer, as `--catalogue` and a case's `catalogue` take it."""
    with whole_file(path) as temporary:
        temporary.write_text(f"# {comment}\n\n" + _table("printer", printer.model_dump(mode="json", exclude_none=True), many=True), "utf-8")


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _table(name: str, entries: Mapping[str, Any], *, many: bool = False) -> str:
    lines = [f"[[{name}]]" if many else f"[{name}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in entries.items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items()) + "}"
    return "[" + ", ".join(_value(entry) for entry in value) + "]"
