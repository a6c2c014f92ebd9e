"""A body cut along a seat whose sides all pass through it: sides are shortened to where they meet the seat, and the seat closes them below.

The kernel's own cut looks in many places for where an edge may meet a tile of the seat, which was a third of a build. Here every edge meets
the seat once or not at all. That is looked at first, and a body that is not so simple is left to the kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cadquery as cq
import numpy as np
from OCP.BRep import BRep_Builder
from OCP.BRepAdaptor import BRepAdaptor_Curve, BRepAdaptor_Surface
from OCP.BRepTools import BRepTools, BRepTools_WireExplorer
from OCP.BRepTopAdaptor import BRepTopAdaptor_FClass2d
from OCP.GeomAbs import GeomAbs_SurfaceType
from OCP.gp import gp_Pnt2d
from OCP.Standard import Standard_Failure
from OCP.TopAbs import TopAbs_FORWARD, TopAbs_IN, TopAbs_REVERSED
from OCP.TopExp import TopExp
from OCP.TopoDS import TopoDS, TopoDS_Edge, TopoDS_Iterator
from OCP.TopTools import TopTools_IndexedMapOfShape
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from psi_cad.brep.floor import Node, Section, Tiles, floor, vertex
from psi_cad.brep.graph import joined, solid_of, spline_curve
from psi_cad.brep.sides import CLOSE, LEANS, NotSimple, Side, above, flat_curve
from psi_cad.units import Mm

__all__ = ["refuse_level", "seated"]

CLEAR: Final[Mm] = 0.02  # a corner nearer to the seat than this is neither above nor below
SPACING: Final[Mm] = 2.5  # between points that are looked at
LEAST: Final[Mm] = 0.004  # a shorter edge is a sliver on which later steps stumble
FINE: Final[Mm] = 0.2  # between points among which a section's passage from tile to tile is looked for


def seated(body: cq.Solid, tiles: Tiles) -> cq.Solid:
    """What of `body` lies above the seat of `tiles`; guide frame.

    Raises
    ------
    NotSimple
        Where its sides do not all pass through the seat, once, or the kernel finds fault with what is left.
    """
    try:
        found = _Cut(body, tiles).solid()
    except (Standard_Failure, ValueError, KeyError, np.linalg.LinAlgError) as failure:  # a side that no section could be drawn on
        raise NotSimple(f"{type(failure).__name__}: {failure}") from failure
    uses, owners = TopTools_IndexedMapOfShape(), dict[int, list[int]]()
    faces = found.Faces()
    for number, face in enumerate(faces):
        for wire in _wires(face.wrapped):
            for edge in _walked(wire, face.wrapped):
                owners.setdefault(uses.Add(edge), []).append(number)
    if any(len(held) != 2 for held in owners.values()):
        raise NotSimple("what is left does not close")
    one, two = np.array(list(owners.values())).T
    if connected_components(coo_array((np.ones(len(one)), (one, two)), shape=(len(faces), len(faces))), directed=False)[0] != 1:
        raise NotSimple("what is left falls apart")
    if not found.isValid():
        raise NotSimple("what is left is not sound")
    return found


def refuse_level(body: cq.Solid, tiles: Tiles) -> None:
    """See at once, before anything is cut, that no nearly level side of `body` passes through the seat.

    Raises
    ------
    NotSimple
    """
    for face in body.Faces():
        surface = BRepAdaptor_Surface(face.wrapped, False)
        if surface.GetType() != GeomAbs_SurfaceType.GeomAbs_Plane or np.hypot(*surface.Plane().Axis().Direction().Coord()[:2]) >= LEANS:
            continue
        heights = above(tiles.seat, np.array([vertex.toTuple() for vertex in face.Vertices()]))
        if heights.min() < 0.0 < heights.max():
            raise NotSimple("a level side passes through the seat")


@dataclass
class _Left:
    """What is left of an edge: all of it ("above"), nothing ("below"), or the part up to a `node` at its parameter `at` ("cut")."""

    state: str
    edge: Any
    node: Node | None = None
    at: float = 0.0


@dataclass(eq=False)
class _Arc:
    """A stretch of a side's outline above the seat, from where it comes up to where it goes down, and how far along the side these are."""

    edges: list[Any]
    start: Node
    at: float
    end: Node | None = None
    end_at: float = 0.0


