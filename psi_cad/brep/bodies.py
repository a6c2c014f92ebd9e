"""The solids a cutting guide is made of: fences, footplates, sleeves, slots, holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cadquery as cq
import numpy as np
import shapely
from scipy.spatial import cKDTree

from psi_cad.brep.checked import common, cut, say
from psi_cad.brep.floor import Tiles
from psi_cad.brep.graph import Landscape
from psi_cad.brep.patch import below, patch_face, tiled, vector
from psi_cad.brep.prism import outline_of
from psi_cad.brep.seated import refuse_level, seated
from psi_cad.brep.sides import NotSimple
from psi_cad.brep.slab import Slab, fence_level, rise_along
from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.siting.spline import HeightSpline, fit, uniform_knots
from psi_cad.surface.envelope import gentle, thickened
from psi_cad.units import Array, Mm

__all__ = ["bone_side", "cylinder", "fence", "footplate", "leaning", "on_seat", "placed", "sleeve", "sleeve_and_hole"]

DEEP: Final[Mm] = 15.0  # how far bodies reach below the lowest seat before the seat cuts them
FENCE_SPANS: Final = 40  # more make edges of so many pieces that the kernel integrates the faces beside them wrongly
PLATE_KNOTS: Final[Mm] = 2.0  # finer ones make every later Boolean slower
BESIDE_MM: Final[Mm] = 0.8  # beyond its outline a footplate's top levels out
ROOTED: Final[Mm] = 9.0  # how deep below its foot a leaning sleeve begins; deeper it would come out of the seat elsewhere
STEEP_SEAT: Final = 1.8  # √(1 + slope²) of the steepest bone that is contact by default
BREAK_MM: Final[Mm] = 1.6  # a fence's edges fall over this; less than the least wall and end wall, for the slot guides over its whole height
RIM_MM: Final[Mm] = 2.5  # width of the rim over which a footplate is thinned
OUTLINE_MM: Final[Mm] = 0.35  # how far a footplate's straight sides may leave its smooth outline
_GRID: Final[Mm] = 0.5
_LOCAL: Final = Frame(origin=np.zeros(3), axes=np.eye(3))


def fence(
    seat: HeightSpline,
    slab: Slab,
    *,
    height: Mm,
    inner: Mm,
    edge_break: Mm,
    free_ends: tuple[bool, bool],
    step: str,
    stop: tuple[Array, Array] | None = None,
) -> cq.Solid:
    """The wall pair of one cut, `height` above the seat along the blade, its outer edges broken; not yet cut by the seat.

    The top is one spline over (d, s). Within `inner` of the plane it stands at least `height` above the seat on both
    sides of the slot; towards the outer faces it falls by `edge_break`. With a `stop` (s, u) it follows that, which is nowhere lower.
    """
    flat, stations, level = fence_level(seat, slab, height=height, inner=inner)
    if stop is not None:
        level = np.interp(stations, *stop)
    outward = [slab.half_width - np.abs(flat[:, 0])]
    if free_ends[0]:
        outward.append(flat[:, 1] - slab.low)
    if free_ends[1]:
        outward.append(slab.high - flat[:, 1])
    rim = np.min(outward, axis=0)
    band = max(min(slab.half_width - inner - 0.4, BREAK_MM), 1.2 * edge_break)
    target = np.interp(flat[:, 1], stations, level) - edge_break * np.clip(1.0 - rim / band, 0.0, 1.2) ** 2
    top = fit(
        flat,
        target,
        weights=np.ones(len(flat)),
        x_knots=uniform_knots(flat[:, 0].min(), flat[:, 0].max(), 0.6),
        y_knots=uniform_knots(flat[:, 1].min(), flat[:, 1].max(), max(1.0, (slab.high - slab.low) / FENCE_SPANS)),
        cell_area=0.25 * _GRID,
        smoothing=1e-5,
    )
    inside = rim >= band - 0.2
    short = float(np.max((target - top(flat))[inside], initial=0.0)) if stop is None else float(np.min((target - top(flat))[inside], initial=0.0))
    top = HeightSpline(top.x_knots, top.y_knots, top.poles + short)
    face = patch_face(top, slab.frame, name="fence top", where=flat[rim >= -0.5])
    bottom = float(rise_along(seat, slab, flat).min()) - DEEP
    if not slab.bounds:
        ring = outline_of(half_width=slab.half_width, low=slab.low, high=slab.high, corner=slab.corner)
        drawn = _drawn(face, top, slab.frame, np.array(ring), bottom=bottom, step=step)
        if drawn is not None:
            return drawn
    solid = slab.solid(bottom=bottom, top=float(top.poles.max()) + 5.0, step=step)
    return common(step, solid, below(face, direction=slab.frame.axes[2], depth=float(np.ptp(top.poles)) + height + DEEP + 30.0))


def footplate(seat: HeightSpline, outline: shapely.Polygon, *, thickness: Mm, edge_break: Mm, step: str) -> cq.Solid:
    """A shell over `outline` (guide xy), `thickness` thick along the bone's normal, thinner by `edge_break` at its rim."""
    x_low, y_low, x_high, y_high = outline.bounds
    margin = 3.0
    xs, ys = np.arange(x_low - margin, x_high + margin, _GRID), np.arange(y_low - margin, y_high + margin, _GRID)
    points = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    within = shapely.distance(shapely.points(points), outline.exterior)
    within = np.where(shapely.contains_xy(outline, points[:, 0], points[:, 1]), within, -within)
    fall = edge_break * np.clip(1.0 - within / RIM_MM, 0.0, 1.0) ** 2
    ground, shape = seat(points), (len(xs), len(ys))
    # the layer by the normal where bone slopes, by a ball at a cliff: there the normal says little of thickness
    flat = ground + thickness * np.minimum(seat.steepness(points), STEEP_SEAT)
    top_of = np.maximum(flat, thickened(ground.reshape(shape), step=_GRID, thickness=thickness).ravel())
    target = gentle(top_of.reshape(shape), step=_GRID).ravel() - fall * np.minimum(seat.steepness(points), STEEP_SEAT)
    beside = within < -BESIDE_MM
    _, nearest = cKDTree(points[~beside]).query(points[beside])
    target[beside] = target[~beside][nearest]  # level outward: cliffs beside the plate are no part of it
    top = fit(
        points,
        target,
        weights=np.where(beside, 0.003, 1.0),
        x_knots=uniform_knots(points[0, 0], points[-1, 0], PLATE_KNOTS),
        y_knots=uniform_knots(points[0, 1], points[-1, 1], PLATE_KNOTS),
        cell_area=_GRID**2,
        smoothing=5e-3,
    )
    bottom = float(seat(points[~beside]).min()) - DEEP
    ring = np.asarray(outline.simplify(OUTLINE_MM).exterior.coords)[:-1]
    face = patch_face(top, _LOCAL, name="footplate top", where=points[~beside])
    drawn = _drawn(face, top, _LOCAL, ring if outline.exterior.is_ccw else ring[::-1], bottom=bottom, step=step)
    if drawn is not None:
        return drawn
    wire = cq.Wire.makePolygon([cq.Vector(float(x), float(y), bottom) for x, y in ring], close=True)
    prism = cq.Solid.extrudeLinear(wire, [], cq.Vector(0, 0, float(top.poles.max()) - bottom + 5.0))
    return common(step, prism, below(face, direction=np.array([0.0, 0.0, 1.0]), depth=float(np.ptp(top.poles)) + DEEP + 40.0))


