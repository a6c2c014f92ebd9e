"""A rim of the footplates that keeps off the bone, where periosteum is left on: where it runs, and how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from psi_cad.findings import Check
from psi_cad.frames import rounded
from psi_cad.readback.underside import RIM_MM, STEP_MM, underside
from psi_cad.units import LIMITS, Deg, Mm
from psi_cad.verify.features.feature import place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.promises.expected import Expected
    from psi_cad.readback.faces import Faces
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed
    from psi_cad.verify.features.seat import BoneProbe

__all__ = ["STEEPER_DEG", "Relief", "checks", "find", "measure", "measure_on_bone", "said"]

STEEPER_DEG: Final[Deg] = 8.0  # than contact may be, its underside may look


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
        wanted |= {f"{key}_mm": float(away[number]), f"{key}_at": rounded(over[number])}
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
