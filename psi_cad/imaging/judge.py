"""Is a scan fine enough for a guide, and does the bone leave the scanned field? Answers as sentences and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.imaging.volume import Volume
from psi_cad.units import Bools, Mm

__all__ = ["EdgeContact", "SpacingVerdict", "bone_at_edges", "judge_spacing"]

WARN_ABOVE: Final[Mm] = 1.25
"""Guides are planned on CT of 0.5 to 1 mm; 1.25 mm is the coarsest protocol in that family."""
REFUSE_ABOVE: Final[Mm] = 2.5
"""Thin cortex (about 1 mm) is lost between coarser slices, and the seat would follow an invented surface."""
LEAST_CONTACT: Final = 10.0
"""mm²; smaller patches on a face are noise or a calcified vessel."""
FACES: Final = {(0, 1): "left", (0, -1): "right", (1, 1): "posterior", (1, -1): "anterior", (2, 1): "superior", (2, -1): "inferior"}


@dataclass(frozen=True)
class SpacingVerdict:
    """The coarsest voxel edge or slice step in mm, and what follows from it."""

    largest: Mm
    warning: str | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class EdgeContact:
    """Bone that touches a face of the volume: the patient's side it lies on, and how much."""

    face: str
    area: float
    """mm²."""

    @property
    def sentence(self) -> str:
        """For a note."""
        return f"Bone touches the {self.face} edge of the scan over {self.area:.0f} mm²: it goes on beyond what was scanned."


def judge_spacing(volume: Volume) -> SpacingVerdict:
    """Whether guides may be built on `volume`; MRI has no limit, since bone is not taken from it.

    Counts the slice steps as they were found (`facts["largest_step_mm"]`), not those after resampling.
    """
    stated = volume.facts.get("largest_step_mm") or 0.0
    largest = max(float(volume.spacing.max()), float(stated))
    if volume.facts.get("modality") == "MR" or largest <= WARN_ABOVE + 1e-3:
        return SpacingVerdict(largest)
    if largest <= REFUSE_ABOVE + 1e-3:
        return SpacingVerdict(
            largest, warning=f"Slices or voxels are {largest:.2f} mm apart, above {WARN_ABOVE:g} mm: the bone's surface is less certain."
        )
    return SpacingVerdict(
        largest,
        refusal=f"Slices or voxels are {largest:.2f} mm apart, above {REFUSE_ABOVE:g} mm: too coarse for a guide, scan at 1 mm or finer.",
    )


def bone_at_edges(volume: Volume, threshold: float) -> tuple[EdgeContact, ...]:
    """Where values at or above `threshold` (HU) touch the faces of the scanned field, largest area first.

    On a volume that was straightened from a tilted scan, the faces along the tilt are those of the slices as scanned.
    """
    bone = volume.values >= threshold
    spacing, direction = volume.spacing, volume.direction
    areas: dict[str, float] = {}
    for axis in range(3):
        across = [a for a in range(3) if a != axis]
        each = float(spacing[across[0]] * spacing[across[1]])
        for end in (0, -1):
            outward = direction[:, axis] * (1.0 if end else -1.0)
            main = int(np.argmax(np.abs(outward)))
            face = FACES[main, int(np.sign(outward[main]))]
            area = _patches(_face(bone, axis, end, volume), each)
            if area > 0.0:
                areas[face] = areas.get(face, 0.0) + area
    return tuple(EdgeContact(face, round(area, 1)) for face, area in sorted(areas.items(), key=lambda item: -item[1]))


def _face(bone: Bools, axis: int, end: int, volume: Volume) -> Bools:
    """The voxels of one face (2-d); of a straightened scan, the outermost voxels of each slice as scanned."""
    boxes = volume.facts.get("scanned_px")
    if boxes is None or axis == 2 or len(boxes) != bone.shape[0]:
        return np.asarray(np.take(bone, end, axis=2 - axis))
    first, last = (0, 1) if axis == 0 else (2, 3)
    lines = []
    for plane, box in zip(bone, boxes, strict=True):
        at = int(np.ceil(box[first])) if end == 0 else int(np.floor(box[last]))
        lines.append(np.take(plane, min(max(at, 0), plane.shape[1 - axis] - 1), axis=1 - axis))
    return np.stack(lines)


def _patches(face: Bools, each: float) -> float:
    """Area in mm² of the patches that are large enough to count."""
    if not face.any():
        return 0.0
    from scipy.ndimage import label

    parts, _ = label(face)
    sizes = np.bincount(parts.ravel())[1:] * each
    return float(sizes[sizes >= LEAST_CONTACT].sum())
