"""What lies in the phantom's scans: hemipelvis, femoral head, part of the sacrum, tumour, in a body on a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from psi_cad.phantom.distance import Distance, SampledDistance, sampled_distance
from psi_cad.phantom.hemipelvis import implicit, lesion_distance
from psi_cad.phantom.scanner import Body, ScannedBone, ScannedSolid, simulated_ct, varying
from psi_cad.phantom.shapes import round_cone, sphere
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["PHANTOM_BODY", "PHANTOM_BOX", "PHANTOM_SEEDS", "femur_distance", "phantom_bones", "phantom_ct", "phantom_tumour", "sacrum_distance"]

PHANTOM_BOX: Final = (np.array([-160.0, -84.0, -100.0]), np.array([4.0, 104.0, 152.0]))
"""Patient mm; holds the hip bone with a margin."""
PHANTOM_BODY: Final = Body(centre=(-20.0, 10.0), radii=(185.0, 125.0), muscle_mm=18.0, table_gap=4.0)
PHANTOM_SEEDS: Final = {"hip": (-82.0, 24.0, -10.0), "femur": (-103.0, -7.0, -6.0), "sacrum": (-40.0, 74.0, 60.0)}
"""A point well inside each bone, patient mm."""

_HEAD: Final = (np.array([-101.0, -7.0, -6.0]), 23.0)  # the socket's middle; its radius less the joint space
_NECK: Final = (np.array([-101.0, -7.0, -6.0]), np.array([-146.0, 4.0, -44.0]), 13.0, 17.0)
_SHAFT: Final = (np.array([-146.0, 4.0, -44.0]), np.array([-140.0, 2.0, -130.0]), 17.0, 14.0)
_ALA: Final = (np.array([-44.0, 72.0, 70.0]), np.array([-30.0, 74.0, 40.0]), 20.0, 17.0)
JOINT_MM: Final[Mm] = 1.8  # least space between femoral head or sacrum and hip bone


def femur_distance(points: Array) -> Array:
    """About the signed distance (n,) to the femur's upper end: at least `JOINT_MM` from the hip bone."""
    points = np.asarray(points, dtype=np.float64)
    body = np.minimum(np.minimum(sphere(points, *_HEAD), round_cone(points, *_NECK)), round_cone(points, *_SHAFT))
    return np.maximum(body, JOINT_MM - implicit(points))


def sacrum_distance(points: Array) -> Array:
    """About the signed distance (n,) to a piece of sacrum that follows the hip bone at `JOINT_MM`."""
    points = np.asarray(points, dtype=np.float64)
    return np.maximum(round_cone(points, *_ALA), JOINT_MM - implicit(points))


_BEYOND_MM: Final[Mm] = 8.0  # past the scanned box, for the blur and the soft tissue near bone


@lru_cache(maxsize=2)
def _hip(step: Mm, low: tuple[float, ...], high: tuple[float, ...]) -> SampledDistance:
    return sampled_distance(implicit, low=np.array(low), high=np.array(high), step=step, level=True)


def _against_hip(body: Distance, hip: Distance) -> Distance:
    return lambda points: np.maximum(body(points), JOINT_MM - hip(points))


def phantom_bones(*, low: Array = PHANTOM_BOX[0], high: Array = PHANTOM_BOX[1], step: Mm = 0.7) -> list[ScannedBone]:
    """Hip bone, femur and sacrum as a scanner sees them, as far as they lie in a box, in this order; cortex 1.0–2.4 mm on the hip bone."""
    inner = np.maximum(np.asarray(low) - _BEYOND_MM, PHANTOM_BOX[0]), np.minimum(np.asarray(high) + _BEYOND_MM, PHANTOM_BOX[1])
    hip = _hip(step, *(tuple(float(v) for v in corner) for corner in inner))

    def femur(points: Array) -> Array:
        return np.minimum(np.minimum(sphere(points, *_HEAD), round_cone(points, *_NECK)), round_cone(points, *_SHAFT))

    return [
        ScannedBone(hip, varying(1.0, 2.4)),
        ScannedBone(_against_hip(femur, hip), varying(1.0, 3.0), marrow=180.0),
        ScannedBone(_against_hip(lambda points: round_cone(points, *_ALA), hip), 1.0, cortex=1100.0, marrow=150.0),
    ]


def phantom_tumour(*, hu: float = 90.0) -> ScannedSolid:
    """The tumour: marrow lost to soft tissue under its cortex, and a soft mass outside."""
    return ScannedSolid(lesion_distance, hu)


def phantom_ct(
    *,
    low: Array | Sequence[float] | None = None,
    high: Array | Sequence[float] | None = None,
    spacing: tuple[Mm, Mm, Mm] = (0.7, 0.7, 1.0),
    psf_sigma: Mm | tuple[Mm, Mm, Mm] = 0.5,
    noise_sd: float = 15.0,
    step: Mm = 0.7,
    seed: int = 1,
) -> Volume:
    """The phantom's CT, or the part of it in the box `low`, `high` (3,) of patient mm."""
    bottom = np.asarray(PHANTOM_BOX[0] if low is None else low, dtype=np.float64)
    top = np.asarray(PHANTOM_BOX[1] if high is None else high, dtype=np.float64)
    return simulated_ct(
        phantom_bones(low=bottom, high=top, step=step), low=bottom, high=top, spacing=spacing, solids=[phantom_tumour()],
        body=PHANTOM_BODY, psf_sigma=psf_sigma, noise_sd=noise_sd, seed=seed,
    )  # fmt: skip
