"""A cut that is guided by one wall only: the face that its blade lies on, where it lies, how high it is, and whether the other side is open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.findings import Check
from psi_cad.frames import angle_between, rounded
from psi_cad.options.in_cut import SIDES, InCut, blade_reach
from psi_cad.readback.hanging import HANGS, hangs
from psi_cad.units import LIMITS, Array, Deg, Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.promises.expected import Expected
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed
    from psi_cad.verify.features.seat import BoneProbe

__all__ = ["Ledge", "checks", "find", "measure", "measure_on_bone", "said"]

NEAR_MM: Final[Mm] = 1.5  # a face further off is not taken for the ledge
NEAR_DEG: Final[Deg] = 2.0
LEAST_MM2: Final = 2.0
STEP_MM: Final[Mm] = 0.25
END_MM: Final[Mm] = 0.05
PAST_MM: Final[Mm] = 0.02  # of the triangles
FOOT_MM: Final[Mm] = 0.3  # above the bone, and `TOP_MM` below the broken edge, the wall is measured
TOP_MM: Final[Mm] = 0.6
LEVELS: Final = 5
WALL_COS: Final = math.cos(math.radians(15.0))
FAR_MM: Final[Mm] = 1e3


@dataclass(frozen=True)
class Ledge(InCut):
    """Of a cut the one wall, on its `side`: 1 where the specimen is, -1 where bone stays; guide frame, mm.

    The face lies `off` from the plane in which the middle of the blade runs. It guides over `height` between `low` and `high` along it, and bone
    lies between `chord`. `wall`: behind it, below the broken edge of `edge_break`. `room`: how long it has to be for the blade to swing.
    `blade_length`: of the blade below its hub.
    """

    side: int
    off: Mm
    height: Mm
    wall: Mm
    low: Mm
    high: Mm
    chord: tuple[Mm, Mm]
    room: Mm
    edge_break: Mm
    blade_length: Mm


def find(ledge: Ledge, faces: Faces) -> list[Flat]:
    """The flat faces near where it is to lie that look to the open side."""
    origin, normal, *_ = ledge.axes
    found = []
    for flat in faces.planes_along(normal, least=math.cos(math.radians(NEAR_DEG))):
        _, point, outward = flat
        away = ledge.side * float((point - origin) @ normal) - ledge.off
        if float(outward @ normal) * ledge.side < 0.0 and abs(away) < NEAR_MM:
            found.append(flat)
    return found


def measure(ledge: Ledge, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Place, turn, height and length of the face on the STEP; the wall behind it, and what lies past it, on the STL."""
    origin, normal, along, blade = ledge.axes
    corners = np.asarray(printed.mesh.vertices)
    past = ledge.off - ledge.side * ((corners - origin) @ normal)
    most = int(np.argmax(past))
    values: dict[str, Any] = {"past_mm": float(past[most]), "past_at": rounded(corners[most])}
    values |= _hanging(ledge, printed)
    sides = []
    for face, point, outward in find(ledge, part.faces) if part is not None else []:
        outline = part.faces.outline(face, origin, along, blade) if part is not None else shapely.Polygon()
        if outline.area > LEAST_MM2:
            foot = float((point - origin) @ outward) / float(normal @ outward)
            sides.append((outline, abs(ledge.side * foot - ledge.off), angle_between(-ledge.side * normal, outward)))
    if not sides:
        return values
    values |= {"offset_mm": max(off for _, off, _ in sides), "angle_deg": max(turn for *_, turn in sides)}
    whole = shapely.union_all([outline for outline, *_ in sides]).intersection(shapely.box(ledge.low, -FAR_MM, ledge.high, FAR_MM))
    if whole.is_empty:
        return values
    low, _, high, _ = whole.bounds
    rows = []
    for s in np.arange(low + END_MM, high - END_MM, STEP_MM):
        line = whole.intersection(shapely.LineString([(s, -FAR_MM), (s, FAR_MM)]))
        rows.append((s, line.bounds[1], line.bounds[3], line.length) if not line.is_empty else (s, np.nan, np.nan, 0.0))
    stations = np.array(rows).reshape(-1, 4)
    if len(stations) == 0:
        return values
    least = int(np.argmin(stations[:, 3]))
    s, foot, top, guided = stations[least]
    values |= {"low_mm": low, "high_mm": high, "length_mm": high - low, "height_min_mm": float(guided)}
    values["height_at"] = rounded(origin + s * along + float(np.nan_to_num((foot + top) / 2.0)) * blade)
    return values | _wall(ledge, printed, stations[stations[:, 3] > 0.0])


