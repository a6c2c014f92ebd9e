"""A solid of a guide's frame in the patient frame, as it is written to a file."""

from __future__ import annotations

import cadquery as cq
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform

from psi_cad.brep.patch import vector
from psi_cad.frames import Frame

__all__ = ["in_patient"]


def in_patient(solid: cq.Solid, frame: Frame) -> cq.Solid:
    """`solid` of the guide `frame` in the patient frame, its geometry moved: a mere location hides faces from their names."""
    plane = cq.Plane(origin=vector(frame.origin), xDir=vector(frame.axes[0]), normal=vector(frame.axes[2]))
    return cq.Solid(BRepBuilderAPI_Transform(solid.wrapped, cq.Location(plane).wrapped.Transformation(), True).Shape())
