"""Solids between a height spline and a flat below, over any outline with straight sides: drawn face by face, which needs no Boolean.

Over a straight line of the plane a bicubic spline is a curve of degree six, piece by piece. So every edge is exact, and faces that meet share it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import cadquery as cq
import numpy as np
import shapely
from OCP.BRep import BRep_Builder
from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge
from OCP.Geom import Geom_BSplineCurve, Geom_Plane
from OCP.Geom2d import Geom2d_Line
from OCP.gp import gp_Ax3, gp_Dir, gp_Dir2d, gp_Pnt, gp_Pnt2d
from OCP.TColgp import TColgp_Array1OfPnt
from OCP.TColStd import TColStd_Array1OfInteger, TColStd_Array1OfReal
from OCP.TopAbs import TopAbs_FORWARD as _FORWARD
from OCP.TopAbs import TopAbs_REVERSED as _REVERSED
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS_Edge, TopoDS_Face, TopoDS_Shell, TopoDS_Solid, TopoDS_Vertex, TopoDS_Wire
from scipy.interpolate import BSpline

from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.siting.spline import DEGREE, HeightSpline
from psi_cad.units import Array, Ints, Mm

__all__ = ["Landscape", "exact_curve", "flat_face", "joined", "knots_of", "lined", "solid_of", "spline_curve"]

Point: TypeAlias = tuple[Mm, Mm]
Line: TypeAlias = tuple[Point, Point]

ALONG_LINE: Final = 2 * DEGREE  # the degree of a bicubic spline over a straight line
TOLERANCE: Final[Mm] = 1e-7
LEAST: Final[Mm] = 0.01  # a shorter edge is a sliver on which later steps stumble
_NOWHERE: Final = TopLoc_Location()


@dataclass
class Landscape:
    """The faces of `patch`, which lies in `frame`, over the pieces into which tiles and an outline divide its rectangle.

    `us`, `vs`: where tiles end, in the patch's own x and y. `ring` (n, 2): the outline, against the clock, first point not repeated.
    Vertices and edges are drawn once, so that whatever is made of them is joined.
    """

    patch: HeightSpline
    frame: Frame
    surface: Any
    us: Sequence[Mm]
    vs: Sequence[Mm]
    ring: Array
    _vertices: dict[tuple[Point, Mm | None], Any] = field(default_factory=dict)
    _edges: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sides = [self._noded(a, b) for a, b in zip(self.ring.tolist(), np.roll(self.ring, -1, axis=0).tolist(), strict=True)]
        outline = shapely.Polygon(self.ring)
        nodes = {point for side in self.sides for point in side}
        lines: list[Line] = [pair for side in self.sides for pair in itertools.pairwise(side)]
        for axis, (ends, across) in enumerate(((self.us, self.vs), (self.vs, self.us))):
            for end in ends:
                on = {(end, other) if axis == 0 else (other, end) for other in across}
                on |= {point for point in nodes if point[axis] == end}
                lines += list(itertools.pairwise(sorted(on)))
        if min(float(np.hypot(a[0] - b[0], a[1] - b[1])) for a, b in lines) < LEAST:
            raise KernelError("An outline runs along the edge of a patch's tile; try another footplate_reach.")
        pieces = shapely.get_parts(shapely.polygonize([shapely.LineString(line) for line in lines]))
        within = shapely.contains_xy(outline, *np.array([piece.representative_point().coords[0] for piece in pieces]).T)
        self.inside = [self._patch_face(piece) for piece in pieces[within]]

    def _noded(self, a: Sequence[Mm], b: Sequence[Mm]) -> list[Point]:
        """A side of the outline, from `a` to `b`, divided where it crosses the ends of tiles."""
        start, way = np.array(a), np.array(b) - np.array(a)
        found: list[tuple[float, Point]] = []
        for axis, ends in enumerate((self.us, self.vs)):
            for end in ends:
                if min(a[axis], b[axis]) < end < max(a[axis], b[axis]):
                    share = float((end - start[axis]) / way[axis])
                    other = float(start[1 - axis] + share * way[1 - axis])
                    found.append((share, (end, other) if axis == 0 else (other, end)))
        return [(float(a[0]), float(a[1])), *(point for _, point in sorted(found)), (float(b[0]), float(b[1]))]

    def _tile(self, piece: shapely.Polygon) -> Any:
        """The part of the surface that a piece lies on."""
        x, y = piece.representative_point().coords[0]
        i, j = int(np.searchsorted(self.us, x)) - 1, int(np.searchsorted(self.vs, y)) - 1
        key = ("tile", i, j)
        if key not in self._edges:
            tile = self.surface.Copy()
            tile.Segment(self.us[i], self.us[i + 1], self.vs[j], self.vs[j + 1])
            self._edges[key] = tile
        return self._edges[key]

    def vertex(self, point: Point, level: Mm | None = None) -> Any:
        """The vertex over `point`, on the patch or at a level of `frame`."""
        key = point, level
        if key not in self._vertices:
            height = float(self.patch(np.array([point]))[0]) if level is None else level
            made = TopoDS_Vertex()
            BRep_Builder().MakeVertex(made, gp_Pnt(*self.frame.patient(np.array([*point, height])).tolist()), TOLERANCE)
            self._vertices[key] = made
        return self._vertices[key]

    def straight(self, a: tuple[Point, Mm | None], b: tuple[Point, Mm | None]) -> Any:
        """The straight edge between two vertices, oriented from `a` to `b`."""
        return self._oriented(a, b, lambda one, two: BRepBuilderAPI_MakeEdge(self.vertex(*one), self.vertex(*two)).Edge())

    def on_patch(self, a: Point, b: Point) -> Any:
        """The edge of the patch over the line from `a` to `b`, oriented so."""
        return self._oriented((a, None), (b, None), lambda one, two: self._curved(one[0], two[0]))

    def _oriented(self, a: Any, b: Any, make: Any) -> Any:
        first, second = sorted((a, b), key=lambda end: (end[0], -np.inf if end[1] is None else end[1]))
        key = first, second
        if key not in self._edges:
            self._edges[key] = make(first, second)
        return self._edges[key] if first == a else self._edges[key].Reversed()

    def _curved(self, a: Point, b: Point) -> Any:
        curve, length = lined(self.patch, np.array(a), np.array(b), self.frame)
        made, builder = TopoDS_Edge(), BRep_Builder()
        builder.MakeEdge(made, curve, TOLERANCE)
        builder.Range(made, 0.0, length)
        builder.Add(made, self.vertex(a).Oriented(_FORWARD))
        builder.Add(made, self.vertex(b).Oriented(_REVERSED))
        return made

    def _patch_face(self, piece: shapely.Polygon) -> Any:
        """The face over a piece, which looks up."""
        surface = self._tile(piece)
        made, builder = TopoDS_Face(), BRep_Builder()
        builder.MakeFace(made, surface, TOLERANCE)
        for ring, turn in ((piece.exterior, True), *((ring, False) for ring in piece.interiors)):
            corners = [(float(x), float(y)) for x, y in ring.coords[:-1]]
            if ring.is_ccw != turn:
                corners.reverse()
            edges = []
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
                edge = self.on_patch(a, b)
                first, second = sorted((a, b))
                way = gp_Dir2d(second[0] - first[0], second[1] - first[1])
                builder.UpdateEdge(self._edges[(first, None), (second, None)], Geom2d_Line(gp_Pnt2d(*first), way), surface, _NOWHERE, TOLERANCE)
                edges.append(edge)
            builder.Add(made, joined(edges))
        return made

    def solid(self, *, bottom: Mm) -> cq.Solid:
        """What lies over the outline between the level `bottom` and the patch."""
        faces = list(self.inside)
        for side in self.sides:
            faces.append(self.wall([((p), bottom) for p in (side[0], side[-1])], [(p, None) for p in side]))
        corners = [side[0] for side in self.sides]
        faces.append(self.flat(corners, bottom))
        return solid_of(faces)

    def wall(self, low: Sequence[tuple[Point, Mm | None]], high: Sequence[tuple[Point, Mm | None]]) -> Any:
        """The upright face over the line from the first to the last of its `low` points; it looks to the right of that way."""
        a, b = low[0][0], low[-1][0]
        edges = [self._run(one, two) for one, two in itertools.pairwise(low)]
        edges.append(self.straight(low[-1], high[-1]))
        edges += [self._run(two, one) for one, two in reversed(list(itertools.pairwise(high)))]
        edges.append(self.straight(high[0], low[0]))
        along = self.frame.patient_direction(np.array([b[0] - a[0], b[1] - a[1], 0.0]))
        out = np.cross(along, self.frame.axes[2])
        origin = self.frame.patient(np.array([*a, 0.0]))
        return flat_face(origin, out, along, [edges])

    def _run(self, one: tuple[Point, Mm | None], two: tuple[Point, Mm | None]) -> Any:
        return self.on_patch(one[0], two[0]) if one[1] is None else self.straight(one, two)

    def flat(self, corners: Sequence[Point], level: Mm) -> Any:
        """The level face over `corners`, given against the clock; it looks down."""
        down = [*reversed(corners)]
        edges = [self.straight((a, level), (b, level)) for a, b in zip(down, [*down[1:], down[0]], strict=True)]
        origin = self.frame.patient(np.array([*corners[0], level]))
        return flat_face(origin, -self.frame.axes[2], self.frame.axes[0], [edges])


def flat_face(origin: Array, out: Array, along: Array, loops: Iterable[Iterable[Any]]) -> Any:
    """The flat face that looks along `out` (3,), within loops of edges that follow each other: the first round it, the others round its holes."""
    made, builder = TopoDS_Face(), BRep_Builder()
    place = gp_Ax3(gp_Pnt(*origin.tolist()), gp_Dir(*out.tolist()), gp_Dir(*along.tolist()))
    builder.MakeFace(made, Geom_Plane(place), TOLERANCE)
    for edges in loops:
        builder.Add(made, joined(edges))
    return made


def joined(edges: Iterable[Any]) -> Any:
    """The closed wire of edges that follow each other."""
    made, builder = TopoDS_Wire(), BRep_Builder()
    builder.MakeWire(made)
    for edge in edges:
        builder.Add(made, edge)
    made.Closed(True)
    return made


def solid_of(faces: Iterable[Any]) -> cq.Solid:
    """The solid that closed `faces`, which look outward, bound."""
    shell, builder = TopoDS_Shell(), BRep_Builder()
    builder.MakeShell(shell)
    for face in faces:
        builder.Add(shell, face)
    shell.Closed(True)
    solid = TopoDS_Solid()
    builder.MakeSolid(solid)
    builder.Add(solid, shell)
    return cq.Solid(solid)


def exact_curve(way: Callable[[Array], Array], breaks: Array, degree: int = ALONG_LINE) -> tuple[BSpline, Array, int]:
    """The curve through `way` (of (n,) gives (n, k)) that is a polynomial between `breaks` and smooth there, its poles, its degree."""
    knots = np.repeat(breaks, _counts(breaks, degree))
    nodes = (1.0 - np.cos(np.pi * np.arange(degree + 1) / degree)) / 2.0
    t = np.unique((breaks[:-1, None] + np.diff(breaks)[:, None] * nodes).ravel())
    t = t[np.concatenate([[True], np.diff(t) > 1e-12])]
    design = BSpline.design_matrix(np.clip(t, breaks[0], breaks[-1]), knots, degree).toarray()
    values = way(t)
    poles = np.linalg.lstsq(design, values, rcond=None)[0]
    poles[0], poles[-1] = values[0], values[-1]
    return BSpline(knots, poles, degree), poles, degree


def _counts(breaks: Array, degree: int) -> Ints:
    # a cubic spline bends smoothly at its knots, and so does what is made of it
    counts: Ints = np.full(len(breaks), degree - DEGREE + 1, dtype=np.int64)
    counts[[0, -1]] = degree + 1
    return counts


def knots_of(breaks: Array, degree: int) -> tuple[Any, Any]:
    """Knots and how often each counts, for the kernel."""
    at, times = TColStd_Array1OfReal(1, len(breaks)), TColStd_Array1OfInteger(1, len(breaks))
    for number, (value, count) in enumerate(zip(breaks.tolist(), _counts(breaks, degree).tolist(), strict=True), start=1):
        at.SetValue(number, value)
        times.SetValue(number, count)
    return at, times


def spline_curve(poles: Array, breaks: Array, degree: int) -> Any:
    """The kernel's curve with these poles (n, 3)."""
    points = TColgp_Array1OfPnt(1, len(poles))
    for number, pole in enumerate(poles.tolist(), start=1):
        points.SetValue(number, gp_Pnt(*pole))
    at, times = knots_of(breaks, degree)
    return Geom_BSplineCurve(points, at, times, degree)


def lined(patch: HeightSpline, a: Array, b: Array, frame: Frame | None = None) -> tuple[Any, Mm]:
    """The patch over the line from `a` to `b`, by length along that line, as an exact curve; and the line's length."""
    way = b - a
    length = float(np.linalg.norm(way))
    crossed = []
    for axis, knots in enumerate((patch.x_knots, patch.y_knots)):
        if abs(way[axis]) > 1e-9:
            crossed.append((np.unique(knots) - a[axis]) / way[axis] * length)
    inner = np.unique(np.concatenate(crossed))
    inner = inner[(inner > 1e-5) & (inner < length - 1e-5)]
    inner = inner[np.concatenate([[True], np.diff(inner) > 1e-5])] if len(inner) else inner
    breaks = np.concatenate([[0.0], inner, [length]])

    def points(t: Array) -> Array:
        flat = a + t[:, None] / length * way
        found = np.column_stack([flat, patch(flat)])
        return found if frame is None else frame.patient(found)

    _, poles, degree = exact_curve(points, breaks, DEGREE if (way == 0.0).any() else ALONG_LINE)
    return spline_curve(poles, breaks, degree), length
