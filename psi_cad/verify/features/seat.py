"""The seat: its faces among those of a solid; gap and overlap to the bone, contact, and whether it comes off along its axis; the checks of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cadquery as cq
import numpy as np
import shapely
import trimesh
from scipy import ndimage

from psi_cad.findings import Check, Place, place_of
from psi_cad.frames import Frame
from psi_cad.promises.expected import Expected
from psi_cad.readback.faces import Faces
from psi_cad.readback.printed import Printed
from psi_cad.readback.underside import RIM_MM, STEP_MM, underside
from psi_cad.siting.sliding import Sliding
from psi_cad.surface.rays import RayCaster, SignedDistance, first_hits_down
from psi_cad.units import LIMITS, Array, Bools, Mm
from psi_cad.verify.features.pin import leans
from psi_cad.verify.held import held
from psi_cad.verify.holding import lock_check, measure_holding

__all__ = ["RIM_MM", "STEP_MM", "BoneProbe", "MeasuredSeat", "caught_by", "checks", "find", "measure"]

IN_BORE_MM: Final[Mm] = 0.05  # beyond its radius: what a triangulated bore is off
WALL_COS: Final = 1.0 - 1e-6  # within 0.1° of a cut's normal lies a wall of its fence, which is flat; a seat is curved
SLIT_MM: Final[Mm] = 1.6  # contact lacking over less than this is a slot or the wall of a hole


class BoneProbe:
    """Rays and distances on one bone, made once for all guides on it; its `name` where a case has several."""

    def __init__(self, bone: trimesh.Trimesh, name: str | None = None) -> None:
        self.bone, self.name = bone, name
        self.caster = RayCaster(bone)
        self.distance = SignedDistance(bone, caster=self.caster)


@dataclass(frozen=True)
class MeasuredSeat:
    """`rms`, `max`: of distance to bone less the gap, inside the footprint but where it spans a hollow; `gap`: mean distance there; mm, mm².

    `overlap`: greatest depth of any point of the guide in bone. `catch`: greatest depth bone stands above the guide's
    underside in any column along the seating axis (what pulling it off would meet). `holding`: the weakest slide of what
    touches, patient frame.
    Places in patient mm: `worst` residual, `deepest` overlap, `caught` bone, the middle of the largest `missing` contact.
    """

    rms: Mm
    max: Mm
    gap: Mm
    overlap: Mm
    catch: Mm
    contact_area: float
    footprint_area: float
    holding: Sliding
    worst: Place | None
    deepest: Place | None
    caught: Place | None
    missing: Place | None


def caught_by(probe: BoneProbe, bottom: Array, frame: Frame) -> tuple[Mm, int]:
    """How far bone stands above the underside (n, 3) of a guide, along the bone's normal, and in which column most; 0 where none does."""
    bone = first_hits_down(probe.caster, bottom[:, :2], frame=frame)
    above = np.where(bone.met, (bone.height - bottom[:, 2]) * np.clip(bone.slope_cos, 0.0, 1.0), -np.inf)
    return float(max(0.0, np.max(above, initial=0.0))), int(np.argmax(above)) if len(above) else 0


