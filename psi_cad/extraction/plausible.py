"""Can this be a bone's surface? It runs on cortex with something softer outside, encloses no void, and is no mere shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from psi_cad.findings import Place, inmost, place_of
from psi_cad.surface.relax import Neighbours, point_normals
from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.volume import Volume

__all__ = ["Border", "Objection", "border_of", "hollow", "mere_shell", "off_bone", "other_blur", "through_bone"]

_OFFSETS: Final[Array] = np.arange(-13.0, 14.0, dtype=np.float64) * 0.4  # mm along the normal; the cortices of both sides of a joint lie within
_OUTWARD_MM: Final[Mm] = 2.4
_SOFTER: Final = 0.15  # of the way from soft tissue to cortex: what lies outside of a bone sinks below it, blur and noise included
_DIP: Final = 0.05  # of the way from soft tissue to cortex: a joint space this much darker than both its sides is one
_ROUNDS: Final = 3  # of averaging over neighbours: noise in a profile shrinks about threefold
_NOISE_LEFT: Final = 0.6  # twice what is left of the noise
_SHIFTED_MM: Final[Mm] = 0.8  # a border between touching bones may lie this far from the sheet's crest
_BONE_WITHIN_MM: Final[Mm] = 2.0  # of a right surface, however thin its cortex and coarse the scan
_OFF_EDGE_MM: Final[Mm] = 4.0  # of the scan: a bone that goes on beyond is closed flat there, over its marrow
_CORTEX_SHARE: Final = 0.2  # of the way from soft tissue to cortex: how much brighter two cortices are than the marrow on both sides
_OFF_CENTRE: Final = 0.2  # of the sheet's width: the border lies no nearer to the sheet's edge
_MOST_UNSEEN: Final = 0.5  # of the area that faces another bone: a joint shows its gap over more than this
_MOST_BAD: Final = 0.34  # of a patch
MOST_HIDDEN: Final = 0.1
"""Of what faces another bone: cuts through marrow have a quarter and more without a gap or two cortices, joints that touch up to a twentieth."""
LEAST_SHOWN_MM2: Final = 50.0
THROUGH_MM2: Final = 100.0
"""A patch this large is no scatter: right surfaces have some 30 mm² in all, in spots of a few mm²."""
VOID_SHARE: Final = 0.05
"""Of a bone's volume; right labels enclose less than 0.2 %, for their marrow is filled."""
SHELL_MM: Final[Mm] = 1.8
"""Twice volume over area. A cortex without its marrow has about its own thickness; the thinnest whole bones (scapula, rib) have 3 mm or more."""


MOST_BLUR: Final = 1.25
"""Of what all bones of the scan show together, or its inverse; right ones differ by up to a tenth. A thin, even cortex can look like a denser one
with more blur. Its surface then comes to lie too far inwards."""


@dataclass(frozen=True)
class Objection:
    """Why a surface cannot be a bone's: a key of `findings.REASONS`, the sentence without the bone's name before it, and the place, patient mm.

    `settled`: there is a good reason for what was found, so that it is no doubt, but a person must know of it.
    """

    reason: str
    text: str
    where: Place | None
    settled: bool = False


@dataclass(frozen=True)
class Border:
    """What the scan shows along a surface.

    Attributes
    ----------
    mesh : Trimesh
    within : (n,)
        bool: points with bone outside of them, and no dip before it.
    facing : (n,)
        bool: points with another bone close outside.
    midway : (n,)
        bool: those of `facing` that lie midway in a sheet as dense as cortex, with marrow on both sides: two cortices that touch.
    bare : (n,)
        bool: points with no bone at them, nor close inside of them; none at the scan's edge, where marrow lies open.
    """

    mesh: trimesh.Trimesh
    within: Bools
    facing: Bools
    midway: Bools
    bare: Bools

    def area(self, points: Bools) -> float:
        """mm² of the faces whose corners are all among `points` (n,)."""
        return float(self.mesh.area_faces[points[self.mesh.faces].all(axis=1)].sum())

    @property
    def shown(self) -> bool:
        """Whether nearly all that faces another bone is a gap or two cortices, over an area that tells."""
        faced = self.area(self.facing)
        return faced >= LEAST_SHOWN_MM2 and self.area(self.facing & self.within & ~self.midway) <= MOST_HIDDEN * faced