def _drawn(face: cq.Face, top: HeightSpline, frame: Frame, ring: Array, *, bottom: Mm, step: str) -> cq.Solid | None:
    """What lies over `ring` (n, 2; against the clock) of `frame`, from `bottom` to the patch `top`; None where it runs along the end of a tile."""
    say(step)
    surface, us, vs = tiled(face)
    try:
        return Landscape(top, frame, surface, us, vs, ring).solid(bottom=bottom)
    except KernelError:
        return None


def on_seat(
    step: str, body: cq.Solid, seat: HeightSpline, *, where: Array, holes: Sequence[cq.Solid] = (), slots: Sequence[cq.Solid] = ()
) -> cq.Solid:
    """What of `body` lies above the seat, without `holes` and `slots`; a guide covers the points `where` (n, 2).

    Both are cut before the seat is: on its many tiles each slot cost the kernel as much again.

    Raises
    ------
    KernelError
    """
    tiles = Tiles(seat, *tiled(patch_face(seat, _LOCAL, name="seat", where=where)))
    try:
        refuse_level(body, tiles)
        return seated(cut(step, body, *holes, *slots) if holes or slots else body, tiles)
    except (NotSimple, KernelError):  # the kernel's own cut may do all the same
        stands = cut(step, body, bone_side(seat, where=where), *holes)
        return cut("slots", stands, *slots) if slots else stands


