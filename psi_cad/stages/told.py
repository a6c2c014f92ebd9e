"""Which stages of a build were made and which were found, and why: what `--explain` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["IN_MEMORY", "MADE", "Stage", "Stages", "of_guide", "stage_lines"]

MADE: Final = "made"
IN_MEMORY: Final = "in memory"
ON_DISK: Final = "on disk"
NEW: Final = "nothing like it was made before"
SAME: Final = "made from the same as before: too quick to be worth a file, or no longer kept"


@dataclass
class Stage:
    """How often a stage of one guide was made and found in a build, how long that took (s), and what was not as in the build before."""

    name: str
    of: str
    made: int = 0
    found: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    changed: tuple[str, ...] | None = None  # None: never made before

    def to_json(self) -> dict[str, Any]:
        """As `--explain --json` tells it."""
        return {"of": self.of, "stage": self.name, "made": self.made, "found": dict(self.found), "seconds": round(self.seconds, 3), "why": self.why}

    @property
    def why(self) -> str:
        """Why it was made, in words; "" where it was not."""
        if not self.made:
            return ""
        if self.changed is None:
            return NEW
        return f"other {', '.join(self.changed)}" if self.changed else SAME


class Stages:
    """Stages of one build after the other; what each was made from last is remembered."""

    def __init__(self) -> None:
        self.of = ""  # the guide that is being made
        self._now: dict[tuple[str, str], Stage] = {}
        self._last: dict[tuple[str, str], dict[str, bytes]] = {}
        self._first: dict[tuple[str, str], dict[str, bytes]] = {}

    def begin(self, last: Mapping[tuple[str, str], dict[str, bytes]] | None = None) -> None:
        """A new build begins; `last`: what the stages of the build before were made from, where another process made them."""
        self._last = {**self._last, **self._first, **(last or {})}
        self._now, self._first, self.of = {}, {}, ""

    def tell(self, name: str, parts: Mapping[str, bytes], how: str, seconds: float) -> None:
        """A stage was made or found, of parts with these digests."""
        key = (self.of, name)
        stage = self._now.setdefault(key, Stage(name, self.of))
        if key not in self._first:
            self._first[key] = dict(parts)
            before = self._last.get(key)
            stage.changed = None if before is None else tuple(one.replace("_", " ") for one in parts if parts[one] != before.get(one))
        stage.seconds += seconds
        if how == MADE:
            stage.made += 1
        else:
            stage.found[how] = stage.found.get(how, 0) + 1

    @property
    def parts(self) -> dict[tuple[str, str], dict[str, bytes]]:
        """What each stage of this build was made from, for the next one."""
        return dict(self._first)

    def to_json(self) -> list[dict[str, Any]]:
        """The stages of this build, in order."""
        return [stage.to_json() for stage in self._now.values()]


def of_guide(name: str, tool: str) -> str:
    """What stages of one guide, for one blade or tool, are of."""
    return f"{name} {tool}"


def stage_lines(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table that `--explain` prints."""
    rows = [("stage", "of", "made", "found", "s", "because")]
    for one in stages:
        found = ", ".join(f"{count} {where}" for where, count in one["found"].items())
        rows.append((one["stage"], one["of"], str(one["made"] or ""), found, f"{one['seconds']:.2f}", one["why"]))
    wide = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row[:5], wide, strict=True)), row[5]]).rstrip() for row in rows]
