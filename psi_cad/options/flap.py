"""A flap that holds soft tissue back: where it stands on a footplate's edge; its faces among those of a solid, its size, and how clear of the saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.findings import Check
from psi_cad.frames import Frame, triple, unit
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Bools, Deg, Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["CORNER_MM", "Corridor", "Flap", "checks", "find", "measure", "place_flap", "said"]

STEP_MM: Final[Mm] = 1.0  # between lines that a flap may stand on, and along them
INSIDE_MM: Final[Mm] = 0.8  # from the footplate's outline: its rim is thinned there
CORNER_MM: Final[Mm] = 4.0  # of its upper corners
ROOT_MM: Final[Mm] = 5.0  # how far below the lowest seat it begins
DEEPEST_MM: Final[Mm] = 20.0  # how far the seat may fall below its base
STEEPEST: Final = 0.7  # slope along the edge that it still follows
OFF_BONE_MM: Final[Mm] = 1.0  # between its outside and bone beside the footplate
DRIVER_MM: Final[Mm] = 6.0  # round a wire, where it is driven
BESIDE_SLOT_MM: Final[Mm] = 5.0  # past a slot's ends the saw still moves
RIM_SHARE: Final = 0.45  # of the thickness: the radius of its rim, nearly a full round
TURN_DEG: Final[Deg] = 0.05
SIZE_MM: Final[Mm] = 0.02
HEIGHT_MM: Final[Mm] = 0.1
FAR_MM: Final[Mm] = 80.0
BOSS_MM: Final[Mm] = 2.0  # what stands out of its sides is looked at as far as this
NEAR_MM: Final[Mm] = 0.5  # a face further off is not taken for the flap's
NEAR_DEG: Final[Deg] = 3.0


@dataclass(frozen=True)
class Corridor:
    """Where the saw runs: a cut's plane (`origin`, `normal`), between `low` and `high` along the slot; guide frame, mm."""

    origin: Triple
    normal: Triple
    along: Triple
    low: Mm
    high: Mm

    def away(self, points: Array) -> Array:
        """Distances (n,) of points (n, 3)."""
        off = points - np.array(self.origin)
        s = off @ np.array(self.along)
        beyond = np.maximum(np.maximum(self.low - BESIDE_SLOT_MM - s, s - self.high - BESIDE_SLOT_MM), 0.0)
        return np.asarray(np.hypot(off @ np.array(self.normal), beyond))


@dataclass(frozen=True)
class Flap:
    """A plate on a footplate's edge: the point `base` amid it at the height of the footplate, `along` it, `up` to its rim; guide frame, mm.

    `height`: of the rim above the base along `up`, and at least so far above the footplate everywhere; `rim`: radius of its edges; `clearance`:
    how far it keeps from every corridor of the saw. `low`: where the solid begins, along `up` below the base.
    """

    name: str
    base: Triple
    along: Triple
    up: Triple
    width: Mm
    height: Mm
    thickness: Mm
    angle: Deg
    rim: Mm
    low: Mm
    clearance: Mm
    corridors: tuple[tuple[float, ...], ...]  # origin, normal, along, low, high of each

    @property
    def frame(self) -> Frame:
        """X along the flap, z up it, y through it."""
        along, up = unit(np.array(self.along)), unit(np.array(self.up))
        return Frame(origin=np.array(self.base), axes=np.stack([along, np.cross(up, along), up]))

    @property
    def inside(self) -> float:
        """1.0 where y of its frame looks to the saw, else -1.0."""
        return 1.0 if float(self.frame.axes[1] @ (np.array(self.corridors[0][:3]) - np.array(self.base))) > 0.0 else -1.0

    def over(self) -> list[tuple[Mm, Mm]]:
        """Points (x, y) that it stands over."""
        frame = self.frame
        xs, zs = np.arange(-self.width / 2.0, self.width / 2.0 + 1.0, 3.0), np.arange(self.low, self.height, 3.0)
        return [(float(x), float(y)) for x, y, _ in frame.patient(np.array([(x, 0.0, z) for x in xs for z in zs]))]


def corridor_from(row: Sequence[float]) -> Corridor:
    """A corridor from its eleven numbers."""
    numbers = np.array(row, dtype=np.float64)
    return Corridor(triple(numbers[:3]), triple(numbers[3:6]), triple(numbers[6:9]), float(numbers[9]), float(numbers[10]))


