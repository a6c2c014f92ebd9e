"""Plausibility of a bone of a named kind: what it looks like, its size, its mesh where it is cut, cropped ends; the body's middle in a scan."""

import numpy as np
import pytest
import trimesh
from conftest import CASES
from shapes import ellipsoid

from psi_cad.anatomy.kinds import ANATOMIES, flat_ends, length_of
from psi_cad.anatomy.side import verdict_of
from psi_cad.case.load import load_case
from psi_cad.errors import CaseError
from psi_cad.imaging.midline import body_middle
from psi_cad.intake.anatomy import checked_anatomy, cut_cautions
from psi_cad.phantom.femur import references
from psi_cad.scene.cuts import plan_cuts
from psi_cad.surface.repair import checked_bone
from psi_cad.voxels.volume import Volume


@pytest.fixture
def case(tmp_path):
    def make(anatomy):
        path = tmp_path / "case.toml"
        path.write_text(f'schema = 1\nid = "c"\nside = "right"\n[bone]\nsurface = "b.stl"\nunits = "mm"\ncoordinates = "LPS"\n{anatomy}\n', "utf-8")
        return load_case(path, needs=())

    return make


@pytest.fixture(scope="module")
def phantom():
    return checked_bone(trimesh.load_mesh(CASES / "phantom" / "bone.stl"), name="bone")


def look(bone):
    return verdict_of(bone.mesh, references())


def shaft(low=-150.0, high=150.0, radius=14.0, fine=False):
    """A tube along z, closed flat."""
    mesh = trimesh.creation.cylinder(radius, high - low, sections=256 if fine else 64)
    mesh.apply_translation([0, 0, (low + high) / 2])
    return mesh


def test_every_kind_has_ranges_and_a_reference():
    for known in ANATOMIES.values():
        assert 0 < known.length[0] < known.length[1] and 0 < known.volume[0] < known.volume[1] and len(known.reference) > 20


def test_the_phantom_is_a_plausible_hip_and_nothing_else(case, phantom):
    said, cautions = checked_anatomy(case('anatomy = "hip"'), phantom, look(phantom))
    assert cautions == () and said.volume_cm3 == pytest.approx(315, abs=5) and said.ends == []
    assert checked_anatomy(case(""), phantom, look(phantom)) == (None, ())
    for other in ("femur", "sacrum"):
        with pytest.raises(CaseError, match=f'bone.anatomy = "{other}", but the bone looks like a hip bone: the socket at'):
            checked_anatomy(case(f'anatomy = "{other}"'), phantom, look(phantom))


def test_a_bone_too_large_is_refused_and_a_small_one_told(case):
    giant = checked_bone(ellipsoid(50, 60, 160), name="bone")
    with pytest.raises(CaseError, match="320 mm long, and hip bones have 115 to 275; check bone.units"):
        checked_anatomy(case('anatomy = "hip"'), giant, look(giant))
    fat = checked_bone(ellipsoid(80, 80, 90), name="bone")
    with pytest.raises(CaseError, match=r"24\d\d cm³ in volume"):
        checked_anatomy(case('anatomy = "hip"'), fat, look(fat))
    small = checked_bone(ellipsoid(20, 20, 40), name="bone")
    _, cautions = checked_anatomy(case('anatomy = "femur"'), small, look(small))
    assert [caution.id for caution in cautions] == ["anatomy-odd"] and "80 mm long" in cautions[0].text


def test_length_does_not_depend_on_how_the_bone_lies():
    rod = shaft()
    turned = rod.copy()
    turned.apply_transform(trimesh.transformations.rotation_matrix(0.7, [0.3, -0.5, 0.8]))
    assert length_of(rod) == pytest.approx(300, abs=0.1)
    assert length_of(turned) == pytest.approx(300, abs=0.1)


def test_flat_ends_are_a_scans_edge_and_nothing_round(phantom):
    low, high = sorted(flat_ends(shaft(fine=True)), key=lambda end: end.middle[2])
    assert low.middle == pytest.approx([0, 0, -150], abs=0.01) and high.middle == pytest.approx([0, 0, 150], abs=0.01)
    assert high.area == pytest.approx(np.pi * 14**2, rel=0.01)
    assert flat_ends(phantom.mesh) == []
    assert flat_ends(ellipsoid(30, 40, 60)) == []
    lying = trimesh.creation.capsule(height=200, radius=14, count=[64, 64])
    lying.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    assert flat_ends(lying) == [], "a shaft that lies along an axis is a long narrow strip there, not an end"


