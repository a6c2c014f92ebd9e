"""What a segmentation is: its bones with their surfaces, what is known of them, and what its report says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

import trimesh

from psi_cad import __version__
from psi_cad.bones.accuracy import Accuracy, coarse_scan, said_of
from psi_cad.bones.parting import Parting
from psi_cad.extraction.holes import Hole
from psi_cad.extraction.refine import SurfaceFit
from psi_cad.findings import Caution, by_weight
from psi_cad.imaging.metal import Metal
from psi_cad.records.segmentation import CorrectionSaid, FitSaid, HoleSaid, LoosePart, MetalSaid, SegmentationReport, SegmentedSaid, SegmentedScan
from psi_cad.records.shared import cautions_said
from psi_cad.units import Array, Ints
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.volume import Volume

__all__ = ["DOUBT", "REJECTED", "Segmentation", "SegmentedBone", "report_of"]

SCHEMA: Final = 1
DOUBT: Final = "segmentation-doubt"
REJECTED: Final = "_REJECTED"


@dataclass(frozen=True)
class SegmentedBone:
    """One bone: its name and label number, closed surface in patient mm, how it was fitted (None: a ready mask), and cautions.

    `holes` through it (none are looked for in a ready mask); `patch` (n faces,): the number of the closed hole that a face covers, 0 elsewhere;
    `accuracy`: what may be said of it.
    """

    name: str
    number: int
    mesh: trimesh.Trimesh
    fit: SurfaceFit | None
    cautions: tuple[Caution, ...] = ()
    holes: tuple[Hole, ...] = ()
    patch: Ints | None = None
    accuracy: Accuracy = field(default=Accuracy(None))

    @property
    def notes(self) -> tuple[str, ...]:
        """The cautions' sentences."""
        return tuple(caution.text for caution in self.cautions)


@dataclass(frozen=True)
class Segmentation:
    """Bones of one scan, the label map (numbers uint8, on its own grid), levels, metal, notes, and cautions of the whole scan.

    `touching`: pairs of names of bones that touch and were parted.
    """

    scan: Volume
    labels: Volume
    bones: tuple[SegmentedBone, ...]
    levels: TissueLevels | None
    metal: tuple[Metal, ...]
    notes: tuple[str, ...]
    cautions: tuple[Caution, ...] = ()
    touching: tuple[tuple[str, str], ...] = ()
    parting: Parting | None = None

    @property
    def doubts(self) -> tuple[Caution, ...]:
        """Why the whole, or a bone of it, must not be used; empty if nothing speaks against it."""
        told = (*self.cautions, *(caution for bone in self.bones for caution in bone.cautions))
        return tuple(caution for caution in told if caution.id == DOUBT)


def report_of(found: Segmentation, files: Mapping[str, str]) -> SegmentationReport:
    """The report of a segmentation; `files`: SHA-256 of each file beside it, by its name."""
    volume, parting = found.scan, found.parting
    return SegmentationReport(
        psi_cad_segmentation=SCHEMA,
        version=__version__,
        scan=SegmentedScan(
            size=[int(n) for n in volume.values.shape[::-1]],
            spacing_mm=[round(float(v), 6) for v in volume.spacing],
            refuse_guide=volume.facts.get("refuse_guide"),
            too_coarse=coarse_scan(volume),
        ),
        levels_hu=None if found.levels is None else {k: round(v, 1) for k, v in asdict(found.levels).items()},
        bones=[_bone_said(bone) for bone in found.bones],
        metal=[
            MetalSaid(volume_mm3=round(m.volume, 1), centre_mm=_round(m.centre), low_mm=_round(m.low), high_mm=_round(m.high)) for m in found.metal
        ],
        cautions=cautions_said(by_weight(found.cautions)),
        rejected=bool(found.doubts),
        corrections=[] if parting is None else [CorrectionSaid.model_validate(one) for one in parting.corrections],
        unnamed_parts=[]
        if parting is None
        else [LoosePart(number=number, point_mm=list(place), cortex_mm3=round(size, 0)) for number, place, size in parting.loose],
        notes=list(found.notes),
        files=dict(files),
    )


def _bone_said(bone: SegmentedBone) -> SegmentedSaid:
    return SegmentedSaid(
        name=bone.name,
        label=bone.number,
        volume_mm3=round(float(bone.mesh.volume), 1),
        area_mm2=round(float(bone.mesh.area), 1),
        closed=bool(bone.mesh.is_watertight),
        triangles=len(bone.mesh.faces),
        low_mm=_round(bone.mesh.bounds[0]),
        high_mm=_round(bone.mesh.bounds[1]),
        **said_of(bone.accuracy),
        surface=None if bone.fit is None else _fit_said(bone.fit),
        holes=[HoleSaid.model_validate(hole.to_json()) for hole in bone.holes],
        patched_faces=0 if bone.patch is None else int((bone.patch > 0).sum()),
        rejected=any(caution.id == DOUBT for caution in bone.cautions),
        cautions=cautions_said(by_weight(bone.cautions)),
        notes=list(bone.notes),
    )


def _fit_said(fit: SurfaceFit) -> FitSaid:
    return FitSaid(
        blur_in_plane_mm=round(fit.sigma[0], 3),
        own_blur_in_plane_mm=round(fit.own_sigma, 3),
        blur_along_k_mm=round(fit.sigma[1], 3),
        cortex_hu=round(fit.cortex, 0),
        half_way_hu=round(fit.level, 0),
        thin_cortex_shift_median_mm=round(fit.shift[0], 3),
        thin_cortex_shift_95_mm=round(fit.shift[1], 3),
        noise_mm=round(fit.random, 3),
        scatter_mm=round(fit.residual, 3),
        without_edge=round(fit.unsure, 4),
        unfolded_points=fit.unfolded,
    )


def _round(point: Array) -> list[float]:
    return [round(float(v), 2) for v in point]