def measure(part: Printed, expected: Expected, probe: BoneProbe) -> MeasuredSeat:
    """Measure `part` against the bone."""
    frame = expected.frame
    bottom, looks, under = underside(part)
    grid, shape = under.size, under.shape
    under = under.ravel()
    catch, column = caught_by(probe, bottom, frame)

    outline = shapely.union_all([shapely.Polygon(ring) for ring in expected.outlines]).buffer(-RIM_MM)
    outline = outline.difference(shapely.union_all([shapely.Polygon(rings[0], rings[1:]) for rings in expected.relieved]).buffer(STEP_MM))
    inside = shapely.contains_xy(outline, bottom[:, 0], bottom[:, 1]) & (looks[:, 2] < -np.cos(np.radians(expected.slope_limit + 8.0)))
    spanned = shapely.union_all([shapely.Polygon(ring) for ring in expected.voids])
    inside &= ~shapely.contains_xy(spanned, bottom[:, 0], bottom[:, 1])
    for slot in expected.slots:  # beside a steep seat, a wall of a fence that leans looks down like bone's side
        inside &= np.abs(looks @ expected.plane_of(slot)[1]) < WALL_COS
    for bore in expected.bores:  # one sees into a bore that leans, and its wall looks down there
        entry, out = frame.local(np.array(bore.entry)), frame.local_direction(np.array(bore.out))
        inside &= np.linalg.norm(np.cross(bottom - entry, out), axis=1) > bore.diameter / 2.0 + IN_BORE_MM
    for foot, out in leans(expected):
        inside &= np.linalg.norm(np.cross(bottom - foot, out), axis=1) > expected.bore / 2.0 + IN_BORE_MM
    # every vertex of the guide, and its underside; of what is outside the bone only the distance of the seat matters
    points = np.vstack([np.asarray(part.mesh.vertices), bottom])
    depth = probe.distance.where(frame.patient(points), np.concatenate([np.zeros(len(points) - len(bottom), dtype=bool), inside]))
    overlap = float(max(0.0, -depth.min(initial=0.0), catch))
    caught = place_of(frame.patient(bottom[column])) if catch > 0.0 else None
    dived = int(np.argmin(depth))
    deepest = place_of(frame.patient(points[dived])) if -depth[dived] >= catch else caught

    seat = bottom[inside]
    touching = np.zeros(grid, dtype=bool)
    lowest, faced = np.zeros((grid, 3)), np.zeros((grid, 3))
    lowest[under], faced[under] = bottom, looks

    def holding() -> Sliding:
        return measure_holding(lowest, faced, touching, shape, STEP_MM, expected)

    if len(seat) == 0:
        middle = np.asarray(outline.representative_point().coords)[0] if not outline.is_empty else np.zeros(2)
        nowhere = place_of(frame.patient(_on_bone(middle, probe, frame)))
        return MeasuredSeat(np.inf, np.inf, np.inf, overlap, catch, 0.0, float(outline.area), holding(), nowhere, deepest, caught, nowhere)
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
        holding=holding(),
        worst=place_of(frame.patient(seat[worst])),
        deepest=deepest,
        caught=caught,
        missing=_missing(outline, seat[close], probe, frame),
    )


def _missing(outline: shapely.Geometry, contact: Array, probe: BoneProbe, frame: Frame) -> Place | None:
    """The inmost point (on the bone, patient mm) of the widest stretch of the footprint without contact; a slot's own width is no stretch."""
    low = np.array(outline.bounds[:2]) - STEP_MM
    shape = tuple(int(n) for n in np.ceil((np.array(outline.bounds[2:]) - low) / STEP_MM) + 2)
    touched: Bools = np.zeros(shape, dtype=bool)
    cells = np.floor((contact[:, :2] - low) / STEP_MM).astype(int)
    cells = cells[((cells >= 0) & (cells < shape)).all(axis=1)]
    touched[cells[:, 0], cells[:, 1]] = True
    centres = low + (np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) + 0.5) * STEP_MM
    wanted = shapely.contains_xy(outline, centres[..., 0], centres[..., 1])
    bare = wanted & ~ndimage.binary_closing(touched)  # the two grids lie askew
    opened = ndimage.binary_opening(bare, iterations=max(1, round(SLIT_MM / STEP_MM / 2.0)))
    bare = opened if opened.any() else bare
    if not bare.any():
        return None
    inmost = np.unravel_index(int(np.argmax(ndimage.distance_transform_edt(bare))), shape)
    return place_of(frame.patient(_on_bone(centres[inmost], probe, frame)))


def _on_bone(point: Array, probe: BoneProbe, frame: Frame) -> Array:
    """The point (3,) of the guide frame where bone is first met above (x, y); at the frame's own height where there is none."""
    height = float(first_hits_down(probe.caster, point[None, :], frame=frame).height[0])
    return np.array([point[0], point[1], height if np.isfinite(height) else 0.0])


def find(faces: Faces) -> list[cq.Face]:
    """The faces that lie on the bone: those on a B-spline that look down the seating axis (guide frame)."""
    return [face for face, outward in faces.splines if outward[2] < 0.0]


def checks(seat: MeasuredSeat, expected: Expected) -> list[Check]:
    """Every number of the seat against its limit."""
    return [
        held("seat_rms", seat.rms, "mm", "<=", LIMITS.seat_rms, where=seat.worst),
        held("seat_max", seat.max, "mm", "<=", LIMITS.seat_max, where=seat.worst),
        held("seat_overlap", seat.overlap, "mm", "<=", LIMITS.overlap, where=seat.deepest),
        held("contact_area", seat.contact_area, "mm²", ">=", LIMITS.contact_area, where=seat.missing),
        held(
            "contact_share",
            seat.contact_area / max(seat.footprint_area, 1e-9),
            "",
            ">=",
            0.6,
            "of the planned footprint; holes and the slot are not contact",
            where=seat.missing,
        ),
        lock_check(seat.holding, expected),
        held("pull_off", seat.catch, "mm", "<=", LIMITS.overlap, "bone in the way along the seating axis", where=seat.caught),
    ]
