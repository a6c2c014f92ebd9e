"""A flap that holds soft tissue back: where it stands on a footplate's edge; its faces among those of a solid, its size, and how clear of the saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import Frame, rounded, unit
from psi_cad.readback.corridor import corridor_from
from psi_cad.units import Array, Deg, Mm
from psi_cad.verify.features.feature import Triple, kept, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces, Flat
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["CORNER_MM", "Flap", "checks", "find", "measure", "said"]

CORNER_MM: Final[Mm] = 4.0  # of its upper corners
TURN_DEG: Final[Deg] = 0.05
SIZE_MM: Final[Mm] = 0.02
HEIGHT_MM: Final[Mm] = 0.1
FAR_MM: Final[Mm] = 80.0
BOSS_MM: Final[Mm] = 2.0  # what stands out of its sides is looked at as far as this
NEAR_MM: Final[Mm] = 0.5  # a face further off is not taken for the flap's
NEAR_DEG: Final[Deg] = 3.0


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
        values["clear_mm"], values["clear_at"] = float(away[nearest]), rounded(points[nearest])
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
