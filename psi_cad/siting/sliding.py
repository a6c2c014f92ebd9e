"""How a guide's contact holds it against sliding: its weakest motion, and how much of the contact works against it.

A guide that is pressed on the bone moves easily where no part of its contact has to rise. For a small motion every patch of
contact rises or sinks by its normal times the way it goes. The *lock* of a slide is the least root mean square of that, per
millimetre of slide, over every way to lift or tilt the guide meanwhile, times `SCALE`; the *sliding lock* is that of the weakest slide. Slides
are those across the seating axis and the turn about it (a turn counts by the way it moves the contact, on average).

It is 0 for every surface on which a body can move and stay in contact: a plane, a cylinder however it leans, a cone, a ball, a
bent tube. It depends on shape alone, not on size, frame, or how finely the contact is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import ndimage

from psi_cad.units import Array, Bools, Mm

__all__ = ["SCALE", "WAYS", "Sliding", "in_words", "side_in_words", "sliding", "smoothed_normals"]

SCALE: Final = float(np.sqrt(5.0 / 3.0))  # the corner of a box then has 1/√3, the spread of its normals: the limit was set on that scale
BUMP_MM: Final[Mm] = 1.0  # normals are averaged over this (sigma): bumps narrower than 3 mm are noise, and a gap of 0.2 mm passes them
LEAST_SAMPLES: Final = 8
SINGULAR: Final = 1e-9  # of the largest: a motion that moves nothing at all
MINOR: Final = 0.5  # of the main part: a smaller part of a direction is not named

_SIDES: Final = (("left", "right"), ("back", "front"), ("head", "feet"))  # patient axes, LPS: towards +, towards -
WAYS: Final = {name: sign * np.eye(3)[axis] for axis, names in enumerate(_SIDES) for name, sign in zip(names, (1.0, -1.0), strict=True)}
"""A word for each way along a patient axis, and its direction (3,)."""


@dataclass(frozen=True)
class Sliding:
    """The weakest slide of a contact, in the frame its points were given in (z the seating axis).

    `lock`: 0 slides freely; `kind`: whether it is mostly a way across the axis or a turn about it; `direction` (3,): the
    unit way of the contact's middle, or for a turn the axis; `centre` (3,): the middle of the contact, mm.
    """

    lock: float
    kind: Literal["slide", "turn"]
    direction: Array
    centre: Array


def sliding(points: Array, normals: Array, areas: Array) -> Sliding:
    """The weakest slide of a contact sampled at `points` (n, 3) with unit `normals` (n, 3), each for `areas` (n,).

    Few samples hold nothing: their lock is 0.
    """
    if len(points) < LEAST_SAMPLES or float(areas.sum()) <= 0.0:
        centre = points.mean(axis=0) if len(points) else np.zeros(3)
        return Sliding(0.0, "slide", np.array([1.0, 0.0, 0.0]), centre)
    centre = np.average(points, axis=0, weights=areas)
    away = points - centre
    arm = max(float(np.sqrt(np.average((away[:, :2] ** 2).sum(axis=1), weights=areas))), 1e-9)
    rise = np.column_stack([normals, np.cross(away, normals) / arm])  # of each sample, for each of six motions
    whole = (rise * areas[:, None]).T @ rise / areas.sum()
    held, free = [0, 1, 5], [2, 3, 4]  # across the axis and about it; lifting and tilting
    follow = -np.linalg.pinv(whole[np.ix_(free, free)], rcond=SINGULAR, hermitian=True) @ whole[np.ix_(free, held)]
    stiffness = whole[np.ix_(held, held)] + whole[np.ix_(held, free)] @ follow
    values, vectors = np.linalg.eigh((stiffness + stiffness.T) / 2.0)
    weakest = vectors[:, 0]
    lock = SCALE * float(np.sqrt(max(float(values[0]), 0.0)))
    if abs(weakest[2]) > float(np.hypot(weakest[0], weakest[1])):
        return Sliding(lock, "turn", np.array([0.0, 0.0, 1.0]), centre)
    way = np.array([weakest[0], weakest[1], float(follow[0] @ weakest)])
    return Sliding(lock, "slide", way / np.linalg.norm(way), centre)


def smoothed_normals(normals: Array, there: Bools, shape: tuple[int, int], step: Mm) -> Array:
    """`normals` (n, 3) of a grid of `shape` (mm apart: `step`) averaged over bumps; unit where `there`, else zero."""
    mask = there.reshape(shape).astype(np.float64)
    weight = np.maximum(ndimage.gaussian_filter(mask, BUMP_MM / step, mode="constant"), 1e-9)
    planes = np.where(there[:, None], normals, 0.0).reshape(*shape, 3)
    mean = np.stack([ndimage.gaussian_filter(planes[..., k], BUMP_MM / step, mode="constant") / weight for k in range(3)], axis=-1)
    flat = mean.reshape(-1, 3)
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return np.asarray(np.where(there[:, None], flat / length, 0.0))


def side_in_words(direction: Array) -> str:
    """A patient direction (3,) as the way it looks, such as "towards head and left".

    >>> side_in_words(np.array([0.0, 0.1, -1.0]))
    'towards feet'
    """
    parts = np.abs(direction)
    order = [int(k) for k in np.argsort(-parts, kind="stable") if parts[k] >= MINOR * parts.max()]
    return "towards " + " and ".join(_SIDES[k][0 if direction[k] > 0.0 else 1] for k in order)


def in_words(direction: Array) -> str:
    """A patient direction (3,) as the two ways along it, such as "towards head and left, or feet and right"."""
    positive = float(direction[int(np.argmax(np.abs(direction)))]) > 0.0
    one = direction if positive else -direction
    return f"{side_in_words(one)}, or {side_in_words(-one).removeprefix('towards ')}"
