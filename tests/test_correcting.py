"""What a person says of a parting is done where it makes sense, told with its place and area, and refused in one sentence where it does not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from shapes import rounded_box
from strict import strictly

from psi_cad.bones.parting import confirmed, refuse_needless
from psi_cad.bones.segment import report_of, segment_bone, write_segmentation
from psi_cad.errors import CaseError, SegmentationError
from psi_cad.filling.fill import filled
from psi_cad.findings import Caution
from psi_cad.joints.interface import met_again
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.segmentation.correcting import Corrections, Done, corrected
from psi_cad.segmentation.parting import divided
from psi_cad.segmentation.segment import bone_labels
from psi_cad.voxels.volume import Volume


def two_blocks(gap, neck=0.0):
    """Blocks of 26 x 26 x 26 mm, `gap` mm apart about x = 0, grown together over a bridge of `neck` mm in the middle."""
    half = gap / 2.0
    left, right = rounded_box((-26.0 - half, -13.0, -13.0), (-half, 13.0, 13.0)), rounded_box((half, -13.0, -13.0), (26.0 + half, 13.0, 13.0))
    if neck == 0.0:
        bones = [ScannedBone(shape, 1.6, marrow=300.0) for shape in (left, right)]
    else:
        bridge = rounded_box((-6.0, -neck / 2.0, -neck / 2.0), (6.0, neck / 2.0, neck / 2.0))
        bones = [ScannedBone(lambda points: np.minimum(np.minimum(left(points), right(points)), bridge(points)), 1.6, marrow=300.0)]
    return simulated_ct(bones, low=-np.array([32.0, 19.0, 19.0]), high=np.array([32.0, 19.0, 19.0]), body=Body(muscle_mm=500.0), noise_sd=15.0)


@pytest.fixture(scope="module")
def apart():
    return divided(two_blocks(0.8))


@pytest.fixture(scope="module")
def grown_together():
    return divided(two_blocks(1.6, neck=12.0))


def sizes(values):
    return np.bincount(values.ravel())[1:]


def test_a_cut_is_made_where_it_is_asked_for(grown_together):
    seeds = {"a": np.array([[-14.0, 0.0, 0.0]])}
    whole = bone_labels(grown_together, seeds).values
    cut, named, (done,) = corrected(grown_together, Corrections(cut_here=((0.4, 1.0, -0.5),)), seeds)
    found = bone_labels(cut, {**named, "b": np.array([[14.0, 0.0, 0.0]])})
    assert done.kind == "cut-here"
    assert 60.0 < done.area < 200.0  # the bridge is 12 x 12 mm, rounded, less what looks like a seam
    one, other = sizes(found.values)
    assert one == pytest.approx(other, rel=0.03)
    assert one + other == pytest.approx((whole > 0).sum(), rel=0.01)
    assert found.touching == (("a", "b"),)
    border = grown_together.volume.patient(np.argwhere((found.values[:, :, :-1] == 1) & (found.values[:, :, 1:] == 2))[:, ::-1].astype(float))
    assert len(border) and np.abs(border[:, 0]).max() < 2.0
    assert not [caution for caution in found.cautions if caution.id == "segmentation-doubt"]  # both layers were cut alike


@pytest.mark.parametrize(
    ("place", "error", "says"),
    [
        ((0.0, 0.0, 18.0), CaseError, r"--cut-here \(0, 0, 18\) lies \d+ mm outside of bone; the nearest is at"),
        ((-14.0, 0.0, 0.0), SegmentationError, "cannot be cut there"),
    ],
)
def test_a_cut_that_makes_no_sense_is_refused(grown_together, place, error, says):
    with pytest.raises(error, match=says) as told:
        corrected(grown_together, Corrections(cut_here=(place,)), {})
    assert told.value.where is not None


def test_two_parts_are_joined_and_it_is_told(apart):
    seeds = {"a": np.array([[-14.0, 0.0, 0.0]])}
    before = sizes(bone_labels(apart, seeds).values)
    joined, named, (done,) = corrected(apart, Corrections(join=((0.0, 2.0, 2.0),)), seeds)
    found = bone_labels(joined, named)
    assert done.kind == "join" and 300.0 < done.area < 900.0  # they face each other over 24 x 24 mm
    assert min(done.volumes) > 10_000.0
    assert sizes(found.values)[0] == pytest.approx(2.0 * before[0], rel=0.05)
    assert not found.cautions  # the part that had no seed is gone


def test_a_join_within_one_part_is_refused(apart):
    with pytest.raises(CaseError, match="one part already"):
        corrected(apart, Corrections(join=((-14.0, 0.0, 0.0),)), {})


def test_a_needless_cut_is_refused_unless_it_answers_a_doubt(apart):
    _, _, (done,) = corrected(apart, Corrections(cut_here=((0.0, 0.0, 0.0),)), {})
    assert done.kind == "confirmed"
    with pytest.raises(CaseError, match="parted there already"):
        refuse_needless((done,), set())
    others = np.zeros(apart.volume.values.shape, dtype=bool)
    others[apart.volume.values.shape[0] // 2] = True  # another bone beside the place
    doubt = Caution(
        "segmentation-doubt", "The surface of a runs through bone over 142 mm²: there is no softer tissue outside of it.", (0.0, 0.0, 0.0), "no-gap"
    )
    shell = Caution("segmentation-doubt", "The surface of a runs through bone, one might read here.", (0.0, 0.0, 0.0), "shell")  # no words decide it
    left, used = confirmed([doubt, shell], others, apart.volume, (done,))
    assert used == {0}
    assert [caution.id for caution in left] == ["touching-bones", "segmentation-doubt"]
    far = Done("confirmed", (0.0, 0.0, 40.0))
    assert confirmed([doubt], others, apart.volume, (far,)) == ([doubt], set())
    assert confirmed([doubt], np.zeros_like(others), apart.volume, (done,)) == ([doubt], set())


def mask_of(volume, inside):
    index = np.indices(volume.values.shape).reshape(3, -1).T[:, ::-1]
    points = volume.patient(index.astype(float))
    return Volume(inside(points).reshape(volume.values.shape).astype(np.uint8), volume.patient_from_index)


@pytest.mark.parametrize("grow", [-1.5, 0.0, 3.0])
def test_a_painted_mask_is_the_bone_however_roughly_it_is_painted(grown_together, grow):
    """Painted too small or too large: in soft tissue and cortex it does not matter, and in the bridge the cut is straight."""
    mask = mask_of(
        grown_together.volume, lambda points: (rounded_box((-26.8, -13.0, -13.0), (0.0, 13.0, 13.0))(points) < grow) & (points[:, 0] < 0.5)
    )
    kept, named, (done,) = corrected(grown_together, Corrections(keep={"a": mask}), {})
    assert done.kind == "keep-in" and done.name == "a"
    found = bone_labels(kept, named)
    whole = bone_labels(grown_together, {"a": np.array([[-14.0, 0.0, 0.0]])}).values
    assert sizes(found.values)[0] == pytest.approx((whole > 0).sum() / 2.0, rel=0.04)
    places = grown_together.volume.patient(np.argwhere(found.values == 1)[:, ::-1].astype(float))
    assert places[:, 0].max() < 2.5


def test_masks_that_do_not_fit_are_refused(apart):
    mask = mask_of(apart.volume, lambda points: points[:, 0] < 0.0)
    moved = mask.patient_from_index.copy()
    moved[:3, 3] += [100.0, 0.0, 0.0]
    for keep, seeds, says in (
        (replace(mask, patient_from_index=moved), {}, "outside of the scan; was it painted on another one"),
        (replace(mask, values=np.zeros_like(mask.values)), {}, "the mask is empty"),
        (mask_of(apart.volume, lambda points: np.abs(points[:, 2]) > 17.0), {}, "holds 0 mm³ of bone"),
        (mask, {"a": np.array([[14.0, 0.0, 0.0]])}, r"seed of a at \(14, 0, 0\) mm lies outside of the mask"),
    ):
        with pytest.raises(CaseError, match=says):
            corrected(apart, Corrections(keep={"a": keep}), seeds)


def test_corrections_and_parts_without_a_seed_stand_in_report_and_picture(tmp_path, grown_together):
    found = segment_bone(grown_together.volume, {"a": (-14.0, 0.0, 0.0)}, known=grown_together, corrections=Corrections(cut_here=((0.0, 0.0, 0.0),)))
    report = write_segmentation(tmp_path, found).to_json()
    assert strictly("segmentation", report) == []
    (told,) = report["corrections"]
    assert told["kind"] == "cut-here" and told["at_mm"] == [0.0, 0.0, 0.0] and told["text"] in report["notes"]
    assert sorted(told["bones"]) == ["a", "part 2, which has no seed"]
    (loose,) = report["unnamed_parts"]
    assert loose["point_mm"][0] > 5.0
    assert "parts.png" in report["files"]
    from PIL import Image

    picture = np.asarray(Image.open(tmp_path / "parts.png").convert("RGB")).reshape(-1, 3)
    assert (np.ptp(picture.astype(int), axis=1) > 60).mean() > 0.02  # colours over the grey
    assert report_of(found, {}).to_json()["corrections"] == report["corrections"]


def test_a_contact_without_a_seam_is_cut_straight_across():
    """A flood gave a spot of one block's rim to the other; the least cut gives it back, and keeps what is right."""
    labels = np.zeros((24, 24, 40), dtype=np.uint16)
    labels[2:22, 2:22, 2:20], labels[2:22, 2:22, 20:38] = 1, 2
    density = np.full(labels.shape, 800.0)
    spoilt = labels.copy()
    spoilt[9:14, 9:14, 18:20] = 2
    met_again(spoilt, density, size=np.ones(3), reach=5.0, span=1000.0, noise=10.0)
    assert (spoilt == labels).all()
    density[:, :, 22] = 300.0  # a dark sheet a little further on: there the two are apart
    met_again(spoilt, density, size=np.ones(3), reach=5.0, span=1000.0, noise=10.0)
    assert (spoilt[2:22, 2:22, :22] == 1).mean() > 0.88  # of 22 layers two are outside
    assert (spoilt[2:22, 2:22, 23:38] == 2).all()


