"""Measure how a guide sits: gap and overlap to the bone, contact, and whether it comes off along its axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
import trimesh

from psi_cad.planning.sliding import Sliding
from psi_cad.surface.rays import RayCaster, SignedDistance, first_hits_down
from psi_cad.units import LIMITS, Array, Mm
from psi_cad.verify.expected import Expected
from psi_cad.verify.holding import measure_holding
from psi_cad.verify.printed import Printed

__all__ = ["BoneProbe", "MeasuredSeat", "measure_seat"]

STEP_MM: Final[Mm] = 0.4
RIM_MM: Final[Mm] = 0.6  # the outline's straight sides and the grid's step


class BoneProbe:
    """Rays and distances on one bone, made once for all guides on it."""

    def __init__(self, bone: trimesh.Trimesh) -> None:
        self.caster = RayCaster(bone)
        self.distance = SignedDistance(bone)


@dataclass(frozen=True)
class MeasuredSeat:
    """`rms`, `max`: of distance to bone less the gap, inside the footprint; `gap`: mean distance there; mm, mm².

    `overlap`: greatest depth of any point of the guide in bone. `catch`: greatest depth bone stands above the guide's
    underside in any column along the seating axis (what pulling it off would meet). `holding`: the weakest slide of what
    touches, patient frame.
    """

    rms: Mm
    max: Mm
    gap: Mm
    overlap: Mm
    catch: Mm
    contact_area: float
    footprint_area: float
    worst: Array
    holding: Sliding


def measure_seat(part: Printed, expected: Expected, probe: BoneProbe) -> MeasuredSeat:
    """Measure `part` against the bone."""
    frame = expected.frame
    low, high = part.mesh.bounds
    xs, ys = np.arange(low[0], high[0], STEP_MM), np.arange(low[1], high[1], STEP_MM)
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    starts = np.column_stack([grid, np.full(len(grid), low[2] - 5.0)])
    up, faces = part.caster.first(starts, np.array([0.0, 0.0, 1.0]))
    under = np.isfinite(up)
    bottom = np.column_stack([grid, low[2] - 5.0 + up])[under]
    looks = part.caster.normals[faces[under]]
    bone = first_hits_down(probe.caster, bottom[:, :2], frame=frame)

    # columns: bone above the underside, measured along the bone's normal
    above = np.where(bone.met, (bone.height - bottom[:, 2]) * np.clip(bone.slope_cos, 0.0, 1.0), -np.inf)
    catch = float(max(0.0, np.max(above, initial=0.0)))

    # every vertex of the guide, and its underside
    points = np.vstack([np.asarray(part.mesh.vertices), bottom])
    depth = probe.distance(frame.patient(points))
    overlap = float(max(0.0, -depth.min(initial=0.0), catch))

    outline = shapely.union_all([shapely.Polygon(ring) for ring in expected.outlines]).buffer(-RIM_MM)
    inside = shapely.contains_xy(outline, bottom[:, 0], bottom[:, 1]) & (looks[:, 2] < -np.cos(np.radians(expected.slope_limit + 8.0)))
    seat = bottom[inside]
    touching = np.zeros(len(grid), dtype=bool)
    underside, faced = np.zeros((len(grid), 3)), np.zeros((len(grid), 3))
    underside[under], faced[under] = bottom, looks

    def holding() -> Sliding:
        return measure_holding(underside, faced, touching, (len(xs), len(ys)), STEP_MM, expected)

    if len(seat) == 0:
        return MeasuredSeat(np.inf, np.inf, np.inf, overlap, catch, 0.0, float(outline.area), frame.origin, holding())
    away = depth[len(part.mesh.vertices) :][inside]
    residual = away - expected.gap
    areas = STEP_MM**2 / np.clip(-looks[inside][:, 2], 0.2, 1.0)
    close = np.abs(residual) <= LIMITS.seat_max
    touching[np.flatnonzero(under)[inside]] = close
    worst = int(np.argmax(np.abs(residual)))
    return MeasuredSeat(
        rms=float(np.sqrt((residual**2).mean())),
        max=float(np.abs(residual).max()),
        gap=float(away.mean()),
        overlap=overlap,
        catch=catch,
        contact_area=float(areas[close].sum()),
        footprint_area=float(outline.area),
        worst=frame.patient(seat[worst]),
        holding=holding(),
    )
