"""The patient frame (LPS, mm) and named rigid frames; foreign conventions become LPS here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from psi_cad.units import Array, Deg

__all__ = ["Frame", "across", "all_round", "angle_between", "distance_to_box", "patient_from_ras", "ring", "rounded", "triple", "unit"]


def unit(vector: Array) -> Array:
    """`vector` (3,) scaled to length one.

    Raises
    ------
    ValueError
        If its length is not a positive finite number.
    """
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length <= 0.0:
        raise ValueError(f"a vector of length {length:g} gives no direction")
    return np.asarray(vector, dtype=np.float64) / length


def across(direction: Array) -> Array:
    """A unit vector (3,) square to a direction: always the same one."""
    return unit(np.cross(direction, np.eye(3)[int(np.argmin(np.abs(direction)))]))


def ring(direction: Array, count: int) -> Array:
    """Unit directions (count, 3) across a unit direction, spread evenly all round it."""
    first = across(direction)
    turns = np.arange(count) * 2.0 * np.pi / count
    return np.asarray(np.cos(turns)[:, None] * first + np.sin(turns)[:, None] * np.cross(direction, first))


def angle_between(one: Array, other: Array) -> Deg:
    """The angle between two directions (3,), exact for small ones too."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other)), float(one @ other))))


def all_round(count: int) -> Array:
    """Unit directions (count, 3) spread evenly over the sphere (Fibonacci's spiral)."""
    number = np.arange(count) + 0.5
    height, turn = 1.0 - 2.0 * number / count, np.pi * (1.0 + np.sqrt(5.0)) * number
    wide = np.sqrt(1.0 - height**2)
    return np.column_stack([wide * np.cos(turn), wide * np.sin(turn), height])


def triple(point: Array) -> tuple[float, float, float]:
    """A point or direction (3,) as plain numbers."""
    return float(point[0]), float(point[1]), float(point[2])


def rounded(point: Array | Sequence[float]) -> tuple[float, float, float]:
    """A point (3,) as a report tells it, to a micrometre."""
    return round(float(point[0]), 3), round(float(point[1]), 3), round(float(point[2]), 3)


def distance_to_box(points: Array, low: Array, high: Array) -> Array:
    """Distances (n,) of points (n, 3) from a box along the axes; 0 inside."""
    return np.asarray(np.linalg.norm(np.maximum(np.maximum(low - points, points - high), 0.0), axis=1))


def patient_from_ras(points: Array) -> Array:
    """Points (n, 3) given right-anterior-superior, in the patient frame (left-posterior-superior)."""
    return np.asarray(np.asarray(points, dtype=np.float64) * np.array([-1.0, -1.0, 1.0]))


@dataclass(frozen=True)
class Frame:
    """A right-handed rigid frame in the patient frame: `origin` (3,) in mm, `axes` (3, 3) with rows x, y, z."""

    origin: Array
    axes: Array

    @classmethod
    def from_z(cls, *, origin: Array, z: Array, x_near: Array) -> Frame:
        """The frame with the given `z` whose x axis is the part of `x_near` across z."""
        z = unit(z)
        x = unit(x_near - float(np.dot(x_near, z)) * z)
        return cls(origin=np.asarray(origin, dtype=np.float64), axes=np.stack([x, np.cross(z, x), z]))

    def local(self, points: Array) -> Array:
        """Patient points (..., 3) in this frame."""
        return np.asarray((np.asarray(points) - self.origin) @ self.axes.T)

    def local_direction(self, directions: Array) -> Array:
        """Patient directions (..., 3) in this frame."""
        return np.asarray(np.asarray(directions) @ self.axes.T)

    def patient(self, points: Array) -> Array:
        """Points (..., 3) of this frame, in the patient frame."""
        return np.asarray(np.asarray(points) @ self.axes + self.origin)

    def patient_direction(self, directions: Array) -> Array:
        """Directions (..., 3) of this frame, in the patient frame."""
        return np.asarray(np.asarray(directions) @ self.axes)

    @property
    def patient_from_frame(self) -> Array:
        """The 4 x 4 matrix from this frame to the patient frame."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes.T
        matrix[:3, 3] = self.origin
        return matrix
