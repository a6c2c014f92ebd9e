"""A flat or round side of a body that passes through a seat: where it meets the seat, as points and as an exact curve."""

from __future__ import annotations

import itertools
from typing import Any, Final

import cadquery as cq
import numpy as np
from OCP.BRep import BRep_Builder, BRep_Tool
from OCP.BRepAdaptor import BRepAdaptor_Curve, BRepAdaptor_Surface
from OCP.Geom2d import Geom2d_BSplineCurve
from OCP.GeomAbs import GeomAbs_SurfaceType
from OCP.gp import gp_Pnt2d
from OCP.TColgp import TColgp_Array1OfPnt2d
from OCP.TopLoc import TopLoc_Location

from psi_cad.brep.graph import exact_curve, knots_of
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["CLOSE", "LEANS", "NotSimple", "Side", "above", "flat_curve"]

CLOSE: Final[Mm] = 1e-6  # of a drawn section to the seat and the side
STEEP: Final = 0.15  # rise above the seat for each mm along a side: less is a side that runs along it
LEANS: Final = 0.3  # the least upward part of a side's own way up
_NOWHERE: Final = TopLoc_Location()


class NotSimple(Exception):
    """A body that this way of cutting is not made for; `str` tells why."""


def above(seat: HeightSpline, points: Array) -> Array:
    """How far (n,) points (n, 3) lie above the seat."""
    return np.asarray(points[:, 2] - seat(points[:, :2]))


def flat_curve(poles: Array, breaks: Array, degree: int) -> Any:
    """The kernel's curve in a plane with these poles (n, 2)."""
    points = TColgp_Array1OfPnt2d(1, len(poles))
    for number, pole in enumerate(poles.tolist(), start=1):
        points.SetValue(number, gp_Pnt2d(*pole))
    at, times = knots_of(breaks, degree)
    return Geom2d_BSplineCurve(points, at, times, degree)


def _apart(values: Array, least: float) -> Array:
    """Increasing values without those nearer than `least` to the one before, or to the last."""
    kept = [float(values[0])]
    for value in values[1:-1]:
        if value - kept[-1] > least and values[-1] - value > least:
            kept.append(float(value))
    return np.array([*kept, float(values[-1])])


