"""Surfaces of a case from scans and label maps: what is kept, what is made again, what is refused."""

import json

import numpy as np
import pytest
import trimesh

from psi_cad.case.load import load_case
from psi_cad.errors import BuildError, CaseError, ImageError
from psi_cad.imaging.image_files import write_image
from psi_cad.intake import sources
from psi_cad.intake.cautions import source_cautions
from psi_cad.intake.sources import avoid_source, bone_source, tumour_source
from psi_cad.phantom.hemipelvis import _gradient, implicit
from psi_cad.phantom.scene import phantom_ct
from psi_cad.records.bones import Bone
from psi_cad.surface.mesh_files import read_surface
from psi_cad.voxels.volume import Volume

LOW, HIGH = (-150.0, -66.0, 46.0), (-40.0, 92.0, 62.0)  # a slab through the wing, which leaves it above and below only
HEAD = 'schema = 1\nid = "slab"\nside = "right"\n'
CT = HEAD + '[bone]\nct = "ct.nii.gz"\nsegment = { seed = [-104.0, -34.0, 52.0] }\n'


@pytest.fixture(scope="module")
def slab() -> Volume:
    return phantom_ct(low=LOW, high=HIGH, spacing=(1.2, 1.2, 1.25))


@pytest.fixture
def folder(tmp_path, slab):
    write_image(tmp_path / "ct.nii.gz", slab)
    return tmp_path


def case(folder, text):
    (folder / "case.toml").write_text(text)
    return load_case(folder, needs=())


def ball_mask(radius=12.0, spacing=(1.0, 1.0, 4.0)):
    """A ball about (5, 0, 0) on a grid about the origin."""
    size = (int(40 / spacing[2]), 40, 40)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = -20.0, -20.0, -18.0
    volume = Volume(np.zeros(size, np.uint8), matrix)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1).reshape(-1, 3)[:, ::-1]
    inside = np.linalg.norm(volume.patient(index) - np.array([5.0, 0.0, 0.0]), axis=1) < radius
    return Volume(np.where(inside, 7, 0).reshape(size).astype(np.uint8), matrix)


@pytest.mark.slow
def test_bone_from_ct_is_kept_and_made_again_when_something_changed(folder, slab):
    said: list[str] = []
    first = bone_source(case(folder, CT), progress=said.append)
    assert any(step.startswith("segment") for step in said)
    points = np.asarray(first.mesh.vertices)
    points = points[((points > np.array(LOW) + 4.0) & (points < np.array(HIGH) - 4.0)).all(axis=1)]
    away = implicit(points) / np.linalg.norm(_gradient(points), axis=1)
    assert len(points) > 1000 and np.abs(away).mean() < 0.15
    assert first.said["segmentation"]["uncertainty_mm"] > 0.0 and not first.said["forced_spacing"]
    body = first.said["segmentation"]["body"]
    assert body["middle_x_mm"] is None and "both sides" in body["why"], "a scan of a slab of bone holds no body"
    told = source_cautions(Bone.model_validate(first.said))
    assert "scan-edge" in {caution.id for caution in told} and not any(caution.id == "coarse-scan" for caution in told)

    said.clear()
    again = bone_source(case(folder, CT), progress=said.append)
    assert said == ["ct: as kept in work/slab/", "bone: as kept in work/slab/"]
    assert np.array_equal(again.mesh.vertices, first.mesh.vertices)

    stl = folder / "work" / "slab" / "bone" / "bone.stl"
    whole = stl.read_bytes()
    stl.write_bytes(whole[:-50] + bytes(50))  # changed by hand: not used
    said.clear()
    bone_source(case(folder, CT), progress=said.append)
    assert said[0] == "ct: as kept in work/slab/" and any(step.startswith("segment") for step in said)
    assert stl.read_bytes() == whole, "the same scan gives the same surface"

    write_image(folder / "ct.nii.gz", Volume(slab.values[:, :, 5:], slab.patient_from_index @ _shift(5)))
    said.clear()
    bone_source(case(folder, CT), progress=said.append)
    assert not any("as kept" in step for step in said)


def _shift(columns):
    matrix = np.eye(4)
    matrix[0, 3] = columns
    return matrix


