"""The phantom's scans: DICOM that others can read, the truth beside them, and the way from scans to tumour."""

import json

import numpy as np
import pydicom
import pytest
import trimesh
from conftest import CASES

from psi_cad.imaging.scan_files import read_volume
from psi_cad.phantom import scans
from psi_cad.phantom.hemipelvis import implicit, lesion_distance, lesion_mesh
from psi_cad.registration.rigid import apply, distance, inverse, read_transform

COARSE = (1.4, 1.4, 2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scans with a CT that shows no more than that it is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "bone_mesh", lambda **_: trimesh.load_mesh(CASES / "phantom" / "bone.stl"))
        return coarsely(tmp_path_factory.mktemp("scans"), (8.0, 8.0, 8.0), 8.0)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """The scans with a coarser CT, which is enough to see where things lie."""
    return coarsely(tmp_path_factory.mktemp("seen"), COARSE, 2.0)


def coarsely(out, spacing, step):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "CT_SPACING", spacing)
        patch.setattr(scans, "_STEP", step)
        scans.write_scans(out)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The scans as the demo has them."""
    out = tmp_path_factory.mktemp("whole")
    scans.write_scans(out)
    return out


@pytest.mark.slow
def test_the_ct_shows_the_bone_where_it_is(seen):
    ct = read_volume(seen / "ct", kind="ct")
    np.testing.assert_allclose(ct.spacing, COARSE, atol=1e-6)
    bone = trimesh.load_mesh(seen / "truth" / "bone.stl")
    pick = bone.triangles_center[::40]
    assert np.abs(implicit(pick)).mean() < 0.05
    just_inside = ct.sampled(pick - 0.8 * bone.face_normals[::40])
    outside = ct.sampled(pick + 2.5 * bone.face_normals[::40])
    assert np.nanmedian(just_inside) > 500 and np.nanmedian(outside) < 300


def test_the_mri_lies_where_the_true_transform_says(folder):
    mri = read_volume(folder / "mri", kind="mr")
    np.testing.assert_allclose(mri.spacing, scans.MRI_SPACING, atol=1e-5)
    truth = read_transform(folder / "truth" / "ct_to_mri.tfm")
    np.testing.assert_allclose(truth, scans.MRI_FROM_CT, atol=1e-6)
    lesion = np.array([-108.0, 0, 96])
    here, mirrored = mri.sampled(apply(truth, lesion[None])), mri.sampled(apply(inverse(truth), lesion[None]))
    assert abs(here[0] - scans.MRI_TUMOUR) < 120 and here[0] != mirrored[0]
    tumour = scans.mri_tumour_mask()
    back = apply(inverse(truth), tumour.patient(np.argwhere(tumour.values)[:, ::-1]))
    assert np.percentile(lesion_distance(back), 99) < 1.0


def test_headers_are_plain_and_made_up(folder):
    first = pydicom.dcmread(sorted((folder / "mri").iterdir())[0])
    assert first.PatientName == "PHANTOM" and first.PatientBirthDate == ""
    assert first.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert all(str(uid).startswith("2.25.") and len(uid) <= 64 for uid in (first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID))
    other = pydicom.dcmread(sorted((folder / "ct").iterdir())[0])
    assert other.FrameOfReferenceUID != first.FrameOfReferenceUID and other.RescaleIntercept == -1024


def test_the_same_volume_makes_the_same_bytes(tmp_path):
    mask = scans.mri_tumour_mask()
    for name in ("a", "b"):
        scans.write_dicom(tmp_path / name, mask, modality="MR")
    ours, theirs = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [f.read_bytes() for f in ours] == [f.read_bytes() for f in theirs]


@pytest.mark.slow
def test_from_scans_to_the_tumour_in_the_ct(whole, run):
    """Bar: 0.5 mm mean target error on the tumour."""
    folder = whole
    np.testing.assert_allclose(read_volume(folder / "ct", kind="ct").spacing, scans.CT_SPACING, atol=1e-6)
    out = folder / "found.tfm"
    done = run("register", "--fixed", folder / "ct", "--moving", folder / "mri", "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["checks"]["agreeing"] >= 3 and report == json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert distance(read_transform(out), scans.MRI_FROM_CT, at=lesion_mesh(subdivisions=3).vertices).mean() <= 0.5
    stl = folder / "tumour.stl"
    made = run("tumour", "--labels", folder / "mri_tumour.nrrd", "--transform", out, "-o", stl, "--json")
    assert made.returncode == 0, made.stderr
    surface = trimesh.load_mesh(stl)
    assert np.abs(lesion_distance(np.asarray(surface.vertices))).mean() < 0.5
    assert json.loads(made.stdout)["diameters_mm"][0] == pytest.approx(51.0, abs=4.0)  # two balls of 15 and 11 mm, 26 mm apart
    text = json.dumps(report) + stl.with_suffix(".json").read_text("utf-8")
    assert "PHANTOM" not in text and "2.25." not in text, "nothing of the headers comes through"


def test_wrong_input_is_one_sentence(folder, run, tmp_path):
    wrong = run("register", "--fixed", folder / "ct", "--moving", folder / "mri", "-o", tmp_path / "t.tfm", "--start", tmp_path / "none.tfm")
    assert wrong.returncode == 2 and "There is no transform 'none.tfm'" in wrong.stderr and "Traceback" not in wrong.stderr
    assert not list(tmp_path.iterdir())
