"""The faces of a seat within closed sections, tile by tile."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import shapely
from OCP.BRep import BRep_Builder
from OCP.Geom2d import Geom2d_Line
from OCP.gp import gp_Dir2d, gp_Pnt, gp_Pnt2d
from OCP.TopAbs import TopAbs_FORWARD, TopAbs_REVERSED
from OCP.TopLoc import TopLoc_Location
from OCP.TopoDS import TopoDS_Edge, TopoDS_Face, TopoDS_Vertex

from psi_cad.brep.graph import joined, lined
from psi_cad.brep.sides import CLOSE, NotSimple
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["Node", "Section", "Tiles", "floor", "vertex"]

Flat: TypeAlias = tuple[Mm, Mm]
_NOWHERE: Final = TopLoc_Location()


@dataclass(frozen=True)
class Tiles:
    """The kernel surface of a seat, and where its tiles end in x and y."""

    seat: HeightSpline
    surface: Any
    us: Sequence[Mm]
    vs: Sequence[Mm]


@dataclass(eq=False)
class Node:
    """A vertex on the seat, over `flat`."""

    flat: Flat
    vertex: Any


@dataclass(eq=False)
class Section:
    """An edge on the seat from node `a` to node `b`: its kernel edge, points (n, 2) along it, and its curve in the seat's x and y."""

    a: Node
    b: Node
    edge: Any
    flat: Array
    curve: Any


def vertex(point: Array) -> Any:
    """The kernel's vertex at a point (3,)."""
    made = TopoDS_Vertex()
    BRep_Builder().MakeVertex(made, gp_Pnt(*point.tolist()), CLOSE)
    return made


def floor(tiles: Tiles, sections: Sequence[Section]) -> list[Any]:
    """The faces of the seat within the sections, which close; they look up.

    Raises
    ------
    NotSimple
        Where the sections do not close.
    """
    counted: dict[Node, int] = {}
    for section in sections:
        for node in (section.a, section.b):
            counted[node] = counted.get(node, 0) + 1
    lines = [_points(section.flat) for section in sections]
    loops = shapely.get_parts(shapely.polygonize([shapely.LineString(line) for line in lines]))
    if any(count != 2 for count in counted.values()) or not len(loops):
        raise NotSimple("the sections do not close")
    rings = sorted((shapely.Polygon(loop.exterior) for loop in loops), key=lambda ring: -float(ring.area))
    covered = rings[0]
    for ring in rings[1:]:
        covered = covered.symmetric_difference(ring)
    nodes = {node.flat: node for node in counted}
    straight = _tile_ends(tiles, nodes, covered)
    links: dict[tuple[Flat, Flat], Section] = {}
    for section, line in zip(sections, lines, strict=True):
        for one, two in itertools.pairwise(line):
            links[one, two] = links[two, one] = section
    pieces = shapely.get_parts(shapely.polygonize([shapely.LineString(line) for line in [*lines, *straight]]))
    inside = [piece for piece in pieces if covered.contains(piece.representative_point())]
    if abs(sum(float(piece.area) for piece in inside) - covered.area) > 1e-6 * covered.area:
        raise NotSimple("the pieces of the seat do not cover it")
    for one, two in straight:
        for flat in (one, two):
            if flat not in nodes:
                nodes[flat] = Node(flat, vertex(np.array([*flat, float(tiles.seat(np.array([flat]))[0])])))
        links[one, two] = links[two, one] = _along_end(tiles.seat, nodes[one], nodes[two])
    return [_tile(tiles, piece, links) for piece in inside]


def _tile_ends(tiles: Tiles, nodes: Mapping[Flat, Node], covered: shapely.Geometry) -> list[tuple[Flat, Flat]]:
    """The ends of tiles within what is covered, between nodes and tiles' corners."""
    found = []
    for axis, (ends, across) in enumerate(((tiles.us, tiles.vs), (tiles.vs, tiles.us))):
        for end in ends[1:-1]:
            on = {(end, other) if axis == 0 else (other, end) for other in across}
            on |= {flat for flat in nodes if flat[axis] == end}
            for one, two in itertools.pairwise(sorted(on)):
                if covered.contains(shapely.Point((one[0] + two[0]) / 2.0, (one[1] + two[1]) / 2.0)):
                    found.append((one, two))
    return found


def _along_end(seat: HeightSpline, a: Node, b: Node) -> Section:
    """The edge of the seat along the end of a tile."""
    curve, length = lined(seat, np.array(a.flat), np.array(b.flat))
    made, builder = TopoDS_Edge(), BRep_Builder()
    builder.MakeEdge(made, curve, CLOSE)
    builder.Range(made, 0.0, length)
    builder.Add(made, a.vertex.Oriented(TopAbs_FORWARD))
    builder.Add(made, b.vertex.Oriented(TopAbs_REVERSED))
    way = gp_Dir2d(b.flat[0] - a.flat[0], b.flat[1] - a.flat[1])
    return Section(a, b, made, np.array([a.flat, b.flat]), Geom2d_Line(gp_Pnt2d(*a.flat), way))


def _tile(tiles: Tiles, piece: shapely.Polygon, links: Mapping[tuple[Flat, Flat], Section]) -> Any:
    """The face over a piece of one tile."""
    x, y = piece.representative_point().coords[0]
    i, j = int(np.searchsorted(tiles.us, x)) - 1, int(np.searchsorted(tiles.vs, y)) - 1
    surface = tiles.surface.Copy()
    surface.Segment(tiles.us[i], tiles.us[i + 1], tiles.vs[j], tiles.vs[j + 1])
    made, builder = TopoDS_Face(), BRep_Builder()
    builder.MakeFace(made, surface, CLOSE)
    for ring, turn in ((piece.exterior, True), *((ring, False) for ring in piece.interiors)):
        corners = _points(np.asarray(ring.coords)[:-1])
        if ring.is_ccw != turn:
            corners.reverse()
        edges: list[Any] = []
        for link in zip(corners, [*corners[1:], corners[0]], strict=True):
            section = links[link]
            line = _points(section.flat)
            forward = link == (line[0], line[1])
            if not forward and link != (line[-1], line[-2]):
                continue  # a link within a section: its first tells of the whole
            builder.UpdateEdge(section.edge, section.curve, surface, _NOWHERE, CLOSE)
            edges.append(section.edge if forward else section.edge.Reversed())
        builder.Add(made, joined(edges))
    return made


def _points(flat: Array) -> list[Flat]:
    return [(float(x), float(y)) for x, y in flat]
