"""Where a surface was cropped: seen by its shape, smoothed or not, wherever it points; and what only looks like it."""

import numpy as np
import pytest
import trimesh
from scipy import ndimage
from skimage.measure import marching_cubes

from psi_cad.surface.ends import cropped_ends
from psi_cad.surface.repair import checked_bone

STEP = 0.8


def grown(inside, half, *, sigma):
    """The surface of `inside` (a function of x, y, z in mm) within a box of `half` (mm), as from a mask that was blurred by `sigma` mm."""
    axes = [np.arange(-size, size + STEP, STEP) for size in half]
    mask = inside(*np.meshgrid(*axes, indexing="ij"))
    vertices, faces, *_ = marching_cubes(ndimage.gaussian_filter(np.pad(mask, 3).astype(np.float32), sigma / STEP), 0.5)
    mesh = trimesh.Trimesh((vertices - 3) * STEP - np.array(half), faces[:, ::-1])
    if mesh.volume < 0.0:
        mesh.invert()
    return mesh


def shaft(x, y, z):
    """A bent, oval shaft that widens, closed round at its foot."""
    bent = x - 0.002 * z * z
    radius = 12.0 + 0.05 * z
    return ((bent / radius) ** 2 + (y / (0.8 * radius)) ** 2 < 1.0) & (bent**2 + y**2 + np.minimum(z + 35.0, 0.0) ** 2 < radius**2)


@pytest.mark.parametrize("sigma", [0.8, 1.6])
@pytest.mark.parametrize("towards", [(0.0, 0.0, 1.0), (0.3, -0.2, 0.93)])
def test_the_end_of_a_scan_is_seen_and_its_rim_is_no_bone_either(sigma, towards):
    normal = np.array(towards) / np.linalg.norm(towards)
    mesh = grown(lambda x, y, z: shaft(x, y, z) & (x * normal[0] + y * normal[1] + z * normal[2] < 30.0), (30, 30, 60), sigma=sigma)
    (end,) = cropped_ends(mesh)
    faces = np.zeros(len(mesh.faces), dtype=bool)
    faces[end] = True
    level = mesh.triangles_center @ normal
    on = (level > 29.0) & (mesh.face_normals @ normal > 0.9)
    assert on.sum() > 200 and faces[on].all()
    assert level[faces].min() > 30.0 - 4.5 and (mesh.face_normals[faces] @ normal).min() > 0.3
    bone = checked_bone(mesh, name="b")
    (defect,) = [one for one in bone.defects if one.kind == "cropped end"]
    assert defect.is_end and bone.made_up.sum() == len(end) and np.abs(defect.rim @ normal - 30.0).max() < 4.5


WHOLE = {
    "a shaft closed round": lambda x, y, z: shaft(x, y, z) & (x**2 + y**2 + np.maximum(z - 20.0, 0.0) ** 2 < 18.0**2),
    "a ball": lambda x, y, z: x**2 + y**2 + z**2 < 25.0**2,
    "a flat ellipsoid": lambda x, y, z: (x / 28.0) ** 2 + (y / 28.0) ** 2 + (z / 8.0) ** 2 < 1.0,
    "a dish": lambda x, y, z: (x**2 + y**2 < 26.0**2) & (np.abs(z - (x**2 + y**2) / 120.0) < 5.0),
}


@pytest.mark.parametrize("shape", WHOLE)
@pytest.mark.parametrize("sigma", [0.8, 1.6])
def test_what_is_whole_has_no_such_end(shape, sigma):
    assert cropped_ends(grown(WHOLE[shape], (30, 30, 60), sigma=sigma)) == []


def test_the_faces_of_a_block_are_its_own():
    block = trimesh.creation.box((40, 30, 100))
    for _ in range(4):
        block = block.subdivide()
    assert cropped_ends(block) == []


def test_a_tube_without_round_ends_has_two():
    tube = trimesh.creation.cylinder(14.0, 90.0, sections=96).subdivide_to_size(3.0)
    ends = cropped_ends(tube)
    assert sorted(round(float(np.sign(tube.triangles_center[end][:, 2].mean()))) for end in ends) == [-1, 1]
    assert all(tube.area_faces[end].sum() == pytest.approx(np.pi * 14.0**2, rel=0.01) for end in ends)


def test_it_does_not_depend_on_where_the_bone_lies():
    mesh = grown(lambda x, y, z: shaft(x, y, z) & (z < 30.0), (30, 30, 60), sigma=0.8)
    area = mesh.area_faces[cropped_ends(mesh)[0]].sum()
    mesh.apply_transform(trimesh.transformations.rotation_matrix(1.1, [0.3, -0.5, 0.8]))
    (end,) = cropped_ends(mesh)
    assert mesh.area_faces[end].sum() == pytest.approx(area, rel=0.03)
