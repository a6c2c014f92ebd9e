"""The outline of a flat face, hole by hole."""

from __future__ import annotations

import cadquery as cq
import numpy as np
import shapely
from OCP.BRepAdaptor import BRepAdaptor_Curve
from OCP.BRepTools import BRepTools_WireExplorer
from OCP.GeomAbs import GeomAbs_CurveType

from psi_cad.units import Array

__all__ = ["outline_in"]


def outline_in(face: cq.Face, origin: Array, along: Array, up: Array) -> shapely.Geometry:
    """What a flat face covers, as seen in its own plane: along the ways `along` and `up` (3,) from `origin` (3,)."""
    rings = []
    for wire in [face.outerWire(), *face.innerWires()]:
        points: list[Array] = []
        for edge in _in_order(wire):
            run = _along(edge)
            if points and np.linalg.norm(points[-1][-1] - run[0]) > np.linalg.norm(points[-1][-1] - run[-1]):
                run = run[::-1]
            elif not points:
                run = run if edge.wrapped.Orientation().value == 0 else run[::-1]
            points.append(run)
        flat = np.vstack(points) - origin
        rings.append(shapely.Polygon(np.column_stack([flat @ along, flat @ up])).buffer(0))
    return shapely.difference(rings[0], shapely.union_all(rings[1:])) if len(rings) > 1 else rings[0]


def _along(edge: cq.Edge) -> Array:
    """Points (n, 3) along an edge, close enough for its shape; two for a straight one."""
    curve = BRepAdaptor_Curve(edge.wrapped)
    straight = curve.GetType() == GeomAbs_CurveType.GeomAbs_Line
    count = 2 if straight else max(8, int(edge.Length() / 0.1))
    values = [curve.Value(float(t)) for t in np.linspace(curve.FirstParameter(), curve.LastParameter(), count)]
    return np.array([(point.X(), point.Y(), point.Z()) for point in values])


def _in_order(wire: cq.Wire) -> list[cq.Edge]:
    explorer = BRepTools_WireExplorer(wire.wrapped)
    found = []
    while explorer.More():
        found.append(cq.Edge(explorer.Current()))
        explorer.Next()
    return found
