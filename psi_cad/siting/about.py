"""What a guide is sited about: the sections of its cuts, or the entry points of its trajectories. Everything else of siting is the same for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import shapely

from psi_cad.errors import DesignError, either
from psi_cad.frames import Frame, across, unit
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.trust import at
from psi_cad.units import Array, Bools, Deg, Mm

__all__ = ["LEAN_MAX", "About", "AboutCuts", "AboutPoints", "blade_axes", "site_frame", "strip", "tilt_of", "ways_aside"]

ALONG: Final = 1e-3  # an approach this near a cut's normal leans too far from its plane whichever way it is turned
ASIDE: Final[Deg] = 25.0
ASIDE_MOST: Final[Deg] = 30.0  # between an approach and what is looked about aside: as far as a user can have it searched
LAID_LEAST: Final[Deg] = 5.0  # an approach this near the planes need not be laid into them
PULL: Final = 0.02  # of the approach, against the planes it is laid into: decides where one plane alone leaves the direction open
LEAN_MAX: Final[Deg] = 50.0  # between the seating axis and a cut plane: a fence that leans more cannot be sawn through
FENCE_REACH_MM: Final[Mm] = 7.0  # from a cut plane to the outside of its fence, and a little
SLEEVE_RIM_MM: Final[Mm] = 1.0  # beyond the outside of a sleeve, as seen along the axis
DEEPER_MM: Final[Mm] = 2.0  # bone lower or higher than the reach below or above every entry is another shelf
TURNED: Final = 0.05  # of its length: a direction nearer to the axis than this tells of no way across it


class About(Protocol):
    """What a guide is sited about, patient frame. `called`: in words; `key`, `plural`: what names it in the case; `where`, `last`: its places."""

    @property
    def called(self) -> str: ...  # noqa: D102

    @property
    def key(self) -> str: ...  # noqa: D102

    @property
    def plural(self) -> str: ...  # noqa: D102

    @property
    def where(self) -> Array: ...  # noqa: D102

    @property
    def last(self) -> Array: ...  # noqa: D102

    def anchors(self) -> Array:
        """A point (n, 3) on the bone for each of the cuts or trajectories."""
        ...

    def frame(self, axis: Array) -> Frame:
        """The guide frame: its origin amid all, z the seating axis."""
        ...

    def across(self, approach: Array) -> Array:
        """A direction (3,) across the approach that turns with the patient."""
        ...

    def lean(self, direction: Array) -> Deg:
        """How far a seating axis leans from what it has to look along, at worst."""
        ...

    @property
    def most_lean(self) -> Deg:
        """How far it may lean."""
        ...

    def leans_too_far(self, least: Deg, approach: Array) -> DesignError:
        """The refusal where every axis leans by `least` degrees or more."""
        ...

    def near(self, points: Array, axis: Array, *, reach: Mm, beyond: Mm = 0.0) -> Bools:
        """Which patient `points` (n, 3) a footplate may cover that reaches so far."""
        ...

    def at(self, points: Array, axis: Array, *, reach: Mm) -> Bools:
        """Which of them lie so close that the contact has to hang together with them."""
        ...

    def under(self, points: Array, axis: Array, *, ends: Sequence[tuple[Mm, Mm]] | None = None) -> Bools:
        """Which of them lie under what stands on the seat; `ends`: how far each fence may run along its cut (None: as far as the cut)."""
        ...

    def corners(self, frame: Frame) -> Array:
        """Points (n, 3) of `frame` that bound all."""
        ...

    def aside(self, approach: Array) -> list[Array]:
        """Directions (3,) further from the approach that are worth a look where nothing near it will do."""
        ...

    def in_the_way(self, place: Array) -> DesignError:
        """The refusal where bone at `place` stands in the way of what has to stand there."""
        ...


@dataclass(frozen=True)
class AboutCuts:
    """The cuts of a guide, which lie where their blades run; it stands on both sides of them, or on one `side`: 1 the specimen's, -1 the other."""

    cuts: tuple[PlannedCut, ...]
    called: str = "the cut"
    key: str = "guide.cuts"
    plural: str = "cuts"
    side: int = 0

    @property
    def where(self) -> Array:
        """The first cut's origin."""
        return self.cuts[0].origin

    @property
    def last(self) -> Array:
        """The last cut's."""
        return self.cuts[-1].origin

    def anchors(self) -> Array:
        """See `About`: on the outline of each cut."""
        return np.array([cut.patient(np.asarray(cut.whole.exterior.coords)[:1])[0] for cut in self.cuts])

    def frame(self, axis: Array) -> Frame:
        """See `About`."""
        return site_frame(self.cuts, axis)

    def across(self, approach: Array) -> Array:
        """See `About`: in the plane of the first cut."""
        across = np.cross(self.cuts[0].normal, approach)
        return unit(across if np.linalg.norm(across) > ALONG else np.cross(self.cuts[0].axes[0], approach))

    def lean(self, direction: Array) -> Deg:
        """See `About`: out of the planes."""
        return max(float(np.degrees(np.arcsin(min(1.0, abs(float(direction @ cut.normal)))))) for cut in self.cuts)

    @property
    def most_lean(self) -> Deg:
        """See `About`."""
        return LEAN_MAX

    def leans_too_far(self, least: Deg, approach: Array) -> DesignError:
        """See `About`."""
        return DesignError(
            f"guide.approach leans {least:.0f}° or more out of the plane of a cut, so the saw cannot enter; "
            f"give an approach within {LEAN_MAX:.0f}° of every cut plane of the guide.",
            where=max(self.cuts, key=lambda cut: abs(float(approach @ cut.normal))).origin,
            reason="across",
        )

    def near(self, points: Array, axis: Array, *, reach: Mm, beyond: Mm = 0.0) -> Bools:
        """See `About`: along the sections, on the guide's side."""
        found = strip(self.cuts, points, axis, reach=reach, beyond=beyond)
        if not self.side:
            return found
        piece = np.all([(points - cut.origin) @ cut.normal > 0.0 for cut in self.cuts], axis=0)
        return np.asarray(found & (piece if self.side > 0 else ~piece))

    def at(self, points: Array, axis: Array, *, reach: Mm) -> Bools:
        """See `About`."""
        return strip(self.cuts, points, axis, reach=reach)

    def under(self, points: Array, axis: Array, *, ends: Sequence[tuple[Mm, Mm]] | None = None) -> Bools:
        """See `About`: under fences."""
        return strip(self.cuts, points, axis, reach=FENCE_REACH_MM, ends=ends)

    def corners(self, frame: Frame) -> Array:
        """See `About`."""
        return np.vstack([frame.local(cut.patient(shapely.get_coordinates(cut.section))) for cut in self.cuts])

    def aside(self, approach: Array) -> list[Array]:
        """See `About`."""
        return ways_aside(self.cuts, approach)

    def in_the_way(self, place: Array) -> DesignError:
        """See `About`: of the fence whose plane is nearest."""
        cut = min(self.cuts, key=lambda cut: abs(float((place - cut.origin) @ cut.normal)))
        return DesignError(
            f"guide.approach: bone near {at(place)} stands in the way of the fence of cut '{cut.name}'; give an approach that looks past it.",
            where=place,
            reason="bone-in-way",
        )


