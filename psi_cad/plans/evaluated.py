"""A plan with everything that was found of it, as its report and the geometry behind that."""

from __future__ import annotations

from dataclasses import dataclass, field

import trimesh

from psi_cad.findings import Caution
from psi_cad.plans.shares import Share
from psi_cad.plans.slots import Slot
from psi_cad.plans.tumour_in import TumourIn
from psi_cad.records.plan import PlanReport
from psi_cad.resection.margins import CutMargin
from psi_cad.resection.pieces import Resection
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.nearest import Nearest
from psi_cad.units import Mm

__all__ = ["Evaluated"]


@dataclass(frozen=True)
class Evaluated:
    """A plan with everything that was found of it; `report` is what is told of it.

    `faces`: the cuts as the faces that the saw leaves on the specimen. `healthy_removed`: healthy bone (mm³) that the patient loses,
    in the specimen and as dust. `shares`: the part of each bone, in their order. `run_outs`: how far the saw runs past bone at each cut, mm.
    """

    cuts: dict[str, PlannedCut]
    faces: dict[str, PlannedCut]
    margins: dict[str, CutMargin]
    through: dict[str, Nearest | None]
    slots: tuple[Slot, ...]
    resection: Resection
    specimen: trimesh.Trimesh
    retained: trimesh.Trimesh
    healthy_removed: float
    tumour_in: TumourIn | None
    report: PlanReport
    cautions: tuple[Caution, ...] = ()
    shares: tuple[Share, ...] = ()
    run_outs: dict[str, Mm] = field(default_factory=dict)