class _Cut:
    """One body on its way to the seat."""

    def __init__(self, body: cq.Solid, tiles: Tiles) -> None:
        self.body, self.tiles = body, tiles
        self.sections: list[Section] = []
        self._numbers = TopTools_IndexedMapOfShape()
        self._left: dict[int, _Left] = {}

    def solid(self) -> cq.Solid:
        """See `seated`."""
        for edge in self.body.Edges():
            self._left[self._numbers.Add(edge.wrapped)] = self._shortened(edge.wrapped)
        faces = [face for old in self.body.Faces() for face in self._side(old.wrapped)]
        return solid_of([*faces, *(face.Reversed() for face in floor(self.tiles, self.sections))])

    def _of(self, edge: Any) -> _Left:
        return self._left[self._numbers.FindIndex(edge)]

    def _shortened(self, edge: Any) -> _Left:
        """What is left of an edge."""
        curve = BRepAdaptor_Curve(edge)
        first, last = curve.FirstParameter(), curve.LastParameter()
        start, middle, end = (curve.Value(t) for t in (first, (first + last) / 2.0, last))
        times = np.linspace(first, last, _count(start.Distance(middle) + middle.Distance(end), 60))
        heights = above(self.tiles.seat, np.array([curve.Value(float(t)).Coord() for t in times]))
        if np.abs(heights[[0, -1]]).min() < CLEAR:
            raise NotSimple("a corner lies on the seat")
        up = heights > 0.0
        turns = np.flatnonzero(up[1:] != up[:-1])
        if len(turns) == 0:
            if float(np.abs(heights).min()) < CLEAR:
                raise NotSimple("an edge runs along the seat")
            return _Left("above" if up[0] else "below", edge)
        if len(turns) > 1:
            raise NotSimple("an edge meets the seat twice")

        def height(t: float) -> float:
            return float(above(self.tiles.seat, np.array([curve.Value(t).Coord()]))[0])

        at = float(brentq(height, times[turns[0]], times[turns[0] + 1], xtol=1e-12))
        point = np.array(curve.Value(at).Coord())
        node = Node((float(point[0]), float(point[1])), vertex(point))
        self._refuse_outside(node)
        forward = TopoDS.Edge_s(edge.Oriented(TopAbs_FORWARD))
        made, builder = TopoDS.Edge_s(forward.EmptyCopied()), BRep_Builder()
        ends = (TopExp.FirstVertex_s(forward), node.vertex) if up[0] else (node.vertex, TopExp.LastVertex_s(forward))
        builder.Add(made, ends[0].Oriented(TopAbs_FORWARD))
        builder.Add(made, ends[1].Oriented(TopAbs_REVERSED))
        builder.Range(made, *((first, at) if up[0] else (at, last)))
        return _Left("cut", made, node, at)

    def _refuse_outside(self, node: Node) -> None:
        for value, ends in zip(node.flat, (self.tiles.us, self.tiles.vs), strict=True):
            if not ends[0] + CLEAR < value < ends[-1] - CLEAR:
                raise NotSimple("a side leaves the seat")
            if np.abs(np.array(ends) - value).min() < LEAST:
                raise NotSimple("a corner stands on the end of a tile")

    def _side(self, old: Any) -> Iterator[Any]:
        """What is left of a face: itself, nothing, or the parts above the seat."""
        face = TopoDS.Face_s(old.Oriented(TopAbs_FORWARD))
        wires = [(wire, _walked(wire, face)) for wire in _wires(face)]
        states = {self._of(edge).state for _, walk in wires for edge in walk}
        if len(states) == 1 and "cut" not in states:
            self._looked_over(face, up=states == {"above"})
            if states == {"above"}:
                yield old
            return
        side, arcs, whole = Side(face, self.tiles.seat), list[_Arc](), []
        for wire, walk in wires:
            states = {self._of(edge).state for edge in walk}
            if states == {"above"}:
                whole.append(wire)
            elif states != {"below"}:
                arcs += self._arcs(side, walk)
        if not arcs:
            raise NotSimple("a side meets the seat within its outline")
        loops = self._loops(side, arcs)
        if len(loops) > 1 and whole:
            raise NotSimple("a side with holes falls apart")
        for loop in loops:
            made = TopoDS.Face_s(face.EmptyCopied())
            for wire in (joined(loop), *whole):
                BRep_Builder().Add(made, wire)
            yield made.Oriented(old.Orientation())

    def _arcs(self, side: Side, walk: Sequence[Any]) -> list[_Arc]:
        """The stretches of a wire above the seat."""
        steps: list[tuple[Any, str, _Left]] = []
        for edge in walk:
            left = self._of(edge)
            if left.state == "above":
                steps.append((edge, "above", left))
            elif left.node is not None:
                falls = TopExp.LastVertex_s(left.edge).IsSame(left.node.vertex)
                kind = "down" if falls == (edge.Orientation() == TopAbs_FORWARD) else "up"
                steps.append((edge, kind, left))
        first = next((number for number, step in enumerate(steps) if step[1] == "up"), None)
        if first is None:
            raise NotSimple("a side is cut once only")
        found: list[_Arc] = []
        for edge, kind, left in steps[first:] + steps[:first]:
            if kind == "up" and left.node is not None:
                found.append(_Arc([], left.node, side.along(edge, left.at)))
            found[-1].edges.append(left.edge.Oriented(edge.Orientation()))
            if kind == "down":
                found[-1].end, found[-1].end_at = left.node, side.along(edge, left.at)
        return found

    def _loops(self, side: Side, arcs: Sequence[_Arc]) -> list[list[Any]]:
        """The arcs of a side, joined by sections of the seat: from the first place along it to the second, from the third to the fourth."""
        places = sorted([(arc.at, True, arc) for arc in arcs] + [(arc.end_at, False, arc) for arc in arcs], key=lambda place: place[0])
        after: dict[_Arc, tuple[_Arc, list[Any]]] = {}
        for one, two in zip(places[::2], places[1::2], strict=True):
            (up_at, _, up), (down_at, _, down) = (one, two) if one[1] else (two, one)
            if one[1] == two[1] or down.end is None:
                raise NotSimple("a side meets the seat in several places above each other")
            after[down] = up, self._between(down.end, up.start, side, down_at, up_at)
        left, loops = list(arcs), []
        while left:
            arc, loop = left[0], list[Any]()
            while arc in left:
                left.remove(arc)
                following, edges = after[arc]
                loop += [*arc.edges, *edges]
                arc = following
            loops.append(loop)
        return loops

    def _between(self, a: Node, b: Node, side: Side, start: float, end: float) -> list[Any]:
        """The edges on the seat from `a` to `b`, along a side, from tile to tile."""
        side.refuse_unclear(start, end)
        fine = np.linspace(start, end, int(np.clip(np.ceil(abs(end - start) * side.scale / FINE), 24, 2000)) + 1)
        flat = side.points(fine)[:, :2]
        stops: list[tuple[float, Node]] = []
        for axis, ends in enumerate((self.tiles.us, self.tiles.vs)):
            for tile in ends[1:-1]:
                for i in np.flatnonzero((flat[:-1, axis] > tile) != (flat[1:, axis] > tile)):
                    stops.append(self._passage(side, (float(fine[i]), float(fine[i + 1])), axis, tile))
        stops.sort(key=lambda stop: stop[0], reverse=end < start)
        passed = [(start, a), *stops, (end, b)]
        if min(abs(one[0] - two[0]) * side.scale for one, two in itertools.pairwise(passed)) < LEAST:
            raise NotSimple("a section is a sliver")
        return [self._drawn(one, two, side) for one, two in itertools.pairwise(passed)]

    def _passage(self, side: Side, within: tuple[float, float], axis: int, tile: Mm) -> tuple[float, Node]:
        """Where a section passes from tile to tile."""

        def beyond(s: float) -> float:
            return float(side.points(np.array([s]))[0, axis] - tile)

        at = float(brentq(beyond, *within, xtol=1e-13))
        point = side.points(np.array([at]))[0]
        point[axis] = tile
        return at, Node((float(point[0]), float(point[1])), vertex(point))

    def _drawn(self, one: tuple[float, Node], two: tuple[float, Node], side: Side) -> Any:
        """The edge on the seat between two nodes of a section, both given with how far along the side they are; from the first to the second."""
        (low, a), (high, b) = sorted((one, two), key=lambda end: end[0])
        breaks, poles, degree = side.section(low, high)
        made, builder = TopoDS_Edge(), BRep_Builder()
        builder.MakeEdge(made, spline_curve(poles, breaks, degree), CLOSE)
        builder.Range(made, low, high)
        builder.Add(made, a.vertex.Oriented(TopAbs_FORWARD))
        builder.Add(made, b.vertex.Oriented(TopAbs_REVERSED))
        side.tell(made, breaks)
        flat = side.points(np.linspace(low, high, 12))[:, :2]
        flat[0], flat[-1] = a.flat, b.flat
        self.sections.append(Section(a, b, made, flat, flat_curve(poles[:, :2], breaks, degree)))
        return made if one[0] == low else made.Reversed()

    def _looked_over(self, face: Any, *, up: bool) -> None:
        """See that a face none of whose edges meets the seat does not meet it within."""
        surface = BRepAdaptor_Surface(face)
        u_low, u_high, v_low, v_high = BRepTools.UVBounds_s(face)
        corners = np.array([[surface.Value(u, v).Coord() for v in (v_low, v_high)] for u in (u_low, u_high)])
        wide, tall = (float(np.linalg.norm(np.diff(corners, axis=axis), axis=-1).max()) for axis in (0, 1))
        us, vs = np.linspace(u_low, u_high, _count(wide, 40))[1:-1], np.linspace(v_low, v_high, _count(tall, 40))[1:-1]
        at = [(float(u), float(v)) for u in us for v in vs]
        heights = above(self.tiles.seat, np.array([surface.Value(u, v).Coord() for u, v in at]))
        doubtful = np.flatnonzero((heights < CLEAR) if up else (heights > -CLEAR))
        if len(doubtful):
            inside = BRepTopAdaptor_FClass2d(face, CLOSE)
            if any(inside.Perform(gp_Pnt2d(*at[i])) == TopAbs_IN for i in doubtful):
                raise NotSimple("the seat passes through the middle of a face")


def _count(length: Mm, most: int) -> int:
    """How many points to look at over a length, its ends and at least one between them."""
    return int(np.clip(np.ceil(length / SPACING), 2, most)) + 1


def _wires(face: Any) -> list[Any]:
    """The wires of a face."""
    explorer, found = TopoDS_Iterator(face), list[Any]()
    while explorer.More():
        found.append(TopoDS.Wire_s(explorer.Value()))
        explorer.Next()
    return found


def _walked(wire: Any, face: Any) -> list[Any]:
    """The edges of a wire, one after the other, as they are oriented in it."""
    explorer, found = BRepTools_WireExplorer(wire, face), list[Any]()
    while explorer.More():
        found.append(TopoDS.Edge_s(explorer.Current()))
        explorer.Next()
    return found