class Side:
    """A flat or round side: where it meets the seat, as a function of the way along it."""

    def __init__(self, face: Any, seat: HeightSpline) -> None:
        self.face, self.seat = face, seat
        surface = BRepAdaptor_Surface(face)
        kind = surface.GetType()
        self.round = kind == GeomAbs_SurfaceType.GeomAbs_Cylinder
        if not self.round and kind != GeomAbs_SurfaceType.GeomAbs_Plane:
            raise NotSimple("a curved side passes through the seat")
        shape = surface.Cylinder() if self.round else surface.Plane()
        place = shape.Position()
        self.origin = np.array(place.Location().Coord())
        x, y, z = (np.array(way.Coord()) for way in (place.XDirection(), place.YDirection(), place.Direction()))
        if self.round:
            self.radius, self.axes = float(shape.Radius()), (x, y, z)
            self.up, self.scale, self.most = z, self.radius, np.pi / 6.0
        else:
            along = np.cross(z, [0.0, 0.0, 1.0])
            if np.linalg.norm(along) < 0.2:
                raise NotSimple("a level side passes through the seat")
            along = along / np.linalg.norm(along)
            self.axes = (along, np.cross(z, along), z)
            self.up, self.scale, self.most = self.axes[1], 1.0, 6.0
        if abs(self.up[2]) < LEANS:
            raise NotSimple("a level side passes through the seat")
        box = cq.Face(face).BoundingBox()
        corners = np.array(list(itertools.product((box.xmin, box.xmax), (box.ymin, box.ymax), (box.zmin, box.zmax))))
        rises = (corners - self.origin) @ self.up
        self.range = float(rises.min()), float(rises.max())

    def along(self, edge: Any, at: float) -> float:
        """How far along the side an edge of its is, at a parameter of the edge."""
        if self.round:
            flat = BRep_Tool.CurveOnSurface_s(edge, self.face, 0.0, 0.0)
            return float(flat.Value(at).X())
        point = np.array(BRepAdaptor_Curve(edge).Value(at).Coord())
        return float((point - self.origin) @ self.axes[0])

    def bare(self, s: Array) -> Array:
        """Points (n, 3) of the side at no height."""
        if self.round:
            return np.asarray(self.origin + self.radius * (np.cos(s)[:, None] * self.axes[0] + np.sin(s)[:, None] * self.axes[1]))
        return np.asarray(self.origin + s[:, None] * self.axes[0])

    def rise(self, s: Array) -> Array:
        """How high (n,) along the side it meets the seat."""
        start = self.bare(s)
        u = np.clip((self.seat(start[:, :2]) - start[:, 2]) / self.up[2], self.range[0], self.range[1])
        for _ in range(30):
            point = start + u[:, None] * self.up
            off = above(self.seat, point)
            rate = self.up[2] - self.seat.gradient(point[:, :2]) @ self.up[:2]
            if float(np.abs(off).max()) < 1e-11:
                break
            u = u - np.clip(off / np.where(np.abs(rate) < STEEP, STEEP, rate), -4.0, 4.0)
        if float(np.abs(off).max()) > 1e-9:
            raise NotSimple("a side does not meet the seat once")
        return np.asarray(u)

    def points(self, s: Array) -> Array:
        """Points (n, 3) where the side meets the seat."""
        return np.asarray(self.bare(s) + self.rise(s)[:, None] * self.up)

    def refuse_unclear(self, start: float, end: float) -> None:
        """See that above the section the side stays above the seat, and below it below."""
        s = np.linspace(start, end, int(np.clip(np.ceil(abs(end - start) * self.scale / 1.0), 6, 200)))
        u = self.rise(s)
        way = np.sign(self.up[2])
        ends = self.range if way > 0.0 else self.range[::-1]
        for share in (0.02, 0.1, 0.3, 0.6, 1.0):
            for sign, level in ((1.0, ends[1]), (-1.0, ends[0])):
                points = self.bare(s) + (u + share * (level - u))[:, None] * self.up
                beyond = (level - u) * way * sign > 0.2
                if beyond.any() and float((sign * above(self.seat, points[beyond])).min()) <= 0.0:
                    raise NotSimple("a side meets the seat in several places above each other")

    def tell(self, edge: Any, breaks: Array) -> None:
        """Tell the kernel where an edge lies on a round side; on a flat one it sees that by itself."""
        if self.round:
            _, flat, own = exact_curve(lambda s: np.column_stack([s, self.rise(s)]), breaks)
            curve = flat_curve(flat, breaks, own)
            BRep_Builder().UpdateEdge(edge, curve, BRep_Tool.Surface_s(self.face), _NOWHERE, CLOSE)

    def section(self, low: float, high: float) -> tuple[Array, Array, int]:
        """A curve of degree six along the section, so near to it that no tolerance is needed."""
        fine = np.linspace(low, high, int(np.clip(np.ceil((high - low) * self.scale / 0.1), 12, 2000)) + 1)
        flat = self.points(fine)[:, :2]
        inner = []
        for axis, knots in enumerate((self.seat.x_knots, self.seat.y_knots)):
            for knot in np.unique(knots):
                for i in np.flatnonzero((flat[:-1, axis] > knot) != (flat[1:, axis] > knot)):
                    share = (knot - flat[i, axis]) / (flat[i + 1, axis] - flat[i, axis])
                    inner.append(fine[i] + share * (fine[i + 1] - fine[i]))
        breaks = _apart(np.array([low, *sorted(inner), high]), 1e-3 * (high - low))
        breaks = np.unique(
            np.concatenate([np.linspace(one, two, max(1, int(np.ceil((two - one) / self.most))) + 1) for one, two in itertools.pairwise(breaks)])
        )
        for _ in range(4):
            fitted, poles, degree = exact_curve(self.points, breaks)
            check = np.unique((breaks[:-1, None] + np.diff(breaks)[:, None] * np.array([0.13, 0.41, 0.77])).ravel())
            if float(np.abs(fitted(check) - self.points(check)).max()) < CLOSE / 4.0:
                return breaks, poles, degree
            breaks = np.sort(np.concatenate([breaks, (breaks[1:] + breaks[:-1]) / 2.0]))
        raise NotSimple("a section is too rough to draw")
