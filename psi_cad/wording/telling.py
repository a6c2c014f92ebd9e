"""Checks and cautions in plain words: what passed in one word, what failed with its place, what a person must know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from psi_cad.records.case_check import SeatFound
from psi_cad.records.check import ToldGuide, ToldPart
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.shared import CautionSaid, CheckSaid
from psi_cad.remedies.words import WORDS

__all__ = ["Told", "caution_lines", "cautions_in", "cautions_of", "check_lines"]

MOST: Final = 15  # lines of cautions; what is less serious is counted
OF_A_KIND: Final = 3  # lines of one kind; what is alike is counted
UNMEASURED: Final = 1e8  # a number beyond this stands for one that could not be measured

_ABOUT: Final = {"trajectory": ("bore_", "sleeve_", "tool_"), "part": ("stl_", "step_", "printer_room"), "ledge": ("ledge_",), "cut": ("liner_",)}
_FEATURES: Final = {"bore", "flat", "gap", "web"}  # with a name of its own
_FLAGS: Final = {"step_schema_ap242", "step_valid", "stl_watertight", "bone_unchanged"}
_RULES: Final = {">=": "at least", "<=": "at most", "==": "exactly"}


def check_lines(checks: Sequence[CheckSaid]) -> list[str]:
    """How many checks passed; of each that failed what was measured, what is wanted, and where."""
    failed = [check for check in checks if not check.passed]
    if not checks:
        return []
    if not failed:
        return [f"  {len(checks)} checks passed" if len(checks) > 1 else "  1 check passed"]
    return [f"  {len(failed)} of {len(checks)} checks failed:", *(f"  - {_failed(check)}" for check in failed)]


def _failed(check: CheckSaid) -> str:
    stem, about = _parted(check.id)
    what = WORDS.get(stem, stem.replace("_", " "))
    what = f"{what} {about}" if stem == "avoid" else f"{what}, {about}" if about else what
    unit, value, limit = check.unit, float(check.value), float(check.limit)
    text = f"{check.id}: {what}"
    if stem not in _FLAGS:
        measured = "could not be measured" if abs(value) >= UNMEASURED else f"is {_number(value, unit)}"
        text += f" {measured}, wanted {_RULES.get(check.rule, check.rule)} {_number(limit, unit)}"
    note, where = check.note, check.where
    if where is not None and "near (" not in note and "nearest at (" not in note:
        text += f", near ({where[0]:.1f}, {where[1]:.1f}, {where[2]:.1f})"
    return f"{text} ({note})" if note else text


def _parted(name: str) -> tuple[str, str]:
    """The kind of a check and what it is about.

    "slot_width[A]" is ("slot_width", "slot A"), "bore[vent]" ("bore", "'vent'"), "margin_A" ("margin", "cut A").
    """
    bracket = re.fullmatch(r"(.+)\[(.+)\]", name)
    if bracket:
        stem, about = bracket[1], bracket[2]
        if stem in _FEATURES:
            return stem, f"'{about}'"
        kind = next((kind for kind, stems in _ABOUT.items() if stem.startswith(stems)), "slot")
        return stem, f"{kind} {about.replace(' ', ', ')}"
    if name in WORDS:
        return name, ""
    stem = next((stem for stem in sorted(WORDS, key=len, reverse=True) if name.startswith(f"{stem}_")), None)
    if stem is None:
        return name, ""
    rest = name[len(stem) + 1 :]
    if stem == "avoid":
        structure, _, cut = rest.rpartition("_")
        return stem, f"{structure or rest}, cut {cut}"
    return stem, f"cut {rest}" if stem.startswith("margin") else rest.replace("_", ", cut ")


def _number(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".strip() if abs(value) < 1000.0 else f"{value:.0f} {unit}".strip()


class _Named(Protocol):
    """A guide or part with its cautions, as any report holds one."""

    @property
    def name(self) -> str: ...
    @property
    def cautions(self) -> list[CautionSaid]: ...


@dataclass(frozen=True)
class Told:
    """A caution, and the guides and parts that it is about: none for the whole case."""

    id: str
    text: str
    guides: tuple[str, ...] = ()


def cautions_in(cautions: Sequence[CautionSaid], guides: Sequence[_Named] = ()) -> list[Told]:
    """The cautions of a report and of its guides and parts, each once, with those it is about."""
    named = Counter((isinstance(guide, BodyPart | ToldPart), guide.name) for guide in guides)

    def called(guide: _Named) -> str:
        """The name, of a part with "part", and its blade and variant, or its printer, where there are several."""
        if isinstance(guide, BodyPart | ToldPart):
            return f"part {guide.name}" if named[True, guide.name] == 1 else f"part {guide.name} {guide.printer}"
        assert isinstance(guide, Guide | ToldGuide | SeatFound)
        variant = None if isinstance(guide, SeatFound) else guide.variant
        return guide.name if named[False, guide.name] == 1 else " ".join([guide.name, guide.blade, *([variant] if variant else [])])

    found: dict[tuple[str, str], list[str]] = {(one.id, one.text): [] for one in cautions}
    for guide in guides:
        for one in guide.cautions:
            about = found.setdefault((one.id, one.text), [])
            if called(guide) not in about:
                about.append(called(guide))
    every = {called(guide) for guide in guides}
    # of all guides, so of none in particular
    return [Told(kind, text, () if every == set(about) else tuple(about)) for (kind, text), about in found.items()]


def caution_lines(cautions: Iterable[CautionSaid | Told], *, more_in: str = "report.json") -> list[str]:
    """What a person must know, most serious first; of many of a kind the rest is counted, and so is what is less serious.

    Parameters
    ----------
    more_in : str
        Where the rest can be read.
    """
    from psi_cad.findings import CAUTIONS

    kinds: dict[str, list[str]] = {}
    for caution in cautions:
        about = f" [{', '.join(caution.guides)}]" if isinstance(caution, Told) and caution.guides else ""
        lines = kinds.setdefault(caution.id, [])
        if (line := f"{caution.text}{about}") not in lines:
            lines.append(line)
    if not kinds:
        return []
    order = {kind: number for number, kind in enumerate(CAUTIONS)}
    ranked = sorted(kinds.items(), key=lambda item: order.get(item[0], len(order)))
    lines = ["What to know before this is used, most serious first:"]
    told = []
    for kind, texts in ranked:
        told += [f"  ! {kind}: {text.rstrip('.')}" for text in texts[:OF_A_KIND]]
        if len(texts) > OF_A_KIND:
            told.append(f"  ! {kind}: … and {len(texts) - OF_A_KIND} more of this kind in {more_in}")
    return [*lines, *told[:MOST], *([f"  … and {len(told) - MOST} more in {more_in}"] if len(told) > MOST else [])]


def cautions_of(said: Iterable[Mapping[str, Any]]) -> list[CautionSaid]:
    """Cautions as JSON values, typed."""
    return [CautionSaid.model_validate(one) for one in said]
