"""How well a bone fits a reference bone and its mirror image: what it is, how it lies, and which hand it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from psi_cad.anatomy.balls import Ball, SurfaceSample
from psi_cad.units import Array, Deg, Mm

__all__ = ["Fit", "Reference", "best_fit", "mirrored", "own_mirror"]

_FACING_MM: Final[Mm] = 12.0  # normals that look opposite ways count as 24 mm apart: the two sheets of a thin wing are not mixed up
_KEPT: Final = 0.85  # of the points, the nearest; what a reference lacks does not pull
_SPINS: Final = 16  # starts about the joint's axis
_COARSE: Final = 6  # rounds
_FINE: Final = 20
_COARSE_POINTS: Final = 220
_FINE_POINTS: Final = 700
_SETTLED_MM: Final[Mm] = 0.01
_FULL: Final = 3  # starts that are followed to the end
_SCALE: Final = (0.7, 1.25)  # of what the joint's radius gives: joints of one size belong to bones of several
_EXPLAINED_MM: Final[Mm] = 12.0


@dataclass(frozen=True)
class Reference:
    """A left bone as it lies in an upright patient (LPS, mm): points and outward normals (n, 3), and its joint."""

    name: str
    points: Array
    normals: Array
    joint: Ball


@dataclass(frozen=True)
class Fit:
    """How a bone fits a reference.

    Attributes
    ----------
    residual : float
        Mean distance of the nearest 85 % of points, mm at the reference's size; normals that differ add to it.
    explained : float
        Share of the reference near which there is bone.
    patient_from_reference : (3, 3)
        The rotation that brings the reference onto the bone.
    """

    residual: Mm
    explained: float
    patient_from_reference: Array

    @property
    def upright(self) -> float:
        """Cosine of the angle between the bone's own "up" and the patient's."""
        return float(self.patient_from_reference[2, 2])

    def turned_from(self, pose: Array) -> Deg:
        """Angle between how the bone lies and a rotation (3, 3)."""
        cosine = (float(np.trace(self.patient_from_reference @ pose.T)) - 1.0) / 2.0
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def mirrored(reference: Reference) -> Reference:
    """The same bone of the other side."""
    flip = np.array([-1.0, 1.0, 1.0])
    joint = Ball(reference.joint.centre * flip, reference.joint.radius, reference.joint.covered, reference.joint.towards * flip)
    return Reference(reference.name, reference.points * flip, reference.normals * flip, joint)


def best_fit(sample: SurfaceSample, joint: Ball, reference: Reference) -> Fit:
    """`sample` fitted to `reference`: moved, turned and scaled, from the joint's place, axis and radius, with every turn about it tried.

    One way only: every point of the sample looks for the reference, so that a part of a bone fits the whole.
    """
    tree = cKDTree(np.column_stack([reference.points, _FACING_MM * reference.normals]))
    scale = reference.joint.radius / joint.radius
    limits = (_SCALE[0] * scale, _SCALE[1] * scale)
    points = sample.points - joint.centre
    few = slice(None, None, max(len(points) // _COARSE_POINTS, 1))
    more = slice(None, None, max(len(points) // _FINE_POINTS, 1))
    onto = _turn_onto(joint.towards, reference.joint.towards)
    starts = []
    for number in range(_SPINS):
        pose = (_turn_about(reference.joint.towards, 2.0 * np.pi * number / _SPINS) @ onto, reference.joint.centre, scale)
        away = np.zeros(1)
        for _ in range(_COARSE):
            pose, away = _closer(points[few], sample.normals[few], reference, tree, pose, limits)
        starts.append((_trimmed(away), number, pose))
    starts.sort(key=lambda start: start[:2])
    found = []
    for _, _, pose in starts[:_FULL]:
        before = np.inf
        for _ in range(_FINE):
            pose, away = _closer(points[more], sample.normals[more], reference, tree, pose, limits)
            now = _trimmed(away)
            if abs(before - now) < _SETTLED_MM:
                break
            before = now
        turn, shift, size = pose
        placed = np.column_stack([size * points @ turn.T + shift, _FACING_MM * sample.normals @ turn.T])
        away = tree.query(placed)[0]
        back = cKDTree(placed).query(np.column_stack([reference.points, _FACING_MM * reference.normals]))[0]
        found.append(Fit(_trimmed(away), float((back < _EXPLAINED_MM).mean()), turn.T))
    return min(found, key=lambda fit: fit.residual)


def own_mirror(sample: SurfaceSample) -> Fit:
    """`sample` fitted, without scaling, to its own mirror image left for right: how symmetric a bone is about the patient's middle plane."""
    flip = np.array([-1.0, 1.0, 1.0])
    middle = sample.points.mean(axis=0)
    points, normals = (sample.points - middle) * flip, sample.normals * flip
    reference = Reference("itself", points, normals, Ball(np.zeros(3), 1.0, 0.0, np.eye(3)[2]))
    tree = cKDTree(np.column_stack([points, _FACING_MM * normals]))
    pose: _Pose = (np.eye(3), np.zeros(3), 1.0)
    away = np.zeros(1)
    for _ in range(_FINE):
        pose, away = _closer(sample.points - middle, sample.normals, reference, tree, pose, (1.0, 1.0))
    return Fit(_trimmed(away), 1.0, pose[0].T)


_Pose = tuple[Array, Array, float]


def _trimmed(away: Array) -> Mm:
    return float(np.sort(away)[: max(int(_KEPT * len(away)), 1)].mean())


def _closer(points: Array, normals: Array, reference: Reference, tree: cKDTree, pose: _Pose, limits: tuple[float, float]) -> tuple[_Pose, Array]:
    """One round of nearest points and the best similarity to them (Umeyama 1991); the next pose, and the distances (n,) before it."""
    turn, shift, size = pose
    away, nearest = tree.query(np.column_stack([size * points @ turn.T + shift, _FACING_MM * normals @ turn.T]))
    held = away <= np.quantile(away, _KEPT)
    mine, theirs = points[held], reference.points[nearest[held]]
    from_mean, to_mean = mine.mean(axis=0), theirs.mean(axis=0)
    left, strength, right = np.linalg.svd((theirs - to_mean).T @ (mine - from_mean))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])  # a rotation, never a reflection
    turn = left @ np.diag(signs) @ right
    size = float(np.clip((strength * signs).sum() / max(float(((mine - from_mean) ** 2).sum()), 1e-9), *limits))
    return (turn, to_mean - size * turn @ from_mean, size), away


def _turn_about(axis: Array, angle: float) -> Array:
    """The rotation (3, 3) by `angle` radians about a unit axis (Rodrigues)."""
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


def _turn_onto(start: Array, end: Array) -> Array:
    """A rotation (3, 3) that takes one unit direction to another."""
    axis = np.cross(start, end)
    length = float(np.linalg.norm(axis))
    if length < 1e-9:
        if float(start @ end) > 0.0:
            return np.eye(3)
        axis = np.cross(start, np.eye(3)[int(np.argmin(np.abs(start)))])
        return _turn_about(axis / np.linalg.norm(axis), np.pi)
    return _turn_about(axis / length, float(np.arctan2(length, start @ end)))
