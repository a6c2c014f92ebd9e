"""How far apart straight pieces of line come: tools, sleeves and wires."""

from __future__ import annotations

import numpy as np

from psi_cad.units import Array, Mm

__all__ = ["segments_apart"]


def segments_apart(one: tuple[Array, Array], two: tuple[Array, Array]) -> tuple[Mm, Array]:
    """The least distance between two segments (ends (3,) each, not the same point), and the point (3,) of the first where that is."""
    best: Mm = np.inf
    place = one[0]
    u, v, w = one[1] - one[0], two[1] - two[0], one[0] - two[0]
    a, b, c, d, e = float(u @ u), float(u @ v), float(v @ v), float(u @ w), float(v @ w)
    spread = a * c - b * b
    pairs = [((b * e - c * d) / spread, (a * e - b * d) / spread)] if spread > 1e-9 * a * c else []
    for end in (0.0, 1.0):  # of either against the other
        pairs += [(end, min(max((e + end * b) / c, 0.0), 1.0)), (min(max((end * b - d) / a, 0.0), 1.0), end)]
    for s, t in pairs:
        if 0.0 <= s <= 1.0 and 0.0 <= t <= 1.0:
            here = np.asarray(one[0] + s * u)
            away = float(np.linalg.norm(here - two[0] - t * v))
            if away < best:
                best, place = away, here
    return best, place
