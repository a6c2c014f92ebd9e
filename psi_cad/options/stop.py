"""A stop for the saw: a fence so high that its hub, or a collar, rests on it once the tip is through the bone; how deep that is as built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import rounded, unit
from psi_cad.units import Array, Mm
from psi_cad.verify.features.feature import Triple, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    import cadquery as cq

    from psi_cad.readback.faces import Faces
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Stop", "checks", "find", "measure", "said", "stop_curve"]

STEP_MM: Final[Mm] = 0.25
ABOVE_MM: Final[Mm] = 150.0  # above any fence, along the blade
RAYS: Final = 5  # across the wall on each side of the slot
ROUND_MM: Final[Mm] = 8.0  # radius of the stop's hollows: a fence's top follows no sharper ones
NEAR_MM: Final[Mm] = 0.25  # what a fence's top may lie off the drawn stop


@dataclass(frozen=True)
class Stop:
    """Where the hub rests on the fence of a cut. Guide frame, mm; s along the slot, u along the blade out of the bone, from `origin`.

    `length`: from the tip to the hub or collar. `allowance`: how far past the bone the tip goes. `far`: (s, u) of lines across the cut, the far side
    of the bone on each. `windows`: where the slot is open; `half`: of the blade's width, and of the hub's, which is taken to be as wide.
    """

    name: str
    origin: Triple
    normal: Triple
    blade: Triple
    slot: Mm
    wall: Mm
    half: Mm
    windows: tuple[tuple[Mm, Mm], ...]
    far: tuple[tuple[Mm, Mm], ...]
    length: Mm
    allowance: Mm

    def curve(self) -> tuple[Array, Array]:
        """Where the hub's rest lies: s and u."""
        return stop_curve(self.windows, self.far, half=self.half, length=self.length, allowance=self.allowance)

    @property
    def along(self) -> Array:
        """The slot's axis."""
        return np.cross(np.array(self.blade), np.array(self.normal))


def _positions(s: Array, windows: Sequence[Sequence[Mm]], half: Mm) -> Array:
    """Where (n,) the blade's middle stands to saw each line: over it, or as near to it as a window's ends let it."""
    choices = np.stack([np.clip(s, a + half, b - half) if b - a > 2.0 * half else np.full(len(s), (a + b) / 2.0) for a, b in windows])
    nearest = np.argmin(np.abs(choices - s), axis=0)
    return np.asarray(choices[nearest, np.arange(len(s))])


def stop_curve(windows: Sequence[Sequence[Mm]], far: Sequence[Sequence[Mm]], *, half: Mm, length: Mm, allowance: Mm) -> tuple[Array, Array]:
    """How high (u) the hub's rest may stand at each s, so that every line of the cut is sawn through, and the tip goes no deeper than it has to.

    For a line the hub stands over all of the blade's width, so no rest under it may be higher than that line lets it.
    """
    lines = np.asarray(far, dtype=float)
    middles = _positions(lines[:, 0], windows, half)
    s = np.arange(windows[0][0] - half, windows[-1][1] + half + STEP_MM, STEP_MM)
    under = np.abs(middles[None, :] - s[:, None]) <= half
    deepest = np.where(under, lines[None, :, 1], np.inf).min(axis=1)
    known = np.isfinite(deepest)
    deepest = np.interp(s, s[known], deepest[known])
    gentle = (deepest[None, :] + (s[:, None] - s[None, :]) ** 2 / (2.0 * ROUND_MM)).min(axis=1)
    return s, gentle + length - allowance


def find(stop: Stop, faces: Faces) -> list[tuple[cq.Face]]:
    """None: the fence's top is a curved face of no special kind, and the stop is measured on the triangles."""
    del stop, faces
    return []


def measure(stop: Stop, part: Part | None, printed: Printed) -> dict[str, Any]:
    """How far past the bone the tip ends, from where the hub rests on the STL."""
    del part
    normal, blade, along, origin = unit(np.array(stop.normal)), unit(np.array(stop.blade)), unit(stop.along), np.array(stop.origin)
    s = np.arange(stop.windows[0][0] - stop.half, stop.windows[-1][1] + stop.half + STEP_MM, STEP_MM)
    offsets = stop.slot / 2.0 + np.linspace(0.1, stop.wall - 0.1, RAYS)
    top = np.full(len(s), -np.inf)
    for offset in (*offsets, *-offsets):
        way, _ = printed.caster.first(origin + s[:, None] * along + ABOVE_MM * blade + offset * normal, -blade)
        top = np.maximum(top, ABOVE_MM - way)
    lines = np.asarray(stop.far, dtype=float)
    middles = _positions(lines[:, 0], stop.windows, stop.half)

    def rests(middle: Mm) -> Mm:
        return float(top[np.abs(s - middle) <= stop.half + STEP_MM / 2.0].max(initial=-np.inf))

    tips = np.array([rests(middle) - stop.length for middle in middles])
    if not np.isfinite(tips).all():
        return {"through_mm": None, "past_mm": None}
    over = lines[:, 1] - tips  # how far past each line's own far side
    least = int(np.argmin(over))
    deepest = np.array([lines[np.abs(middles - middle) <= stop.half, 1].min() for middle in middles])
    past = deepest - tips
    most = int(np.argmax(past))

    def at(number: int) -> Triple:
        return rounded(origin + lines[number, 0] * along + lines[number, 1] * blade)

    return {
        "through_mm": float(over[least]),
        "through_at": at(least),
        "past_mm": float(past[most]),
        "past_at": at(most),
        "past_own_line_mm": float(over.max()),
    }


def checks(stop: Stop, values: dict[str, Any]) -> list[Check]:
    """How deep the tip ends against what was asked."""
    origin = place(stop.origin)
    through, past = (place(values.get(key) or origin) for key in ("through_at", "past_at"))
    least, most = max(0.0, stop.allowance - NEAR_MM), stop.allowance + NEAR_MM
    said = "tip past the far side of the bone, with the hub on its stop"
    return [
        held(f"stop_through[{stop.name}]", values.get("through_mm"), "mm", ">=", least, f"least of the {said}", where=through),
        held(f"stop_past[{stop.name}]", values.get("past_mm"), "mm", "<=", most, f"most of the {said}, the deepest under the blade", where=past),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal: how deep the tip ends, the worst first."""
    lines = []
    for one in found:
        past, over = one.get("past_mm"), one.get("past_own_line_mm")
        measured = "" if past is None or over is None else f"; the tip ends {past:.1f} mm past the deepest bone under the blade, "
        measured += "" if not measured else f"and beside that up to {over:.1f} mm past the bone"
        lines.append(f"depth stop {one['name']}: {one['length']:g} mm from tip to collar{measured}")
    return lines
