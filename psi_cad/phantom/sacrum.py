"""A sacrum beside the phantom's hip bone, as one implicit function, and a tumour that lies in both.

Sizes are those of an adult sacrum in round numbers; no person's bone was traced. It is its own mirror image, and follows the hip bone and
that bone's mirror image at the width of a joint. Patient frame (LPS, mm). The scans of the phantom hold a simpler piece of it (`scene`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import trimesh

from psi_cad.phantom.hemipelvis import implicit
from psi_cad.phantom.meshing import hull_mesh, meshed
from psi_cad.phantom.shapes import chain_distance, round_cone, smooth_chain, smooth_difference, smooth_union
from psi_cad.units import Array, Mm

__all__ = ["ACROSS", "GAP_MM", "across_distance", "across_mesh", "sacrum_implicit", "sacrum_mesh"]

GAP_MM: Final[Mm] = 1.8  # least space to the hip bone
BLEND: Final[Mm] = 2.5
RIM: Final[Mm] = 2.0  # rounding of the joint's edge

# chains of (x, y, z, radius), x away from the midline: each is there on both sides
_CHAINS: Final = (
    # vertebral bodies, from the promontory to the tip
    ((0.0, 56.0, 88.0, 21.0), (0.0, 70.0, 62.0, 19.0), (0.0, 86.0, 34.0, 14.0), (0.0, 92.0, 6.0, 9.0), (0.0, 84.0, -18.0, 6.0)),
    # wings, from top to bottom
    ((0.0, 62.0, 84.0, 18.0), (26.0, 66.0, 77.0, 17.0), (46.0, 70.0, 72.0, 17.0)),
    ((0.0, 72.0, 66.0, 18.0), (24.0, 73.0, 61.0, 17.0), (44.0, 72.0, 56.0, 15.0)),
    ((0.0, 79.0, 46.0, 15.0), (18.0, 80.0, 43.0, 14.0), (36.0, 78.0, 42.0, 11.0)),
    ((0.0, 85.0, 26.0, 12.0), (12.0, 86.0, 24.0, 11.0), (21.0, 86.0, 18.0, 8.0)),
    # crests behind: median and lateral
    ((0.0, 90.0, 80.0, 4.0), (0.0, 97.0, 56.0, 5.0), (0.0, 99.0, 32.0, 4.0), (0.0, 98.0, 10.0, 3.5)),
    ((31.0, 85.0, 75.0, 5.0), (27.0, 89.0, 58.0, 5.0), (20.0, 92.0, 38.0, 4.5), (13.0, 94.0, 16.0, 4.0)),
)  # fmt: skip
# dents of the openings behind, between median and lateral crest
_DENTS: Final = ((15.0, 93.0, 67.0, 4.5), (13.0, 96.0, 46.0, 4.0))

ACROSS: Final = (np.array((-60.0, 64.0, 66.0)), np.array((-42.0, 68.0, 68.0)), 9.0, 9.5)
"""The tumour across the joint: the hull of two spheres (start, end, radii), patient mm."""


def sacrum_implicit(points: Array) -> Array:
    """F (n,) at `points` (n, 3), patient mm: negative in bone, zero on its surface, about a distance near it."""
    points = np.asarray(points, dtype=np.float64)
    folded = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    body = smooth_union(np.stack([chain_distance(folded, smooth_chain(np.array(chain))) for chain in _CHAINS]), blend=BLEND)
    dents = smooth_union(np.stack([np.linalg.norm(folded - np.array(dent[:3]), axis=1) - dent[3] for dent in _DENTS]), blend=BLEND)
    body = smooth_difference(body, dents, blend=BLEND)
    hip = implicit(folded * np.array([-1.0, 1.0, 1.0]))  # the hip bone lies on the right
    return smooth_difference(body, hip - GAP_MM, blend=RIM)


def sacrum_mesh(*, spacing: Mm = 1.5) -> trimesh.Trimesh:
    """The sacrum's surface, its vertices on the exact one."""
    return meshed(sacrum_implicit, low=np.array([-75.0, 20.0, -36.0]), high=np.array([75.0, 118.0, 118.0]), spacing=spacing)


def across_distance(points: Array) -> Array:
    """Exact signed distance (n,) to the surface of the tumour across the joint, patient mm."""
    return round_cone(np.asarray(points, dtype=np.float64), *ACROSS)


def across_mesh(*, subdivisions: int = 3) -> trimesh.Trimesh:
    """The surface of the tumour across the joint, its vertices on the exact one."""
    return hull_mesh(*ACROSS, subdivisions=subdivisions)
