"""Holes through a body of voxels: the thinnest lid over each, and how large it is.

A space without any hole, far around the body, is shrunk onto it voxel by voxel without ever tearing (Aktouf, Bertrand and Perroton 2002,
Pattern Recognition Letters 23, 523): farthest voxels first, and only those whose loss changes no connection. What cannot go is a sheet over each
hole, at its narrowest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from psi_cad.units import Array, Bools, Ints, Mm
from psi_cad.voxels.morphology import away_from

__all__ = ["Lid", "euler_number", "lids"]

_AROUND_MM: Final[tuple[Mm, ...]] = (4.0, 8.0, 12.0, 18.0, 26.0)
"""How far around the body the space without a hole is looked for; a hole whose widest ball is larger than twice the last is none of a blade's."""
_RIM: Final = (
    1.5  # voxels: half of the sheet's outermost at each end, and a quarter of the body's, which is counted whole where the hole has a part of it
)
_STEPS: Final = np.array([(k, j, i) for k in (-1, 0, 1) for j in (-1, 0, 1) for i in (-1, 0, 1) if (k, j, i) != (0, 0, 0)])
_WHOLE = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Lid:
    """The sheet over a hole.

    Attributes
    ----------
    index : (n, 3)
        Its voxels (k, j, i).
    holes : int
        How many holes it closes; more than one where their sheets touch.
    length, width : float
        Its extent along its two own axes, mm.
    ball : float
        Diameter of the largest ball that goes through, mm.
    """

    index: Ints
    holes: int
    length: Mm
    width: Mm
    ball: Mm


def lids(body: Bools, step: Mm) -> tuple[Lid, ...]:
    """The lids over all holes of the one connected `body` (nz, ny, nx) on cubes of `step` mm, largest first."""
    around = int(np.ceil(_AROUND_MM[-1] / step)) + 2
    wide = np.pad(body, around)
    wide |= _shut_in(wide)
    away = away_from(wide) * np.float32(step)
    space = _without_holes(away)
    left = _shrunk(space, wide, away) & ~wide
    sheets, _ = ndimage.label(left, structure=_WHOLE, output=np.int32)
    found = []
    for number, box in enumerate(ndimage.find_objects(sheets), start=1):
        near = tuple(slice(s.start - 2, s.stop + 2) for s in box)
        mine = sheets[near] == number
        closes = euler_number(wide[near] | mine) - euler_number(wide[near])
        if closes < 1:  # a bridge between two ends, none over a hole
            continue
        index = np.argwhere(mine) + [s.start - around for s in near]
        length, width = _extent(index * step, step)
        found.append(Lid(index, int(closes), length, width, 2.0 * float(away[near][mine].max())))
    return tuple(sorted(found, key=lambda lid: -lid.length))


def euler_number(body: Bools) -> int:
    """Pieces less holes plus voids of a body of voxels that touch by corners too."""
    wide = np.pad(body, 1)
    total = 0
    for axes in range(8):  # corners, edges, faces and cubes: a cell is there if any voxel around it is
        cells = wide
        for axis in range(3):
            if axes >> axis & 1:
                low, high = np.moveaxis(cells, axis, 0)[:-1], np.moveaxis(cells, axis, 0)[1:]
                cells = np.moveaxis(low | high, 0, axis)
        total += int(cells.sum()) * (-1) ** (3 - bin(axes).count("1"))
    return total


def _shut_in(body: Bools) -> Bools:
    """Voids within a body that does not reach the grid's border."""
    near = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in ndimage.find_objects(body.view(np.uint8))[0])
    labels, _ = ndimage.label(~body[near], output=np.int32)
    found = np.zeros(body.shape, dtype=bool)
    found[near] = (labels != labels[0, 0, 0]) & ~body[near]
    return found


def _without_holes(away: npt.NDArray[Any]) -> Bools:
    """The smallest neighbourhood of the body that has no hole; if each has one, that with the fewest."""
    best: tuple[int, Bools] | None = None
    for reach in _AROUND_MM:
        space = away <= reach
        space |= _shut_in(space)
        holes = 1 - euler_number(space)
        if best is None or holes < best[0]:
            best = (holes, space)
        if holes == 0:
            break
    assert best is not None
    return best[1]


