"""A metal sleeve in which a blade runs: its pocket in the print, how that lies to the plan, what is left round it, and what the blade has of room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.findings import Check
from psi_cad.frames import angle_between, rounded
from psi_cad.options.in_cut import InCut, blade_reach
from psi_cad.units import LIMITS, Array, Deg, Mm
from psi_cad.verify.features.feature import Triple, kept, place, way
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.promises.expected import Expected
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed
    from psi_cad.verify.features.seat import BoneProbe

__all__ = ["FLOOR_MM", "Liner", "checks", "find", "measure", "measure_on_bone", "said"]

NEAR_MM: Final[Mm] = 0.3  # a face further off is not taken for the pocket's side
NEAR_DEG: Final[Deg] = 2.0
LEAST_MM2: Final = 2.0
SIZE_MM: Final[Mm] = 0.01
LONG_MM: Final[Mm] = 0.05  # of the triangles
DEEP_MM: Final[Mm] = 0.05
MESH_MM: Final[Mm] = 0.06
FLOOR_MM: Final[Mm] = 2.0  # of print below a sleeve; the triangles of a seat may take `LONG_MM` of it
INSET_MM: Final[Mm] = 0.05  # of a pocket's outline, inside which nothing may stand
BESIDE_MM: Final[Mm] = 0.1  # of it, outside, where the fence's top is looked at
ABOVE_MM: Final[Mm] = 150.0
STATION_MM: Final[Mm] = 2.0
IN_SLOT: Final = 0.49
LEVELS: Final = 4


@dataclass(frozen=True)
class Liner(InCut):
    """Of a cut the sleeve `sleeve` of the user's catalogue, `amid` along it; guide frame, mm.

    `length`, `width`, `height`, `corner`, `slot_length`, `slot_width`: its sizes; its pocket is `more` larger across the blade. `wall`: of print
    beside it, `end_wall` at its ends. `chord`: where bone lies along the cut. `guided`: what is wanted of its height, `room` of its slot's length.
    `least` and `most`: what its slot may leave a blade of `blade` mm. `blade_length`: below its hub.
    """

    sleeve: str
    amid: Mm
    length: Mm
    width: Mm
    height: Mm
    corner: Mm
    slot_length: Mm
    slot_width: Mm
    more: Mm
    wall: Mm
    end_wall: Mm
    chord: tuple[Mm, Mm]
    guided: Mm
    room: Mm
    blade: Mm
    least: Mm
    most: Mm
    blade_length: Mm

    def outline(self, more: Mm) -> shapely.Polygon:
        """The pocket as seen along the blade, (across, along) from its middle; `more` wider all round."""
        half, long = (self.width + self.more) / 2.0, (self.length + self.more) / 2.0
        round_ = min(self.corner, half - 1e-3)
        return shapely.box(-half, -long, half, long).buffer(-round_).buffer(round_).buffer(more)

    def at(self, flat: Array, up: Array | float) -> Array:
        """Points (n, 3) at (across, along) from the pocket's middle, `up` along the blade from the cut's origin."""
        origin, normal, along, blade = self.axes
        return np.asarray(origin + flat[:, :1] * normal + (self.amid + flat[:, 1:]) * along + np.broadcast_to(up, len(flat))[:, None] * blade)


def find(liner: Liner, faces: Faces) -> list[Flat]:
    """The two long sides of the pocket."""
    origin, normal, *_ = liner.axes
    found = []
    for flat in faces.planes_along(normal, least=math.cos(math.radians(NEAR_DEG))):
        _, point, outward = flat
        away = float((point - origin) @ normal)
        if away * float(outward @ normal) < 0.0 and abs(abs(away) - (liner.width + liner.more) / 2.0) < NEAR_MM:
            found.append(flat)
    return found


def measure(liner: Liner, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Width and place of the pocket on the STEP; length, depth, walls and floor, and the way through it, on the STL."""
    origin, normal, along, blade = liner.axes
    values: dict[str, Any] = {}
    ends: dict[float, list[tuple[Mm, Deg]]] = {1.0: [], -1.0: []}
    for face, point, outward in find(liner, part.faces) if part is not None else []:
        if part is not None and part.faces.outline(face, origin, along, blade).area > LEAST_MM2:
            foot = float((point - origin) @ outward) / float(normal @ outward)
            side = math.copysign(1.0, foot)
            ends[side].append((foot, angle_between(-side * normal, outward)))
    if ends[1.0] and ends[-1.0]:
        pairs = [(one - two, (one + two) / 2.0) for one, _ in ends[1.0] for two, _ in ends[-1.0]]
        values["width_mm"] = max((wide for wide, _ in pairs), key=lambda wide: abs(wide - liner.width - liner.more))
        values["offset_mm"] = max(abs(middle) for _, middle in pairs)
        values["angle_deg"] = max(turn for side in ends.values() for _, turn in side)
    return values | _depths(liner, printed)


