"""Is a scan fine enough for a guide, and does the bone leave the scanned field? Answers as sentences and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.units import Mm
from psi_cad.voxels.volume import Volume

__all__ = ["EdgeContact", "SpacingVerdict", "bone_at_edges", "judge_spacing"]

WARN_ABOVE: Final[Mm] = 1.25
"""Guides are planned on CT of 0.5 to 1 mm; 1.25 mm is the coarsest protocol in that family."""
REFUSE_ABOVE: Final[Mm] = 2.5
"""Thin cortex (about 1 mm) is lost between coarser slices, and the seat would follow an invented surface."""
LEAST_CONTACT: Final = 10.0
"""mm²; smaller patches on a face are noise or a calcified vessel."""
SOFT_FROM: Final = -200
"""HU; fat and all softer tissue of the body lie above it, air, foam and clothes below."""
NEIGHBOURHOOD: Final[Mm] = 4.0
"""How far around a patch of bone soft tissue is looked for."""
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
    """Where bone, at or above `threshold` (HU), touches the faces of the scanned field, largest area first.

    Patches that lie in air are the table or a holder and are left out, unless the whole scan is of a dry specimen. On a volume
    that was straightened from a tilted scan, the faces along the tilt are those of the slices as scanned.
    """
    spacing, direction = volume.spacing, volume.direction
    dry = _is_dry(volume.values, threshold)
    areas: dict[str, float] = {}
    for axis in range(3):
        across = [a for a in range(3) if a != axis]
        pixel = (float(spacing[across[1]]), float(spacing[across[0]]))
        for end in (0, -1):
            outward = direction[:, axis] * (1.0 if end else -1.0)
            main = int(np.argmax(np.abs(outward)))
            face = FACES[main, int(np.sign(outward[main]))]
            area = _bone_area(_face(volume, axis, end), threshold, pixel, dry)
            if area > 0.0:
                areas[face] = areas.get(face, 0.0) + area
    return tuple(EdgeContact(face, round(area, 1)) for face, area in sorted(areas.items(), key=lambda item: -item[1]))


def _is_dry(values: npt.NDArray[Any], threshold: float) -> bool:
    """Whether there is less soft tissue than twice the bone: a specimen or phantom in air. A sample of voxels tells."""
    sample = values[::4, ::4, ::4]
    soft = int(((sample > SOFT_FROM) & (sample < threshold)).sum())
    return soft < 2 * int((sample >= threshold).sum())


def _face(volume: Volume, axis: int, end: int) -> npt.NDArray[Any]:
    """The values of one face (2-d); of a straightened scan, the outermost voxels of each slice as scanned."""
    values = volume.values
    boxes = volume.facts.get("scanned_px")
    if boxes is None or axis == 2 or len(boxes) != values.shape[0]:
        return np.asarray(np.take(values, end, axis=2 - axis))
    first, last = (0, 1) if axis == 0 else (2, 3)
    lines = []
    for plane, box in zip(values, boxes, strict=True):
        at = int(np.ceil(box[first])) if end == 0 else int(np.floor(box[last]))
        lines.append(np.take(plane, min(max(at, 0), plane.shape[1 - axis] - 1), axis=1 - axis))
    return np.stack(lines)


def _bone_area(face: npt.NDArray[Any], threshold: float, pixel: tuple[Mm, Mm], dry: bool) -> float:
    """Area in mm² of the patches of bone that are large enough to count and lie in soft tissue."""
    bone = face >= threshold
    if not bone.any():
        return 0.0
    from scipy.ndimage import binary_dilation, find_objects, label

    parts, _ = label(bone)
    sizes = np.bincount(parts.ravel()) * pixel[0] * pixel[1]
    reach = [max(3, round(NEIGHBOURHOOD / size)) for size in pixel]
    total = 0.0
    for n, box in enumerate(find_objects(parts), 1):
        if sizes[n] < LEAST_CONTACT:
            continue
        wide = tuple(slice(max(0, b.start - r), b.stop + r) for b, r in zip(box, reach, strict=True))
        patch = parts[wide] == n
        # the pixels next to it are blurred with it
        near = binary_dilation(patch, np.ones((3, 3), bool)) | bone[wide]
        around = binary_dilation(patch, np.ones((2 * reach[0] + 1, 2 * reach[1] + 1), bool)) & ~near
        if dry or not around.any() or (face[wide][around] > SOFT_FROM).mean() >= 0.5:
            total += float(sizes[n])
    return total
