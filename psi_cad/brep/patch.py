"""B-spline height patches as kernel faces, and the half-spaces they bound."""

from __future__ import annotations

import itertools
from typing import Any, Final

import cadquery as cq
import numpy as np
from OCP.BRep import BRep_Tool
from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge, BRepBuilderAPI_MakeFace, BRepBuilderAPI_MakeSolid, BRepBuilderAPI_Sewing
from OCP.BRepLib import BRepLib
from OCP.BRepPrimAPI import BRepPrimAPI_MakePrism
from OCP.Geom import Geom_BSplineSurface
from OCP.gp import gp_Pnt, gp_Vec
from OCP.TColgp import TColgp_Array2OfPnt
from OCP.TColStd import TColStd_Array1OfInteger, TColStd_Array1OfReal

from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.siting.cliffs import cliff_of
from psi_cad.siting.spline import DEGREE, HeightSpline
from psi_cad.units import Array, Mm

__all__ = ["below", "patch_face", "tiled", "vector"]

TILE: Final[Mm] = 25.0  # smaller tiles give a Boolean more pieces to sort
_SEW: Final[Mm] = 1e-6


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
        If the patch is so steep or rough that the kernel could hang on it; its `where` is in the frame that `frame` lies in (a guide's).
    """
    if not np.isfinite(patch.poles).all():
        raise KernelError(f"The {name} patch is not finite; smooth the bone there.")
    cliff = cliff_of(patch, where, name=name)
    if cliff is not None:
        raise KernelError(cliff.said, where=frame.patient(cliff.place), reason="steep")
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
    """All that lies within `depth` behind `face`, against `direction` (3,); the face is divided into tiles.

    On one large face of many spans the kernel's volume integral was wrong by up to 0.7 %, its Booleans were slower,
    and some faces of a guide did not triangulate once read back from STEP. On tiles it is right to 0.1 %.

    Raises
    ------
    KernelError
        If the tiles do not close.
    """
    down = gp_Vec(*(float(value) for value in -np.asarray(direction) * depth))
    surface, us, vs = tiled(face)
    sewing = BRepBuilderAPI_Sewing(_SEW)
    for u_low, u_high in itertools.pairwise(us):
        for v_low, v_high in itertools.pairwise(vs):
            piece = surface.Copy()
            piece.Segment(u_low, u_high, v_low, v_high)
            tile = cq.Face(BRepBuilderAPI_MakeFace(piece, 1e-7).Face())
            sewing.Add(tile.wrapped)
            sewing.Add(tile.moved(cq.Location(cq.Vector(down))).wrapped)
            sides = [piece.UIso(u) for u in (u_low, u_high) if u in (us[0], us[-1])]
            sides += [piece.VIso(v) for v in (v_low, v_high) if v in (vs[0], vs[-1])]
            for side in sides:
                sewing.Add(BRepPrimAPI_MakePrism(BRepBuilderAPI_MakeEdge(side).Edge(), down).Shape())
    sewing.Perform()
    shells = cq.Shape.cast(sewing.SewedShape()).Shells()
    if len(shells) != 1 or not shells[0].wrapped.Closed():
        raise KernelError("The tiles of a patch do not close; smooth the bone there, or try another footplate_reach.")
    solid = BRepBuilderAPI_MakeSolid(shells[0].wrapped).Solid()
    BRepLib.OrientClosedSolid_s(solid)
    return cq.Solid(solid)


def tiled(face: cq.Face) -> tuple[Any, list[float], list[float]]:
    """The surface of a patch's face, and the u and the v at which its tiles end."""
    surface = BRep_Tool.Surface_s(face.wrapped)
    us = _tile_ends([surface.UKnot(n) for n in range(1, surface.NbUKnots() + 1)])
    return surface, us, _tile_ends([surface.VKnot(n) for n in range(1, surface.NbVKnots() + 1)])


def _tile_ends(knots: list[float]) -> list[float]:
    """The knots at which a patch is divided, about `TILE` apart."""
    count = max(1, round((knots[-1] - knots[0]) / TILE))
    return [knots[n] for n in sorted({round(k * (len(knots) - 1) / count) for k in range(count + 1)})]
