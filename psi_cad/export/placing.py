"""A solid of a guide's frame in the patient frame, its geometry moved."""

from __future__ import annotations

import cadquery as cq
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform

from psi_cad.frames import Frame
from psi_cad.units import Array

__all__ = ["placed"]


def placed(solid: cq.Solid, frame: Frame) -> cq.Solid:
    """`solid` of the guide frame in the patient frame, its geometry moved: a mere location hides faces from their names."""
    plane = cq.Plane(origin=_vector(frame.origin), xDir=_vector(frame.axes[0]), normal=_vector(frame.axes[2]))
    return cq.Solid(BRepBuilderAPI_Transform(solid.wrapped, cq.Location(plane).wrapped.Transformation(), True).Shape())


def _vector(values: Array) -> cq.Vector:
    return cq.Vector(float(values[0]), float(values[1]), float(values[2]))