def border_of(mesh: trimesh.Trimesh, volume: Volume, levels: TissueLevels, others: Bools | None = None) -> Border:
    """What the scan shows along each normal of a surface: soft tissue within 2.4 mm, or a dip between two brighter sides as in a joint, or neither.

    Beside `others` (nz, ny, nx), the voxels of other bones, a gap may be too narrow for the scan: two cortices are then one dense sheet.
    """
    points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    normals = point_normals(points, faces)
    neighbours = Neighbours(faces, len(points))
    profile = np.column_stack([volume.sampled(points + o * normals, outside=levels.soft) for o in _OFFSETS])
    brightest = profile[:, (_OFFSETS > -_BONE_WITHIN_MM - 0.01) & (_OFFSETS < _SHIFTED_MM + 0.01)].max(axis=1)  # a canal is narrow: not averaged
    for _ in range(_ROUNDS):
        profile = (profile + neighbours.degree[:, None] * neighbours.mean(profile)) / (neighbours.degree[:, None] + 1.0)
    span = levels.bone - levels.soft
    outside = (_OFFSETS > -0.01) & (_OFFSETS < _OUTWARD_MM + 0.01)
    low = profile[:, outside].min(axis=1)
    # the brightest from each point on; the other bone's marrow may lie lower than the gap
    beyond = np.maximum.accumulate(profile[:, ::-1], axis=1)[:, ::-1]
    inner = profile[:, _OFFSETS < 0.01].max(axis=1)
    dips = (np.minimum(inner[:, None], beyond) - profile)[:, outside].max(axis=1) > max(_DIP * span, _NOISE_LEFT * levels.noise)
    facing = np.zeros(len(points), dtype=bool) if others is None else _facing(points, normals, volume, others)
    midway = facing & _between_cortices(profile, max(_CORTEX_SHARE * span, 2.0 * _NOISE_LEFT * levels.noise))
    index = volume.index(points)
    edge = ((index * volume.spacing < _OFF_EDGE_MM) | ((np.array(volume.values.shape[::-1]) - 1.0 - index) * volume.spacing < _OFF_EDGE_MM)).any(
        axis=1
    )
    bare = np.asarray((brightest < levels.soft + _SOFTER * span) & ~edge)
    return Border(mesh, np.asarray((low > levels.soft + _SOFTER * span) & ~dips), facing, midway, bare)


def through_bone(border: Border) -> Objection | None:
    """An objection where a surface has no softer outside: it then runs within bone, through marrow or cortex.

    Where it runs midway through two cortices that touch, that is told as `settled`, as long as less of the contact is so than
    shows its gap. A cut through marrow, or one that gives a bone's cortex to its neighbour, is never settled.
    """
    midway = border.midway
    if border.area(midway & border.within) > _MOST_UNSEEN * border.area(border.facing):
        midway = np.zeros_like(midway)
    settled: Objection | None = None
    for area, bad, centre in _patches(border.within, midway, border.mesh):
        if bad >= THROUGH_MM2 or bad > _MOST_BAD * area:
            return Objection("no-gap", f"runs through bone over {area:.0f} mm²: there is no softer tissue outside of it", place_of(centre))
        if settled is None:
            text = f"touches another bone over {area:.0f} mm² where the scan shows no gap; psi-cad put it midway between the two cortices"
            settled = Objection("no-gap", text, place_of(centre), settled=True)
    return settled


def off_bone(border: Border, closed: Bools | None = None) -> Objection | None:
    """An objection where a surface runs through soft tissue, as over a canal taken for marrow; `closed` (n faces,) cover holes on request.

    Many small patches together count as one large one does: a canal that noise has broken up is closed all the same.
    """
    bare = border.bare.copy()
    if closed is not None:
        bare[np.asarray(border.mesh.faces)[closed]] = False
    area = border.area(bare)
    if area < THROUGH_MM2:
        return None
    found = _patches(bare, np.zeros_like(bare), border.mesh)
    text = f"runs through soft tissue over {area:.0f} mm²: a canal or an opening that the bone has was closed there, or tissue was taken for bone"
    centre = found[0][2] if found else inmost(np.asarray(border.mesh.vertices)[bare])
    return Objection("no-bone", text, place_of(centre))


def _facing(points: Array, normals: Array, volume: Volume, others: Bools) -> Bools:
    """Which points (n,) have another bone's voxel close outside of them."""
    near = np.zeros(len(points), dtype=bool)
    theirs = Volume(others.view(np.uint8), volume.patient_from_index)
    for o in _OFFSETS[(_OFFSETS > -_SHIFTED_MM - 0.01) & (_OFFSETS < _OUTWARD_MM + 0.01)]:
        near |= theirs.sampled(points + o * normals, order=0, outside=0.0) > 0.5
    return near


