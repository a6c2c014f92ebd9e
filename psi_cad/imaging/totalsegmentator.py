"""TotalSegmentator's numbers for bones near a pelvis, and a run of it where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from psi_cad.errors import EnvironmentProblem, SegmentationError
from psi_cad.units import Array
from psi_cad.voxels.volume import Volume

__all__ = ["BONES", "proposed_seeds"]

BONES: Final = {
    "sacrum": 25, "vertebra-s1": 26, "vertebra-l5": 27, "vertebra-l4": 28,
    "humerus-left": 69, "humerus-right": 70, "scapula-left": 71, "scapula-right": 72,
    "femur-left": 75, "femur-right": 76, "hip-left": 77, "hip-right": 78,
}  # fmt: skip
"""Label numbers of the task 'total' of TotalSegmentator 2 (its class map `total`, 117 classes)."""
_THEIRS: Final = {25: "sacrum", 26: "vertebrae_S1", 27: "vertebrae_L5", 28: "vertebrae_L4", 69: "humerus_left", 70: "humerus_right",
                  71: "scapula_left", 72: "scapula_right", 75: "femur_left", 76: "femur_right", 77: "hip_left", 78: "hip_right"}  # fmt: skip
_LEAST_VOXELS: Final = 50


def proposed_seeds(volume: Volume, names: Sequence[str] = ("sacrum", "femur-left", "femur-right", "hip-left", "hip-right")) -> dict[str, Array]:
    """One seed per bone, patient mm, from a run of TotalSegmentator: the voxel deepest inside of each label.

    Its surfaces are not used: its network works at 1.5 mm, and the cortex is found in the scan itself.

    Raises
    ------
    EnvironmentProblem
        If it is not installed, or its run fails.
    SegmentationError
        If it finds none of the bones.
    """
    if importlib.util.find_spec("totalsegmentator") is None:
        raise EnvironmentProblem("TotalSegmentator is not installed; install psi-cad[totalsegmentator], or give a seed per bone with --bone.")
    import SimpleITK as sitk  # noqa: N813

    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "ct.nii.gz", Path(folder) / "labels.nii.gz"
        sitk.WriteImage(volume.to_sitk(), str(given))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                from totalsegmentator.python_api import totalsegmentator

                totalsegmentator(given, made, ml=True, roi_subset=[_THEIRS[BONES[name]] for name in names], quiet=True)
        except Exception as error:  # a program of others with a network and a model of its own
            raise EnvironmentProblem(f"TotalSegmentator did not finish ({type(error).__name__}); run it by itself to see why.") from error
        labels = Volume.from_sitk(sitk.ReadImage(str(made)))
    return seeds_of_labels(labels, {name: BONES[name] for name in names})


def seeds_of_labels(labels: Volume, numbers: dict[str, int]) -> dict[str, Array]:
    """The deepest voxel (3,) in patient mm of each label that is there.

    Raises
    ------
    SegmentationError
        If none is.
    """
    from scipy import ndimage

    seeds = {}
    for name, number in numbers.items():
        mask = labels.values == number
        if mask.sum() < _LEAST_VOXELS:
            continue
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=labels.spacing[::-1])[1:-1, 1:-1, 1:-1]
        k, j, i = np.unravel_index(int(np.argmax(depth)), depth.shape)
        corner = np.array([s.start for s in box][::-1], dtype=np.float64)
        seeds[name] = labels.patient((np.array([i, j, k]) + corner)[None])[0]
    if not seeds:
        raise SegmentationError("The label map holds none of the bones that were looked for.")
    return seeds
