"""How a graft meets its host at a cut: faces in one plane, and the step between their rims."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely

from psi_cad.records.grafts import FaceMet
from psi_cad.registration.rigid import apply
from psi_cad.scene.cuts import PlannedCut
from psi_cad.units import Array, Mm

__all__ = ["face_met", "on_host", "steps"]

EVERY_MM: Final[Mm] = 0.5  # along a rim


def on_host(graft: shapely.Geometry, cut: PlannedCut, patient_from_donor: Array, host: PlannedCut) -> shapely.Geometry:
    """A region of a donor's cut (s, u) in the coordinates (s, u) of the host's."""

    def moved(flat: Array) -> Array:
        return np.asarray((apply(patient_from_donor, cut.patient(flat)) - host.origin) @ host.axes[:2].T)

    return shapely.transform(graft, moved)


def steps(host: shapely.Geometry, graft: shapely.Geometry) -> Array:
    """Distances (n,) from the outer rim of the host's face to that of the graft's, evenly along it, mm."""
    rims = [part.exterior for part in shapely.get_parts(host) if isinstance(part, shapely.Polygon)]
    other = shapely.union_all([part.exterior for part in shapely.get_parts(graft) if isinstance(part, shapely.Polygon)])
    points = [rim.interpolate(np.arange(0.0, rim.length, EVERY_MM)) for rim in rims]
    return np.asarray(shapely.distance(np.concatenate(points), other))


def face_met(name: str, host: shapely.Geometry, graft: shapely.Geometry) -> FaceMet:
    """How two regions of one plane meet."""
    away = steps(host, graft)
    common = float(host.intersection(graft).area)
    return FaceMet(
        cut=name,
        covered=round(common / float(host.area), 4),
        overhang=round(1.0 - common / float(graft.area), 4),
        step_median_mm=round(float(np.median(away)), 4),
        step_p95_mm=round(float(np.quantile(away, 0.95)), 4),
        step_max_mm=round(float(away.max()), 4),
        step_rms_mm=round(float(np.sqrt((away**2).mean())), 4),
    )
