"""Holes for fixation wires: among the faces of a solid; how many, how wide, how far apart and how clear of the cuts; the checks of these."""

from __future__ import annotations

from typing import Final

import numpy as np

from psi_cad.findings import Check, Place
from psi_cad.promises.expected import Expected, ExpectedBore
from psi_cad.readback.faces import Faces, Round, Within
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.siting.pins import triangle_lever
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.features.sleeve import avoided
from psi_cad.verify.held import held, in_patient

__all__ = ["checks", "find", "leans", "measure"]

NEAR: Final = Within(away=0.0, turn=0.0, size=0.02)  # a hole that much wider or narrower is taken for a wire's, wherever it is
SAME_AXIS_MM: Final[Mm] = 0.1  # halves of one hole lie no further apart
BESIDE_BORE_MM: Final[Mm] = 0.35  # a wire's level is read beside its bore, and on a steep seat lies that much higher or lower than in the middle
SAME_HOLE_MM: Final[Mm] = 0.5  # from where a wire is planned to the axis of its bore
AXIS_COS: Final = np.cos(np.radians(0.05))


def leans(expected: Expected) -> list[tuple[Array, Array]]:
    """For each wire, where its axis meets the seat and its direction out of the bone, guide frame; none where all lie along the seating axis."""
    said = next((one for one in expected.features if one["kind"] == "leaning"), None)
    return [] if said is None else [(np.array(foot), np.array(out)) for foot, out in zip(said["feet"], said["outs"], strict=True)]


def find(faces: Faces, expected: Expected, *, within: Within) -> list[Round]:
    """The hollow cylinders as wide as a wire's bore along the seating axis, or as a wire leans, guide frame; one hole may be several faces."""
    found, ways = [], [out for _, out in leans(expected)] or [np.array([0.0, 0.0, 1.0])]
    for face, point, direction, radius in faces.cylinders:
        if any(_along_bore(point, direction, expected, bore) for bore in expected.bores):
            continue
        if radius < 0.0 and max(abs(float(direction @ way)) for way in ways) >= AXIS_COS and abs(-2.0 * radius - expected.bore) <= within.size:
            found.append((face, point, direction, radius))
    return found


def measure(part: Part, expected: Expected) -> tuple[list[tuple[Mm, Mm]], list[Mm]]:
    """Where wires go through (x, y; guide frame) and how wide each hole is; halves of one hole count once."""
    centres: list[tuple[Mm, Mm]] = []
    diameters, leaning = [], leans(expected)
    for _, point, direction, radius in find(part.faces, expected, within=NEAR):
        if leaning:  # where its axis meets the seat: at the height of the foot that is nearest to it
            foot, _ = min(leaning, key=lambda lean: float(np.linalg.norm(np.cross(lean[0] - point, direction))))
            point = point + (foot[2] - point[2]) / direction[2] * direction
        if all(np.hypot(point[0] - x, point[1] - y) > SAME_AXIS_MM for x, y in centres):
            centres.append((float(point[0]), float(point[1])))
            diameters.append(-2.0 * radius)
    return centres, diameters