def _shrunk(space: Bools, body: Bools, away: npt.NDArray[Any]) -> Bools:
    """`space` without every voxel off `body` that can go one after the other, farthest first, and leave its connections as they are."""
    shape = np.array(space.shape)
    inside, fixed, far = space.ravel().copy(), body.ravel(), away.ravel()
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    around = _STEPS @ strides
    faces = around[np.abs(_STEPS).sum(axis=1) == 1]
    place = np.flatnonzero(inside & ~fixed)
    edge = place[~inside[place[:, None] + faces].all(axis=1)]
    known = np.zeros(1 << 26, dtype=np.uint8)
    waiting = np.zeros(len(inside), dtype=bool)
    waiting[edge] = True
    last = np.empty(len(inside), dtype=np.int32)
    for level in np.arange(np.ceil(2.0 * float(far[place].max(initial=0.0))), -1.0, -1.0) / 2.0:
        while True:
            now = edge[far[edge] >= level]
            if len(now) == 0:
                break
            edge = edge[far[edge] < level]
            waiting[now] = False
            gone = []
            k, j, i = np.unravel_index(now, space.shape)
            parity = (k % 2) * 4 + (j % 2) * 2 + i % 2
            for kind in range(8):  # no two of a kind are neighbours, so they may go together
                mine = now[parity == kind]
                go = mine[_simple(inside, mine, around, known)]
                inside[go] = False
                gone.append(go)
            lost = np.concatenate(gone)
            if len(lost) == 0:
                continue
            beside = (lost[:, None] + around).ravel()
            beside = beside[inside[beside] & ~fixed[beside] & ~waiting[beside]]
            last[beside] = np.arange(len(beside), dtype=np.int32)  # of a voxel that stands there several times one is kept
            beside = beside[last[beside] == np.arange(len(beside))]
            waiting[beside] = True
            edge = np.concatenate([edge, beside])
    return np.asarray(inside.reshape(space.shape))


def _simple(inside: npt.NDArray[Any], place: Ints, around: Ints, known: npt.NDArray[np.uint8]) -> Bools:
    """Which voxels at `place` (n,) can go: `known` holds 1 (no) or 2 (yes) for each pattern of neighbours met so far."""
    code = np.zeros(len(place), dtype=np.int64)
    for bit, step in enumerate(around):
        code |= inside[place + step].astype(np.int64) << bit
    new = np.unique(code[known[code] == 0])
    if len(new):
        known[new] = 1 + _can_go(new)
    return np.asarray(known[code] == 2)


def _beside(most: int, within: int) -> list[int]:
    """For each of the 26 neighbours, as bits: those beside it along at most `most` axes; of all that lie off the middle along at most `within`."""
    ok = np.abs(_STEPS).sum(axis=1) <= within
    out = []
    for one in range(26):
        apart = np.abs(_STEPS - _STEPS[one])
        near = (apart.max(axis=1) <= 1) & (apart.sum(axis=1) <= most) & (apart.sum(axis=1) > 0) & ok & ok[one]
        out.append(int(sum(1 << int(bit) for bit in np.flatnonzero(near))))
    return out


_BODY_LINKS: Final = _beside(3, 3)
_SPACE_LINKS: Final = _beside(1, 2)
_FACES: Final = int(sum(1 << int(bit) for bit in np.flatnonzero(np.abs(_STEPS).sum(axis=1) == 1)))
_EDGES: Final = int(sum(1 << int(bit) for bit in np.flatnonzero(np.abs(_STEPS).sum(axis=1) <= 2)))


def _can_go(code: Ints) -> npt.NDArray[np.uint8]:
    """Whether a voxel with each pattern (n,) of neighbours is simple: one piece of body around it, and one of space that it faces."""
    space = ~code & _EDGES
    facing = space & _FACES
    one_body = (_grown(code & -code, code, _BODY_LINKS) == code) & (code != 0)
    one_space = ((_grown(facing & -facing, space, _SPACE_LINKS) & _FACES) == facing) & (facing != 0)
    return np.asarray(one_body & one_space, dtype=np.uint8)


def _grown(seed: Ints, within: Ints, links: list[int]) -> Ints:
    """The bits of `within` (n,) that are connected to those of `seed` (n,)."""
    while True:
        more = seed.copy()
        for bit, near in enumerate(links):
            more |= np.where(seed >> bit & 1, near, 0)
        more &= within
        if (more == seed).all():
            return seed
        seed = more | seed


def _extent(points: Array, step: Mm) -> tuple[Mm, Mm]:
    """Greatest and least extent of a sheet's voxels in its own plane, mm."""
    middle = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(middle.T @ middle)
    length, width = (float(np.ptp(middle @ axes[:, a])) + _RIM * step for a in (2, 1))
    return length, width
