"""How much bone lies round the hole for a stem, all along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import trimesh

from psi_cad.frames import ring
from psi_cad.surface.rays import SignedDistance
from psi_cad.units import Array, Bools, Mm

__all__ = ["StemBone", "stem_bone"]

ALONG_MM: Final[Mm] = 0.5
TURNS: Final = 72
SAME_MM: Final[Mm] = 1e-6
RINGS: Final = 4  # of points on the end of the hole


@dataclass(frozen=True)
class StemBone:
    """Bone between a hole and the outside of the bone, mm; negative where the hole has left the bone.

    `depths` (n,) below the sawn face, `walls` (n, turns) all round there; `least` of all, at `where` (3,) on the hole, its end among them.
    `covered`: the share of the hole's wall that lies in bone.
    """

    depths: Array
    walls: Array
    least: Mm
    where: Array
    covered: float

    @property
    def profile(self) -> Array:
        """The least of each depth (n,)."""
        return np.asarray(self.walls.min(axis=1))


def stem_bone(entry: Array, into: Array, *, depth: Mm, diameter: Mm, bone: trimesh.Trimesh, sawn: Bools) -> StemBone:
    """The bone round a hole of this `diameter` from `entry` (3,) along `into` (3,) to its `depth`; `sawn` (n faces,) are no outside of `bone`."""
    depths = np.linspace(0.0, depth, int(np.ceil(depth / ALONG_MM)) + 1)
    round_it = diameter / 2.0 * ring(into, TURNS)
    wall = (entry + depths[:, None, None] * into) + round_it[None]
    end = (entry + depth * into) + np.concatenate([round_it * (n / RINGS) for n in range(RINGS)])
    points = np.concatenate([wall.reshape(-1, 3), end])
    away = _to_outside(bone, sawn, points)
    worst = int(np.argmin(away))
    walls = away[: wall.shape[0] * TURNS].reshape(len(depths), TURNS)
    return StemBone(depths, walls, float(away[worst]), points[worst], float((walls > 0.0).mean()))


def _to_outside(bone: trimesh.Trimesh, sawn: Bools, points: Array) -> Array:
    """How deep points (n, 3) lie below the outside of the bone, negative where they have left it there; the sawn faces only close it."""
    signed = SignedDistance(bone)(points)
    outside = trimesh.Trimesh(bone.vertices, np.asarray(bone.faces)[~sawn], process=True) if sawn.any() else bone
    away = np.abs(SignedDistance(outside)(points))
    left = (signed > 0.0) & (signed > away - SAME_MM)  # else it stands before the sawn face, where the hole begins
    return np.where(left, -away, away)
