"""Two halves of a block that open along one direction and let go of what was cast between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import trimesh
from scipy import ndimage

from psi_cad.surface.rays import RayCaster
from psi_cad.surface.solids import joined, mesh_of, pieces_of, solid_of
from psi_cad.units import Array, Bools, Mm

__all__ = ["Halves", "drawn_along", "held", "parted", "turned"]

PITCH: Final[Mm] = 1.0  # of the parting surface
SMOOTH: Final = 2.0  # cells by which it is evened out
INTO: Final[Mm] = 0.3  # how far what is taken out of a half ends in the body: it never reaches its surface
EDGE: Final[Mm] = 0.7  # from its outline
OPENED: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)  # mm by which halves are opened to see what holds
UP: Final = np.array([0.0, 0.0, 1.0])


def turned(axes: Array) -> Array:
    """The (3, 4) matrix that turns patient points into a frame whose axes are the rows of `axes`, as Manifold takes it."""
    return np.column_stack([axes, np.zeros(3)])


def drawn_along(solid: Any) -> Array:
    """Rows x, y and z (3, 3) of a right-handed frame: z is the one of a body's principal axes along which it locks least when a mould opens."""
    mesh = mesh_of(solid)
    axes = np.linalg.svd(np.asarray(mesh.vertices) - mesh.center_mass, full_matrices=False)[2]
    shares = [_locked(mesh, axis) for axis in axes]
    z = axes[int(np.argmin(shares))]
    z = z if z[int(np.argmax(np.abs(z)))] > 0.0 else -z
    x = axes[(int(np.argmin(shares)) + 1) % 3]
    return np.array([x, np.cross(z, x), z])


def _locked(mesh: trimesh.Trimesh, way: Array) -> float:
    """The share of a surface from which something of the body lies in the way both ways along a line."""
    centres, normals = np.asarray(mesh.triangles_center), np.asarray(mesh.face_normals)
    caster, out = RayCaster(mesh), np.where(normals @ way >= 0.0, 1.0, -1.0)
    met = np.zeros(len(centres), dtype=bool)
    for sign in (1.0, -1.0):
        mine = out == sign
        met[mine] = np.isfinite(caster.first(caster.frame.local(centres[mine] + 1e-3 * sign * way), sign * way)[0])
    return float(np.asarray(mesh.area_faces)[met].sum() / mesh.area)


@dataclass(frozen=True)
class Halves:
    """A mould in its own frame, which opens along z (Manifold solids, mm).

    Attributes
    ----------
    lower, upper : Manifold
        Blocks with the cavity in them.
    cavity : Manifold
        What is cast: the body, and what was taken out of the halves so that they let go of it.
    heights, corner, pitch
        The parting surface: heights (x, y) on a grid that begins at `corner` (2,).
    """

    lower: Any
    upper: Any
    cavity: Any
    heights: Array
    corner: Array
    pitch: Mm

    def height_at(self, place: Array) -> Mm:
        """How high the parting surface lies at a place (2,)."""
        x, y = np.clip(np.rint((place - self.corner) / self.pitch).astype(int), 0, np.array(self.heights.shape) - 1)
        return float(self.heights[x, y])


def parted(body: Any, *, wall: Mm, flange: Mm) -> Halves:
    """A block round a body, parted where the body is widest along z, each half without what would hold the body when it opens.

    Parameters
    ----------
    wall, flange : float
        Material above and below the body, and beside it, mm.
    """
    low, high = np.reshape(body.bounding_box(), (2, 3))
    around = np.array([flange, flange, wall])
    low, high = low - around, high + around
    columns = np.ceil((high - low)[:2] / PITCH).astype(int)
    pitch = (high - low)[:2] / columns
    xs, ys = (low[k] + pitch[k] * np.arange(columns[k] + 1) for k in (0, 1))
    floor, roof, away = _extent(mesh_of(body), xs, ys, float(low[2]), float(high[2]))
    heights = _parting(floor, roof, away)
    deep = float(low[2]) - 1.0

    def under(surface: Array) -> Any:
        return _under(xs, ys, surface, deep)

    below, block, amid = under(heights), _box(low, high), _amid(body, low, high)
    lower = (block ^ below) - joined([body, amid ^ (under(heights + INTO) - under(floor + INTO))])
    upper = (block - below) - joined([body, amid ^ (under(roof - INTO) - under(heights - INTO))])
    lower, upper = pieces_of(lower)[0], pieces_of(upper)[0]
    return Halves(lower, upper, block - joined([lower, upper]), heights, low[:2], float(pitch.max()))


