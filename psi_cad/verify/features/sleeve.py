"""Sleeves: bores and stop faces among the faces of a solid; what guides, stops and lets the tool pass as measured; the checks of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cadquery as cq
import numpy as np
import trimesh

from psi_cad.files import sha256_of
from psi_cad.findings import Check, Place, place_of
from psi_cad.frames import ring, unit
from psi_cad.promises.expected import Expected, ExpectedBore
from psi_cad.readback.faces import Faces, Within
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.surface.lines import segments_apart
from psi_cad.surface.rays import SignedDistance, nearest_along
from psi_cad.units import LIMITS, Array, Bools, Deg, Mm
from psi_cad.verify.held import held, in_patient

__all__ = ["FoundBore", "MeasuredBore", "avoided", "checks", "find", "find_stop", "measure"]

NEAR: Final = Within(away=2.0, turn=3.0, size=1.0)  # a hole further off than this, at its entry, is not taken for the trajectory's
BORE_MM: Final[Mm] = 0.01
ANGLE_DEG: Final[Deg] = 0.05
ENTRY_MM: Final[Mm] = 0.05
STOP_MM: Final[Mm] = 0.05
SQUARE_MM: Final[Mm] = 0.05  # of a stop face, from its lowest to its highest point
SHORT_MM: Final[Mm] = 0.1  # what a bore's guided length may lack: two steps of its measure
STEP_MM: Final[Mm] = 0.05  # between rings that are looked at along a bore
TURNS: Final = 24  # rays of a ring
ROUND_MM: Final[Mm] = 0.06  # a triangulated bore is that much narrower or wider, or it is not whole there
WALL_STEP: Final = 10  # every so many rings the wall is looked at
RING_RIM_MM: Final[Mm] = 0.25  # from the edges of a stop face, where it is looked at
FAR_MM: Final[Mm] = 150.0  # above the entry, from where a tool comes
OFF_AXIS: Final = 0.49  # of a tool's diameter: where its side is
APART_MM: Final[Mm] = 0.05  # a wire's level is read beside its bore, and its ends lie that much higher or lower


@dataclass(frozen=True)
class MeasuredBore:
    """One sleeve as found in the files; `None` where its bore was not found. Lengths along the axis from the planned entry, outward.

    `axis`: a point and the unit direction out of the bone, guide frame. `offset`: of the axis from the planned entry. `guided`: length of bore
    that is whole all round, below the stop face. `stop`: from the stop face to the planned tip; `uneven`: how far the face is from square.
    `blocked`: lines of the tool that meet material. `places`: for each kind of check the place that decided it, patient mm.
    """

    name: str
    diameter: Mm | None
    angle: Deg | None
    offset: Mm | None
    guided: Mm | None
    stop: Mm | None
    uneven: Mm | None
    wall_min: Mm | None
    blocked: int
    axis: tuple[Array, Array]
    places: Mapping[str, Place | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {
            "name": self.name,
            "diameter_mm": _rounded(self.diameter),
            "angle_deg": _rounded(self.angle),
            "entry_offset_mm": _rounded(self.offset),
            "guided_mm": _rounded(self.guided),
            "stop_mm": _rounded(self.stop),
            "wall_min_mm": _rounded(self.wall_min),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def measure(part: Part, printed: Printed, expected: Expected) -> tuple[MeasuredBore, ...]:
    """Every sleeve that a guide was promised to have."""
    return tuple(_measured(part, printed, expected, bore) for bore in expected.bores)


def _measured(part: Part, printed: Printed, expected: Expected, bore: ExpectedBore) -> MeasuredBore:
    entry, out = expected.frame.local(np.array(bore.entry)), unit(expected.frame.local_direction(np.array(bore.out)))
    faces = find(bore, part.faces, expected, within=NEAR)
    if not faces:
        place = in_patient(expected, entry + (bore.stop - bore.depth) * out)
        kinds = ("bore_diameter", "bore_angle", "bore_entry", "bore_open", "sleeve_guided", "sleeve_wall", "sleeve_stop", "sleeve_square")
        return MeasuredBore(bore.name, None, None, None, None, None, None, None, 0, (entry, out), dict.fromkeys(kinds, place))
    turned = max(faces, key=lambda face: face.angle)
    beside = max(faces, key=lambda face: face.offset)
    wide = max(faces, key=lambda face: abs(face.diameter - bore.diameter))
    axis = max(faces, key=lambda face: face.area)
    top, uneven, high_at = _stop_face(printed, axis, bore.wall - expected.edge_break)
    lowest = None if top is None or uneven is None else top - uneven
    guided, ended, wall, thin = _rings(printed, axis, bore, lowest)
    blocked, first = _blocked(printed, axis, bore)
    middle = entry + (bore.stop - bore.depth - bore.guided / 2.0) * out
    places = {
        "bore_diameter": wide.amid,
        "bore_angle": turned.amid,
        "bore_entry": entry,
        "bore_open": first,
        "sleeve_guided": ended,
        "sleeve_wall": thin,
        "sleeve_stop": high_at,
        "sleeve_square": high_at,
    }
    return MeasuredBore(
        name=bore.name,
        diameter=wide.diameter,
        angle=turned.angle,
        offset=beside.offset,
        guided=guided,
        stop=None if top is None else top + bore.depth,
        uneven=uneven,
        wall_min=wall,
        blocked=blocked,
        axis=(axis.foot, axis.out),
        places={kind: in_patient(expected, middle if place is None else place) for kind, place in places.items()},
    )


@dataclass(frozen=True)
class FoundBore:
    """One cylindrical face of a bore: the foot of the planned entry on its axis, its direction out of the bone, what differs from the plan."""

    face: cq.Face
    foot: Array
    out: Array
    diameter: Mm
    angle: Deg
    offset: Mm
    area: float
    amid: Array


def find(bore: ExpectedBore, faces: Faces, expected: Expected, *, within: Within) -> list[FoundBore]:
    """The hollow cylinders that guide a tool, in the guide frame."""
    entry, out = expected.frame.local(np.array(bore.entry)), unit(expected.frame.local_direction(np.array(bore.out)))
    found = []
    for face, point, direction, radius in faces.cylinders:
        along = direction if float(direction @ out) > 0.0 else -direction
        angle = float(np.degrees(np.arctan2(np.linalg.norm(np.cross(along, out)), float(along @ out))))
        foot = point + float((entry - point) @ along) * along
        offset = float(np.linalg.norm(foot - entry))
        if radius < 0.0 and angle <= within.turn and offset <= within.away and abs(-2.0 * radius - bore.diameter) <= within.size:
            amid = np.array(face.Center().toTuple())
            on_axis = foot + float((amid - foot) @ along) * along
            found.append(FoundBore(face, foot, along, -2.0 * radius, angle, offset, float(face.Area()), on_axis))
    return found


def find_stop(bore: ExpectedBore, faces: Faces, expected: Expected, *, within: Within) -> list[cq.Face]:
    """The flat faces round a bore that stop a chuck."""
    entry, out = expected.frame.local(np.array(bore.entry)), unit(expected.frame.local_direction(np.array(bore.out)))
    found = []
    for face, point, outward in faces.planes_along(out, least=within.cosine):
        turn = float(np.degrees(np.arccos(np.clip(outward @ out, -1.0, 1.0))))
        high = float((point - entry) @ out) - (bore.stop - bore.depth)
        beside = float(np.linalg.norm(np.cross(point - entry, out)))
        if turn <= within.turn and abs(high) <= within.away and beside < bore.diameter:
            found.append(face)
    return found


def _stop_face(printed: Printed, axis: FoundBore, flat: Mm) -> tuple[Mm | None, Mm | None, Array | None]:
    """How high above the entry a chuck stops, how uneven the face `flat` mm round the bore is that stops it, and its highest point."""
    round_ = ring(axis.out, TURNS)
    inner = axis.diameter / 2.0
    radii = (inner + RING_RIM_MM, inner + flat - RING_RIM_MM)
    starts = np.vstack([axis.foot + FAR_MM * axis.out + radius * round_ for radius in radii])
    way, _ = printed.caster.first(starts, -axis.out)
    if not np.isfinite(way).all():
        return None, None, None
    heights = FAR_MM - way
    highest = int(np.argmax(heights))
    return float(heights.max()), float(np.ptp(heights)), starts[highest] - way[highest] * axis.out


def _rings(printed: Printed, axis: FoundBore, bore: ExpectedBore, top: Mm | None) -> tuple[Mm | None, Array | None, Mm | None, Array | None]:
    """(guided length, where it ends, least wall round it, where): the rings of the bore that are whole, from the lowest of the stop face down."""
    if top is None:
        return None, None, None, None
    round_ = ring(axis.out, TURNS)
    ups = np.arange(top - STEP_MM, top - bore.guided - 2.0 * axis.diameter - 10.0, -STEP_MM)
    centres = axis.foot + ups[:, None] * axis.out
    starts = np.repeat(centres, TURNS, axis=0)
    ways = np.tile(round_, (len(ups), 1))
    away, _ = printed.caster.first(starts, ways)
    whole: Bools = np.all(np.abs(away.reshape(-1, TURNS) - axis.diameter / 2.0) <= ROUND_MM, axis=1)
    count = len(whole) if whole.all() else int(np.argmin(whole))
    if count == 0:
        return 0.0, centres[0], None, None
    wanted = min(count, int(np.ceil(bore.guided / STEP_MM)))  # further down the seat may cut the wall
    flat = axis.diameter / 2.0 + bore.wall
    rings = [ring for ring in range(0, wanted, WALL_STEP) if top - ups[ring] > bore.wall / 2.0]  # below the broken edge
    outer = np.vstack([centres[ring] + (away.reshape(-1, TURNS)[ring] + 1e-3)[:, None] * round_ for ring in rings]) if rings else np.zeros((0, 3))
    if not len(outer):
        return count * STEP_MM, centres[count - 1], None, None
    thick, _ = printed.caster.first(outer, np.tile(round_, (len(rings), 1)))
    thick = np.where(np.isfinite(thick), thick, 0.0) + 1e-3
    thin = int(np.argmin(thick))
    return (
        count * STEP_MM,
        centres[count - 1],
        float(thick[thin]),
        outer[thin] + min(float(thick[thin]), flat) / 2.0 * np.tile(round_, (len(rings), 1))[thin],
    )


def _blocked(printed: Printed, axis: FoundBore, bore: ExpectedBore) -> tuple[int, Array | None]:
    """How many of the tool's lines meet material on the whole of their way, from far outside to the planned tip; and where the first does."""
    offsets = np.vstack([np.zeros(3), OFF_AXIS * bore.tool_diameter * ring(axis.out, TURNS)])
    starts = axis.foot + FAR_MM * axis.out + offsets
    way, _ = printed.caster.first(starts, -axis.out)
    met = np.flatnonzero(way < FAR_MM + bore.depth)
    return len(met), None if not len(met) else starts[met[0]] - way[met[0]] * axis.out


