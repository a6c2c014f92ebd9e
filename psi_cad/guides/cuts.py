"""The cuts of a guide as they lie in its frame: where along its slot each begins and ends, and on which others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import DesignError
from psi_cad.frames import Frame
from psi_cad.guides.ground import SiteCut
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.about import blade_axes
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["site_cut"]

ON_PLANE_MM: Final[Mm] = 1e-6
ENDED_MM: Final[Mm] = 0.5  # of a section's rim on another plane: less is rounding


def site_cut(frame: Frame, cut: PlannedCut, cuts: Sequence[PlannedCut], every: Sequence[PlannedCut] = ()) -> SiteCut:
    """A cut of a guide in its frame; `cuts` are all of the guide, `every` all of the bone."""
    along, blade = blade_axes(cut.normal, frame.axes[2])
    low, high = cut.extent_along(along)
    neighbours = []
    for number, other in enumerate(cuts):
        if other.name in cut.neighbours:
            neighbours.append((number, -1 if float(along @ other.normal) > 0.0 else 1))
    missing = [name for name in cut.neighbours if name not in {other.name for other in cuts}]
    if missing:
        raise DesignError(
            f"guide.cuts: cut '{cut.name}' ends on cut '{missing[0]}' near {at(cut.origin)}, so both belong in one guide; add '{missing[0]}'.",
            where=cut.origin,
        )
    beside, stops = [], []
    for name, end in _ended_beside(cut, every, along):
        numbers = [number for number, one in enumerate(cuts) if one.name == name]
        beside += [(number, end) for number in numbers]
        stops += [] if numbers else [end]
    return SiteCut(
        name=cut.name,
        origin=frame.local(cut.origin),
        normal=frame.local_direction(cut.normal),
        along=frame.local_direction(along),
        blade=frame.local_direction(blade),
        low=low,
        high=high,
        neighbours=tuple(neighbours),
        beside=tuple(beside),
        stops=tuple(stops),
    )


def _ended_beside(cut: PlannedCut, every: Sequence[PlannedCut], along: Array) -> list[tuple[str, int]]:
    """The cuts of other groups on whose planes this one's section ends, and at which end of its slot: beyond lies the piece that they bound."""
    rims = [cut.patient(np.asarray(part.exterior.coords)) for part in shapely.get_parts(cut.section) if isinstance(part, shapely.Polygon)]
    found = []
    for other in every:
        if other.group in cut.beside and sum(_on_plane(rim, other) for rim in rims) >= ENDED_MM:
            found.append((other.name, -1 if float(along @ other.normal) < 0.0 else 1))
    return found


def _on_plane(rim: Array, other: PlannedCut) -> Mm:
    """How much of a rim (n, 3) runs along another cut's plane."""
    on = np.abs((rim - other.origin) @ other.normal) < ON_PLANE_MM
    return float(np.linalg.norm(np.diff(rim, axis=0), axis=1)[on[1:] & on[:-1]].sum())