def _depths(liner: Liner, printed: Printed) -> dict[str, Any]:
    """Where the fence's top and the pocket's floor lie, how long the pocket is, what stands round and under it, and what stands in its slot."""
    _, normal, along, blade = liner.axes
    rim = _along(liner.outline(BESIDE_MM))
    tops = ABOVE_MM - way(printed, liner.at(rim, ABOVE_MM), -blade)
    if not np.isfinite(tops).all():
        return {}
    inside = _along(liner.outline(-INSET_MM))
    floors = ABOVE_MM - way(printed, liner.at(inside, ABOVE_MM), -blade)
    top = float(tops.max())
    deep = top - np.where(np.isfinite(floors), floors, -np.inf)
    worst = int(np.argmax(np.abs(deep - liner.height)))
    values: dict[str, Any] = {
        "top_mm": top,
        "flush_mm": float(np.ptp(tops)),
        "depth_mm": float(deep[worst]) if np.isfinite(deep[worst]) else None,
        "depth_at": rounded(liner.at(inside[[worst]], float(np.nan_to_num(floors[worst], neginf=0.0)))[0]),
    }
    levels = top - np.linspace(0.15, 0.9, LEVELS) * liner.height
    middle = liner.at(np.zeros((LEVELS, 2)), levels)
    spans = way(printed, middle, along) + way(printed, middle, -along)
    off = int(np.argmax(np.abs(np.nan_to_num(spans, posinf=1e9) - liner.length - liner.more)))
    values["length_mm"] = float(spans[off]) if np.isfinite(spans[off]) else None
    shift = (way(printed, middle, along) - way(printed, middle, -along)) / 2.0
    values["amid_mm"] = liner.amid + float(shift[off]) if np.isfinite(shift[off]) else None
    half, long = (liner.width + liner.more) / 2.0, (liner.length + liner.more) / 2.0
    straight = np.arange(-long + liner.corner + 0.5, long - liner.corner - 0.4, STATION_MM)
    for key, ways in (
        ("wall", [(np.column_stack([np.full(len(straight), side * half), straight]), side * normal) for side in (1.0, -1.0)]),
        ("end", [(np.array([(0.0, side * long)]), side * along) for side in (1.0, -1.0)]),
    ):
        starts = np.vstack([liner.at(flat, level) + MESH_MM * out for flat, out in ways for level in levels])
        outs = np.vstack([np.tile(out, (len(flat) * LEVELS, 1)) for flat, out in ways])
        thick = way(printed, starts, outs) + MESH_MM
        thin = int(np.argmin(thick))
        values |= {f"{key}_mm": float(thick[thin]) if np.isfinite(thick[thin]) else 0.0, f"{key}_at": rounded(starts[thin])}
    under = way(printed, liner.at(inside, top - liner.height - MESH_MM), -blade) + MESH_MM
    thin = int(np.argmin(under))
    values |= {"floor_mm": float(under[thin]) if np.isfinite(under[thin]) else 0.0, "floor_at": rounded(liner.at(inside[[thin]], 0.0)[0])}
    slot = np.array(
        [
            (across * liner.slot_width, s)
            for across in (0.0, IN_SLOT, -IN_SLOT)
            for s in np.linspace(-IN_SLOT, IN_SLOT, max(8, int(liner.slot_length / STATION_MM))) * liner.slot_length
        ]
    )
    through = way(printed, liner.at(slot, ABOVE_MM), -blade)
    met = np.flatnonzero(np.isfinite(through))
    values["met_lines"] = len(met)
    if len(met):
        values["met_at"] = rounded(liner.at(slot[met[:1]], ABOVE_MM - through[met[0]])[0])
    return values


