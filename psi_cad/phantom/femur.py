"""The upper end of a left femur as one implicit function, and the references that a bone's side is told by.

Sizes are those of an adult femur in round numbers (head 47 mm across, neck-shaft angle 127°, anteversion 12°, lesser trochanter
back and inward); no person's bone was traced. LPS mm about the middle of the head.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.anatomy.balls import Ball, SurfaceSample, largest_ball
from psi_cad.anatomy.likeness import Reference
from psi_cad.anatomy.side import HEAD_MM, SOCKET_MM
from psi_cad.phantom import hemipelvis
from psi_cad.phantom.shapes import round_cone, smooth_union
from psi_cad.units import Array, Mm

__all__ = ["drawn_references", "femur", "keep", "references"]

KEPT: Final = Path(__file__).with_name("references.npz")

BLEND: Final[Mm] = 3.0
# each chain: (x, y, z, radius)
_CHAINS: Final = (
    ((0.0, 0.0, 0.0, 23.5), (4.0, 1.0, -3.0, 23.0)),  # head
    ((6.0, 2.0, -5.0, 16.0), (24.0, 5.0, -20.0, 15.5), (42.0, 8.0, -36.0, 18.0)),  # neck
    ((44.0, 8.0, -38.0, 18.5), (47.0, 8.0, -62.0, 17.0), (46.0, 7.0, -85.0, 15.0), (43.0, 4.0, -115.0, 14.0), (40.0, 2.0, -150.0, 13.5),
     (36.0, 2.0, -190.0, 13.5)),  # shaft
    ((58.0, 8.0, -30.0, 13.0), (60.0, 13.0, -14.0, 10.5), (55.0, 20.0, -4.0, 8.0)),  # greater trochanter
    ((54.0, 22.0, -8.0, 7.0), (48.0, 24.0, -26.0, 6.0), (38.0, 22.0, -46.0, 6.0), (28.0, 22.0, -57.0, 10.0), (32.0, 17.0, -68.0, 9.0)),
)  # fmt: skip
_MIRROR: Final = np.array([-1.0, 1.0, 1.0])
_HIP_BOX: Final = (np.array([-4.0, -84.0, -100.0]), np.array([154.0, 106.0, 152.0]))
_FEMUR_BOX: Final = (np.array([-32.0, -34.0, -204.0]), np.array([86.0, 46.0, 34.0]))
_TETRAHEDRON: Final = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
_LEAST_SLOPE: Final = 0.2
_ON_MM: Final[Mm] = 0.3  # a reference is compared at several mm


def femur(points: Array) -> Array:
    """F (n,) at `points` (n, 3): negative in bone, zero on its surface, about a distance near it."""
    points = np.asarray(points, dtype=np.float64)
    parts = [
        np.min([round_cone(points, np.array(a[:3]), np.array(b[:3]), a[3], b[3]) for a, b in itertools.pairwise(chain)], axis=0) for chain in _CHAINS
    ]
    return smooth_union(np.stack(parts), blend=BLEND)


@lru_cache(maxsize=1)
def references() -> tuple[Reference, ...]:
    """A left hip bone and the upper end of a left femur, upright, as points with normals.

    They are always the same, so they lie in a file beside this one: drawing them took longer than telling a side by them. A test draws
    them and compares; `keep` writes the file after a change of the phantom.
    """
    with np.load(KEPT) as held:
        return tuple(
            Reference(name, held[f"{name} points"], held[f"{name} normals"], _ball(held[f"{name} joint"])) for name in held["names"].tolist()
        )


def _ball(numbers: Array) -> Ball:
    return Ball(numbers[:3], float(numbers[3]), float(numbers[4]), numbers[5:])


def keep() -> None:
    """Draw the references, and write them to the file that `references` reads."""
    found, drawn = dict[str, Any](), drawn_references()
    for one in drawn:
        joint = one.joint
        found |= {f"{one.name} points": one.points, f"{one.name} normals": one.normals}
        found[f"{one.name} joint"] = np.concatenate([joint.centre, [joint.radius, joint.covered], joint.towards])
    np.savez(KEPT, names=np.array([one.name for one in drawn]), **found)


def drawn_references() -> tuple[Reference, ...]:
    """The references, drawn on the phantom's two bones."""
    hip = _points(lambda points: hemipelvis.implicit(points * _MIRROR), *_HIP_BOX, step=7.0)
    thigh = _points(femur, *_FEMUR_BOX, step=4.5)
    socket = largest_ball(hip, hollow=True, low=SOCKET_MM[0], high=SOCKET_MM[1])
    head = largest_ball(thigh, hollow=False, low=HEAD_MM[0], high=HEAD_MM[1])
    assert socket is not None and head is not None  # the phantom has both
    return Reference("hip", hip.points, hip.normals, socket), Reference("femur", thigh.points, thigh.normals, head)


def _points(function: Callable[[Array], Array], low: Array, high: Array, *, step: Mm) -> SurfaceSample:
    """Points about `step` mm apart on the zero of `function`, with its normals."""
    coarse = 2.0 * step
    axes = [np.arange(a, b + coarse, coarse) for a, b in zip(low, high, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    nodes = nodes[np.abs(function(nodes)) < 1.5 * coarse]
    corners = np.stack(np.meshgrid(*([-0.25, 0.25],) * 3, indexing="ij"), axis=-1).reshape(-1, 3) * coarse
    points = (nodes[:, None] + corners).reshape(-1, 3)
    points = points[np.abs(function(points)) < 0.6 * step]
    for _ in range(2):  # the slope of the second step is the normal, too: it has come within a tenth of a millimetre
        slope = _slope(function, points)
        points = points - (function(points) / np.maximum((slope**2).sum(axis=1), _LEAST_SLOPE**2))[:, None] * slope
    held = np.abs(function(points)) < _ON_MM
    return SurfaceSample(points[held], slope[held] / np.linalg.norm(slope[held], axis=1)[:, None])


def _slope(function: Callable[[Array], Array], points: Array) -> Array:
    """∇f (n, 3) by differences towards the corners of a small tetrahedron: four values in place of six."""
    away = 0.01
    values = function(np.concatenate([points + away * corner for corner in _TETRAHEDRON])).reshape(4, len(points))
    return np.asarray(values.T @ _TETRAHEDRON) / (4.0 * away)