def _hanging(ledge: Ledge, printed: Printed) -> dict[str, Any]:
    """How far from its ends inward the wall stands alone; the worse of both."""
    size = {"face": ledge.side * ledge.off, "wall": ledge.wall}
    ends = ((ledge.low, ledge.high), (ledge.high, ledge.low))
    long, where = max((hangs(printed, ledge.axes, **size, end=end) for end in ends), key=lambda one: one[0])
    return {"hangs_mm": long, "hangs_at": rounded(where)}


def _wall(ledge: Ledge, printed: Printed, stations: Array) -> dict[str, Any]:
    """The least thickness behind the guiding face."""
    origin, normal, along, blade = ledge.axes
    out = ledge.side * normal
    flat = [(s, u) for s, low, high, _ in stations[::4] for u in np.linspace(low + FOOT_MM, high - ledge.edge_break - TOP_MM, LEVELS)]
    starts = np.array([origin + s * along + u * blade + (ledge.off + 1e-3) * out for s, u in flat]).reshape(-1, 3)
    distance, faces = printed.caster.first(starts, out)
    facing = printed.caster.normals(faces) @ out
    outer = (faces >= 0) & ((facing > WALL_COS) | ((facing > 0.0) & (distance >= ledge.wall)))
    bare = (faces < 0) | (facing <= 0.0)  # nothing stands behind the face there
    if bare.any() or not outer.any():
        return {"wall_mm": 0.0, "wall_at": rounded(starts[int(np.argmax(bare))])}
    thin = int(np.argmin(np.where(outer, distance, np.inf)))
    return {"wall_mm": float(distance[thin]) + 1e-3, "wall_at": rounded(starts[thin] + distance[thin] / 2.0 * out)}


def measure_on_bone(ledge: Ledge, printed: Printed, expected: Expected, probe: BoneProbe) -> dict[str, Any]:
    """How much blade the deepest line of the cut needs below its hub, which comes down on the wall."""
    del probe
    slot = next(one for one in expected.slots if one.name == ledge.name)
    values = blade_reach(ledge, slot, printed, expected, low=ledge.low, high=ledge.high)
    return values | ({"tip_per_degree_mm": values["reach_mm"] * math.tan(math.radians(1.0))} if values else {})


def checks(ledge: Ledge, values: dict[str, Any]) -> list[Check]:
    """Every number of one ledge against its limit."""
    at, get = f"[{ledge.name}]", values.get
    origin, _, along, _ = ledge.axes
    ends = [(ledge.chord[0] - get("low_mm", np.inf), ledge.chord[0]), (get("high_mm", -np.inf) - ledge.chord[1], ledge.chord[1])]
    short, end = min(ends)
    middle = rounded(origin + sum(ledge.chord) / 2.0 * along)

    def where(key: str) -> Triple:
        return place(get(key) or middle)

    reach = get("reach_mm")
    alone = f"stretch at an end over which the wall has no footplate; {HANGS:g} times its thickness is the most"
    note = "usable length, against the way from the highest place of the wall under the saw's hub to the far side of the bone"
    return [
        kept(f"ledge_angle{at}", get("angle_deg"), "deg", "<=", LIMITS.plane_angle, place(middle)),
        kept(f"ledge_offset{at}", get("offset_mm"), "mm", "<=", LIMITS.plane_offset, place(middle)),
        held(f"ledge_height{at}", get("height_min_mm"), "mm", ">=", ledge.height - LIMITS.height_loss, where=where("height_at")),
        held(f"ledge_wall{at}", get("wall_mm"), "mm", ">=", ledge.wall - (2.0 - LIMITS.wall), where=where("wall_at")),
        kept(f"ledge_open{at}", get("past_mm"), "mm", "<=", PAST_MM, where("past_at")),
        held(f"ledge_hangs{at}", get("hangs_mm"), "mm", "<=", HANGS * ledge.wall, alone, where=where("hangs_at")),
        held(f"ledge_covers_bone{at}", short, "mm", ">=", -0.01, "ledge beyond the bone at the shorter end", where=rounded(origin + end * along)),
        held(f"ledge_blade_room{at}", get("length_mm"), "mm", ">=", ledge.room - 0.01, "blade width and sweep", where=place(middle)),
        held(f"ledge_reach{at}", None if reach is None else ledge.blade_length, "mm", ">=", reach or ledge.height, note, where=where("reach_at")),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal and the sheet: what it does not do, too."""
    lines = []
    for one in found:
        height, tip = one.get("height_min_mm"), one.get("tip_per_degree_mm")
        told = "" if height is None else f", {height:.1f} mm high, its face within {one['angle_deg']:.4f}° and {one['offset_mm']:.4f} mm"
        lines.append(
            f"ledge {one['name']}: ONE wall, on {SIDES[int(one['side'])]}{told}; the blade is guided only while it is pressed on it"
            + ("" if tip is None else f", and each degree that it tips off moves its tip by {tip:.1f} mm")
        )
    return lines