def _box(low: Array, high: Array) -> Any:
    import manifold3d

    return manifold3d.Manifold.cube(tuple(float(v) for v in high - low)).translate(tuple(float(v) for v in low))


def _amid(body: Any, low: Array, high: Array) -> Any:
    """All columns well within a body's outline."""
    import manifold3d

    outline = body.project().offset(-EDGE, manifold3d.JoinType.Round)
    return manifold3d.Manifold.extrude(outline, float(high[2] - low[2])).translate((0.0, 0.0, float(low[2])))


def _extent(mesh: trimesh.Trimesh, xs: Array, ys: Array, low: Mm, high: Mm) -> tuple[Array, Array, Array]:
    """The lowest and the highest place (x, y) of a body in each column; beside it those of the nearest that meets it, and how many off that is."""
    grid = np.array([(x, y) for x in xs for y in ys])
    caster = RayCaster(mesh)
    up, _ = caster.first(caster.frame.local(np.column_stack([grid, np.full(len(grid), low)])), UP)
    down, _ = caster.first(caster.frame.local(np.column_stack([grid, np.full(len(grid), high)])), -UP)
    inside: Bools = (np.isfinite(up) & np.isfinite(down)).reshape(len(xs), len(ys))
    away, indices = ndimage.distance_transform_edt(~inside, return_indices=True)
    near = tuple(indices)
    return (low + up).reshape(inside.shape)[near], (high - down).reshape(inside.shape)[near], away


def _parting(floor: Array, roof: Array, away: Array) -> Array:
    """Heights (x, y) amid the body, and even beside it."""
    even = ndimage.gaussian_filter((floor + roof) / 2.0, SMOOTH)
    amid = np.clip(even, floor, roof)
    share = np.clip(away / (2.0 * SMOOTH), 0.0, 1.0)
    return np.asarray(amid * (1.0 - share) + even * share)


def held(cast: Halves) -> float:
    """The volume by which what is cast is in the way when the halves open, mm³."""
    ways = ((cast.upper, 1.0), (cast.lower, -1.0))
    return max(float((half.translate((0.0, 0.0, sign * away)) ^ cast.cavity).volume()) for half, sign in ways for away in OPENED)


def _under(xs: Array, ys: Array, heights: Array, low: Mm) -> Any:
    """All that lies between a level and a surface above it (Manifold)."""
    columns, rows = heights.shape
    top = np.column_stack([np.repeat(xs, rows), np.tile(ys, columns), heights.ravel()])
    bottom = top.copy()
    bottom[:, 2] = low
    index = np.arange(columns * rows).reshape(columns, rows)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    upper = np.vstack([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    lower = upper[:, ::-1] + len(top)
    rim = np.concatenate([index[:, 0], index[-1, 1:], index[-2::-1, -1], index[0, -2::-1]])
    n = len(rim) - 1
    one, two = rim[:n], rim[1 : n + 1]
    sides = np.vstack([np.column_stack([one, one + len(top), two]), np.column_stack([two, one + len(top), two + len(top)])])
    found = trimesh.Trimesh(np.vstack([top, bottom]), np.vstack([upper, lower, sides]), process=False)
    if found.volume < 0.0:
        found.invert()
    return solid_of(found, name="the parting surface", key="part")