def test_a_failed_stage_leaves_nothing(folder):
    with pytest.raises(CaseError, match=r"case\.toml: bone\.segment: "):
        bone_source(case(folder, CT.replace("-104.0, -34.0, 52.0", "-60.0, -50.0, 52.0")), progress=lambda _: None)
    assert [path.name for path in (folder / "work" / "slab").iterdir()] == ["ct"]


def test_holes_that_a_case_closes_are_marked_in_its_bone(tmp_path):
    """The same blade twice: only `close_holes` differs, and the stage is made anew."""
    from test_holes import HOLES, SEED, blade

    from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
    from psi_cad.surface.repair import checked_bone

    bone = ScannedBone(blade(HOLES[1:2]), 1.4, cortex=1400.0, marrow=150.0)
    scan = simulated_ct([bone], low=-np.full(3, 28.0), high=np.full(3, 28.0), body=Body(muscle_mm=500.0), noise_sd=15.0)
    write_image(tmp_path / "ct.nii.gz", scan)
    text = CT.replace("-104.0, -34.0, 52.0", ", ".join(f"{v:.2f}" for v in SEED))
    for closing, kinds in (("", []), (", close_holes = 7.0", ["closed hole"])):
        found = bone_source(case(tmp_path, text.replace("] }", f"]{closing} }}")), progress=lambda _: None)
        assert [defect.kind for defect in checked_bone(found.mesh, name="bone").defects] == kinds
        assert [hole["closed"] for hole in found.said["segmentation"]["holes"]] == [bool(kinds)]
        assert ("surface-mended" in {caution.id for caution in source_cautions(Bone.model_validate(found.said))}) == bool(kinds)


def test_a_coarse_scan_is_refused_unless_forced(folder, slab):
    matrix = slab.patient_from_index.copy()
    matrix[:3, 2] *= 3.0
    write_image(folder / "ct.nii.gz", Volume(slab.values[::3], matrix))
    with pytest.raises(CaseError, match=r"bone\.ct: .*force_spacing = true"):
        bone_source(case(folder, CT), progress=lambda _: None)
    forced = bone_source(case(folder, CT.replace("[bone]\n", "[bone]\nforce_spacing = true\n")), progress=lambda _: None)
    assert forced.said["forced_spacing"] is True
    told = source_cautions(Bone.model_validate(forced.said))
    assert "coarse-scan" in {caution.id for caution in told} and any("3.75 mm" in caution.text for caution in told)


def test_bone_and_structures_from_a_label_map(tmp_path):
    mask = ball_mask(spacing=(1.0, 1.0, 1.0))
    write_image(tmp_path / "seg.nrrd", mask)
    text = HEAD + '[bone]\nlabels = "seg.nrrd"\nlabel = 7\n[[avoid]]\nname = "artery"\nlabels = "seg.nrrd"\nlabel = 7\n'
    loaded = case(tmp_path, text)
    for found in (bone_source(loaded, progress=lambda _: None), avoid_source(loaded, loaded.case.avoid[0], number=0, progress=lambda _: None)):
        mesh = trimesh.Trimesh(found.mesh.vertices, found.mesh.faces, process=True)  # an STL repeats its corners
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(4 / 3 * np.pi * 12.0**3, rel=0.02)
        assert [caution.id for caution in source_cautions(Bone.model_validate(found.said))] == ["ready-mask"]
        assert np.asarray(mesh.center_mass) == pytest.approx([5.0, 0.0, 0.0], abs=0.15)
    with pytest.raises(ImageError, match=r"bone\.labels: label '3' is not in the label map"):
        bone_source(case(tmp_path, text.replace("label = 7", "label = 3", 1)), progress=lambda _: None)