@pytest.mark.parametrize(("height", "expected"), [(0.0, []), (140.0, ["cropped-end-near"]), (-135.0, ["cropped-end-near"])])
def test_a_cut_near_a_cropped_end_is_told(case, height, expected):
    bone = checked_bone(shaft().subdivide_to_size(0.9 * 12), name="bone")
    cuts = plan_cuts(bone, [("A", np.array([0, 0, height]), np.array([0.0, 0.0, 1.0]), None)])
    found = cut_cautions(case('anatomy = "femur"'), bone, cuts.values())
    assert [caution.id for caution in found if caution.id != "coarse-mesh"] == expected
    if expected:
        near = next(caution for caution in found if caution.id == "cropped-end-near")
        assert f"within {150 - abs(height):.0f} mm" in near.text and near.where[2] == pytest.approx(height, abs=0.1)
    assert cut_cautions(case(""), bone, cuts.values()) == ()


@pytest.mark.parametrize("anatomy", ["", 'anatomy = "femur"'])
def test_a_cut_into_a_cropped_end_has_to_be_accepted_by_name(case, anatomy):
    rod = shaft(fine=True)
    rod.update_faces(rod.triangles_center[:, 2] < 149.9)  # open, and closed flat by psi-cad
    bone = checked_bone(rod, name="bone")
    cuts = plan_cuts(bone, [("A", np.array([0, 0, 145.0]), np.array([0.6, 0.0, 0.8]), None)])
    (told,) = [caution for caution in cut_cautions(case(anatomy), bone, cuts.values()) if caution.id == "cropped-end-near"]
    assert "cut A runs into the flat end where the scan was cropped, near" in told.text and told.blocks_release
    assert told.where[2] == pytest.approx(150, abs=1.0)


def test_a_mesh_is_measured_where_it_is_cut(case):
    bone = checked_bone(trimesh.util.concatenate([ellipsoid(20, 20, 25, fine=5), ellipsoid(20, 20, 25, at=(0, 0, 100), fine=3)]), name="bone")
    planes = [(name, np.array([0, 0, z]), np.array([0.0, 0.0, 1.0]), None) for name, z in (("fine", 0.0), ("coarse", 100.0))]
    found = cut_cautions(case('anatomy = "femur"'), bone, plan_cuts(bone, planes).values())
    assert [caution.text.split(" at cut ")[1].split(":")[0] for caution in found if caution.id == "coarse-mesh"] == ["coarse"]


def scan(shape, low, high, step=4.0):
    """A scan in which `shape` (points (n, 3) to bool) is soft tissue in air."""
    axes = [np.arange(a, b + step / 2, step) for a, b in zip(low, high, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = shape(np.stack([x, y, z], axis=-1).reshape(-1, 3)).reshape(x.shape)
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = low
    return Volume(np.where(inside, 40, -1000).astype(np.int16).transpose(2, 1, 0), matrix)


def trunk(points, x=-20.0):
    body = ((points[:, 0] - x) / 170) ** 2 + (points[:, 1] / 110) ** 2 < 1
    return body | ((np.abs(points[:, 1] - 130) < 9) & (np.abs(points[:, 0] - 60) < 250))  # on a table that is not centred


def test_the_middle_of_a_body():
    found = body_middle(scan(trunk, [-240, -160, 0], [240, 160, 80]), low=0, high=80)
    assert found.x == pytest.approx(-20, abs=4) and found.width == pytest.approx(340, abs=8)


def test_a_field_that_cuts_the_body_off_tells_nothing():
    found = body_middle(scan(trunk, [-140, -160, 0], [240, 160, 80]), low=0, high=80)
    assert found.x is None and "both sides" in found.why


def test_thighs_count_together_and_one_leg_does_not():
    def leg(points, x):
        return ((points[:, 0] - x) / 75) ** 2 + (points[:, 1] / 75) ** 2 < 1

    both = body_middle(scan(lambda p: leg(p, -100) | leg(p, 90), [-240, -120, 0], [240, 120, 80]), low=0, high=80)
    assert both.x == pytest.approx(-5, abs=4)
    one = body_middle(scan(lambda p: leg(p, 90), [-40, -120, 0], [240, 120, 80]), low=0, high=80)
    assert one.x is None and "no trunk" in one.why