def place_flap(
    seat: HeightSpline,
    plates: Sequence[shapely.Polygon],
    bone: tuple[Array, Array],
    corridors: Sequence[Corridor],
    pins: Sequence[tuple[Mm, Mm]],
    *,
    side: int,
    height: Mm,
    width: Mm,
    thickness: Mm,
    angle: Deg,
    clearance: Mm,
    sleeve: Mm,
    plate_thickness: Mm,
) -> Flap:
    """The flap on the outermost line along the first cut that has room for it.

    Parameters
    ----------
    bone
        Points (nx, ny, 2) and the first bone met there from above (nan: none).
    pins
        Centres of sleeves (x, y), leaning ones as rows, and `sleeve`, their radius.
    side : int
        1: where the specimen is, -1: where bone stays.

    Raises
    ------
    DesignError
        If there is no room; it names the parameter.
    """
    first = corridors[0]
    along, outward = unit(np.array([*first.along[:2], 0.0])), unit(side * np.array([*first.normal[:2], 0.0]))
    outward = unit(outward - float(outward @ along) * along)
    origin = np.array(first.origin)
    plate = shapely.union_all(list(plates)).buffer(-INSIDE_MM)
    where = "on the specimen's side" if side > 0 else "on the side of the bone that stays"
    lines = _lines(plate, origin[:2], along[:2], outward[:2])
    longest = 0.0
    for off, stations in lines:
        points = origin[:2] + off * outward[:2] + stations[:, None] * along[:2]
        fits = shapely.contains_xy(plate, *(points + thickness / 2.0 * outward[:2]).T)
        fits &= shapely.contains_xy(plate, *(points - thickness / 2.0 * outward[:2]).T)
        if not fits.any():
            continue
        reach = height * np.sin(np.radians(angle))
        for x, y in pins:
            apart = np.array([x, y]) - points
            beside, beyond = np.abs(apart @ along[:2]), apart @ outward[:2]
            fits &= ~((beside < sleeve + DRIVER_MM) & (beyond > -sleeve - DRIVER_MM) & (beyond < reach + sleeve + DRIVER_MM))
        for low, high in _runs(fits):
            room = float(stations[high] - stations[low])
            longest = max(longest, room)
            if room < width:
                continue
            found = _standing(seat, points[low : high + 1], bone, corridors, along, outward, width, height, thickness,
                              angle, clearance, plate_thickness)  # fmt: skip
            if found is not None:
                return found
    if longest < width:
        raise DesignError(
            f"params.flap_width = {width:g}: the footplate's edge {where} has room for a flap {longest:.0f} mm wide beside its wires; "
            "lower flap_width, give the other flap_side, or raise footplate_reach.",
            where=origin,
            reason="contact",
        )
    raise DesignError(
        f"params.flap_side = {side}: {where} no flap stands clear of bone and {clearance:g} mm off the saw's way; "
        "give the other flap_side, lower flap_clearance, flap_angle or flap_width, or raise footplate_reach.",
        where=origin,
        reason="contact",
    )


def _lines(plate: shapely.Geometry, origin: Array, along: Array, outward: Array) -> list[tuple[Mm, Array]]:
    """Lines along the cut over a footplate, the outermost first: how far outward each lies, and stations along it."""
    corners = shapely.get_coordinates(plate) - origin
    off, s = corners @ outward, corners @ along
    stations = np.arange(s.min(), s.max() + STEP_MM, STEP_MM)
    return [(float(at), stations) for at in np.arange(off.max(), 0.0, -STEP_MM)]


