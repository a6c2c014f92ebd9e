"""Another bone of the case in a guide, over it or beside it, as it is measured from the files."""

import json
import shutil

import numpy as np
import pytest
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.files import sha256_of
from psi_cad.inspection.measure import measure_folder
from psi_cad.promises.expected import Expected
from psi_cad.verify import neighbours

STEM = "supra-acetabular_generic-25x0.89"


def frame_in(guide):
    return Expected.from_json(guide["plan"]).frame


def beside(folder, shape):
    """What is measured of the guide of a built case once `shape` (guide frame) is another bone of the case: the checks by id, and the rest."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    guide = report["guides"][0]
    shape.apply_transform(frame_in(guide).patient_from_frame)
    shape.export(folder / "bone-other.stl")
    used = {"used": "bone-other.stl", "used_sha256": sha256_of(folder / "bone-other.stl")}
    report["bones"] = [{"name": "own", **report["bone"]}, {**report["bone"], "name": "other", **used}]
    guide["bone"] = "own"
    (folder / "report.json").write_text(json.dumps(report))
    (found,) = measure_folder(folder, progress=lambda step: None)["guides"]
    return {check["id"]: check for check in found["checks"]}, found


BESIDE = {-1.0: {"other_bone_overlap", "other_bone_pull_off"}, 5.0: {"other_bone_pull_off"}, None: set()}
BESIDE_OFTEN = {(-1.0, True)}  # in every run; the others are slow


@pytest.mark.parametrize(
    ("lifted", "failed", "solid"),
    [
        pytest.param(lifted, failed, solid, marks=() if (lifted, solid) in BESIDE_OFTEN else pytest.mark.slow)
        for lifted, failed in BESIDE.items()
        for solid in (True, False)
    ],
)
def test_another_bone_in_the_guide_or_over_it_fails(phantom_out, tmp_path, monkeypatch, lifted, failed, solid):
    """A block whose lower side lies 1 mm below the guide's highest point, one 5 mm above it, and one 3 mm beside the guide."""
    if not solid:  # a real bone's surface may bound no sound solid: then points are measured

        def none(mesh, *, name, key):
            raise SurfaceError(f"{key}: '{name}' bounds no solid.")

        monkeypatch.setattr(neighbours, "solid_of", none)
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    guide = json.loads((here / "report.json").read_text("utf-8"))["guides"][0]
    points = frame_in(guide).local(np.asarray(trimesh.load_mesh(here / f"{STEM}.stl").vertices))
    top = points[points[:, 2].argmax()]
    if lifted is None:
        low = np.array([points[:, 0].min(), points[:, 1].max() + 3.0, points[:, 2].min()])
        block = trimesh.creation.box(bounds=[low, np.add(low, (np.ptp(points[:, 0]), 20.0, 60.0))])
    else:
        block = trimesh.creation.box(bounds=[np.add(top, (-4.0, -4.0, lifted)), np.add(top, (4.0, 4.0, lifted + 20.0))])
    checks, found = beside(here, block)
    assert {name for name, check in checks.items() if not check["passed"]} == failed
    overlap, caught = checks["other_bone_overlap"], checks["other_bone_pull_off"]
    (said,) = found["other_bones"]
    if lifted is None:
        assert overlap["value"] == caught["value"] == 0.0 and said["gap_mm"] == pytest.approx(3.0, abs=0.01)
        assert "other, 3.0 mm away" in overlap["note"]
        return
    place = frame_in(guide).local(np.array(caught["where"]))
    assert np.abs(place[:2] - top[:2]).max() <= 4.0 and caught["value"] > lifted + 1.0 and "other in the way" in caught["note"]
    if lifted > 0.0:
        assert said["gap_mm"] == pytest.approx(lifted, abs=0.05) and overlap["value"] == 0.0
    else:
        assert overlap["value"] == pytest.approx(-lifted, abs=0.02) and overlap["note"] == "into other"
        assert np.linalg.norm(frame_in(guide).local(np.array(overlap["where"])) - top) <= 4.0 * np.sqrt(2.0) + 1.0


def test_a_guide_of_a_bone_that_the_case_has_no_more_is_not_measured(phantom_out, tmp_path):
    here = tmp_path / "case"
    shutil.copytree(phantom_out, here)
    report = json.loads((here / "report.json").read_text("utf-8"))
    report["bones"], report["guides"][0]["bone"] = [{"name": "own", **report["bone"]}], "gone"
    (here / "report.json").write_text(json.dumps(report))
    (found,) = measure_folder(here, progress=lambda step: None)["guides"]
    assert found["status"] == "failed" and "built on another bone" in found["why"]
