"""How what a part was promised to have is found again in its files, and measured."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import unit
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.held import held
from psi_cad.verify.part import Part
from psi_cad.verify.printed import Printed
from psi_cad.verify.promised import Bore, Feature, Gap, Triple, Web

__all__ = ["feature_checks"]

PARALLEL: Final = 1.0 - 1e-9  # cosine
BORE_MM: Final[Mm] = 0.01
SAME_MM: Final[Mm] = 0.02  # between a face of the STEP and the triangle met on the STL
SHARES: Final = (-0.4, 0.0, 0.4)  # of a feature's extent, from its middle, where it is looked at
FAR: Final[Mm] = 500.0


def feature_checks(features: tuple[Feature, ...], part: Part, printed: Printed) -> list[tuple[Feature, dict[str, Any], list[Check]]]:
    """Every feature with what was measured of it and the checks of that."""
    return [(feature, *_measured(feature, part, printed)) for feature in features]


def _measured(feature: Feature, part: Part, printed: Printed) -> tuple[dict[str, Any], list[Check]]:
    if isinstance(feature, Gap):
        return _gap(feature, part, printed)
    if isinstance(feature, Bore):
        return _bore(feature, part)
    return _web(feature, part, printed)


def _gap(gap: Gap, part: Part, printed: Printed) -> tuple[dict[str, Any], list[Check]]:
    """Its width between the flat faces of the STEP that the STL shows to stand beside it, and whether it is open all through."""
    normal, through = np.array(gap.normal), np.array(gap.through)
    along, middle = np.cross(through, normal), np.array(gap.point)
    places = np.array([middle + a * gap.length * along + d * gap.depth * through for a in SHARES for d in SHARES])
    wide = np.array([_way(printed, places, sign * normal) for sign in (1.0, -1.0)])
    sides = [_side(part, middle, normal, sign, float(np.median(found))) for sign, found in zip((1.0, -1.0), wide, strict=True)]
    width = None if None in sides else float(sum(side for side in sides if side is not None))
    least = float((wide[0] + wide[1]).min())
    entries = np.array([middle + a * gap.length * along - (gap.depth / 2.0 + 0.5) * through for a in SHARES])
    blocked = int((_way(printed, entries, through) < gap.depth + 1.0).sum())
    place = (float(middle[0]), float(middle[1]), float(middle[2]))
    checks = [
        _check(f"gap_width[{gap.name}]", None if width is None else abs(width - gap.width), "mm", "<=", LIMITS.slot_width, place),
        _check(f"gap_open[{gap.name}]", float(blocked), "", "==", 0.0, place),
        _check(f"gap_printed[{gap.name}]", abs(least - gap.width) if np.isfinite(least) else None, "mm", "<=", SAME_MM, place),
    ]
    return {"width_mm": width, "stl_width_mm": least if np.isfinite(least) else None}, checks


def _side(part: Part, middle: Array, normal: Array, sign: float, near: Mm) -> Mm | None:
    """How far from `middle` the flat face lies that looks back at it, `near` the distance met on the STL."""
    best: Mm | None = None
    for _, point, outward in part.planes:
        away = sign * float((point - middle) @ normal)
        if sign * float(outward @ normal) < -PARALLEL and abs(away - near) <= SAME_MM and (best is None or abs(away - near) < abs(best - near)):
            best = away
    return best


def _bore(bore: Bore, part: Part) -> tuple[dict[str, Any], list[Check]]:
    direction, point = unit(np.array(bore.direction)), np.array(bore.point)
    found = None
    for _, on_axis, way, radius in part.cylinders:
        beside = np.linalg.norm(np.cross(on_axis - point, direction))
        if radius < 0.0 and abs(float(way @ direction)) > PARALLEL and beside < BORE_MM:
            found = -2.0 * radius
    place = (float(point[0]), float(point[1]), float(point[2]))
    off = None if found is None else abs(found - bore.diameter)
    return {"diameter_mm": found}, [_check(f"bore[{bore.name}]", off, "mm", "<=", BORE_MM, place)]


def _web(web: Web, part: Part, printed: Printed) -> tuple[dict[str, Any], list[Check]]:
    normal, middle = np.array(web.normal), np.array(web.point)
    inward = [_way(printed, (middle + sign * (web.thickness + 0.5) * normal)[None], -sign * normal)[0] for sign in (1.0, -1.0)]
    thick = 2.0 * (web.thickness + 0.5) - float(sum(inward))
    sides = [
        sign * float((point - middle) @ normal)
        for sign in (1.0, -1.0)
        for _, point, outward in part.planes
        if sign * float(outward @ normal) > PARALLEL and abs(sign * float((point - middle) @ normal) - thick / 2.0) <= SAME_MM
    ]
    found = sides[0] + sides[-1] if len(sides) >= 2 else None
    place = (float(middle[0]), float(middle[1]), float(middle[2]))
    off = None if found is None else abs(found - web.thickness)
    return {"thickness_mm": found}, [_check(f"web[{web.name}]", off, "mm", "<=", LIMITS.slot_width, place)]


def _way(printed: Printed, starts: Array, direction: Array) -> Array:
    """How far (n,) it is from each start to the first triangle; infinite where none is met."""
    found, _ = printed.caster.first(starts, direction)
    return np.asarray(found)


def _check(name: str, value: float | None, unit_: str, rule: Literal["<=", "=="], limit: float, place: Triple) -> Check:
    return held(name, value, unit_, rule, limit, "" if value is not None else "not found in the file", where=place)
