"""How a guide sits: as asked where it can and is held there, else the nearest way to that in which it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

import numpy as np
from scipy import ndimage

from psi_cad.errors import DesignError, PsiCadError, SeatError, SurfaceError
from psi_cad.siting.axis import SeatingAxis
from psi_cad.siting.seat import HeightField
from psi_cad.siting.sliding import Sliding, sliding, smoothed_normals
from psi_cad.siting.spline import fit, uniform_knots
from psi_cad.units import LIMITS, Deg, Mm

__all__ = ["REACH_FAR", "SLIDES", "Sat", "Seating", "Tried", "contact_sliding", "settled"]

AIM: Final = 1.05  # of the limit: what is measured on the files differs by some per cent from what is planned
RIM_MM: Final[Mm] = 1.0  # of the contact, which the rounded outline of a footplate leaves out
REACH_STEP: Final[Mm] = 6.0
REACH_FAR: Final[Mm] = 40.0  # most guides hold by then; from there on by larger steps
FAR_STEP: Final[Mm] = 10.0
REACH_MOST: Final[Mm] = 70.0  # as far as the parameter goes: on a shaft, to where it widens
REACH_LEAST: Final[Mm] = 8.0  # ... and as near
WRAP_MOST: Final[Deg] = 65.0
LESS_REACH: Final[Mm] = 4.0  # where bone farther out is what no guide can follow
LESS_WRAP: Final[Deg] = 12.0
LEAST_WRAP: Final[Deg] = 20.0
OTHER_AXES: Final = 4  # tried beside the best one, as far apart as the search's rings
APART_COS: Final = float(np.cos(np.radians(4.5)))
MOST_SEATS: Final = 10  # looked at closely, some seconds each
MOST_SLIDING: Final = 3  # made to sit where nothing holds: what slides is rejected all the same, and each costs as much
KNOTS_MM: Final[Mm] = 3.0
PROMISING: Final = 0.95  # of the limit, seen from the coarse look at all directions
EXPECTED: Final = 0.85  # ... and from a finer look at one of them, which seldom says less than nine tenths of what there is
FORESEEN: Final = 0.98  # ... and from the contact, of which the fit leaves out a spot at most
SLIDES: Final = "slides"

T = TypeVar("T")


@dataclass(frozen=True)
class Tried:
    """One way to sit: how far the guide reached (mm) and wrapped (deg), along which axis, the lock that gave, and why it was left if it was."""

    reach: Mm
    slope_limit: Deg
    lock: float | None
    left: str = ""
    axis: tuple[float, float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        lock = None if self.lock is None else round(self.lock, 4)
        said = {"footplate_reach_mm": self.reach, "slope_limit_deg": self.slope_limit, "sliding_lock": lock, "left": self.left}
        return {**said, "seating_axis": None if self.axis is None else list(self.axis)}


@dataclass(frozen=True)
class Seating:
    """How a guide sits: its axis, how far it reaches and wraps, the lock that is expected of it, and what was tried for that."""

    axis: SeatingAxis
    reach: Mm
    slope_limit: Deg
    lock: float | None = None
    tried: tuple[Tried, ...] = ()

    def left(self, why: str) -> Tried:
        """This way to sit as one that was tried; `why` it was left, if it was."""
        x, y, z = (round(float(v), 6) for v in self.axis.direction)
        return Tried(self.reach, self.slope_limit, self.lock, why, (x, y, z))

    def like(self, other: Tried) -> bool:
        """Whether `other` was this very way to sit."""
        return (self.reach, self.slope_limit, self.left("").axis) == (other.reach, other.slope_limit, other.axis)


@dataclass(frozen=True)
class Sat(Generic[T]):
    """A guide that sits: what was `made` of it, the lock of its contact (None: it need not hold), and what else would fail ("": nothing is known)."""

    made: T
    lock: float | None
    wrong: str = ""

    def better_than(self, limit: float) -> bool:
        """Whether it holds by `limit`, and nothing else is known to be wrong."""
        return not self.wrong and (self.lock is None or self.lock >= limit)


def contact_sliding(field: HeightField) -> Sliding:
    """The weakest slide of the contact of `field`, less a rim, on the smooth sheet through it; guide frame."""
    here = field.points[field.contact]
    low, high = field.points.min(axis=0), field.points.max(axis=0)
    sheet = fit(
        here,
        field.heights[field.contact],
        weights=np.ones(len(here)),
        x_knots=uniform_knots(low[0], high[0], KNOTS_MM),
        y_knots=uniform_knots(low[1], high[1], KNOTS_MM),
        cell_area=field.step**2,
        smoothing=0.05,
    )
    up = np.column_stack([-sheet.gradient(field.points), np.ones(len(field.points))])
    steep = np.linalg.norm(up, axis=1)
    on = ndimage.binary_erosion(field.contact.reshape(field.shape), iterations=round(RIM_MM / field.step)).ravel()
    normals = smoothed_normals(up / steep[:, None], on, field.shape, field.step)
    inner = field.points[on]
    return sliding(np.column_stack([inner, sheet(inner)]), normals[on], steep[on] * field.step**2)


def settled(
    reach: Mm,
    slope_limit: Deg,
    look: Callable[[Mm, Deg], list[SeatingAxis]],
    sit: Callable[[Seating], Sat[T]],
    *,
    aside: Callable[[Mm, Deg], list[SeatingAxis]] | None = None,
    ahead: Callable[[SeatingAxis], str] | None = None,
    expect: Callable[[Seating], float] | None = None,
    hold: Callable[[Seating], float] | None = None,
    may_slide: bool = False,
    but: Sequence[Tried] = (),
    closer: Callable[[int], None] | None = None,
) -> tuple[Seating, T]:
    """The seating as asked if nothing speaks against it, else the nearest to it of which that can be said.

    Tried in turn: the best axis as asked; where a guide cannot sit, the axes aside; other axes; where it cannot sit, a
    shorter reach and gentler bone; where it slides, a longer reach and steeper bone. If none is good, one that just holds,
    else the first that can sit at all.

    Parameters
    ----------
    look : callable
        The axes for a reach and a slope limit, best first, by a coarse look at their contact.
    aside : callable
        The same further from what was asked, for a guide that cannot sit there.
    sit : callable
        What becomes of a seating; it raises where the guide cannot sit so.
    expect : callable
        The lock that a finer look at a seating's contact lets expect; asked for all but the first.
    hold : callable
        The lock that the contact of a seating will have, which is known long before the guide sits; it raises where there is no contact.
        What would slide, or hardly hold, is made to sit only where nothing better does.
    ahead : callable
        What is known to be wrong with an axis before the guide sits ("": nothing); none but the first is followed then.
    closer : callable
        Told how many ways were looked at closely so far, before each but the first.
    but : sequence of Tried
        Ways that turned out bad when they were built: only a way that is good, and none of these, will do then.

    Raises
    ------
    PsiCadError
        Where no way is left: why the first was not; at once what would be so anywhere.
    """
    limit = LIMITS.sliding_lock
    search = _Search(reach, slope_limit, look, aside, expect, may_slide=may_slide, tried=list(but))
    first: tuple[Seating, Sat[T]] | None = None
    holds: tuple[Seating, Sat[T]] | None = None
    problem: PsiCadError | None = None
    deferred: list[Seating] = []
    for seating in search.ways():
        known = ahead(seating.axis) if ahead is not None and search.tried else ""
        if known:
            search.leave(replace(seating, lock=seating.axis.sliding_lock), known)
            continue
        try:
            lock = None if hold is None or may_slide else hold(seating)
            if lock is not None and lock < AIM * limit:
                deferred.append(replace(seating, lock=lock))
                search.leave(deferred[-1], SLIDES)
                continue
            if closer is not None and search.seats:
                closer(search.seats)
            search.seats += 1
            sat = sit(seating)
        except (DesignError, SeatError, SurfaceError) as error:
            if isinstance(error, DesignError) and error.anywhere:
                raise
            problem = problem or error
            search.leave(seating, str(error))
            continue
        seating = replace(seating, lock=sat.lock)
        if sat.better_than(AIM * limit):
            tried = (*search.tried, seating.left("")) if search.tried else ()
            return replace(seating, tried=tried), sat.made
        search.leave(seating, sat.wrong or SLIDES)
        first = first or (seating, sat)
        if sat.better_than(limit) and (holds is None or (holds[1].lock or 0.0) < (sat.lock or 0.0)):
            holds = seating, sat
    just = sorted((one for one in deferred if (one.lock or 0.0) >= FORESEEN * limit), key=lambda one: -(one.lock or 0.0))
    sliding = () if but else deferred[:MOST_SLIDING]  # one that slides is no better than what was built
    wanted = [(one, True) for one in just] + [(one, False) for one in sliding]
    for seating, may_hold in wanted:
        if holds is not None or (first is not None and not may_hold):
            break
        try:
            sat = sit(seating)
        except (DesignError, SeatError, SurfaceError) as error:
            if isinstance(error, DesignError) and error.anywhere:
                raise
            problem = error if problem is None or seating.like(search.tried[len(but)]) else problem
            continue
        seating = replace(seating, lock=sat.lock)
        first = first or (seating, sat)
        holds = (seating, sat) if sat.better_than(limit) else None
    chosen = holds or (first if not but else None)
    if chosen is None:
        raise problem or search.problem or DesignError("There is no other way for this guide to sit.", reason="contact")
    return replace(chosen[0], tried=tuple(search.tried)), chosen[1].made


class _Search:
    """The ways to sit, in the order in which they are tried; which follow depends on why the earlier ones were left."""

    def __init__(
        self,
        reach: Mm,
        slope_limit: Deg,
        look: Callable[[Mm, Deg], list[SeatingAxis]],
        aside: Callable[[Mm, Deg], list[SeatingAxis]] | None,
        expect: Callable[[Seating], float] | None,
        *,
        may_slide: bool,
        tried: list[Tried],
    ) -> None:
        self.reach, self.slope_limit, self.look, self.aside, self.expect, self.tried = reach, slope_limit, look, aside, expect, tried
        self.may_slide = may_slide
        self.problem: PsiCadError | None = None
        self.seats = 0  # looked at closely so far
        self._before, self._aside_seen = bool(tried), aside is None

    def leave(self, seating: Seating, why: str) -> None:
        """Say that a way to sit was left, and why."""
        self.tried.append(seating.left(why))

    def ways(self) -> Iterator[Seating]:
        """Every way to sit that is worth a closer look, as asked first."""
        found = self._looked(self.reach, self.slope_limit)
        yield from self._new(found[:1])
        yield from self._those_aside()
        yield from self._new(self._others(found))
        if self._stuck:
            for far, steep in _nearer(self.reach, self.slope_limit):
                yield from self._new(self._looked(far, steep)[:1])
        if any(trial.left == SLIDES for trial in self.tried):
            for far, steep in _further(self.reach, self.slope_limit):
                looked = self._looked(far, steep)
                yield from self._new(self._promising(looked[:1], told=True))
                yield from self._new(self._others(looked))
        yield from self._those_aside()

    def _those_aside(self) -> Iterator[Seating]:
        """The axes aside, once, as soon as a way turned out to be none."""
        if not self._aside_seen and self._stuck:
            self._aside_seen = True
            yield from self._new(self._promising(self._looked(self.reach, self.slope_limit, aside=True)))

    @property
    def _stuck(self) -> bool:
        """Whether a way to sit turned out to be none."""
        return self._before or any(trial.lock is None and trial.left for trial in self.tried)

    def _looked(self, far: Mm, steep: Deg, *, aside: bool = False) -> list[Seating]:
        look = self.aside if aside and self.aside is not None else self.look
        try:
            return [Seating(axis, far, steep) for axis in look(far, steep)]
        except DesignError as error:
            self.problem = self.problem or error
            self.tried.append(Tried(far, steep, None, str(error)))
            return []

    def _others(self, found: Sequence[Seating]) -> list[Seating]:
        """The next best axes, each away from those before it."""
        kept = list(found[:1])
        for seating in found[1:]:
            if len(kept) > OTHER_AXES:
                break
            if all(float(seating.axis.direction @ other.axis.direction) < APART_COS for other in kept):
                kept.extend(self._promising([seating]))
        return kept[1:]

    def _promising(self, found: Sequence[Seating], *, told: bool = False) -> Iterator[Seating]:
        """Those that may hold; `told`: the others are said to have been left."""
        for seating in found:
            lock = seating.axis.sliding_lock
            may = self.may_slide or lock >= PROMISING * LIMITS.sliding_lock
            if may and not self.may_slide and self.expect is not None:
                lock = self.expect(seating)
                may = lock >= EXPECTED * LIMITS.sliding_lock
            if may:
                yield seating
            elif told:
                self.leave(replace(seating, lock=lock), SLIDES)

    def _new(self, found: Iterable[Seating]) -> Iterator[Seating]:
        for seating in found:
            if self.seats < MOST_SEATS and not any(seating.like(trial) for trial in self.tried):
                yield seating


def _nearer(reach: Mm, slope_limit: Deg) -> list[tuple[Mm, Deg]]:
    """Shorter reaches and gentler slope limits to try where bone farther out, or steeper, is in the way."""
    far, steep = max(reach - LESS_REACH, min(reach, REACH_LEAST)), max(slope_limit - LESS_WRAP, min(slope_limit, LEAST_WRAP))
    return [pair for pair in dict.fromkeys([(far, slope_limit), (reach, steep), (far, steep)]) if pair != (reach, slope_limit)]


def _further(reach: Mm, slope_limit: Deg) -> list[tuple[Mm, Deg]]:
    """Reaches and slope limits to try where a guide would slide, the nearest to those asked for first."""
    steps = (*np.arange(reach + REACH_STEP, REACH_FAR, REACH_STEP).tolist(), *np.arange(REACH_FAR, REACH_MOST, FAR_STEP).tolist(), REACH_MOST)
    reaches = [reach, *steps]
    slopes = sorted({slope_limit, max(slope_limit, WRAP_MOST)})
    pairs = [(float(far), steep) for far in dict.fromkeys(max(reach, far) for far in reaches) for steep in slopes]
    return pairs[1:]
