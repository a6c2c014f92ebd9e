"""An independent implementation (`bone-cutting-plane-visualization`, MIT; voxels) against the surfaces; skipped where it is not installed."""

import numpy as np
import pytest
from conftest import CASES
from shapes import block, ellipsoid, planned

from psi_cad.case.load import load_case
from psi_cad.intake.prepare import planes_of
from psi_cad.plans.patient import read_patient
from psi_cad.resection.grid import inner_grid
from psi_cad.resection.margins import cut_margin
from psi_cad.scene.nearest import Surface

VOXEL = 1.5


def voxel_margin(oracle, bone, tumour, origin, normal):
    """The greatest safety margin (mm) whose bone the oracle still finds wholly on the specimen's side."""
    step = VOXEL
    low = np.minimum(bone.bounds[0], tumour.bounds[0]) - 2 * step
    shape = np.ceil((np.maximum(bone.bounds[1], tumour.bounds[1]) - low) / step).astype(int) + 3
    labels = np.zeros(shape, dtype=np.int8)
    for mesh, label in ((bone, -1), (tumour, 1)):
        points = inner_grid(mesh, step=step).points
        labels[tuple(np.round((points - low) / step).astype(int).T)] = label
    volume = oracle.LabeledVolume(labels)
    geometry = oracle.VolumeGeometry(spacing=(step, step, step), origin=tuple(low), direction=np.eye(3))
    equation = [*(-step * normal), float(-(low - origin) @ normal)]  # its positive side is what stays
    planes = oracle.SelectedCuttingPlanes(np.array([equation]))
    solved = oracle.classify_regions(volume, planes)
    stays = solved.data <= -1
    least, most = 0.0, 80.0
    while most - least > 0.05:
        middle = (least + most) / 2.0
        danger = oracle.TumorSafetyMarginData.compute(volume, middle, geometry).danger_bone_mask
        least, most = (least, middle) if (danger & stays).any() else (middle, most)
    return least


@pytest.mark.parametrize("which", ["phantom", "hip", "ellipsoid in a block"])
def test_margin_regions_agree_within_a_voxel(which, request):
    oracle = pytest.importorskip("bone_cutting_plane_visualization")
    if which == "ellipsoid in a block":
        tumour, normal = ellipsoid(12, 8, 10, at=(3, 1, 18)), np.array([0.2, 0.1, 1.0]) / np.linalg.norm([0.2, 0.1, 1.0])
        bone, cuts = planned(block(90, 70, 80), [("A", [0, 0, -8], normal)])
        mesh, cut = bone.mesh, cuts["A"]
    else:
        folder = CASES / "phantom-type1" if which == "phantom" else request.getfixturevalue("shared_cases") / "hip-left-type1"
        loaded = load_case(folder)
        patient = read_patient(loaded, progress=lambda _: None)
        _, cuts = planned(patient.models[0].bone.mesh, [(name, *plane) for name, plane in planes_of(loaded).items()])
        mesh, tumour, cut = patient.models[0].bone.mesh, patient.tumour.mesh, cuts["A"]
    ours = cut_margin(cut, Surface(tumour)).to_face.distance
    theirs = voxel_margin(oracle, mesh, tumour, cut.origin, cut.normal)
    assert theirs == pytest.approx(ours, abs=VOXEL), "it measures from voxel centre to voxel centre"