def checks(bores: tuple[MeasuredBore, ...], part: Part, printed: Printed, expected: Expected) -> list[Check]:
    """Every number of every sleeve against its limit."""
    found = []
    for want, bore in zip(expected.bores, bores, strict=True):
        at, place = f"[{want.name}]", bore.places.get
        off = None if bore.diameter is None else abs(bore.diameter - want.diameter)
        blocked = None if bore.diameter is None else float(bore.blocked)
        stop_off = None if bore.stop is None else abs(bore.stop - want.stop)
        wide, tip = f"difference from {want.diameter:.3f} mm (tool + clearance + printer)", f"from {want.stop:g} mm between stop face and planned tip"
        length = None if bore.stop is None else want.tool_length
        reach = "usable length, against the way from the stop face to the planned tip"
        found += [
            held(f"bore_diameter{at}", off, "mm", "<=", BORE_MM, wide, where=place("bore_diameter")),
            held(f"bore_angle{at}", bore.angle, "deg", "<=", ANGLE_DEG, "axis against the planned direction", where=place("bore_angle")),
            held(f"bore_entry{at}", bore.offset, "mm", "<=", ENTRY_MM, "axis from the planned entry at the bone", where=place("bore_entry")),
            held(f"bore_open{at}", blocked, "", "==", 0.0, "lines of the tool that meet material", where=place("bore_open")),
            held(f"sleeve_guided{at}", bore.guided, "mm", ">=", want.guided - SHORT_MM, "bore that is whole all round", where=place("sleeve_guided")),
            held(
                f"sleeve_wall{at}", bore.wall_min, "mm", ">=", want.wall - (2.0 - LIMITS.wall), "over the guided length", where=place("sleeve_wall")
            ),
            held(f"sleeve_stop{at}", stop_off, "mm", "<=", STOP_MM, tip, where=place("sleeve_stop")),
            held(f"sleeve_square{at}", bore.uneven, "mm", "<=", SQUARE_MM, "of the stop face along the axis", where=place("sleeve_square")),
            held(f"tool_reach{at}", length, "mm", ">=", round(bore.stop or want.stop, 3), reach, where=place("sleeve_stop")),
        ]
    tools = [(f"tool_avoid[{want.name}", "tool", *_tool(want, bore)) for want, bore in zip(expected.bores, bores, strict=True)]
    return [*found, *_apart(bores, printed, expected), *avoided(tools, part.path.parent, expected)]


