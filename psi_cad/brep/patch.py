"""B-spline height patches as kernel faces, and the half-spaces they bound."""

from __future__ import annotations

from typing import Final

import cadquery as cq
import numpy as np
from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeFace
from OCP.BRepPrimAPI import BRepPrimAPI_MakePrism
from OCP.Geom import Geom_BSplineSurface
from OCP.gp import gp_Pnt, gp_Vec
from OCP.TColgp import TColgp_Array2OfPnt
from OCP.TColStd import TColStd_Array1OfInteger, TColStd_Array1OfReal

from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.surface.spline import DEGREE, HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["below", "patch_face", "vector"]

STEEPEST: Final = 8.0  # slope where a body stands on the patch: steeper ground is no seat
WILD: Final = 40.0  # slope between poles anywhere: Booleans on rougher patches may not end


def vector(values: Array) -> cq.Vector:
    """A kernel vector from (3,)."""
    return cq.Vector(float(values[0]), float(values[1]), float(values[2]))


def _knots(full: Array) -> tuple[TColStd_Array1OfReal, TColStd_Array1OfInteger]:
    values, counts = np.unique(full, return_counts=True)
    counts[[0, -1]] = DEGREE + 1
    knots, multiplicities = TColStd_Array1OfReal(1, len(values)), TColStd_Array1OfInteger(1, len(values))
    for number, (value, count) in enumerate(zip(values, counts, strict=True), start=1):
        knots.SetValue(number, float(value))
        multiplicities.SetValue(number, int(count))
    return knots, multiplicities


def patch_face(patch: HeightSpline, frame: Frame, *, name: str, where: Array | None = None) -> cq.Face:
    """The graph of `patch` over the xy plane of `frame`, as one exact B-spline face.

    `where` (n, 2): the part of the patch that is used, in its own x and y; all of it by default.

    The poles stand over the Greville abscissae, so that u = x and v = y on the face.

    Raises
    ------
    KernelError
        If the patch is so steep or rough that the kernel could hang on it.
    """
    if not np.isfinite(patch.poles).all():
        raise KernelError(f"The {name} patch is not finite; smooth the bone there.")
    rise_x = np.abs(np.diff(patch.poles, axis=0)) / np.diff(patch.x_greville)[:, None]
    rise_y = np.abs(np.diff(patch.poles, axis=1)) / np.diff(patch.y_greville)[None, :]
    anywhere = float(max(rise_x.max(), rise_y.max()))
    used = anywhere if where is None else float(np.sqrt((patch.gradient(where) ** 2).sum(axis=1)).max())
    if used > STEEPEST or anywhere > WILD:
        raise KernelError(
            f"The {name} patch is too steep to build on (slope {used:.1f} and {anywhere:.0f} beside it, at most {STEEPEST:g} and {WILD:g}): "
            "the bone there is a cliff; give another approach, or lower slope_limit or run_out."
        )
    nx, ny = patch.poles.shape
    grid = np.stack([*np.meshgrid(patch.x_greville, patch.y_greville, indexing="ij"), patch.poles], axis=-1)
    grid = frame.patient(grid)
    poles = TColgp_Array2OfPnt(1, nx, 1, ny)
    for i in range(nx):
        for j in range(ny):
            poles.SetValue(i + 1, j + 1, gp_Pnt(*(float(value) for value in grid[i, j])))
    u_knots, u_counts = _knots(patch.x_knots)
    v_knots, v_counts = _knots(patch.y_knots)
    surface = Geom_BSplineSurface(poles, u_knots, v_knots, u_counts, v_counts, DEGREE, DEGREE)
    return cq.Face(BRepBuilderAPI_MakeFace(surface, 1e-7).Face())


def below(face: cq.Face, *, direction: Array, depth: Mm) -> cq.Solid:
    """All that lies within `depth` behind `face`, against `direction` (3,)."""
    sweep = -np.asarray(direction) * depth
    return cq.Solid(BRepPrimAPI_MakePrism(face.wrapped, gp_Vec(*(float(value) for value in sweep))).Shape())