@dataclass(frozen=True)
class AboutPoints:
    """The trajectories of a guide: `entries` (n, 3) at the bone and unit directions `out` of it (n, 3), patient mm.

    Attributes
    ----------
    radii, rises : tuple of float
        Of the sleeve on each entry: its outer radius, and how far it rises above the entry along its axis (mm), at most.
    lean_limit : float
        Greatest angle between a trajectory and the seating axis; `mend`: parameters that may help, where they can.
    toward : (3,)
        A direction that turns with the patient, where the entries tell none.
    """

    names: tuple[str, ...]
    entries: Array
    out: Array
    radii: tuple[Mm, ...]
    rises: tuple[Mm, ...]
    lean_limit: Deg
    toward: Array
    mend: tuple[str, ...] = ()
    called: str = "the entry points"
    key: str = "guide.trajectories"
    plural: str = "trajectories"

    @property
    def where(self) -> Array:
        """The first entry."""
        return np.asarray(self.entries[0])

    @property
    def last(self) -> Array:
        """The last one."""
        return np.asarray(self.entries[-1])

    def anchors(self) -> Array:
        """See `About`: the entries."""
        return self.entries

    def frame(self, axis: Array) -> Frame:
        """See `About`; x lies along the entries."""
        return Frame.from_z(origin=self.entries.mean(axis=0), z=axis, x_near=self.across(axis))

    def across(self, approach: Array) -> Array:
        """See `About`: from the first entry to the last, else as the first trajectory leans, else towards the middle of the bone."""
        approach = unit(approach)
        for way in (self.entries[-1] - self.entries[0], self.out[0], self.toward):
            flat = way - float(way @ approach) * approach
            if float(np.linalg.norm(flat)) > TURNED * max(float(np.linalg.norm(way)), 1.0):
                return unit(flat)
        return across(approach)

    def lean(self, direction: Array) -> Deg:
        """See `About`: from the trajectories."""
        return max(tilt_of(direction, way) for way in self.out)

    @property
    def most_lean(self) -> Deg:
        """See `About`."""
        return self.lean_limit

    def leans_too_far(self, least: Deg, approach: Array) -> DesignError:
        """See `About`."""
        worst = int(np.argmin(self.out @ approach))
        away = tilt_of(approach, self.out[worst])
        return DesignError(
            f"guide.approach: trajectory '{self.names[worst]}' leans {away:.0f}° from the approach, and near it there is no seating axis from which "
            f"every trajectory of the guide leans less than {least:.0f}°, but a sleeve may lean {self.lean_limit:g}°; "
            f"{either(['give an approach nearer to the trajectories', *self.mend, 'make a guide for each'])}.",
            where=self.entries[worst],
            reason="lean",
        )

    def near(self, points: Array, axis: Array, *, reach: Mm, beyond: Mm = 0.0) -> Bools:
        """See `About`: round the hull of the entries, on no deeper or higher shelf."""
        frame = self.frame(axis)
        local, entries = frame.local(points), frame.local(self.entries)
        hull = shapely.MultiPoint(entries[:, :2]).convex_hull.buffer(reach + beyond)
        level = (local[:, 2] >= entries[:, 2].min() - reach - DEEPER_MM) & (local[:, 2] <= entries[:, 2].max() + reach + DEEPER_MM)
        return np.asarray(level & shapely.contains_xy(hull, local[:, 0], local[:, 1]))

    def at(self, points: Array, axis: Array, *, reach: Mm) -> Bools:
        """See `About`: round an entry."""
        frame = self.frame(axis)
        local, entries = frame.local(points), frame.local(self.entries)
        found = np.zeros(len(points), dtype=bool)
        for entry in entries:
            off = local - entry
            found |= (np.hypot(off[:, 0], off[:, 1]) <= reach) & (np.abs(off[:, 2]) <= 2.0 * reach + DEEPER_MM)
        return found

    def under(self, points: Array, axis: Array, *, ends: Sequence[tuple[Mm, Mm]] | None = None) -> Bools:  # noqa: ARG002  (a sleeve has no ends)
        """See `About`: under sleeves."""
        frame = self.frame(axis)
        flat = frame.local(points)[:, :2]
        found = np.zeros(len(points), dtype=bool)
        for sleeve in self.sleeves(frame, rim=SLEEVE_RIM_MM):
            found |= np.asarray(shapely.contains_xy(sleeve, flat[:, 0], flat[:, 1]))
        return found

    def sleeves(self, frame: Frame, *, rim: Mm) -> list[shapely.Polygon]:
        """Each sleeve as seen along z of `frame`, `rim` wider."""
        tops = frame.local(self.entries + np.array(self.rises)[:, None] * self.out)[:, :2]
        feet = frame.local(self.entries)[:, :2]
        return [shapely.LineString([foot, top]).buffer(radius + rim) for foot, top, radius in zip(feet, tops, self.radii, strict=True)]

    def corners(self, frame: Frame) -> Array:
        """See `About`."""
        return frame.local(self.entries)

    def aside(self, approach: Array) -> list[Array]:
        """See `About`: along the trajectories, as one."""
        approach, way = unit(approach), unit(self.out.sum(axis=0))
        return [way] if LAID_LEAST <= tilt_of(way, approach) <= ASIDE_MOST else []

    def in_the_way(self, place: Array) -> DesignError:
        """See `About`: of the sleeve that is nearest."""
        away = [float(np.linalg.norm(np.cross(place - entry, way))) for entry, way in zip(self.entries, self.out, strict=True)]
        name = self.names[int(np.argmin(away))]
        return DesignError(
            f"guide.approach: bone near {at(place)} stands in the way of the sleeve of trajectory '{name}'; give an approach that looks past it, "
            "or lower params.guided or params.sleeve_wall.",
            where=place,
            reason="sleeve-in-way",
        )