def test_two_cases_of_one_folder_keep_their_bones_apart(tmp_path):
    """One after the other, neither is made again; what another run puts in a stage's place meanwhile is never read as one's own."""
    for side, radius in (("left", 12.0), ("right", 6.0)):
        write_image(tmp_path / f"{side}.nrrd", ball_mask(radius=radius, spacing=(1.0, 1.0, 1.0)))
    text = HEAD + '[bone]\nlabels = "left.nrrd"\nlabel = 7\n'
    other = text.replace('"left.nrrd"', '"right.nrrd"')
    for _ in range(2):
        said: list[str] = []
        found = {bone_id: bone_source(case(tmp_path, words.replace('"slab"', f'"{bone_id}"')), progress=said.append).mesh.volume
                 for bone_id, words in (("a", text), ("b", other))}  # fmt: skip
        assert found["a"] > 7.0 * found["b"]
    assert said == ["bone: as kept in work/a/", "bone: as kept in work/b/"]

    def meanwhile(file):
        monkey.undo()
        bone_source(case(tmp_path, other), progress=said.append)  # the same id, other files
        return read_surface(file, units="mm", coordinates="LPS", key="bone")

    monkey = pytest.MonkeyPatch()
    monkey.setattr(sources, "read_surface", lambda file, **_: meanwhile(file))
    with pytest.raises(BuildError, match=r"work/slab/bone: another run changed this stage"):
        bone_source(case(tmp_path, text), progress=said.append)
    assert [path.name for path in (tmp_path / "work" / "slab").iterdir()] == ["bone"]


def test_a_tumour_comes_into_the_frame_of_the_bone(tmp_path):
    """The transform takes CT points to the mask's, so the surface goes the other way."""
    from psi_cad.registration.rigid import write_transform

    write_image(tmp_path / "mri.nrrd", ball_mask())
    turn = trimesh.transformations.rotation_matrix(0.4, [0.0, 0.0, 1.0])
    turn[:3, 3] = 30.0, -10.0, 4.0
    write_transform(tmp_path / "t.tfm", turn, centre=np.zeros(3))
    text = HEAD + '[bone]\nsurface = "b.stl"\nunits = "mm"\ncoordinates = "LPS"\n[tumour]\nlabels = "mri.nrrd"\nlabel = 7\ntransform = "t.tfm"\n'
    found = tumour_source(case(tmp_path, text), progress=lambda _: None)
    wanted = np.linalg.inv(turn) @ np.array([5.0, 0.0, 0.0, 1.0])
    assert np.asarray(found.mesh.center_mass) == pytest.approx(wanted[:3], abs=0.3)
    assert found.said["registration"]["file"] == "t.tfm"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[bone]\nct = "ct"\n', r"bone needs \[bone\.segment\]"),
        ('[bone]\nlabels = "x.nrrd"\n', "bone needs label"),
        ('[bone]\nlabels = "x.nrrd"\nlabel = 1\nsegment = { seed = [0.0, 0.0, 0.0] }\n', "names segment, which belongs to ct"),
        ('[bone]\nct = "ct"\nsegment = { seed = [0.0, 0.0] }\n', "seed must be three numbers"),
        ('[bone]\nct = "ct"\nsegment = { seed = [0.0, 0.0, 0.0], keep_in = "mask.nrrd" }\n', "keep_in, a label file, and keep"),
        ('[bone]\nct = "ct"\nsegment = { seed = [0.0, 0.0, 0.0], cut_here = [[0.0, 0.0]] }\n', "cut_here"),
        ('[bone]\nct = "ct"\nsegment = { sed = [0.0, 0.0, 0.0] }\n', "did you mean 'seed'"),
        (
            '[bone]\nlabels = "x.nrrd"\nlabel = 1\n[tumour]\nlabels = "m.nrrd"\nlabel = 1\nmri = "mri"\n',
            r"tumour\.mri is registered to bone\.ct, which is not given",
        ),
    ],
)
def test_what_belongs_together_is_asked_for(tmp_path, text, sentence):
    with pytest.raises(CaseError, match=sentence):
        case(tmp_path, HEAD + text)


def test_a_missing_scan_is_named(tmp_path):
    with pytest.raises(CaseError, match=r"case\.toml: bone\.ct: 'ct\.nii\.gz' is not there"):
        bone_source(case(tmp_path, CT), progress=lambda _: None)
    assert not (tmp_path / "work").exists()


def test_no_folder_name_goes_into_a_report(tmp_path, slab):
    """A folder of DICOM files is often called after the patient."""
    (tmp_path / "DOE^JANE").mkdir()
    write_image(tmp_path / "DOE^JANE" / "ct.nii.gz", slab)
    found = bone_source(case(tmp_path, CT.replace("ct.nii.gz", "DOE^JANE/ct.nii.gz")), progress=lambda _: None)
    assert "DOE" not in json.dumps(found.said)
    for path in (tmp_path / "work").rglob("*"):
        assert not path.is_file() or b"DOE" not in path.read_bytes(), path