def checks(part: Part, printed: Printed, expected: Expected) -> list[Check]:
    """Every number of the wires' holes against its limit. A guide may be made to have none."""
    if not expected.pins:
        return []
    centres, diameters = measure(part, expected)
    found = np.array(centres).reshape(-1, 2)

    def at(x: float, y: float, up: float = 0.0) -> Place | None:
        """A place on the axis of a wire, `up` above the seat."""
        return in_patient(expected, np.array([x, y, printed.level_beside(x, y, expected.bore) + up]))

    lacking = [(x, y) for x, y, _ in expected.wires if all(np.hypot(x - a, y - b) > SAME_HOLE_MM for a, b in centres)]
    missing = at(*lacking[0]) if lacking else None
    off = [abs(d - expected.bore) for d in diameters]
    middle = at(*found.mean(axis=0)) if len(found) else None
    told = [
        held(
            "pins",
            len(centres),
            "",
            ">=",
            max(3, expected.pins),
            f"wire holes along {'their leaning ways' if leans(expected) else 'the seating axis'}",
            where=missing,
        ),
        held("pin_lever", triangle_lever(found), "mm", ">=", LIMITS.pin_lever, "least height of the best triangle of pins", where=missing or middle),
        held("pin_bore", max(off, default=None), "mm", "<=", 0.01, where=at(*centres[int(np.argmax(off))]) if off else missing),
    ]
    if not expected.planes:  # nothing is cut in this case: what wires keep from are tools, see `tool_apart`
        return told
    if leans(expected):
        return [*told, *_leaning(part, expected, missing)]
    least, nearest = np.inf, missing
    for x, y in centres:
        depth = _depth_of(expected, x, y)
        for origin, normal in expected.planes:
            n = expected.frame.local_direction(np.array(normal))
            o = expected.frame.local(np.array(origin))
            ends = [float((np.array([x, y, printed.level_beside(x, y, expected.bore) + dz]) - o) @ n) for dz in (-depth, expected.wire_top)]
            crosses = ends[0] * ends[1] < 0
            away = 0.0 if crosses else min(abs(e) for e in ends) - expected.wire / 2.0
            if away < least:
                share = ends[0] / (ends[0] - ends[1]) if crosses else float(abs(ends[1]) < abs(ends[0]))
                least, nearest = away, at(x, y, -depth + share * (depth + expected.wire_top))
    rule = "wire to the nearest cut plane, over its depth"
    clear = held("pin_clearance", least if centres else None, "mm", ">=", expected.pin_clearance - BESIDE_BORE_MM, rule, where=nearest)
    return [*told, clear]


def _leaning(part: Part, expected: Expected, missing: Place | None) -> list[Check]:
    """How clear wires that lean stay of cuts and structures."""
    least, nearest, wires = np.inf, missing, []
    found = [(point, way) for _, point, way, _ in find(part.faces, expected, within=NEAR)]
    for number, ((foot, promised), (_, _, depth)) in enumerate(zip(leans(expected), expected.wires, strict=True), start=1):
        own = [one for one in found if abs(one[1] @ promised) >= AXIS_COS and np.linalg.norm(np.cross(foot - one[0], one[1])) < SAME_HOLE_MM]
        for point, way in own[:1]:
            out = way if way @ promised > 0.0 else -way
            there = point + float((foot - point) @ out) * out
            ends = there - depth * out, there + expected.wire_top * out
            wires.append((f"pin_avoid[{number}", "wire", *ends, expected.wire / 2.0))
            for origin, normal in expected.planes:
                n, o = expected.frame.local_direction(np.array(normal)), expected.frame.local(np.array(origin))
                low, high = (float((end - o) @ n) for end in ends)
                away = 0.0 if low * high < 0.0 else min(abs(low), abs(high)) - expected.wire / 2.0
                if away < least:
                    share = low / (low - high) if low * high < 0.0 else float(abs(high) < abs(low))
                    least, nearest = away, in_patient(expected, ends[0] + share * (ends[1] - ends[0]))
    rule = "wire to the nearest cut plane, over its depth along its own way"
    clear = held("pin_clearance", least if wires else None, "mm", ">=", expected.pin_clearance - 0.01, rule, where=nearest)
    return [clear, *avoided(wires, part.path.parent, expected)]


def _along_bore(point: Array, direction: Array, expected: Expected, bore: ExpectedBore) -> bool:
    """Whether a hole is a trajectory's own, though it is as wide as a wire's and lies along the seating axis."""
    entry, out = expected.frame.local(np.array(bore.entry)), expected.frame.local_direction(np.array(bore.out))
    return bool(abs(float(direction @ out)) >= AXIS_COS and np.linalg.norm(np.cross(point - entry, out)) < SAME_HOLE_MM)


def _depth_of(expected: Expected, x: float, y: float) -> Mm:
    nearest = min(expected.wires, key=lambda wire: np.hypot(wire[0] - x, wire[1] - y), default=None)
    return expected.wire_depth if nearest is None else float(nearest[2])
