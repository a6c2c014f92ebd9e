"""What a plan must not let pass: tumour that stays, cuts through tumour or vessels, guides that can't be, whatever limits are given."""

import numpy as np
import pytest
import trimesh
import vtkmodules.util.numpy_support as vtk_numpy
from shapes import ball, block

from psi_cad.api import plan
from psi_cad.errors import CaseError
from psi_cad.report.plan_pictures import write_face_maps
from psi_cad.resection.margins import cut_margin, face_map
from psi_cad.resection.types import start_cuts
from psi_cad.scene.cuts import plan_cuts
from psi_cad.scene.markups import SCHEMA, read_planes
from psi_cad.scene.nearest import Surface
from psi_cad.surface.repair import checked_bone

SOURCE = 'units = "mm"\ncoordinates = "LPS"\n'


def cut(name, origin, normal, extra=""):
    return f'[[cut]]\nname = "{name}"\norigin = {list(map(float, origin))}\nnormal = {list(map(float, normal))}\n{extra}\n'


def guide(approach, extra="", template="osteotomy"):
    return (
        f'[[guide]]\nname = "g"\ntemplate = "{template}"\ncuts = ["A"]\napproach = {list(map(float, approach))}\n'
        f'blade = "generic-25x0.89"\nprinter = "fdm-generic"\n[guide.params]\naxis_search = 0.0\n{extra}\n'
    )


@pytest.fixture
def planned(tmp_path):
    """A plan of a bone, a tumour and structures to avoid, with cuts and guides as TOML: its report, and its checks by name."""

    def run(bone, tumour, text, *, margin=10.0, avoid=None, distance=5.0):
        bone.export(tmp_path / "bone.stl")
        head = f'schema = 1\nid = "c"\nside = "left"\n[bone]\nsurface = "bone.stl"\n{SOURCE}'
        if tumour is not None:
            tumour.export(tmp_path / "tumour.ply")
            head += f'[tumour]\nsurface = "tumour.ply"\nmargin = {margin}\n{SOURCE}'
        if avoid is not None:
            avoid.export(tmp_path / "avoid.stl")
            head += f'[[avoid]]\nname = "artery"\nsurface = "avoid.stl"\ndistance = {distance}\n{SOURCE}'
        (tmp_path / "case.toml").write_text(head + text, "utf-8")
        report = plan(tmp_path / "case.toml")
        return report, {check["id"]: check for check in report["checks"]}

    return run


BONE = (60, 30, 100)


def test_a_second_lesion_is_not_excused_by_a_declared_cut(planned):
    """A goes through one lesion, as declared; the other lies below B and stays."""
    lesions = trimesh.util.concatenate([ball(8, at=(0, 0, 30), fine=3), ball(8, at=(0, 0, -30), fine=3)])
    cuts = cut("A", [0, 0, 30], [0, 0, 1], "planned_positive = true") + cut("B", [0, 0, -5], [0, 0, 1], 'group = "2"')
    report, checks = planned(block(*BONE), lesions, cuts)
    assert report["status"] == "failed" and not checks["tumour_left_behind"]["passed"]
    assert checks["tumour_left_behind"]["value"] == pytest.approx(ball(8, fine=3).volume, rel=1e-3)
    assert "(0, 0, -30)" in checks["tumour_left_behind"]["note"]
    one = ball(8, at=(0, 0, 30), fine=3)
    report, checks = planned(block(*BONE), one, cut("A", [0, 0, 30], [0, 0, 1], "planned_positive = true"))
    assert report["status"] == "passed", "what the declared cut itself leaves was declared"
    assert report["tumour"]["left_in_retained_mm3"] == pytest.approx(one.volume / 2, rel=0.02)


def test_soft_tissue_tumour_on_the_side_that_stays(planned):
    tumour = ball(6, at=(0, 24, 30), fine=3)
    report, checks = planned(block(*BONE), tumour, cut("A", [0, 0, 0], [0, 0, -1]))
    assert report["class"] == "R0" and not checks["tumour_beyond_cuts"]["passed"] and report["status"] == "failed"
    report, checks = planned(block(*BONE), tumour, cut("A", [0, 0, 0], [0, 0, 1]))
    assert checks["tumour_beyond_cuts"]["passed"] and report["status"] == "passed"


def test_nothing_wanted_lets_nothing_be_cut(planned):
    """Wanted margin 0 and wanted distance 0: a cut through tumour or vessel still fails."""
    report, checks = planned(block(*BONE), ball(6, at=(0, 0, 3), fine=3), cut("A", [0, 0, 0], [0, 0, 1]), margin=0.0)
    assert report["class"] == "R2" and not checks["margin_A"]["passed"] and "planned_positive" in checks["margin_A"]["note"]
    vessel = block(4, 4, 60, at=(10, 0, 0), fine=2)
    _, checks = planned(block(*BONE), None, cut("A", [0, 0, 0], [0, 0, 1]), avoid=vessel, distance=0.0)
    assert not checks["avoid_artery_A"]["passed"]