def _tool(want: ExpectedBore, bore: MeasuredBore) -> tuple[Array, Array, Mm]:
    """The ends (3,) of a tool between stop face and planned tip, and its radius; guide frame."""
    foot, out = bore.axis
    return foot - want.depth * out, foot + (want.stop - want.depth) * out, want.tool_diameter / 2.0


def _apart(bores: tuple[MeasuredBore, ...], printed: Printed, expected: Expected) -> list[Check]:
    """For every tool but a lonely one the least distance to another, or to a wire."""
    tools = [(want.name, *_tool(want, bore)) for want, bore in zip(expected.bores, bores, strict=True)]
    wires = []
    for number, (x, y, depth) in enumerate(expected.wires, start=1):
        level = printed.level_beside(x, y, expected.bore)
        low, high = np.array([x, y, level - depth]), np.array([x, y, level + expected.wire_top])
        wires.append((f"pin {number}", low, high, expected.wire / 2.0))
    found = []
    for name, low, high, radius in tools:
        others = [other for other in (*tools, *wires) if other[0] != name]
        if not others:
            continue
        gaps = [(*segments_apart((low, high), (one[1], one[2])), one) for one in others]
        away, place, nearest = min(gaps, key=lambda gap: gap[0] - gap[2][3])
        note = f"from the tool to {nearest[0] if nearest[0].startswith('pin') else f'that of {nearest[0]}'}, over their whole way"
        clear = away - radius - nearest[3]
        found.append(held(f"tool_apart[{name}]", clear, "mm", ">=", expected.tool_clearance - APART_MM, note, where=in_patient(expected, place)))
    return found


def avoided(tools: list[tuple[str, str, Array, Array, Mm]], folder: Path, expected: Expected) -> list[Check]:
    """For every tool and structure the distance between them. A tool: its check up to the structure's name, what it is, its ends and radius."""
    found = []
    for structure in expected.avoid:
        path = folder / structure.file
        same = path.is_file() and sha256_of(path) == structure.sha256
        distance = _distance(path) if same else None
        for check, what, low, high, radius in tools:
            if distance is None:
                note = f"'{structure.file}' is not the file that the guide was built with"
                found.append(held(f"{check} {structure.name}]", None, "mm", ">=", structure.distance, note))
                continue
            away, place = nearest_along(distance, expected.frame.patient(low), expected.frame.patient(high))
            note = f"from the {what} to '{structure.name}', between {'stop face' if what == 'tool' else 'top of its sleeve'} and planned tip"
            found.append(held(f"{check} {structure.name}]", away - radius, "mm", ">=", structure.distance, note, where=place_of(place)))
    return found


def _distance(path: Path) -> SignedDistance:
    mesh = trimesh.load_mesh(path)
    return SignedDistance(trimesh.Trimesh(np.asarray(mesh.vertices, dtype=np.float64), mesh.faces, process=True))
