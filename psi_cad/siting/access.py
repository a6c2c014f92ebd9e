"""The bone a guide can reach and rest on around its cuts or entry points, as a height field and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import shapely
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

from psi_cad.errors import DesignError, SurfaceError
from psi_cad.findings import inmost
from psi_cad.frames import Frame
from psi_cad.siting.about import About
from psi_cad.siting.seat import HeightField
from psi_cad.siting.spline import HeightSpline, fit, uniform_knots
from psi_cad.surface.rays import Hits, RayCaster, first_hits_down
from psi_cad.surface.repair import Bone
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Bools, Deg, Ints, Mm

__all__ = ["RIM_MM", "WIDE_MM", "accessible_field", "covered", "grid_in", "opened", "outlines", "voids", "without_spots"]

STEP_MM: Final[Mm] = 0.5
USABLE_SLOPE: Final[Deg] = 72.0  # steeper bone is a cliff edge: its height is no longer measured well from above
JUMP_MM: Final[Mm] = 1.5  # bone further than this from the smooth sheet of the contact is another shelf
STEP_UP_MM: Final[Mm] = 0.3  # from cell to cell, beside what a slope takes: still one sheet
WIDE_MM: Final[Mm] = 1.5  # around the contact, that a footplate may cover
RAISED_MM: Final[Mm] = 0.3  # of ground that was eased: a seat on it is off the bone
SPAN_MM: Final[Mm] = 3.0  # half the width of a notch that an outline may close: the largest rounding of its corners
OPEN_MM: Final[Mm] = 1.5  # contact narrower than twice this is no contact
SPOT_MM: Final[Mm] = 2.0  # around a spot that no seat can follow
VOID_MM: Final[Mm] = 1.0  # bone between two falls less than twice this apart belongs to them
RIM_MM: Final[Mm] = 0.6  # of a footplate, whose outline runs a little beside its contact; `verify.features.seat` measures without it, too
VOID_AWAY: Final = 0.6  # of the limit for a seat that misses the bone
KEEP_OFF_MM: Final[Mm] = 1.0  # from bone that is not measured
SPOT_SHARE: Final = 0.85  # of the contact that must stay when spots are left out
FIRST_MM: Final[Mm] = 0.02  # a point that near to the first bone met is on it
SMOOTH_SLOPE_KNOTS_MM: Final[Mm] = 3.0


def accessible_field(
    bone: Bone,
    caster: RayCaster,
    frame: Frame,
    about: About,
    *,
    rectangle: tuple[Mm, Mm, Mm, Mm],
    reach: Mm,
    beyond: Mm,
    fences: Sequence[tuple[Mm, Mm]],
    slope_limit: Deg,
    part: int,
    mend: str = "raise footplate_reach or slope_limit, or give another approach",
) -> HeightField:
    """The height field on `rectangle` (x low, y low, x high, y high; guide frame) with its contact marked.

    Contact is measured bone of the right part, first met along the axis, within `reach` of a cut and `beyond` the end of its
    section (or of the entries), smoother than `slope_limit` at the scale of 3 mm, in one sheet with the bone at the cut or entry.

    `fences` gives, for each cut, the stretch along the slot over which a fence may stand and must clear all bone; sleeves need none.
    `mend`: what may give more contact.

    Raises
    ------
    DesignError
        If there is not enough contact for any guide.
    SurfaceError
        If a place of the surface that is no measured bone lies where a fence would stand.
    """
    xs = np.arange(rectangle[0], rectangle[2] + STEP_MM / 2.0, STEP_MM)
    ys = np.arange(rectangle[1], rectangle[3] + STEP_MM / 2.0, STEP_MM)
    shape = (len(xs), len(ys))
    points = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    hits = first_hits_down(caster, points, frame=frame)
    slope = np.nan_to_num(hits.slope_cos, nan=-1.0)
    sheet = hits.met & (bone.part_of_face[hits.face] == part) & (slope >= np.cos(np.radians(USABLE_SLOPE)))
    patient = frame.patient(np.column_stack([points, np.nan_to_num(hits.height)]))
    near = about.near(patient, frame.axes[2], reach=reach, beyond=beyond)
    sheet = _one_sheet(sheet, hits.height, shape, seeds=about.at(patient, frame.axes[2], reach=2.0) & sheet)
    if int((sheet & near).sum()) * STEP_MM**2 < LIMITS.contact_area:
        raise DesignError(
            f"guide.approach: from this direction, too little bone beside {about.called} can be reached; "
            "give another approach, from the bone towards the surgeon.",
            where=_amid(patient, sheet & near, about),
            reason="contact",
        )
    smooth = fit(
        points[sheet],
        hits.height[sheet],
        weights=np.ones(int(sheet.sum())),
        x_knots=uniform_knots(xs[0], xs[-1], SMOOTH_SLOPE_KNOTS_MM),
        y_knots=uniform_knots(ys[0], ys[-1], SMOOTH_SLOPE_KNOTS_MM),
        cell_area=STEP_MM**2,
        smoothing=0.3,
    )
    gentle = smooth.steepness(points) <= 1.0 / np.cos(np.radians(slope_limit))
    inner = (points > [xs[0] + 3.0, ys[0] + 3.0]).all(axis=1) & (points < [xs[-1] - 3.0, ys[-1] - 3.0]).all(axis=1)
    made_up = _made_up(bone, hits, patient, shape)
    contact = sheet & near & inner & gentle & ~made_up & (np.abs(smooth(points) - np.nan_to_num(hits.height)) <= JUMP_MM)
    contact = opened(contact, shape)
    contact = _touching(contact, shape, about.at(patient, frame.axes[2], reach=4.0))
    if int(contact.sum()) * STEP_MM**2 < LIMITS.contact_area:
        raise DesignError(
            f"The bone beside {about.called} offers only {contact.sum() * STEP_MM**2:.0f} mm² of contact, "
            f"but a guide needs {LIMITS.contact_area:.0f} mm²; {mend}.",
            where=_amid(patient, contact if contact.any() else sheet & near, about),
            reason="contact",
        )
    grown = ndimage.binary_dilation(contact.reshape(shape), iterations=round(2.0 / STEP_MM)).ravel()
    # a column under the fence is one at the level of the seat, however high bone stands in it
    nearest = ndimage.distance_transform_edt(~contact.reshape(shape), return_distances=False, return_indices=True)
    level = hits.height.reshape(shape)[tuple(nearest)].ravel()
    at_seat = frame.patient(np.column_stack([points, level]))
    under_fence = about.under(at_seat, frame.axes[2], ends=fences)
    _trusted(bone, patient, hits.met & bone.made_up[hits.face] & sheet & about.under(at_seat, frame.axes[2]))
    wide = covered(contact, shape)
    return HeightField(
        step=STEP_MM,
        shape=shape,
        points=points,
        heights=hits.height,
        met=hits.height,
        bone=hits.met & (under_fence | wide),
        footprint=under_fence | wide,
        fence=under_fence,
        nothing=~grown & ~(sheet & under_fence & gentle),
        usable=sheet & (grown | (under_fence & gentle)),
        contact=contact,
        made_up=made_up,
        thickness=_thickness(caster, frame, points, hits.height, contact),
        crests=_crests(bone, caster, frame, points, shape, under_fence | wide, contact, level),
    )


def _crests(bone: Bone, caster: RayCaster, frame: Frame, points: Array, shape: tuple[int, int], where: Bools, contact: Bools, level: Array) -> Array:
    """Points (k, 3) of the guide frame on edges of the bone's mesh over the cells in `where` that are the first bone met.

    Edges of a cliff are left out: there bone stands at every height, and a seat that keeps above all of it is a cliff itself.
    Over the `contact` and the cells beside it the lip of a step is none, as far as it lies at the `level` (n,) of the contact: a guide rests on it.
    """
    corners, faces = frame.local(np.asarray(bone.mesh.vertices)), np.asarray(bone.mesh.faces)
    low, high = points[0] - STEP_MM, points[-1] + STEP_MM
    here = _over(corners[:, :2], faces, low, high)
    adjacent, ends = trimesh.graph.face_adjacency(faces[here], return_edges=True)  # of an edge over the cells both faces are over them
    normals, valid = trimesh.triangles.normals(np.asarray(bone.mesh.vertices)[faces[here]])  # of a million faces few are here
    slopes = np.zeros(len(here))
    slopes[valid] = normals @ frame.axes[2]
    slopes = slopes[adjacent]
    gentle = np.cos(np.radians(USABLE_SLOPE))
    upper = slopes.max(axis=1) >= gentle
    lip = slopes[upper].min(axis=1) < gentle
    edges = corners[ends[upper]]
    over = (edges[:, :, :2].max(axis=1) >= low).all(axis=1) & (edges[:, :, :2].min(axis=1) <= high).all(axis=1)
    edges, lip = edges[over], lip[over]
    count = np.maximum(np.ceil(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1) / STEP_MM).astype(int), 1)
    number = np.repeat(np.arange(len(edges)), count + 1)
    share = (np.arange(len(number)) - np.repeat(np.cumsum(count + 1) - (count + 1), count + 1)) / count[number]
    found = edges[number, 0] + share[:, None] * (edges[number, 1] - edges[number, 0])
    cell = np.round((found[:, :2] - points[0]) / STEP_MM).astype(int)
    within = (found[:, :2] > points[0]) & (found[:, :2] < points[-1])  # beyond the outermost stations, a seat has no surface
    inside = (((cell >= 0) & (cell < shape)) & within).all(axis=1)
    found, cell, lip = found[inside], cell[inside], lip[number][inside]
    cells = tuple(cell.T)
    rests = ndimage.binary_dilation(contact.reshape(shape), structure=np.ones((3, 3)))[cells] & (
        np.abs(found[:, 2] - level.reshape(shape)[cells]) <= np.tan(np.radians(USABLE_SLOPE)) * STEP_MM + STEP_UP_MM
    )
    wanted = np.where(lip, rests, where.reshape(shape)[cells])
    found = np.unique(np.round(found[wanted], 6), axis=0)
    met = first_hits_down(caster, found[:, :2], frame=frame).height  # a ray along a lip may pass it by
    return np.asarray(found[np.nan_to_num(met, nan=-np.inf) - found[:, 2] < FIRST_MM])


def _over(flat: Array, faces: Ints, low: Array, high: Array) -> Ints:
    """Which faces may reach into the rectangle from `low` (2,) to `high` (2,); `flat` (n, 2) are their corners."""
    side = (flat < low).astype(np.uint8) @ np.array([1, 2], dtype=np.uint8) | (flat > high).astype(np.uint8) @ np.array([4, 8], dtype=np.uint8)
    one, two, three = side[faces].T  # a face whose corners all lie beyond one side does not
    return np.flatnonzero((one & two & three) == 0)


def _amid(places: Array, mask: Bools, about: About) -> Array:
    """The place (3,) in `mask` nearest to the middle of all; a place of what the guide is about where there is none."""
    if not mask.any():
        return about.where
    found = places[mask]
    return np.asarray(inmost(found))


def _thickness(caster: RayCaster, frame: Frame, points: Array, heights: Array, where: Bools) -> Array:
    """Bone (n,) met along the axis below each contact cell, from where it is entered to where it is left."""
    found = np.zeros(len(points))
    starts = frame.patient(np.column_stack([points, heights - 0.05])[where])
    distance, _ = caster.first(caster.frame.local(starts), -caster.frame.local_direction(frame.axes[2]))
    found[where] = np.where(np.isfinite(distance), distance, 0.0)
    return found


def _one_sheet(mask: Bools, heights: Array, shape: tuple[int, int], *, seeds: Bools) -> Bools:
    """The cells joined to `seeds` without a jump in height between neighbours."""
    grid, height = mask.reshape(shape), np.nan_to_num(heights.reshape(shape))
    jump = np.zeros(shape, dtype=bool)
    steps = np.tan(np.radians(USABLE_SLOPE)) * STEP_MM + STEP_UP_MM
    for axis in (0, 1):
        broken = np.abs(np.diff(height, axis=axis)) > steps
        first = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
        second = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        jump[first] |= broken
        jump[second] |= broken
    labels, _ = ndimage.label(grid & ~jump)
    wanted = np.unique(labels.ravel()[seeds])
    return np.isin(labels, wanted[wanted > 0]).ravel()


def opened(mask: Bools, shape: tuple[int, int], cells: int = round(OPEN_MM / STEP_MM)) -> Bools:
    """`mask` (n,) without what is narrower than twice `cells`, by default what is too narrow for contact."""
    disc = np.hypot(*np.mgrid[-cells : cells + 1, -cells : cells + 1]) <= cells + 0.25
    closed = ndimage.binary_closing(np.pad(mask.reshape(shape), cells), structure=disc)[cells:-cells, cells:-cells]
    return np.asarray(ndimage.binary_opening(closed, structure=disc) & mask.reshape(shape)).ravel()


def covered(contact: Bools, shape: tuple[int, int]) -> Bools:
    """Cells (n,) that a footplate over `contact` may cover: a little more, and the notches and holes that its outline spans."""
    cells = round(SPAN_MM / STEP_MM)
    disc = np.hypot(*np.mgrid[-cells : cells + 1, -cells : cells + 1]) <= cells + 0.25
    spanned = ndimage.binary_closing(np.pad(contact.reshape(shape), cells), structure=disc)[cells:-cells, cells:-cells]
    return np.asarray(ndimage.binary_dilation(ndimage.binary_fill_holes(spanned), iterations=round(WIDE_MM / STEP_MM))).ravel()


def _touching(mask: Bools, shape: tuple[int, int], seeds: Bools) -> Bools:
    labels, _ = ndimage.label(mask.reshape(shape))
    wanted = np.unique(labels.ravel()[seeds & mask])
    return np.isin(labels, wanted[wanted > 0]).ravel()


def without_spots(field: HeightField, spots: Array) -> HeightField | None:
    """`field` with no contact near `spots` (n, 2), or None where that would take too much."""
    if len(spots) == 0:
        return None
    near, _ = cKDTree(spots).query(field.points, distance_upper_bound=SPOT_MM)
    contact = field.contact & ~np.isfinite(near)
    contact = opened(contact, field.shape)
    labels, count = ndimage.label(contact.reshape(field.shape))
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    contact = (labels == int(np.argmax(sizes)) + 1).ravel()
    if contact.sum() < SPOT_SHARE * field.contact.sum():
        return None
    return replace(field, contact=contact)


def _made_up(bone: Bone, hits: Hits, places: Array, shape: tuple[int, int]) -> Bools:
    """Cells (n,) whose bone at `places` (n, 3, patient mm) is not measured, or closer than `KEEP_OFF_MM` to such bone."""
    if not bone.defects:
        return np.zeros(len(places), dtype=bool)
    on = (hits.met & bone.made_up[hits.face]).reshape(shape)
    beside = ndimage.binary_dilation(on, iterations=round(KEEP_OFF_MM / STEP_MM)).ravel()
    rim = cKDTree(np.vstack([defect.rim for defect in bone.defects]))
    away, _ = rim.query(places, distance_upper_bound=KEEP_OFF_MM)
    return np.asarray(beside | (hits.met & np.isfinite(away)))


def _trusted(bone: Bone, places: Array, under: Bools) -> None:
    """Refuse a seat where cells `under` a fence are no measured bone."""
    if not under.any():
        return
    place = places[under][int(under.sum()) // 2]
    defect = min(bone.defects, key=lambda one: float(np.linalg.norm(one.rim - place, axis=1).min()))
    mend = "scan further, for what lies beyond it is not known" if defect.is_end else "mend it in the segmentation"
    raise SurfaceError(
        f"bone.surface: '{bone.name}' has a {defect.kind} {2 * defect.radius:.0f} mm across where the guide would stand, "
        f"near {at(place)}; {mend}, or move the cut or the approach.",
        where=place,
        reason="trust",
    )


def grid_in(area: shapely.Geometry, step: Mm) -> Array:
    """Points (n, 2) in an area, `step` apart from its lower left corner on; none in one that is empty."""
    if area.is_empty:
        return np.zeros((0, 2))
    x_low, y_low, x_high, y_high = area.bounds
    grid = np.stack(np.meshgrid(np.arange(x_low, x_high, step), np.arange(y_low, y_high, step), indexing="ij"), axis=-1).reshape(-1, 2)
    return np.asarray(grid[shapely.contains_xy(area, grid[:, 0], grid[:, 1])])


def outlines(field: HeightField, mask: Bools, *, rounding: Mm) -> list[shapely.Polygon]:
    """Smooth outlines (guide frame, mm) of the cells in `mask`, corners rounded by `rounding`; largest first."""
    area = _rings_of(field, mask)
    rounded = area.buffer(-rounding).buffer(2.0 * rounding).buffer(-rounding)
    raised = field.footprint & ~(field.heights <= field.met + RAISED_MM) & np.isfinite(field.heights)
    if raised.any():  # the seat leaves the bone there: within a plate that is a hollow, at its edge the plate ends
        beside = [part.buffer(RAISED_MM) for part in shapely.get_parts(_rings_of(field, raised)) if not rounded.contains(part)]
        rounded = rounded.difference(shapely.union_all(beside)).buffer(-rounding).buffer(rounding)
    if (field.made_up & field.footprint).any():
        rounded = _notched(rounded, _rings_of(field, field.made_up)).buffer(-rounding).buffer(rounding)
    solid = [shapely.Polygon(part.exterior) for part in shapely.get_parts(rounded) if part.area > 4.0 * rounding**2]
    return sorted(solid, key=lambda polygon: -polygon.area)


def voids(field: HeightField, seat: HeightSpline, plates: Sequence[Array]) -> list[shapely.Polygon]:
    """Where footplates (outlines (n, 2) each) span bone that falls away from the fitted `seat`, such as a foramen: guide frame, largest first."""
    plate = shapely.union_all([shapely.Polygon(ring) for ring in plates]).buffer(-RIM_MM)
    inside = shapely.contains_xy(plate, field.points[:, 0], field.points[:, 1])
    away = (seat(field.points) - field.met) / seat.steepness(field.points)
    bare = inside & ~field.contact
    falls = bare & ~(away <= VOID_AWAY * LIMITS.seat_max)  # where no bone is met, too
    cells = round(VOID_MM / field.step)
    disc = np.hypot(*np.mgrid[-cells : cells + 1, -cells : cells + 1]) <= cells + 0.25
    whole = ndimage.binary_closing(falls.reshape(field.shape), structure=disc) & bare.reshape(field.shape)
    places, _ = ndimage.label(whole)
    # what is nowhere broad, and nowhere amid a footplate, is the rim of an outline; a crease of the bone is narrow, and amid it
    amid = shapely.contains_xy(plate.buffer(-WIDE_MM), field.points[:, 0], field.points[:, 1]).reshape(field.shape)
    broad = np.isin(places, np.setdiff1d(places[ndimage.binary_opening(whole) | (whole & amid)], 0))
    found = _rings_of(field, (ndimage.binary_dilation(broad) & inside.reshape(field.shape)).ravel())
    parts = [shapely.Polygon(part.exterior) for part in shapely.get_parts(found)]
    return sorted((part for part in parts if part.area > VOID_MM**2), key=lambda part: -part.area)


def _rings_of(field: HeightField, mask: Bools) -> shapely.Geometry:
    """The area (guide frame, mm) of the cells in `mask`, smoothed."""
    from skimage.measure import find_contours

    padded = np.pad(mask.reshape(field.shape).astype(float), 3)
    soft = ndimage.gaussian_filter(padded, sigma=1.5)
    origin = field.points[0] - 3.0 * field.step
    rings = [origin + ring * field.step for ring in find_contours(soft, 0.5) if len(ring) > 8]
    area: shapely.Geometry = shapely.Polygon()
    for ring in sorted((shapely.Polygon(r) for r in rings), key=lambda polygon: -polygon.area):
        area = area.symmetric_difference(ring.buffer(0))  # rings within rings are holes
    return area


def _notched(plate: shapely.Geometry, holes: shapely.Geometry) -> shapely.Geometry:
    """`plate` without `holes`; a hole within it is opened to the nearest edge, for a plate has no windows."""
    for hole in shapely.get_parts(holes):
        for part in shapely.get_parts(plate):
            if part.contains(hole):
                way = shapely.shortest_line(hole.centroid, part.exterior)
                hole = hole.union(way.buffer(float(np.sqrt(hole.area / np.pi))))
        plate = plate.difference(hole)
    return plate
