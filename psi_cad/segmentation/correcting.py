"""What a person says of a division: cut here, join here, this bone is what I painted. Each is done to all layers alike, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from psi_cad.errors import CaseError, SegmentationError
from psi_cad.findings import Place, inmost, place_of
from psi_cad.joints.ratio_cut import Cut, best_cut, smooth_fields
from psi_cad.segmentation.naming import nearest_bone
from psi_cad.segmentation.parting import MOST_ASKED_RATIO, MOST_RATIO, Division, Layer
from psi_cad.segmentation.touching import LEAST_SIDE_MM3, sheeted
from psi_cad.units import Array, Ints, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["NEAR_MM", "Corrections", "Done", "corrected", "spot_of"]

NEAR_MM: Final[Mm] = 5.0
"""A place read off a picture: bone, or both sides of a seam, lie within this."""
_SIDE_MM: Final[Mm] = 9.0  # how far to both sides of a wanted cut it must have passed: two cells
_LEAST_MM3: Final = 500.0  # less is a splinter of a seam, and no side of one
_DIRECTIONS: Final = 40
_SLACK_MM: Final[Mm] = 4.0  # bone that reaches no further out of a painted mask belongs to it
_IN: Final = 0.5  # of a voxel in the mask
_MOST_BEYOND: Final = 0.02  # of a mask's voxels outside of the scan


@dataclass(frozen=True)
class Corrections:
    """What a person says.

    Attributes
    ----------
    cut_here, join : tuple of places
        Patient mm.
    keep : mapping
        By bone: how much of each voxel a painted mask covers, on any grid. The bone is what of all bone lies in it.
    """

    cut_here: tuple[Place, ...] = ()
    join: tuple[Place, ...] = ()
    keep: Mapping[str, Volume] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cut_here or self.join or self.keep)


@dataclass(frozen=True)
class Done:
    """One correction, as it was done.

    Attributes
    ----------
    kind : str
        cut-here, confirmed (a cut where the parts were apart already), join, keep-in.
    at : place
        Patient mm: as the person gave it; of a mask a place in it.
    area : float
        mm² of bone that was cut through, or of the seam that was joined.
    volumes : tuple of float
        mm³ of the parts on both sides, or of what was kept.
    name : str
        The bone of a mask.
    """

    kind: str
    at: Place
    area: float = 0.0
    volumes: tuple[float, ...] = ()
    name: str = ""


def corrected(division: Division, corrections: Corrections, seeds: Mapping[str, Array]) -> tuple[Division, dict[str, Array], tuple[Done, ...]]:
    """The division with the corrections done, the seeds with one for each painted bone that has none, and what was done.

    Masks come first, then joins, then cuts.

    Raises
    ------
    CaseError
        If a place lies in no bone or beside any seam, if parts are one or apart already, or a mask does not fit the scan or its bone's seed.
    SegmentationError
        If bone cannot be cut at a place.
    """
    layers, parts = list(division.layers), [layer.part.copy() for layer in division.layers]
    named = {name: np.atleast_2d(points) for name, points in seeds.items()}
    done: list[Done] = []
    for name, mask in corrections.keep.items():
        one, seed = _kept(division, parts, name, mask, named.get(name))
        done.append(one)
        named[name] = seed
    done += [_joined(division, parts, at) for at in corrections.join]
    done += [_cut(division, layers, parts, at) for at in corrections.cut_here]
    anew = tuple(replace(layer, part=part) for layer, part in zip(layers, parts, strict=True))
    return replace(division, layers=anew), named, tuple(done)


def spot_of(at: Sequence[float]) -> str:
    """A place as the person gave it."""
    return "(" + ", ".join(f"{v:g}" for v in at) + ")"


def _around(division: Division, at: Place, what: str) -> tuple[Ints, Array]:
    """Positions along `Division.at` of the bone's voxels within reach of a place, and how far each is; ascending.

    Raises
    ------
    CaseError
        If there are none.
    """
    size = division.volume.spacing[::-1]
    here = division.volume.index(np.array([at], dtype=np.float64))[0][::-1] - division.corner
    shape = np.array(division.solid.shape)
    low, high = (np.clip(np.rint(here + sign * (_SIDE_MM / size + 1.0)).astype(int), 0, shape) for sign in (-1.0, 1.0))
    inner = np.argwhere(division.solid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]) + low
    away = np.linalg.norm((inner - here) * size, axis=1)
    order = np.argsort(away, kind="stable")
    away, inner = away[order], inner[order]
    if not len(away) or away[0] > NEAR_MM:
        where, far = nearest_bone(division, here, size)
        near = ", ".join(f"{v:.1f}" for v in where)
        raise CaseError(f"{what} {spot_of(at)} lies {far:.0f} mm outside of bone; the nearest is at ({near}).", where=place_of(where))
    flat = np.ravel_multi_index(tuple(inner.T), division.solid.shape)
    return np.searchsorted(division.at, flat), away


def _meeting(layer: Layer, part: Ints, near: tuple[Ints, Array]) -> list[int]:
    """The parts, nearest first, that come within `NEAR_MM` of a place; splinters left out."""
    position, away = near
    sizes = np.bincount(part, weights=layer.volume)
    found: dict[int, None] = {}
    for number in part[layer.number[position[away <= NEAR_MM]]]:
        if number > 0 and sizes[number] >= _LEAST_MM3:
            found[int(number)] = None
    return list(found)


def _joined(division: Division, parts: list[Ints], at: Place) -> Done:
    """Make the two parts nearest to a place one, in every layer that parts them, in place."""
    near = _around(division, at, "--join")
    done: Done | None = None
    for layer, part in zip(division.layers, parts, strict=True):
        meeting = _meeting(layer, part, near)
        if len(meeting) < 2:
            continue
        one, other = meeting[:2]
        mine, theirs = np.flatnonzero(part == one), np.flatnonzero(part == other)
        area = float((layer.across + layer.shared)[mine][:, theirs].sum())
        done = Done("join", at, area, (float(layer.volume[mine].sum()), float(layer.volume[theirs].sum())))
        part[theirs] = one
    if done is None:
        raise CaseError(
            f"--join {spot_of(at)}: within {NEAR_MM:g} mm of it bone is one part already; give a place on the seam between two parts.", where=at
        )
    return done


def _cut(division: Division, layers: list[Layer], parts: list[Ints], at: Place) -> Done:
    """Cut the part at a place through it, in place: in the layer with most seams, and in the others at the same voxels.

    Where dark seams alone do not lead around it, two cortices that touch may: see `touching`.
    """
    near = _around(division, at, "--cut-here")
    layer, part = layers[-1], parts[-1]
    meeting = _meeting(layer, part, near)
    if not meeting:
        raise CaseError(
            f"--cut-here {spot_of(at)}: only splinters of bone lie within {NEAR_MM:g} mm of it; give a place where two bones touch.", where=at
        )
    if len(meeting) > 1:
        sides = [np.flatnonzero(part == number) for number in meeting[:2]]
        done = Done("confirmed", at, float(layer.shared[sides[0]][:, sides[1]].sum()), tuple(float(layer.volume[s].sum()) for s in sides))
    else:
        mine = np.flatnonzero(part == meeting[0])
        cut = _least_cut(division, layer, mine, at)
        if cut is None or cut.ratio > MOST_RATIO:
            anew = sheeted(division, layer, part, meeting[0])
            along = _least_cut(division, replace(anew.layer, shared=anew.cost), anew.mine, at, sheet=anew.sheet) if len(anew.mine) > 1 else None
            if along is not None and along.ratio <= MOST_RATIO:
                cut, mine = along, anew.mine
                layers[-1], parts[-1] = layer, part = anew.layer, anew.part
        if cut is None or cut.ratio > MOST_ASKED_RATIO:
            why = "there is bone on one side of it only" if cut is None else f"the least cut there goes through {cut.area:.0f} mm² of bone"
            raise SegmentationError(f"--cut-here {spot_of(at)}: bone cannot be cut there: {why}; give the place where two bones touch.", where=at)
        sides = [mine[cut.side], mine[~cut.side]]
        area = float(layer.shared[sides[0]][:, sides[1]].sum())
        done = Done("cut-here", at, area, tuple(float(layer.volume[s].sum()) for s in sides))
        part[sides[1]] = int(part.max()) + 1
    which = np.zeros(len(part), dtype=np.int8)
    which[sides[0]], which[sides[1]] = 1, 2
    voxel = which[layer.number]
    for other, theirs in zip(layers[:-1], parts[:-1], strict=True):
        _cut_alike(other, theirs, voxel)
    return done


def _cut_alike(layer: Layer, part: Ints, voxel: Any) -> None:
    """Cut each part of a layer, in place, that lies on both sides; `voxel` (m,) is 1 or 2 by side."""
    votes = [np.bincount(layer.number[voxel == side], minlength=len(part)) for side in (1, 2)]
    first, second = votes[0] > votes[1], votes[1] > votes[0]
    first[0] = second[0] = False
    for number in np.intersect1d(part[first], part[second]):
        mine = part == number
        if min(float(layer.volume[mine & side].sum()) for side in (first, second)) >= _LEAST_MM3:
            part[mine & second] = int(part.max()) + 1


def _least_cut(division: Division, layer: Layer, mine: Ints, at: Place, *, sheet: Any = None) -> Cut | None:
    """The cut of least ratio through one part, whose regions are `mine` (n,), that passes a place; None if there is bone on one side of it only.

    With `sheet`, mm² of bright sheet between regions, it has to run along sheets, with much bone on both sides.

    Currents through the part, in and out on opposite sides of the place in many directions, show as many ways to cut there.
    """
    middle = _middles(division, layer)[mine]
    inner, amount = layer.shared[mine][:, mine], layer.volume[mine]
    _, piece = connected_components(inner, directed=False)
    away = middle - np.array(at)
    main = piece == piece[int(np.argmin(np.linalg.norm(away, axis=1)))]
    local = np.flatnonzero(main)
    inner, amount, away = inner[local][:, local], amount[local], away[local]
    degree = np.asarray(inner.sum(axis=1)).ravel()
    solver = splu((sp.diags(degree + 1e-6 * degree.mean()) - inner).tocsc())
    slow = smooth_fields(inner, amount)
    least = min(_LEAST_MM3, 0.25 * float(amount.sum())) if sheet is None else LEAST_SIDE_MM3
    across = None if sheet is None else sheet[mine[local]][:, mine[local]]
    best = None
    for way in _half_sphere(_DIRECTIONS):
        ends = [int(np.argmin(np.linalg.norm(away - sign * _SIDE_MM * way, axis=1))) for sign in (1.0, -1.0)]
        if any(np.linalg.norm(away[end] - sign * _SIDE_MM * way) > NEAR_MM for end, sign in zip(ends, (1.0, -1.0), strict=True)):
            continue  # no bone there
        current = np.zeros(len(local))
        current[ends[0]], current[ends[1]] = 1.0, -1.0
        fields = np.column_stack([solver.solve(current), slow])
        cut = best_cut(inner, amount, fields, least=least, apart=(np.array(ends[:1]), np.array(ends[1:])), across=across)
        if cut is not None and (best is None or cut.ratio < best.ratio):
            best = cut
    if best is None:
        return None
    side = np.zeros(len(mine), dtype=bool)
    side[local] = best.side
    if not best.side[int(np.argmax(amount))]:
        side[piece != piece[local[0]]] = False
    return replace(best, side=side)


def _middles(division: Division, layer: Layer) -> Array:
    """Patient points (n, 3) in the middle of each region."""
    index = np.unravel_index(division.at, division.solid.shape)
    count = np.maximum(np.bincount(layer.number, minlength=len(layer.part)), 1)
    mean = [np.bincount(layer.number, weights=along, minlength=len(layer.part)) / count for along in index]
    return division.patient(np.stack(mean, axis=1))


def _half_sphere(count: int) -> Array:
    """Directions (n, 3), even over half a sphere (a Fibonacci spiral)."""
    n = np.arange(count) + 0.5
    z, turn = 1.0 - n / count, np.pi * (1.0 + np.sqrt(5.0)) * n
    flat = np.sqrt(1.0 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)


def _kept(division: Division, parts: list[Ints], name: str, mask: Volume, seed: Array | None) -> tuple[Done, Array]:
    """Make what lies in a mask one part, in place, and give a seed in it."""
    mask = replace(mask, values=mask.values.astype(np.float32))
    _same_place(division.volume, mask, name)
    index = np.stack(np.unravel_index(division.at, division.solid.shape), axis=1)
    within = np.concatenate(
        [mask.sampled(division.patient(some.astype(np.float64)), outside=0.0) >= _IN for some in np.array_split(index, len(index) // 500_000 + 1)]
    )
    voxel = float(np.prod(division.volume.spacing))
    if within.sum() * voxel < _LEAST_MM3:
        raise CaseError(f"--keep {name}: the mask holds {within.sum() * voxel:.0f} mm³ of bone; paint it over the bone in this scan.")
    if seed is not None:
        inside = mask.sampled(seed, outside=0.0) >= _IN
        if not inside.all():
            raise CaseError(
                f"--keep {name}: the seed of {name} at {spot_of(seed[int(np.argmin(inside))])} mm lies outside of the mask; leave it out, or move it."
            )
    reach = _beyond(division, within)
    done, new = None, seed
    for layer, part in zip(division.layers, parts, strict=True):
        count = np.bincount(layer.number, minlength=len(part))
        share = np.bincount(layer.number[within], minlength=len(part)) / np.maximum(count, 1)
        chosen = share > 0.5
        chosen[0] = False
        far = np.zeros(len(part), dtype=bool)
        far[layer.number[reach]] = True
        touched = np.isin(part, np.unique(part[chosen]))
        rest = np.flatnonzero(touched & ~chosen & (np.arange(len(part)) > 0))
        same = layer.shared[rest][:, rest]
        _, piece = connected_components(same, directed=False)
        goes_on = np.zeros(int(piece.max()) + 1 if len(piece) else 0, dtype=bool)
        np.logical_or.at(goes_on, piece, far[rest])
        chosen[rest[~goes_on[piece]]] = True  # a skin of the same bone beside a mask that was painted too small
        area = float(layer.shared[chosen][:, ~chosen].sum())
        part[chosen] = int(part.max()) + 1
        if new is None:
            largest = int(np.argmax(np.where(chosen, share * layer.volume, 0.0)))
            mine = index[(layer.number == largest) & within].astype(np.float64)
            new = division.patient(inmost(mine)[None])
        done = Done("keep-in", (float(new[0, 0]), float(new[0, 1]), float(new[0, 2])), area, (float(layer.volume[chosen].sum()),), name)
    assert done is not None and new is not None
    return done, new


def _beyond(division: Division, within: Any) -> Any:
    """Which of the bone's voxels (m,) lie further than the slack from those within."""
    from scipy import ndimage

    inside = np.zeros(division.solid.size, dtype=bool)
    inside[division.at[within]] = True
    away = ndimage.distance_transform_edt(~inside.reshape(division.solid.shape), sampling=division.volume.spacing[::-1])
    return away.ravel()[division.at] > _SLACK_MM


def _same_place(scan: Volume, mask: Volume, name: str) -> None:
    places = np.argwhere(mask.values >= _IN)
    if not len(places):
        raise CaseError(f"--keep {name}: the mask is empty.")
    index = scan.index(mask.patient(places[:: max(len(places) // 20_000, 1), ::-1].astype(np.float64)))
    beyond = ((index < -1.0) | (index > np.array(scan.values.shape[::-1]))).any(axis=1).mean()
    if beyond > _MOST_BEYOND:
        raise CaseError(
            f"--keep {name}: {100.0 * beyond:.0f} % of the mask lie outside of the scan; was it painted on another one, or in another frame?"
        )
