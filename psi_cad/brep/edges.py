"""Divide long curved edges, so that volumes and areas integrate well in any program built on this kernel.

The kernel integrates a face along its edges with at most 61 points an edge. On edges of 100 mm that follow bone it
was wrong by half a per cent in volume; on pieces of 10 mm it is right to a few hundredths.
"""

from __future__ import annotations

from typing import Final

import cadquery as cq
import numpy as np
from OCP.BRep import BRep_Builder
from OCP.BRepAdaptor import BRepAdaptor_Curve
from OCP.BRepAlgoAPI import BRepAlgoAPI_BuilderAlgo
from OCP.GCPnts import GCPnts_UniformAbscissa
from OCP.TopoDS import TopoDS_Vertex
from OCP.TopTools import TopTools_ListOfShape

from psi_cad.brep.checked import one_solid, say
from psi_cad.units import Mm

__all__ = ["LONGEST", "with_short_edges"]

LONGEST: Final[Mm] = 10.0
_ON_EDGE: Final[Mm] = 1e-6


def with_short_edges(step: str, body: cq.Solid, *, longest: Mm = LONGEST) -> cq.Solid:
    """`body` with vertices set on its curved edges, no piece longer than `longest`; faces stay as they are.

    Raises
    ------
    KernelError
    """
    say(step)
    builder, arguments = BRep_Builder(), TopTools_ListOfShape()
    arguments.Append(body.wrapped)
    for edge in body.Edges():
        count = int(np.ceil(edge.Length() / longest)) if edge.geomType() == "BSPLINE" else 1
        if count < 2:
            continue
        curve = BRepAdaptor_Curve(edge.wrapped)
        places = GCPnts_UniformAbscissa(curve, count + 1)
        for number in range(2, count + 1) if places.IsDone() else ():
            corner = TopoDS_Vertex()
            builder.MakeVertex(corner, curve.Value(places.Parameter(number)), _ON_EDGE)
            arguments.Append(corner)
    divided = BRepAlgoAPI_BuilderAlgo()
    divided.SetArguments(arguments)
    divided.SetRunParallel(True)
    divided.SetUseOBB(True)
    divided.Build()
    return one_solid(step, cq.Shape.cast(divided.Shape()))
