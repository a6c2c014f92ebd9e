"""The seat patch: a B-spline height that follows the bone within its limits and never dives into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from psi_cad.errors import SeatError
from psi_cad.frames import Frame
from psi_cad.siting.spline import HeightSpline, Stations, Stiffness, designed, fit, refined, uniform_knots
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Bools, Mm

__all__ = ["HeightField", "Seat", "fit_seat", "offset"]

KNOTS_MM: Final[Mm] = 4.0
LEAST_KNOTS_MM: Final[Mm] = 0.5
ROUNDS: Final = 7
AIM: Final = 0.7  # of the limits: what is measured later, on the file, sees more points than the fit
SMOOTHING: Final = 0.01
FLAT_WITHIN_MM: Final[Mm] = 3.0  # beyond the bone a slope fades over this length
CLEAR_MM: Final[Mm] = 0.05  # of the gap: bone between the grid's points may stand this much higher
OFF: Final = 0.8  # of the limit: what is left out of the contact where the finished seat stands off it
ACCEPT: Final = 0.93  # of the limits, of a finished fit: the file's measurement differs by a few per cent
RISE_MM: Final[Mm] = 0.02  # clear of bone that the seat does not rest on
RISES: Final = 4
TOUCH_MM: Final[Mm] = 0.02  # without a gap to spare, bone may reach this far into the seat


@dataclass(frozen=True)
class HeightField:
    """First bone met on a square grid: `points` (n, 2), `heights` (n,) (nan: none), in the guide frame, mm.

    `met` (n,): the same, where `heights` were raised to ease a cliff. `contact`: bone a seat may rest on; `usable`: bone a
    fit may follow; `bone`: any bone under a guide, to stay above of; `nothing`: where the patch levels out; `footprint`:
    all that a guide may cover; `fence`: what of it a fence may; `thickness` (n,): of bone below, along the axis (0: none), mm.
    `made_up`: on or close to a place of the surface that is no measured bone, so that no footplate may cover it.
    `crests` (k, 3): points on the bone's own edges under a guide, first met: a ridge may stand up between the grid's points.
    """

    step: Mm
    shape: tuple[int, int]
    points: Array
    heights: Array
    met: Array
    bone: Bools
    nothing: Bools
    footprint: Bools
    fence: Bools
    usable: Bools
    contact: Bools
    made_up: Bools
    thickness: Array
    crests: Array


@dataclass(frozen=True)
class Seat:
    """The fitted seat `patch` (bone side of the guide), its `gap` above bone, and the fit's residual (mm, normal).

    `off` (k, 2): spots of the contact that it stands off all the same: it rises over bone beside them, or bends more than its offset follows.
    """

    patch: HeightSpline
    bone_patch: HeightSpline
    gap: Mm
    rms: Mm
    max: Mm
    knots: tuple[int, int]
    off: Array


def offset(patch: HeightSpline, field: HeightField, distance: Mm) -> HeightSpline:
    """`patch` moved along its normal by `distance` (first order in curvature), as a spline with the same knots."""
    targets = patch(field.points) + distance * patch.steepness(field.points)
    return fit(
        field.points,
        targets,
        weights=np.ones(len(targets)),
        x_knots=patch.x_knots,
        y_knots=patch.y_knots,
        cell_area=field.step**2,
        smoothing=1e-4,
    )


def _risen(seat: HeightSpline, field: HeightField) -> HeightSpline:
    """`seat` raised where bone that is no contact stands through it, by the kinks that its fits have smoothed; else as it is."""
    points = np.vstack([field.points, field.crests[:, :2]])
    aside = field.bone & ~field.contact
    bone = np.append(aside, np.ones(len(field.crests), dtype=bool))
    heights = np.where(bone, np.append(field.heights, field.crests[:, 2]), -np.inf)
    targets, weights = seat(points), np.ones(len(points))
    weights[len(field.points) :] = 0.0
    x_knots, y_knots = seat.x_knots, seat.y_knots
    held, design = None, None
    for _ in range(RISES):
        short = heights + RISE_MM * seat.steepness(points) - seat(points)
        if not (short > 0.5 * RISE_MM).any():
            return seat
        raised = short > 0.0
        targets[raised] = np.maximum(targets[raised], heights[raised]) + short[raised]
        weights[raised] = 2.0 * np.maximum(weights[raised], 1.0)
        if held is None or design is None:  # many a seat needs none of it
            held = Stiffness.of(x_knots, y_knots, cell_area=field.step**2, smoothing=1e-4)
            design = designed(points, x_knots, y_knots)
        seat = held.over(design).fit(targets, weights=weights)
    return seat


def fit_seat(field: HeightField, *, gap: Mm, frame: Frame) -> Seat:
    """Fit the seat to the contact of `field`, `gap` mm off the bone along its normal, or as near as bone lets it be.

    Knots are added where the residual is, until the RMS and the largest residual inside the contact are within
    limits. Beyond the bone the patch levels out; above bone that is no contact it stays clear.

    Raises
    ------
    SeatError
        Where the limits are not reached; the sentence names the place.
    """
    low, high = field.points.min(axis=0), field.points.max(axis=0)
    x_knots, y_knots = uniform_knots(low[0], high[0], KNOTS_MM), uniform_knots(low[1], high[1], KNOTS_MM)
    contact = field.points[field.contact]
    aim_rms, aim_max = AIM * LIMITS.seat_rms, AIM * LIMITS.seat_max
    patch, residual = None, np.full(1, np.inf)
    stress = np.ones(len(field.points))
    for _ in range(ROUNDS):
        patch = _fit_above(field, x_knots, y_knots, gap, stress)
        residual = _residual(patch, field)
        if float(np.sqrt((residual**2).mean())) <= aim_rms and float(np.abs(residual).max()) <= aim_max:
            break
        x_knots, y_knots = _where_needed(contact, residual, x_knots, y_knots, aim_rms, aim_max)
        worst = np.zeros(len(stress), dtype=bool)
        worst[np.flatnonzero(field.contact)[np.abs(residual) > aim_max]] = True
        stress[worst] *= 3.0  # least squares alone leaves a sharp ridge to the rest
    assert patch is not None
    patch = _levelled(patch, field)
    residual = _residual(patch, field)
    rms, largest = float(np.sqrt((residual**2).mean())), float(np.abs(residual).max())
    if rms > ACCEPT * LIMITS.seat_rms or largest > ACCEPT * LIMITS.seat_max:
        worst = contact[int(np.argmax(np.abs(residual)))]
        place = frame.patient(np.array([worst[0], worst[1], float(patch(worst[None, :])[0])]))
        error = SeatError(
            f"The seat cannot follow the bone: residual {rms:.3f} mm RMS and {largest:.2f} mm at most, near {at(place)} "
            f"(wanted {ACCEPT * LIMITS.seat_rms:.3f} and {ACCEPT * LIMITS.seat_max:.2f}); "
            "smooth the segmentation there, or lower slope_limit or footplate_reach.",
            where=place,
            reason="seat",
        )
        error.spots = contact[np.abs(residual) > aim_max]
        raise error
    gap = max(gap, _least_gap(patch, field))
    seat = _risen(offset(patch, field, gap), field) if gap > 0.0 else patch
    stands = np.abs(_residual(seat, field) - gap)
    off = contact[stands > OFF * LIMITS.seat_max] if float(stands.max()) > ACCEPT * LIMITS.seat_max else contact[:0]
    return Seat(patch=seat, bone_patch=patch, gap=gap, rms=rms, max=largest, knots=patch.poles.shape, off=off)


def _residual(patch: HeightSpline, field: HeightField) -> Array:
    """How far (n,) `patch` lies above the contact, along its normal, mm."""
    # over the whole grid, which takes a fraction of the time of some of its points
    return np.asarray(((patch(field.points) - field.heights) / patch.steepness(field.points))[field.contact])


def _least_gap(patch: HeightSpline, field: HeightField) -> Mm:
    """How far the seat has to stand off so that no bone it rests on reaches through it."""
    return round(float(max(0.0, (-_residual(patch, field)).max(initial=0.0))), 3)


def _levelled(patch: HeightSpline, field: HeightField) -> HeightSpline:
    """`patch` with level ground instead of cliffs outside all that a guide may cover: the kernel hangs on cliffs."""
    targets = patch(field.points)
    beside = ~field.footprint
    _, nearest = cKDTree(field.points[~beside]).query(field.points[beside])
    targets[beside] = targets[~beside][nearest]
    return fit(
        field.points,
        targets,
        weights=np.where(beside, 0.003, 1.0),
        x_knots=patch.x_knots,
        y_knots=patch.y_knots,
        cell_area=field.step**2,
        smoothing=5e-4,
    )


def _where_needed(contact: Array, residual: Array, x_knots: Array, y_knots: Array, aim_rms: Mm, aim_max: Mm) -> tuple[Array, Array]:
    """New knot vectors, halved in the rows and columns of intervals where the residual is large."""
    large = np.abs(residual) > aim_max
    knots = []
    for axis, old in enumerate((x_knots, y_knots)):
        breaks = np.unique(old)
        interval = np.clip(np.searchsorted(breaks, contact[:, axis], side="right") - 1, 0, len(breaks) - 2)
        count = np.maximum(np.bincount(interval, minlength=len(breaks) - 1), 1)
        mean = np.sqrt(np.bincount(interval, weights=residual**2, minlength=len(breaks) - 1) / count)
        bad = np.bincount(interval, weights=large, minlength=len(breaks) - 1)
        needs = (mean > aim_rms) | (bad > 0)
        middles = ((breaks[:-1] + breaks[1:]) / 2.0)[needs]
        knots.append(refined(old, middles, least=LEAST_KNOTS_MM))
    return knots[0], knots[1]


def _fit_above(field: HeightField, x_knots: Array, y_knots: Array, gap: Mm, stress: Array) -> HeightSpline:
    """Fit the usable bone, level beyond it, and raise the patch where other bone would reach through the seat."""
    heights = np.append(field.heights, field.crests[:, 2])
    beyond = np.zeros(len(field.crests), dtype=bool)
    use, bone = np.append(field.usable, beyond), np.append(field.bone, ~beyond)
    targets = np.nan_to_num(heights)  # of what is not used yet too: once it pierces the patch, it is raised from there
    weights = np.where(use, np.append(stress, np.ones(len(beyond))), 0.0)
    nothing = field.points[field.nothing]
    thin = nothing[:: max(1, len(nothing) // 4000)]
    patch = None
    narrow = gap < 2.0 * CLEAR_MM  # with hardly a gap, bone that stands out has to carry the patch
    held = Stiffness.of(
        x_knots,
        y_knots,
        cell_area=field.step**2,
        smoothing=SMOOTHING,
        flatten_at=thin,
        flattening=SMOOTHING / FLAT_WITHIN_MM**2 * max(1.0, len(nothing) / max(len(thin), 1)),
    )
    everywhere = Stations(field.points, field.crests[:, :2], x_knots=x_knots, y_knots=y_knots)
    fitting = held.over(everywhere.design)
    clear = np.append(np.full(len(field.points), max(gap - CLEAR_MM, TOUCH_MM)), np.full(len(beyond), max(gap, TOUCH_MM)))
    for _ in range(14 if narrow else 6):
        patch = fitting.fit(targets, weights=np.where(use, weights, 0.0))
        allowed = clear * everywhere.steepness(patch)
        level = everywhere.values(patch)
        pierced = bone & (level + allowed < np.nan_to_num(heights, nan=-np.inf))
        if not pierced.any():
            break
        use |= pierced
        short = heights - level
        targets[pierced] = np.maximum(targets[pierced], heights[pierced] + np.maximum(short[pierced] - allowed[pierced], 0.0))
        weights[pierced] = np.minimum(2.0 * np.maximum(weights[pierced], 1.0), 256.0 if narrow else 16.0)
    assert patch is not None
    return patch