def test_a_vessel_in_a_gap_of_the_bone_is_warned_of(planned):
    """Two plates with a gap between: the blade crosses it on its way to the far cortex."""
    hollow = trimesh.boolean.difference([block(80, 60, 60, fine=0), trimesh.creation.box([60, 30, 100])]).subdivide_to_size(8.0)
    vessel = ball(4, at=(0, 0, 0), fine=2)
    report, checks = planned(hollow, None, cut("A", [0, 20, 0], [0, 0, 1]) + guide([0, 1, 0]), avoid=vessel)
    assert checks["avoid_artery_A"]["value"] == pytest.approx(15 - 5 - 4, abs=0.1), "to the sawn face and its run-out"
    assert any("comes within 0.0 mm of artery" in note for note in report["notes"])
    beside = ball(4, at=(0, 60, 0), fine=2)  # on the surgeon's side: the blade never is where it would meet it
    report, _ = planned(hollow, None, cut("A", [0, 20, 0], [0, 0, 1]) + guide([0, 1, 0]), avoid=beside)
    assert not any("comes within" in note for note in report["notes"])


def test_a_tumour_in_another_frame_is_refused(planned):
    bone, tumour = block(*BONE, at=(100, 60, 0)), ball(6, at=(-100, -60, 20), fine=3)
    with pytest.raises(CaseError, match=r"lies \d+ mm from the bone; the other coordinates"):
        planned(bone, tumour, cut("A", [100, 60, 0], [0, 0, 1]))
    with pytest.raises(CaseError, match="check its frame and units"):
        planned(bone, ball(6, at=(100, 60, 300), fine=3), cut("A", [100, 60, 0], [0, 0, 1]))
    report, _ = planned(bone, ball(6, at=(100, 83, 20), fine=3), cut("A", [100, 60, 0], [0, 0, 1]))
    assert any("touches no bone" in note for note in report["notes"])


def test_a_cut_at_the_end_of_the_bone_frees_nothing(planned):
    with pytest.raises(CaseError, match="frees only 0.18 mm³"):
        planned(block(*BONE), None, cut("A", [0, 0, 49.9999], [0, 0, 1]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (guide([0, 0, 1]), "leans 90° out of the plane of cut 'A'"),
        (guide([0, 1, 0], template="nonsense"), "there is no template 'nonsense'"),
        (guide([0, 1, 0], "hieght = 20.0"), "did you mean 'height'"),
        (guide([0, 1, 0], "height = -50.0"), "10–20 mm"),
    ],
)
def test_guides_that_cannot_be(planned, text, said):
    with pytest.raises(CaseError, match=said):
        planned(block(*BONE), None, cut("A", [0, 0, 0], [0, 0, 1]) + text)


@pytest.mark.parametrize("bounds", [{"max_angle": np.nan}, {"max_angle": -5.0}, {"max_angle": 120.0}, {"max_shift": np.inf}])
def test_bounds_that_are_none(tmp_path, bounds):
    from conftest import CASES

    with pytest.raises(CaseError, match="--max-"):
        plan(CASES / "phantom-type1", optimise=True, **bounds)


def test_landmarks_off_the_bone():
    marks = {"greater-sciatic-notch": np.zeros(3), "psis": np.array([0, 0, 224.0]), "asis": np.array([10, 0, 0.0])}
    with pytest.raises(CaseError, match="landmarks.psis lies 184 mm from the bone"):
        start_cuts("I", marks, checked_bone(block(60, 30, 80), name="b"))


def test_landmarks_that_give_no_direction():
    bone = checked_bone(block(60, 30, 80), name="b")
    for points in ([0, 0, 0], [0, 0, 0], [0, 0, -30]), ([0, 0, 10], [0, 0, 0], [0, 0, -30]):
        marks = dict(zip(("greater-sciatic-notch", "aiis", "acetabulum-centre"), map(np.array, points), strict=True))
        with pytest.raises(CaseError, match="on one place or on one line"):
            start_cuts("II+III", marks, bone)


@pytest.mark.parametrize("markup", [{"controlPoints": ["x"]}, {"controlPoints": {"a": 1}}, {"controlPoints": [[1, 2, 3]]}])
def test_markups_that_are_none(tmp_path, markup):
    import json

    path = tmp_path / "m.mrk.json"
    path.write_text(json.dumps({"@schema": SCHEMA, "markups": [{"type": "Plane", "name": "A", "planeType": "3Points", **markup}]}))
    with pytest.raises(CaseError, match="controlPoints"):
        read_planes(path)
    path.write_text("[" * 200_000)
    with pytest.raises(CaseError, match="no markups file"):
        read_planes(path)


def test_classes_on_the_map_are_never_better_than_they_are(tmp_path):
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    bone = checked_bone(block(60, 30, 80), name="b")
    a = plan_cuts(bone, [("A", np.zeros(3), np.array([0, 0, 1.0]), None)])["A"]

    def classes(tumour):
        write_face_maps(tmp_path / "m.vtp", {"A": face_map(a, None if tumour is None else Surface(tumour))})
        reader = vtkXMLPolyDataReader()
        reader.SetFileName(str(tmp_path / "m.vtp"))
        reader.Update()
        return vtk_numpy.vtk_to_numpy(reader.GetOutput().GetCellData().GetArray("class"))

    assert set(classes(None)) == {-1}
    assert set(classes(ball(10, at=(0, 0, 30)))) == {0}
    close, meeting = ball(10, at=(0, 0, 11.97)), ball(10, at=(0, 0, 9.9))
    assert cut_margin(a, Surface(close)).kind == "R1" and set(classes(close)) == {0, 1}
    assert cut_margin(a, Surface(meeting)).kind == "R2" and set(classes(meeting)) == {0, 1, 2}