def _along(outline: shapely.Polygon) -> Array:
    """Points (n, 2) along an outline."""
    count = max(16, int(outline.length / STATION_MM))
    ring = outline.exterior
    return np.array([ring.interpolate(share, normalized=True).coords[0] for share in np.arange(count) / count])


def measure_on_bone(liner: Liner, printed: Printed, expected: Expected, probe: BoneProbe) -> dict[str, Any]:
    """How much blade the deepest line of the cut needs below its hub, which comes down on fence and sleeve."""
    del probe
    slot = next(one for one in expected.slots if one.name == liner.name)
    beside = replace(slot, clearance=liner.width + liner.more - slot.thickness)  # the sleeve is flush with what stands beside its pocket
    half = liner.slot_length / 2.0
    return blade_reach(liner, beside, printed, expected, low=liner.amid - half, high=liner.amid + half)


def checks(liner: Liner, values: dict[str, Any]) -> list[Check]:
    """Every number of one sleeve's pocket against its limit, and what its slot leaves the blade."""
    at, get = f"[{liner.name}]", values.get
    origin, _, along, _ = liner.axes
    middle = rounded(origin + liner.amid * along)

    def where(key: str) -> Triple:
        return place(get(f"{key}_at") or middle)

    def off(key: str, wanted: Mm) -> Mm | None:
        value = get(key)
        return None if value is None else abs(value - wanted)

    amid, half = get("amid_mm"), liner.slot_length / 2.0
    past = None if amid is None else min(liner.chord[0] - (amid - half), amid + half - liner.chord[1])
    left, reach, floor = liner.slot_width - liner.blade, get("reach_mm"), get("floor_mm")
    note = "usable length, against the way from the highest fence under the saw's hub to the far side of the bone"
    return [
        kept(f"liner_width{at}", off("width_mm", liner.width + liner.more), "mm", "<=", SIZE_MM, place(middle)),
        kept(f"liner_length{at}", off("length_mm", liner.length + liner.more), "mm", "<=", LONG_MM, place(middle)),
        kept(f"liner_depth{at}", off("depth_mm", liner.height), "mm", "<=", DEEP_MM, where("depth")),
        kept(f"liner_flush{at}", get("flush_mm"), "mm", "<=", DEEP_MM, place(middle)),
        kept(f"liner_angle{at}", get("angle_deg"), "deg", "<=", LIMITS.plane_angle, place(middle)),
        kept(f"liner_offset{at}", get("offset_mm"), "mm", "<=", LIMITS.plane_offset, place(middle)),
        held(f"liner_wall{at}", get("wall_mm"), "mm", ">=", liner.wall - MESH_MM, "print beside the metal sleeve", where=where("wall")),
        held(f"liner_end{at}", get("end_mm"), "mm", ">=", liner.end_wall - MESH_MM, "print at the ends of the metal sleeve", where=where("end")),
        held(f"liner_floor{at}", floor, "mm", ">=", FLOOR_MM - MESH_MM, "print between the metal sleeve and the bone", where=where("floor")),
        kept(f"liner_clear{at}", get("met_lines"), "", "==", 0.0, where("met")),
        held(f"liner_clearance_least{at}", left, "mm", ">=", liner.least - 1e-9, f"slot of '{liner.sleeve}' less the blade", where=place(middle)),
        held(f"liner_clearance_most{at}", left, "mm", "<=", liner.most + 1e-9, f"slot of '{liner.sleeve}' less the blade", where=place(middle)),
        held(f"liner_height{at}", liner.height, "mm", ">=", liner.guided, f"height of '{liner.sleeve}', which guides the blade", where=place(middle)),
        held(f"liner_covers_bone{at}", past, "mm", ">=", -0.01, "the sleeve's slot beyond the bone at the shorter end", where=place(middle)),
        held(f"liner_blade_room{at}", liner.slot_length, "mm", ">=", liner.room - 0.01, "blade width and sweep", where=place(middle)),
        held(f"liner_reach{at}", None if reach is None else liner.blade_length, "mm", ">=", reach or liner.height, note, where=where("reach")),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal and the sheet: what has to be pressed in."""
    return [
        f"slot {one['name']}: press the metal sleeve {one['sleeve']} ({one['length']:g} × {one['width']:g} × {one['height']:g} mm) into its pocket, "
        f"flush with the top; its slot of {one['slot_width']:g} mm leaves the blade {one['slot_width'] - one['blade']:.2f} mm"
        for one in found
    ]