def test_marrow_stays_where_a_spot_of_cortex_was_given_to_the_neighbour():
    shell = np.zeros((40, 40, 40), dtype=bool)
    shell[5:35, 5:35, 5:35] = True
    shell[7:33, 7:33, 7:33] = False
    spot = np.zeros_like(shell)
    spot[17:23, 17:23, 33:38] = True  # 6 x 6 mm of the shell, and bone of the neighbour beyond
    solid = filled(shell & ~spot, spacing=np.ones(3), others=spot)
    assert solid[7:33, 7:33, 7:33].all()
    assert not (solid & spot).any()
    half = np.zeros_like(shell)
    half[:, :, 30:] = shell[:, :, 30:]  # a neighbour that walls in a good part is no spot
    assert not filled(shell & ~half, spacing=np.ones(3), others=half)[20, 20, 20]


def test_the_command_takes_corrections(run, tmp_path):
    ct = two_blocks(1.6, neck=12.0)
    sitk.WriteImage(ct.to_sitk(), str(tmp_path / "ct.nii.gz"))
    mask = mask_of(ct, lambda points: points[:, 0] < 0.0)
    sitk.WriteImage(sitk.Cast(mask.to_sitk(), sitk.sitkUInt8), str(tmp_path / "mask.nrrd"))
    done = run("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", "--keep-in", tmp_path / "mask.nrrd", "--keep", "a=1", "--json")
    assert done.returncode in (0, 1), done.stderr
    (told,) = json.loads(done.stdout)["corrections"]
    assert told["kind"] == "keep-in" and told["bones"] == ["a"]
    for bad, says in (
        (["--cut-here", "0,0"], "must be x,y,z"),
        (["--keep", "a=1"], "go together"),
        (["--keep-in", tmp_path / "mask.nrrd", "--keep", "a=7"], "label '7' is not in the label map"),
        (["--join", "0,0,18"], "outside of bone"),
    ):
        done = run("segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "bad", *bad)
        assert done.returncode == 2
        assert says in done.stderr


def test_a_case_file_corrects_its_bone_alike(tmp_path):
    from psi_cad.case.model import Segment

    read = Segment.model_validate({"seed": [-14.0, 0.0, 0.0], "cut_here": [[0.0, 1.0, 0.0]], "join": [], "keep_in": "mask.nrrd", "keep": 1})
    assert np.asarray(read.cut_here).tolist() == [[0.0, 1.0, 0.0]] and read.keep_in == "mask.nrrd"
    from psi_cad.case.load import load_case
    from psi_cad.intake.sources import bone_source

    sitk.WriteImage(two_blocks(1.6, neck=12.0).to_sitk(), str(tmp_path / "ct.nii.gz"))
    text = (
        'schema = 1\nid = "blocks"\nside = "left"\n[bone]\nct = "ct.nii.gz"\nsegment = { seed = [-14.0, 0.0, 0.0], cut_here = [[0.0, 1.0, 0.0]] }\n'
    )
    text += '[[cut]]\nname = "A"\norigin = [-14.0, 0.0, 0.0]\nnormal = [1.0, 0.0, 0.0]\n'
    text += '[[guide]]\nname = "g"\ntemplate = "osteotomy"\ncuts = ["A"]\napproach = [0.0, -1.0, 0.0]\nblade = "generic-25x0.89"\nprinter = "fdm-ultem1010"\n'
    (tmp_path / "case.toml").write_text(text, "utf-8")
    found = bone_source(load_case(tmp_path / "case.toml"), progress=lambda _: None)
    (told,) = found.said["segmentation"]["corrections"]
    assert told["kind"] == "cut-here"
    assert found.mesh.bounds[1][0] < 3.0  # the other block is gone