def _runs(fits: Bools) -> list[tuple[int, int]]:
    """Stretches of stations that fit, (first, last), the longest first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], fits.astype(int), [0]])))
    runs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return sorted(runs, key=lambda run: run[0] - run[1])


def _standing(
    seat: HeightSpline,
    points: Array,
    bone: tuple[Array, Array],
    corridors: Sequence[Corridor],
    level_along: Array,
    outward: Array,
    width: Mm,
    height: Mm,
    thickness: Mm,
    angle: Deg,
    clearance: Mm,
    plate_thickness: Mm,
) -> Flap | None:
    """The flap on one stretch of a line, in its middle or beside it; None where bone, or the saw's way, is nearer than it may be."""
    count = round(width / STEP_MM)
    starts = sorted(range(len(points) - count), key=lambda start: abs(start - (len(points) - count) / 2.0))
    for start in starts[:: max(1, len(starts) // 12)]:
        own = points[start : start + count + 1]
        s = np.arange(count + 1) * STEP_MM - count * STEP_MM / 2.0
        heights = seat(own)
        rise = float(np.clip((s @ heights) / (s @ s), -STEEPEST, STEEPEST))  # it follows the bone along the edge
        lies = np.arctan(rise)
        if np.sin(np.radians(angle)) > 0.95 * np.cos(lies):
            continue
        along = np.cos(lies) * level_along + np.array([0.0, 0.0, np.sin(lies)])
        square = np.cos(lies) * np.array([0.0, 0.0, 1.0]) - np.sin(lies) * level_along
        lean = np.arcsin(np.sin(np.radians(angle)) / np.cos(lies))
        up = np.cos(lean) * square + np.sin(lean) * outward
        level = float((heights - rise * s).max()) + plate_thickness * float(seat.steepness(own).max())
        base = np.array([*((own[0] + own[-1]) / 2.0), level])
        frame = Frame(origin=base, axes=np.stack([along, np.cross(up, along), up]))
        xs, ys, zs = np.linspace(-width / 2.0, width / 2.0, len(own)), (-thickness / 2.0, thickness / 2.0), np.arange(-DEEPEST_MM, height + 0.5)
        flat = np.array([(x, y, z) for x in xs for y in ys for z in zs])
        whole = frame.patient(flat)
        above = whole[:, 2] > seat(whole[:, :2])
        over = above | (flat[:, 2] > 0.0)
        deepest = -float(flat[above][:, 2].min())
        if deepest > DEEPEST_MM - 1.0 or min(float(one.away(whole[over]).min()) for one in corridors) < clearance:
            continue
        if not _clear_of_bone(whole[flat[:, 2] > 0.0], bone):
            continue
        rows = tuple((*one.origin, *one.normal, *one.along, one.low, one.high) for one in corridors)
        low = -(deepest + ROOT_MM)
        rim = RIM_SHARE * thickness
        return Flap("flap", triple(base), triple(along), triple(up), width, height, thickness, angle, rim, low, clearance, rows)
    return None


def _clear_of_bone(points: Array, bone: tuple[Array, Array]) -> bool:
    """Whether all points (n, 3) lie above the first bone met there, so that nothing is caught when the guide is pulled off."""
    grid, heights = bone
    step = grid[1, 0, 0] - grid[0, 0, 0]
    cells = np.round((points[:, :2] - grid[0, 0]) / step).astype(int)
    inside = ((cells >= 0) & (cells < heights.shape)).all(axis=1)
    there = heights[cells[inside, 0], cells[inside, 1]]
    return bool(np.all(np.isnan(there) | (points[inside][:, 2] > there + OFF_BONE_MM)))


def find(flap: Flap, faces: Faces) -> list[Flat]:
    """The two flat sides of the plate."""
    frame, found = flap.frame, []
    for flat in faces.planes:
        _, point, outward = flat
        for sign in (1.0, -1.0):
            turn = float(np.degrees(np.arccos(np.clip(sign * (outward @ frame.axes[1]), -1.0, 1.0))))
            local = frame.local(point)
            near = abs(sign * local[1] - flap.thickness / 2.0) <= NEAR_MM and abs(local[0]) <= flap.width / 2.0 and flap.low < local[2] < flap.height
            if turn <= NEAR_DEG and near:
                found.append(flat)
    return found


def measure(flap: Flap, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Thickness, lean and rim on the STEP; height above the footplate, width, and distance to the saw's way on the STL."""
    frame, values = flap.frame, dict[str, Any]()
    if part is not None:
        through = [(float(frame.local(point)[1]), outward) for _, point, outward in find(flap, part.faces)]
        fore, back = ([at for at, _ in through if sign * at > 0.0] for sign in (1.0, -1.0))
        if fore and back:
            values["thickness_mm"] = min(fore) - max(back)  # a pocket in a side counts
            leans = [float(np.degrees(np.arcsin(np.clip(abs(outward[2]), 0.0, 1.0)))) for _, outward in through]
            values["angle_deg"] = max(leans, key=lambda lean: abs(lean - flap.angle))
        rims = [abs(radius) for _, point, way, radius in part.faces.cylinders if _is_rim(flap, point, way)]
        values["rim_mm"] = min(rims) if len(rims) >= 2 else None
    xs = np.arange(-flap.width / 2.0 + CORNER_MM + 0.5, flap.width / 2.0 - CORNER_MM - 0.4, 1.0)
    top = _down(flap, printed, np.column_stack([xs, np.zeros(len(xs))]))
    foot = _down(flap, printed, np.column_stack([xs, np.full(len(xs), flap.inside * (flap.thickness / 2.0 + 0.3))]))
    rises = np.where(np.isfinite(top) & np.isfinite(foot), top - foot, 0.0)
    lowest = int(np.argmin(rises))
    values["height_mm"] = float(rises[lowest])
    values["top_mm"] = float(np.nanmin(np.where(np.isfinite(top), top, -FAR_MM)))
    values["height_at"] = [round(float(v), 3) for v in frame.patient(np.array([xs[lowest], 0.0, flap.height]))]
    level = flap.height / 2.0
    ends = []
    for sign in (1.0, -1.0):
        start = frame.patient(np.array([[sign * (flap.width / 2.0 + 5.0), 0.0, level]]))
        way, _ = printed.caster.first(start, -sign * frame.axes[0])
        ends.append(flap.width / 2.0 + 5.0 - float(way[0]))
    values["width_mm"] = float(sum(ends)) if np.isfinite(ends).all() else None
    local = frame.local(np.asarray(printed.mesh.vertices))
    own = (np.abs(local[:, 0]) <= flap.width / 2.0 + 0.05) & (np.abs(local[:, 1]) <= flap.thickness / 2.0 + BOSS_MM)
    own &= (local[:, 2] > 2.0) & (local[:, 2] <= flap.height + BOSS_MM)
    points = np.asarray(printed.mesh.vertices)[own]
    if len(points):
        away = np.min([corridor_from(row).away(points) for row in flap.corridors], axis=0)
        nearest = int(np.argmin(away))
        values["clear_mm"], values["clear_at"] = float(away[nearest]), [round(float(v), 3) for v in points[nearest]]
    return values


def _is_rim(flap: Flap, point: Array, way: Array) -> bool:
    """Whether a cylinder is one of the two that round the upper edge."""
    local = flap.frame.local(point)
    along = abs(float(way @ flap.frame.axes[0])) > np.cos(np.radians(NEAR_DEG))
    return bool(along and abs(local[1]) < flap.thickness / 2.0 and flap.height - flap.thickness < local[2] < flap.height)


def _down(flap: Flap, printed: Printed, flat: Array) -> Array:
    """How high (n,) along the flap the first material is met at (x, y) of its frame, from above."""
    starts = flap.frame.patient(np.column_stack([flat, np.full(len(flat), FAR_MM)]))
    way, _ = printed.caster.first(starts, -flap.frame.axes[2])
    return np.asarray(FAR_MM - way)


def checks(flap: Flap, values: dict[str, Any]) -> list[Check]:
    """Every number of the flap against its limit."""
    middle = place(flap.base)
    wanted = {"thickness": flap.thickness, "angle": flap.angle, "rim": flap.rim, "width": flap.width, "top": flap.height}
    found = {name: values.get(f"{name}_{'deg' if name == 'angle' else 'mm'}") for name in wanted}
    off = {name: None if value is None else abs(value - wanted[name]) for name, value in found.items()}
    low, near = (values.get(key) or middle for key in ("height_at", "clear_at"))
    return [
        kept("flap_thickness", off["thickness"], "mm", "<=", SIZE_MM, middle),
        kept("flap_angle", off["angle"], "deg", "<=", TURN_DEG, middle),
        kept("flap_rim", off["rim"], "mm", "<=", SIZE_MM, place(low)),
        kept("flap_width", off["width"], "mm", "<=", HEIGHT_MM, middle),
        kept("flap_top", off["top"], "mm", "<=", HEIGHT_MM, place(low)),
        held(
            "flap_height",
            values.get("height_mm"),
            "mm",
            ">=",
            flap.height - HEIGHT_MM,
            "of the rim above the footplate, everywhere",
            where=place(low),
        ),
        held("flap_clear", values.get("clear_mm"), "mm", ">=", flap.clearance - SIZE_MM, "from where the saw runs", where=place(near)),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    one = found[0]
    high, clear = one.get("height_mm"), one.get("clear_mm")
    measured = "" if high is None or clear is None else f", at least {high:.1f} mm above the footplate, {clear:.1f} mm from where the saw runs"
    return [f"flap: {one['width']:g} mm wide, leaning by {one['angle']:g}°{measured}"]
