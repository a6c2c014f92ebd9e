"""What the terminal and a processing sheet say of the options that a guide has."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

__all__ = ["option_lines"]

ROOM: Final = __name__.rpartition(".")[0]


def option_lines(features: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line or more for each kind of option among the features of a guide's report, in their order; each kind's file says its own."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in features:
        kinds.setdefault(str(one["kind"]), []).append(dict(one))
    lines = []
    for kind, found in kinds.items():
        if kind.isidentifier() and find_spec(f"{ROOM}.{kind}") is not None:
            lines += importlib.import_module(f"{ROOM}.{kind}").said(found)
    return lines
