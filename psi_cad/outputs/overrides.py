"""What `--set` overrides of a case, told for each guide that it reaches, and what of it a guide's name and label must show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from psi_cad.case.load import OF_EVERY_GUIDE, value_of

__all__ = ["MARK", "decisive", "mark_of", "of_case", "overrides_of", "overrides_of_part", "parted"]

MARK: Final = 6  # letters of a hash that stands for what is too long for a name
BLADE: Final = "guide.blade"  # a guide's name and its label say which
NAMED: Final = frozenset({"params.clearance", BLADE})  # each has its own words on a label
OF_PARTS: Final = "part"
COMPARED: Final = ("params.", "guide.params", "guide.blade", "guide.printer", "guide.template")  # told by what came of them, beside an earlier guide


def overrides_of(settings: Iterable[str], guide: str) -> tuple[str, ...]:
    """The settings that reach the guide called `guide`, in one spelling whoever wrote them, sorted; of one key the last.

    >>> overrides_of(["guide.g.params.height=11", "params.wall = 3", "cut.A.origin=[1,2,3]", "guide.other.blade=b"], "g")
    ('cut.A.origin=[1, 2, 3]', 'params.height=11', 'params.wall=3')
    """
    found: dict[str, str] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        keys = key.strip().split(".")
        if keys[0] == OF_PARTS:
            continue
        if keys[0] == "guide" and len(keys) > 1 and keys[1] not in OF_EVERY_GUIDE:
            if keys[1] != guide:
                continue
            keys = ["guide", *keys[2:]]
        if keys[:2] == ["guide", "params"] and len(keys) > 2:
            keys = keys[1:]
        found[".".join(keys)] = _spelt(text)
    return tuple(f"{key}={value}" for key, value in sorted(found.items()))


def overrides_of_part(settings: Iterable[str], part: str) -> tuple[str, ...]:
    """The same of the settings that reach the part called `part`.

    >>> overrides_of_part(["part.p.params.wall=3", "part.q.params.wall=4", "params.height=11", "cut.A.origin=[1,2,3]"], "p")
    ('cut.A.origin=[1, 2, 3]', 'part.params.wall=3')
    """
    found: dict[str, str] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        keys = key.strip().split(".")
        if keys[0] == OF_PARTS and len(keys) > 2 and keys[1] == part:
            found[".".join([OF_PARTS, *keys[2:]])] = text
    return tuple(sorted([*of_case(settings), *(f"{key}={_spelt(text)}" for key, text in found.items())]))


def _spelt(text: str) -> str:
    return json.dumps(value_of(text), sort_keys=True, default=str)


def of_case(settings: Iterable[str]) -> tuple[str, ...]:
    """Those that override what no single guide or part owns: a plane, a bone, a landmark; spelt and sorted as above."""
    return tuple(one for one in overrides_of(settings, "") if not one.startswith(("params.", "guide.")))


def decisive(overrides: Iterable[str]) -> tuple[str, ...]:
    """All overrides but the blade, where one makes another guide whatever lies beside it; else none.

    Parameters, blade, printer and template alone do not: they are held against those of an earlier guide.

    >>> decisive(["cut.A.origin=[1, 2, 3]", 'guide.blade="b"', "params.height=11"])
    ('cut.A.origin=[1, 2, 3]', 'params.height=11')
    >>> decisive(['guide.blade="b"', "params.height=11"])
    ()
    """
    found = [one for one in overrides if one.partition("=")[0] != BLADE or one.partition("=")[2].startswith("{")]
    return tuple(found) if any(not one.startswith(COMPARED) for one in found) else ()


def mark_of(overrides: Iterable[str]) -> str | None:
    """What a label says of overrides where the guide's name says nothing of them; None where it need not.

    >>> mark_of(['guide.blade="b"', "params.clearance=0.12"]) is None
    True
    """
    said = [one for one in overrides if one.partition("=")[0] not in NAMED or one.partition("=")[2].startswith("{")]
    return f"set-{hashlib.sha256(chr(10).join(said).encode()).hexdigest()[:MARK]}" if said else None


def parted(override: str) -> tuple[str, object]:
    """The key of an override, as a name shows it, and its value."""
    key, _, text = override.partition("=")
    return key.removeprefix("guide.").removeprefix("params."), json.loads(text)