def bone_side(seat: HeightSpline, *, where: Array) -> cq.Solid:
    """Everything on the bone side of the seat patch, within its rectangle; a guide covers the points `where` (n, 2)."""
    return below(
        patch_face(seat, _LOCAL, name="seat", where=where), direction=np.array([0.0, 0.0, 1.0]), depth=float(np.ptp(seat.poles)) + DEEP + 60.0
    )


def cylinder(centre: Array, *, diameter: Mm, bottom: Mm, top: Mm) -> cq.Solid:
    """A cylinder along the seating axis through `centre` (2,) of the guide frame."""
    return cq.Solid.makeCylinder(diameter / 2.0, top - bottom, cq.Vector(float(centre[0]), float(centre[1]), bottom))


def placed(solid: cq.Solid, frame: Frame) -> cq.Solid:
    """`solid`, drawn about the origin with z up, in `frame`."""
    return cq.Solid(solid.moved(cq.Location(cq.Plane(origin=vector(frame.origin), xDir=vector(frame.axes[0]), normal=vector(frame.axes[2])))).wrapped)


def leaning(outline: shapely.Polygon, frame: Frame, *, top: Mm, thickness: Mm | None = None, bottom: Mm | None = None) -> cq.Solid:
    """A prism along the seating axis over `outline` (guide xy, no holes); its upper end lies across z of `frame`, `top` above its origin.

    It is `thickness` thick along z of `frame`, or reaches down to the level `bottom` of the guide frame at least.
    """
    across = frame.axes[2]
    flat = np.asarray(outline.exterior.coords)[:-1]
    rise = (float(frame.origin @ across) + top - flat @ across[:2]) / across[2]
    depth = thickness / float(across[2]) if thickness is not None else float(rise.max()) - (bottom or 0.0)
    wire = cq.Wire.makePolygon([vector(point) for point in np.column_stack([flat, rise])], close=True)
    return cq.Solid.extrudeLinear(wire, [], cq.Vector(0, 0, -depth))


def sleeve(centre: Array, *, diameter: Mm, bottom: Mm, top: Mm, edge_break: Mm) -> cq.Solid:
    """A drill sleeve's outer body: a cylinder with a broken top edge."""
    r, e = diameter / 2.0, edge_break
    profile = [(0.0, bottom), (r, bottom), (r, top - e), (r - e, top), (0.0, top)] if e > 0.0 else [(0.0, bottom), (r, bottom), (r, top), (0.0, top)]
    x, y = float(centre[0]), float(centre[1])
    wire = cq.Wire.makePolygon([cq.Vector(x + radius, y, z) for radius, z in profile], close=True)
    return cq.Solid.revolve(wire, [], 360.0, cq.Vector(x, y, bottom), cq.Vector(x, y, top))


def sleeve_and_hole(
    foot: Array, out: tuple[float, float, float], *, diameter: Mm, bore: Mm, bottom: Mm, top: Mm, edge_break: Mm
) -> tuple[cq.Solid, cq.Solid]:
    """A wire's sleeve, and its bore, about the way `out` of the bone from `foot` (3,) on the seat.

    The sleeve ends `top` above its foot along its way, and below at the level `bottom`, or where its way has come as deep.
    """
    if out == (0.0, 0.0, 1.0):
        high = float(foot[2]) + top
        hole = cylinder(foot[:2], diameter=bore, bottom=bottom - 5.0, top=high + 5.0)
        return sleeve(foot[:2], diameter=diameter, bottom=bottom, top=high, edge_break=edge_break), hole
    frame = Frame.from_z(origin=foot, z=np.array(out), x_near=np.array([1.0, 0.0, 0.0]))
    low = -ROOTED
    hole = cylinder(np.zeros(2), diameter=bore, bottom=low - 5.0, top=top + 5.0)
    return placed(sleeve(np.zeros(2), diameter=diameter, bottom=low, top=top, edge_break=edge_break), frame), placed(hole, frame)
