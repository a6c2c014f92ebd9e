"""Wires that lean from the seating axis: which way each may lean; their bores among the faces of a solid, and what they leave a guide free to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.optimize import linprog

from psi_cad.findings import Check
from psi_cad.frames import all_round, angle_between, ring, rounded, triple, unit
from psi_cad.siting.pins import WIRES_APART_MM
from psi_cad.surface.lines import segments_apart
from psi_cad.units import Array, Deg, Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Round
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["MOST_TRAVEL_MM", "Leaning", "checks", "find", "measure", "said", "travel"]

MOST_TRAVEL_MM: Final[Mm] = 1.5  # with its wires in, a guide that can be moved further is not held; a choice, from no standard
NEAR_DEG: Final[Deg] = 3.0  # a bore turned further than this is not taken for the wire's
NEAR_MM: Final[Mm] = 1.0
NEAR_SIZE: Final[Mm] = 0.5  # of its diameter
ANGLE_DEG: Final[Deg] = 0.05
FOOT_MM: Final[Mm] = 0.05
LOCK: Final = "how far the guide moves with its wires in, any way"
SIDES: Final = 16  # of the polygon round the circle in which a wire has play
WAYS: Final = 24  # all round the sphere, in which a guide is pulled; as many the other way
LEVER_MM: Final[Mm] = 20.0  # so that turns and shifts are of one size
FAR_MM: Final[Mm] = 60.0  # above the seat, from where a wire comes
LINES: Final = 12  # of a wire, round its axis
OFF_AXIS: Final = 0.49  # of a wire's diameter: where its side is


@dataclass(frozen=True)
class Leaning:
    """Wires that lean: for each the point of its axis on the seat, its direction out of the bone, its depth; guide frame, mm.

    `locks`: whether they are to keep the guide from lifting off.
    `bore`: diameter of the holes; `wire`: of the wires; `play`: what of the difference is there once it is printed. `height`: of a sleeve above
    the seat along its wire, as far as the print holds it.
    """

    name: str
    feet: tuple[Triple, ...]
    outs: tuple[Triple, ...]
    depths: tuple[Mm, ...]
    bore: Mm
    wire: Mm
    play: Mm
    height: Mm
    locks: bool = True


def travel(feet: Array, outs: Array, height: Mm, play: Mm) -> Mm:
    """How far (mm) a guide can be moved with its wires in, from one end of their play to the other, whichever way; infinite where nothing stops it.

    A small motion is a shift and a turn. At both ends of each sleeve, from the seat (`feet`, (n, 3)) `height` along `outs` (n, 3), the guide
    may move across its wire by `play` at most, and along it as far as it likes. Looked at is the point amid the feet, and each foot.
    """
    amid = feet.mean(axis=0)
    rows = []
    for foot, out in zip(feet, outs, strict=True):
        sides = ring(out, SIDES)
        for end in (foot, foot + height * out):
            rows.append(np.hstack([sides, np.cross((end - amid) / LEVER_MM, sides)]))  # n·(v + w × r) = n·v + w·(r × n)
    stops = np.vstack(rows)
    ways = all_round(2 * WAYS)
    most = 0.0
    for at in (amid, *feet):
        for way in (np.array([0.0, 0.0, 1.0]), *ways[ways[:, 2] > 0.0]):
            aim = np.hstack([way, np.cross((at - amid) / LEVER_MM, way)])
            found = linprog(-aim, A_ub=stops, b_ub=np.full(len(stops), play), bounds=(None, None), method="highs")
            if found.status != 0:
                return float("inf")
            most = max(most, -float(found.fun))
    return most


def find(leaning: Leaning, faces: Faces) -> list[Round]:
    """The hollow cylinders along its wires; one hole may be several faces."""
    return [one for _, one in _matched(leaning, faces)]


def _matched(leaning: Leaning, faces: Faces) -> list[tuple[int, Round]]:
    """Each face of a bore with the number of its wire."""
    found = []
    for one in faces.cylinders:
        _, point, direction, radius = one
        for number, (foot, out) in enumerate(zip(leaning.feet, leaning.outs, strict=True)):
            along = direction if float(direction @ np.array(out)) > 0.0 else -direction
            beside = float(np.linalg.norm(np.cross(np.array(foot) - point, along)))
            if (
                radius < 0.0
                and angle_between(along, np.array(out)) <= NEAR_DEG
                and beside <= NEAR_MM
                and abs(-2.0 * radius - leaning.bore) <= NEAR_SIZE
            ):
                found.append((number, (one[0], point, along, radius)))
                break
    return found


def measure(leaning: Leaning, part: Part | None, printed: Printed) -> dict[str, Any]:
    """The axes of its bores on the STEP, what they leave free, how near the wires come to each other, and lines of the wires that the STL stops."""
    if part is None:
        return {"found": 0}
    matched = _matched(leaning, part.faces)
    feet, outs, turned, beside = [], [], [], []
    blocked, first = 0, None
    for number, (foot, out) in enumerate(zip(leaning.feet, leaning.outs, strict=True)):
        own = [one for at, one in matched if at == number]
        if not own:
            continue
        _, point, along, _ = max(own, key=lambda one: float(one[0].Area()))
        there = point + float((np.array(foot) - point) @ along) * along
        feet.append(there)
        outs.append(along)
        turned.append(max(angle_between(one[2], np.array(out)) for one in own))
        beside.append(float(np.linalg.norm(there - np.array(foot))))
        met = _blocked(leaning, printed, there, along, leaning.depths[number])
        blocked, first = blocked + len(met), first if first is not None or not len(met) else met[0]
    if len(feet) < len(leaning.feet):
        return {"found": len(feet)}
    ends = [(foot - depth * out, foot + leaning.height * out) for foot, out, depth in zip(feet, outs, leaning.depths, strict=True)]
    gaps = [segments_apart(one, two) for number, one in enumerate(ends) for two in ends[number + 1 :]]
    apart, near = min(gaps, key=lambda gap: gap[0])
    wide = max(-2.0 * radius for _, (_, _, _, radius) in matched)
    free = travel(np.array(feet), np.array(outs), leaning.height, leaning.play + wide - leaning.bore)
    return {
        "found": len(feet),
        "lean_deg": [round(angle_between(out, np.array([0.0, 0.0, 1.0])), 4) for out in outs],
        "angle_deg": max(turned),
        "offset_mm": max(beside),
        "worst": [int(np.argmax(turned)), int(np.argmax(beside))],
        "apart_mm": apart - leaning.wire,
        "near": rounded(near),
        "travel_mm": free if np.isfinite(free) else None,
        "blocked": blocked,
        "blocked_at": None if first is None else rounded(first),
    }


def _blocked(leaning: Leaning, printed: Printed, foot: Array, out: Array, depth: Mm) -> Array:
    """Where (n, 3) lines of a wire, from far above to its tip, meet material."""
    starts = foot + FAR_MM * out + np.vstack([np.zeros(3), OFF_AXIS * leaning.wire * ring(out, LINES)])
    way, _ = printed.caster.first(starts, -unit(out))
    met = way < FAR_MM + depth
    return np.asarray(starts[met] - way[met][:, None] * out)


def checks(leaning: Leaning, values: dict[str, Any]) -> list[Check]:
    """Every number of the leaning wires against its limit."""
    worst = values.get("worst", [0, 0])
    turned, beside = (place(leaning.feet[number]) for number in worst)
    middle = place(triple(np.mean(leaning.feet, axis=0)))
    near, stopped = (values.get(key) or middle for key in ("near", "blocked_at"))
    clear = values.get("apart_mm")
    return [
        kept("pin_axis", values.get("angle_deg"), "deg", "<=", ANGLE_DEG, turned),
        kept("pin_foot", values.get("offset_mm"), "mm", "<=", FOOT_MM, beside),
        kept("pin_open", values.get("blocked"), "", "==", 0.0, place(stopped)),
        held("pin_apart", clear, "mm", ">=", WIRES_APART_MM - FOOT_MM, "between the surfaces of two wires, over their whole way", where=place(near)),
        *([held("pin_lock", values.get("travel_mm"), "mm", "<=", MOST_TRAVEL_MM, LOCK, where=middle)] if leaning.locks else []),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    one = found[0]
    free, lean = one.get("travel_mm"), max(one.get("lean_deg") or [0.0])
    loose = "nothing holds it against lifting" if free is None else f"with them in, the guide moves {free:.1f} mm at most"
    loose += "" if one.get("locks", True) else " (no limit, since a plate decides where they go)"
    return [f"leaning wires: {len(one['feet'])}, by up to {lean:.0f}°; {loose}; draw them before the guide is taken off"]
