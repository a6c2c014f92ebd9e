"""Hip bone and sacrum of real people in one frame: segmentations of a narrow joint touch, and are told of, but not refused."""

import itertools

import pytest

from psi_cad.case.load import load_case
from psi_cad.errors import SurfaceError
from psi_cad.intake.bones import APART_MM, TOUCHING_MM, read_bones
from psi_cad.surface.bodies import deepest_overlap
from psi_cad.surface.mesh_files import read_surface

CASE = """schema = 1
id = "joint"
side = "{side}"
[[bone]]
name = "ilium"
surface = "{folder}/{hip}{number}_cpd.vtk"
units = "mm"
coordinates = "LPS"
[[bone]]
name = "sacrum"
surface = "{folder}/Sacrum{number}_cpd.vtk"
units = "mm"
coordinates = "LPS"
side = "midline"
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "side"), list(itertools.product((3, 14, 27, 47), ("left", "right"))))
def test_no_real_joint_is_refused_and_a_deep_one_is_told_of(data, tmp_path, number, side):
    folder = data / "pelvis_atlas_meshes"
    path = tmp_path / "case.toml"
    path.write_text(CASE.format(side=side, folder=folder.as_posix(), hip=f"{side.capitalize()}Hip", number=number), "utf-8")
    found = read_bones(load_case(path, needs=()), progress=lambda step: None)
    ilium, sacrum = (body.bone.mesh for body in found.scene.bodies)
    depth, _ = deepest_overlap(ilium, sacrum)
    assert depth < 0.7 * APART_MM, "four people's joints reach into each other by 0 to 1.2 mm"
    assert [one.id for one in found.cautions] == (["bones-overlap"] if depth > TOUCHING_MM else [])


@pytest.mark.slow
def test_a_sacrum_that_lies_5_mm_beside_its_place_is_refused(data, tmp_path):
    folder = data / "pelvis_atlas_meshes"
    sacrum = read_surface(folder / "Sacrum14_cpd.vtk", units="mm", coordinates="LPS", key="bone")
    sacrum.apply_translation([5.0, 0.0, 0.0])
    sacrum.export(tmp_path / "sacrum.stl")
    text = CASE.format(side="left", folder=folder.as_posix(), hip="LeftHip", number=14)
    path = tmp_path / "case.toml"
    path.write_text(text.replace(f"{folder.as_posix()}/Sacrum14_cpd.vtk", "sacrum.stl"), "utf-8")
    with pytest.raises(SurfaceError, match="bones 'ilium' and 'sacrum' reach into each other by"):
        read_bones(load_case(path, needs=()), progress=lambda step: None)
