"""A rim of the footplates that keeps off the bone, where periosteum is left on: where it runs, and how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.findings import Check
from psi_cad.readback.underside import RIM_MM, STEP_MM, underside
from psi_cad.units import LIMITS, Array, Deg, Mm
from psi_cad.verify.features.feature import place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.promises.expected import Expected
    from psi_cad.readback.faces import Faces
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed
    from psi_cad.verify.features.seat import BoneProbe

__all__ = ["STEEPER_DEG", "Relief", "checks", "find", "measure", "measure_on_bone", "place_relief", "refuse_thin", "said"]

LEAST_PLATE_MM: Final[Mm] = 2.0  # of a footplate's thickness, that is left over its relief
OFF_FENCE_MM: Final[Mm] = 1.2  # a fence rests on bone
OFF_SLEEVE_MM: Final[Mm] = 1.5  # and so does what is round a wire
OFF_WINDOW_MM: Final[Mm] = 3.5  # the wall round a window is looked at as far as this
ROUND_MM: Final[Mm] = 0.7  # a narrower stretch is none
PAST_MM: Final[Mm] = 1.5  # outward of the footplates, for what stands out of them
PLAIN_MM: Final[Mm] = 0.15  # how far its straight sides may leave the smooth outline
LEAST_MM2: Final = 12.0
STEEPER_DEG: Final[Deg] = 8.0  # than contact may be, its underside may look
LEAST_SHARE: Final = 0.3  # of the footplates, that has to rest on bone


@dataclass(frozen=True)
class Relief:
    """Where footplates keep further off the bone than the seat does: `depth` more, along the bone's normal; guide frame, mm.

    `zones`: polygons, each as its outline and its holes (x, y), a little over the footplates' own rims.
    """

    name: str
    depth: Mm
    width: Mm
    zones: tuple[tuple[tuple[tuple[Mm, Mm], ...], ...], ...]

    def polygons(self) -> list[shapely.Polygon]:
        """The zones as shapes."""
        return [shapely.Polygon(rings[0], rings[1:]) for rings in self.zones]


def place_relief(
    plates: Sequence[shapely.Polygon],
    fences: shapely.Geometry,
    keep: Sequence[tuple[Mm, Mm, Mm]],
    *,
    depth: Mm,
    width: Mm,
    plate_thickness: Mm,
) -> Relief:
    """A band `width` wide along the rims of the footplates; not at the fences, and not at round places (x, y, radius) to `keep` on the bone.

    Raises
    ------
    DesignError
        If a footplate would be too thin over it, or nothing would be left to rest on bone.
    """
    refuse_thin(depth, plate_thickness, where=np.array([*plates[0].representative_point().coords[0], 0.0]))
    whole = shapely.union_all(list(plates))
    inner = whole.buffer(-width)
    stays = shapely.union_all([inner, fences.buffer(OFF_FENCE_MM), *(shapely.Point(x, y).buffer(radius) for x, y, radius in keep)])
    if whole.intersection(stays).area < LEAST_SHARE * whole.area or inner.is_empty:
        raise DesignError(
            f"params.relief_width = {width:g}: too little of the footplates would rest on bone; lower relief_width, or raise footplate_reach.",
            where=np.array([*plates[0].representative_point().coords[0], 0.0]),
            reason="contact",
        )
    band = whole.buffer(PAST_MM, join_style="mitre").difference(stays).buffer(-ROUND_MM).buffer(ROUND_MM).simplify(PLAIN_MM)
    parts = [part for part in shapely.get_parts(band) if part.intersection(whole).area >= LEAST_MM2]
    if not parts:
        raise DesignError(
            f"params.relief_width = {width:g}: between fences and wires the footplates have no rim so wide; raise relief_width or footplate_reach.",
            where=np.array([*plates[0].representative_point().coords[0], 0.0]),
            reason="contact",
        )
    return Relief("relief", depth, width, tuple(tuple(_ring(ring) for ring in (part.exterior, *part.interiors)) for part in parts))


def refuse_thin(depth: Mm, plate_thickness: Mm, *, where: Array | None = None) -> None:
    """Refuse a relief over which a footplate would be too thin, on whatever bone.

    Raises
    ------
    DesignError
    """
    if plate_thickness - depth < LEAST_PLATE_MM:
        raise DesignError(
            f"params.relief_depth = {depth:g}: it would leave {plate_thickness - depth:.1f} mm of the footplate, and {LEAST_PLATE_MM:g} mm is the "
            f"least; raise footplate_thickness to {LEAST_PLATE_MM + depth:g}, or lower relief_depth.",
            where=where,
        ).on_any_seat()


def _ring(ring: shapely.LinearRing) -> tuple[tuple[Mm, Mm], ...]:
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in shapely.get_coordinates(ring))


def find(relief: Relief, faces: Faces) -> list[tuple[Any]]:
    """The faces over the zones that look at the bone."""
    zone = shapely.union_all(relief.polygons())
    return [(face,) for face, outward in faces.splines if outward[2] < 0.0 and zone.contains(shapely.Point(*face.Center().toTuple()[:2]))]


def measure(relief: Relief, part: Part | None, printed: Printed) -> dict[str, Any]:
    """Nothing without the bone."""
    del relief, part, printed
    return {}


def measure_on_bone(relief: Relief, printed: Printed, expected: Expected, probe: BoneProbe) -> dict[str, Any]:
    """The least and the greatest gap over the zones, from the underside of the STL to the bone, each with its place (guide frame)."""
    bottom, looks, _ = underside(printed)
    plates = shapely.union_all([shapely.Polygon(ring) for ring in expected.outlines]).buffer(-RIM_MM)
    there = shapely.union_all(relief.polygons()).intersection(plates).buffer(-STEP_MM)
    there = there.difference(shapely.union_all([shapely.Polygon(ring) for ring in expected.voids]))  # where bone falls away
    over = bottom[shapely.contains_xy(there, bottom[:, 0], bottom[:, 1]) & (looks[:, 2] < -np.cos(np.radians(expected.slope_limit + STEEPER_DEG)))]
    wanted: dict[str, Any] = {"wanted_mm": expected.gap + relief.depth}
    if not len(over):
        return wanted
    away = probe.distance(expected.frame.patient(over))
    for key, number in (("least", int(np.argmin(away))), ("most", int(np.argmax(away)))):
        wanted |= {f"{key}_mm": float(away[number]), f"{key}_at": [round(float(v), 3) for v in over[number]]}
    return wanted


def checks(relief: Relief, values: dict[str, Any]) -> list[Check]:
    """Whether the zones keep off the bone as far as they should."""
    wanted = float(values.get("wanted_mm", relief.depth))
    x, y = relief.zones[0][0][0]
    least, most = (place(values.get(key) or (x, y, 0.0)) for key in ("least_at", "most_at"))
    low, high = wanted - LIMITS.seat_max, wanted + LIMITS.seat_max
    return [
        held("relief_least", values.get("least_mm"), "mm", ">=", low, "gap over the relief, where it is least", where=least),
        held("relief_most", values.get("most_mm"), "mm", "<=", high, "gap over the relief, where it is most", where=most),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    one = found[0]
    least, most = one.get("least_mm"), one.get("most_mm")
    measured = "" if least is None or most is None else f": {least:.2f} to {most:.2f} mm off the bone"
    return [f"relief: {one['depth']:g} mm more gap along the rim of the footplates, {one['width']:g} mm wide{measured}"]