def _between_cortices(profile: Array, least: float) -> Bools:
    """Which profiles (n, m) cross a sheet brighter than what lies on both sides by `least` HU, with the surface well within the sheet."""
    middle = int(np.argmin(np.abs(_OFFSETS)))
    here = np.abs(_OFFSETS) < _SHIFTED_MM + 0.01
    crest = profile[:, here].max(axis=1)
    sides = (profile[:, middle::-1], profile[:, middle:])
    away, falls = [], np.ones(len(profile), dtype=bool)
    for side in sides:
        lowest = side.min(axis=1)
        falls &= crest - lowest > least
        below = side < ((crest + lowest) / 2.0)[:, None]
        away.append(np.abs(_OFFSETS[1] - _OFFSETS[0]) * np.argmax(below, axis=1))
    return np.asarray(falls & (np.minimum(*away) >= _OFF_CENTRE * (away[0] + away[1])) & (np.minimum(*away) > 0.0))


def _patches(flagged: Bools, midway: Bools, mesh: trimesh.Trimesh) -> list[tuple[float, float, Array]]:
    """Connected patches of `flagged` points (n,), largest first: mm² in all, mm² not `midway` (n,), and the point nearest to its middle."""
    faces, points = np.asarray(mesh.faces), np.asarray(mesh.vertices)
    chosen = flagged[faces].all(axis=1)
    mine, size = faces[chosen], mesh.area_faces[chosen]
    if len(mine) == 0:
        return []
    _, part = connected_components(Neighbours(mine, len(points)).links, directed=False)
    areas = np.bincount(part[mine[:, 0]], weights=size)
    bad = np.bincount(part[mine[:, 0]], weights=size * (1.0 - midway[mine].mean(axis=1)), minlength=len(areas))
    out = []
    for n in np.argsort(-areas, kind="stable")[: int((areas >= THROUGH_MM2).sum())]:
        spot = points[(part == n) & flagged]
        out.append((float(areas[n]), float(bad[n]), np.asarray(inmost(spot))))
    return out


def hollow(solid: npt.NDArray[Any], volume: Volume) -> Objection | None:
    """An objection where the voxels (nz, ny, nx) of a bone enclose a void: what at least two of the three planes show as shut in.

    A foramen is shut in in one plane only, a groove in none; a marrow that was left out is in two or three.
    """
    spots = ndimage.find_objects(solid.view(np.uint8))
    if not spots:
        return None
    box = spots[0]
    part = solid[box]
    shut = np.zeros(part.shape, dtype=np.uint8)
    for axis in range(3):
        shut += _shut_in(part, axis)
    void = (shut >= 2) & ~part
    share = float(void.sum()) / float(part.sum())
    if share < VOID_SHARE:
        return None
    index = np.argwhere(void)
    middle = inmost(index) + [s.start for s in box]
    where = place_of(volume.patient(middle[None, ::-1])[0])
    return Objection("void", f"encloses a void of {100.0 * share:.0f} % of its volume: its marrow is missing", where)


def _shut_in(part: Bools, axis: int) -> Bools:
    """Voxels outside of `part` (nz, ny, nx) that it shuts in within their plane across `axis`."""
    size = tuple(n if a == axis else n + 2 for a, n in enumerate(part.shape))
    inner = tuple(slice(None) if a == axis else slice(1, -1) for a in range(3))
    free = np.ones(size, dtype=bool)  # a rim of one voxel joins all that reaches the plane's border
    np.logical_not(part, out=free[inner])
    flat = ndimage.generate_binary_structure(3, 1)
    np.moveaxis(flat, axis, 0)[[0, -1]] = False
    labels, _ = ndimage.label(free, structure=flat, output=np.int32)
    rim = np.moveaxis(labels, axis, 0)[:, :1, :1]
    return np.asarray((labels != np.moveaxis(rim, 0, axis))[inner] & ~part)


def mere_shell(mesh: trimesh.Trimesh) -> Objection | None:
    """An objection where a surface has hardly any volume for its area."""
    thick = 2.0 * float(mesh.volume) / max(float(mesh.area), 1e-9)
    if thick >= SHELL_MM:
        return None
    return Objection("shell", f"is {thick:.1f} mm thick on average, a shell without its marrow: no bone has so little volume for its area", None)


def other_blur(own: Mm, scan: Mm | None) -> Objection | None:
    """An objection where a bone shows another blur (mm) than the bones of the scan together: it has no other."""
    if scan is None or scan / MOST_BLUR <= own <= scan * MOST_BLUR:
        return None
    text = f"shows a blur of {own:.2f} mm, and the bones of the scan together show {scan:.2f} mm: its cortex is not what psi-cad takes it for"
    return Objection("other-blur", f"{text}, and it may lie off everywhere", None)