def blade_axes(normal: Array, seating_axis: Array) -> tuple[Array, Array]:
    """(t, a): along the slot, and the blade direction (out of the bone), both in the cut plane.

    a is the seating axis projected into the plane; t = a x n.
    """
    a = unit(seating_axis - float(seating_axis @ normal) * normal)
    return np.cross(a, normal), a


def site_frame(cuts: Sequence[PlannedCut], axis: Array) -> Frame:
    """The guide frame: origin amid the cuts' sections, z the seating axis, x along the first slot."""
    middles = [cut.patient(np.array([[*cut.section.centroid.coords[0]]]))[0] for cut in cuts]
    along, _ = blade_axes(cuts[0].normal, axis)
    return Frame.from_z(origin=np.mean(middles, axis=0), z=axis, x_near=along)


def ways_aside(cuts: Sequence[PlannedCut], approach: Array) -> list[Array]:
    """Directions (3,) further from the approach that are worth a look where nothing near it will do.

    First the approach laid into the planes of the cuts, where the saw and the guide come from one side; then that, turned to
    either side in the plane of a single cut, past bone that stands before it. None of these is far from the approach.
    """
    approach = unit(approach)
    normals = np.array([cut.normal for cut in cuts])
    laid = unit(np.linalg.solve(normals.T @ normals + PULL * np.eye(3), approach))
    ways = [laid] if tilt_of(laid, approach) >= LAID_LEAST else []
    if len(cuts) == 1:
        across = np.cross(cuts[0].normal, laid)
        ways += [unit(np.cos(turn) * laid + np.sin(turn) * across) for turn in np.radians([ASIDE, -ASIDE])]
    return [way for way in ways if tilt_of(way, approach) <= ASIDE_MOST]


def tilt_of(one: Array, other: Array) -> Deg:
    """The angle between two unit vectors (3,)."""
    return float(np.degrees(np.arccos(np.clip(one @ other, -1.0, 1.0))))


def strip(
    cuts: Sequence[PlannedCut],
    points: Array,
    axis: Array,
    *,
    reach: Mm,
    beyond: Mm = 0.0,
    ends: Sequence[tuple[Mm, Mm]] | None = None,
) -> Bools:
    """Which patient `points` (n, 3) lie within `reach` of a cut plane and along its section.

    Along the slot that is the section and `beyond`, or for each cut the stretch given in `ends` (from its origin).
    """
    near = np.zeros(len(points), dtype=bool)
    for number, cut in enumerate(cuts):
        along, _ = blade_axes(cut.normal, axis)
        low, high = cut.extent_along(along)
        low, high = (low - beyond, high + beyond) if ends is None else ends[number]
        offset = points - cut.origin
        s = offset @ along
        near |= (np.abs(offset @ cut.normal) <= reach) & (s >= low) & (s <= high)
    return near
