"""Nothing wrong passes quietly: each objection to a bone is raised on a planted fault, with its place, and a right bone raises none."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import trimesh
from scipy import ndimage

import psi_cad.bones.segment as room
from psi_cad.bones.segment import segment_bone, write_segmentation
from psi_cad.errors import CaseError
from psi_cad.extraction.plausible import border_of, hollow, mere_shell, off_bone, other_blur, through_bone
from psi_cad.findings import Caution
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.voxels.levels import TissueLevels, tissue_levels
from psi_cad.voxels.volume import Volume


def ball(centre, radius):
    return lambda points: np.linalg.norm(np.asarray(points) - centre, axis=1) - radius


@pytest.fixture(scope="module")
def ct() -> Volume:
    bone = ScannedBone(ball((0.0, 0.0, 0.0), 11.0), 1.6, marrow=300.0)
    return simulated_ct([bone], low=-np.full(3, 17.0), high=np.full(3, 17.0), body=Body(muscle_mm=500.0), noise_sd=15.0)


def sphere(radius, centre=(0.0, 0.0, 0.0)):
    return trimesh.creation.icosphere(subdivisions=4, radius=radius).apply_translation(centre)


def test_the_true_surface_raises_no_objection(ct):
    assert through_bone(border_of(sphere(11.0), ct, tissue_levels(ct))) is None
    assert mere_shell(sphere(11.0)) is None


@pytest.mark.parametrize("radius", [6.0, 8.0])
def test_a_surface_within_bone_is_seen(ct, radius):
    """Within the marrow, and close to its border."""
    found = through_bone(border_of(sphere(radius), ct, tissue_levels(ct)))
    assert found is not None
    assert float(found.text.split(" over ")[1].split()[0]) == pytest.approx(4.0 * np.pi * radius**2, rel=0.02)
    assert np.linalg.norm(found.where) == pytest.approx(radius, abs=0.1)


def test_a_surface_cut_through_marrow_is_seen_at_the_cut(ct):
    half = sphere(11.0).slice_plane([2.0, 0.0, 0.0], [-1.0, 0.0, 0.0], cap=True, engine="manifold").subdivide_to_size(1.0)
    found = through_bone(border_of(half, ct, tissue_levels(ct)))
    assert found is not None
    assert found.where == pytest.approx((2.0, 0.0, 0.0), abs=1.0)


def test_a_void_is_seen_but_a_foramen_and_a_groove_are_not():
    k, j, i = np.indices((30, 30, 30)) - 15
    radius = np.sqrt(k**2 + j**2 + i**2)
    volume = Volume(np.zeros((30, 30, 30), np.int16), np.diag([2.0, 1.0, 1.0, 1.0]))
    found = hollow((radius < 12) & (radius > 6), volume)
    assert found is not None and "15 %" in found.text and found.reason == "void"
    assert found.where == pytest.approx((30.0, 15.0, 15.0), abs=2.0)
    plate = (np.abs(k) < 4) & (radius < 14)
    assert hollow(plate & (np.hypot(j, i) > 6), volume) is None
    assert hollow(plate & ~((np.abs(k) < 2) & (i > 0)), volume) is None


def test_a_shell_is_seen_but_a_thin_blade_is_not():
    outer, inner = sphere(11.0), sphere(9.4)
    inner.invert()
    found = mere_shell(trimesh.util.concatenate([outer, inner]))
    assert found is not None and "1.6 mm" in found.text
    assert mere_shell(trimesh.creation.box((40.0, 40.0, 2.2))) is None


def test_a_bone_with_more_blur_than_the_rest_of_its_scan_is_seen():
    found = other_blur(0.71, 0.54)
    assert found is not None and "0.71 mm" in found.text and "0.54 mm" in found.text and found.reason == "other-blur"
    assert other_blur(0.40, 0.54) is not None  # the scan's blur, which its surface was found with, moves it inwards then
    assert other_blur(0.50, 0.54) is None and other_blur(0.60, 0.54) is None
    assert other_blur(0.71, None) is None


@pytest.mark.parametrize(("away", "passes"), [(0.9, True), (5.0, False)])
def test_a_seed_may_miss_by_a_millimetre_only(ct, away, passes):
    seed = {"head": (11.0 + away, 0.0, 0.0)}
    if passes:
        assert not segment_bone(ct, seed).doubts
        return
    with pytest.raises(CaseError, match=r"5\.\d mm outside of bone; .* nearest is at \(1") as told:
        segment_bone(ct, seed)
    assert told.value.exit_code == 2
    assert told.value.where == pytest.approx((11.0, 0.0, 0.0), abs=0.8)


def test_a_doubted_bone_is_written_as_rejected(ct, tmp_path):
    found = segment_bone(ct, {"head": (0.0, 0.0, 0.0)})
    assert not found.doubts
    write_segmentation(tmp_path, found)
    (bone,) = found.bones
    doubted = replace(found, bones=(replace(bone, cautions=(Caution("segmentation-doubt", "The surface of head is a guess.", (11.0, 0.0, 0.0)),)),))
    report = write_segmentation(tmp_path, doubted)
    assert report.rejected and report.bones[0].rejected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head_REJECTED.png", "head_REJECTED.stl", "labels.nii.gz", "parts.png", "report.json"]
    report = write_segmentation(tmp_path, found)
    assert not report.rejected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.png", "head.stl", "labels.nii.gz", "parts.png", "report.json"]


def test_the_command_ends_with_1(ct, tmp_path, monkeypatch, capsys):
    """In this process, so that a fault can be planted: the marrow alone, as a wrong parting leaves it."""
    import typer.main

    from psi_cad.cli.main import app

    sitk.WriteImage(ct.to_sitk(), str(tmp_path / "ct.nii.gz"))
    made = room.bone_surface
    monkeypatch.setattr(
        room,
        "bone_surface",
        lambda *args, **rest: replace(made(*args, **rest), mesh=sphere(8.0), holes=(), patch=np.zeros(len(sphere(8.0).faces), int)),
    )
    command = typer.main.get_command(app)
    asked = ["segment", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path / "out"), "--bone", "head=0,0,0"]
    assert command.main(asked, standalone_mode=False) == 1
    said = capsys.readouterr().out
    assert "head_REJECTED.stl" in said and "segmentation-doubt" in said and "Rejected" in said
    assert not (tmp_path / "out" / "head.stl").exists()
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["rejected"]


@pytest.mark.parametrize(("opening", "told"), [(0.0, False), (4.0, False), (8.0, True)])
def test_a_surface_that_closes_an_opening_runs_through_soft_tissue(opening, told):
    """A hollow ball of bone with an opening (half an angle of its rim, mm from its middle); the surface goes over it."""
    k, j, i = np.indices((61, 61, 61)) - 30.0
    radius, aside = np.sqrt(k**2 + j**2 + i**2) * 0.7, np.hypot(j, i) * 0.7
    hu = np.where((radius < 14.0) & (radius > 12.0) & ~((aside < opening) & (k > 0)), 1200.0, 50.0)
    volume = Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), np.diag([0.7, 0.7, 0.7, 1.0]))
    levels = TissueLevels(soft=50.0, bone=1200.0, noise=10.0, threshold=280.0)
    ball = sphere(14.0)
    ball.apply_translation([21.0, 21.0, 21.0])
    border = border_of(ball, volume, levels)
    found = off_bone(border)
    assert (found is not None) is told
    assert not told or (not found.settled and found.reason == "no-bone" and np.allclose(found.where, (21.0, 21.0, 35.0), atol=2.0))
    over = ball.triangles_center[:, 2] > 21.0
    assert off_bone(border, over) is None  # closed on request
    assert not border_of(ball, Volume(volume.values[:45], volume.patient_from_index), levels).bare.any()
