"""Case files on real bones: all build and pass, the bad mesh is refused by name."""

import functools

import pytest
from conftest import written

import psi_cad
from psi_cad.errors import SurfaceError

BUILDS = ["hip-left-type1", "hip-left-type1-two-cut", "hip-left-type3", "femur-subtrochanteric", "atlas-hip-holes"]
SLIDE = {"hip-left-type3", "femur-subtrochanteric"}  # rami and a shaft: tubes, on which nothing within 40 mm stops a guide


@pytest.fixture(scope="module")
def built(shared_cases, tmp_path_factory):
    """The report of a case by its name, built once."""

    @functools.cache
    def report_of(name):
        settings = ["params.allow_sliding=true"] if name in SLIDE else []
        return psi_cad.build(shared_cases / name / "case.toml", tmp_path_factory.mktemp(name), settings=settings)

    return report_of


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_case_builds_and_passes(name, built):
    report = built(name)
    failed = [(g["name"], c) for g in report["guides"] for c in g["checks"] if not c["passed"]]
    assert failed == []
    for guide in report["guides"]:
        assert (guide["seating"]["sliding_lock"] < 0.12) is (name in SLIDE)
        assert ("slides" in {caution["id"] for caution in guide["cautions"]}) is (name in SLIDE)
        assert guide["seating"]["tried"] == [], "a guide that may slide sits as asked, and the others hold as asked"
    for guide in report["guides"]:
        for slot in guide["slots"]:
            assert slot["height_min_mm"] >= 9.95 and slot["wall_min_mm"] >= 1.99
            assert slot["plane_angle_deg"] <= 0.01 and slot["plane_offset_mm"] <= 0.005
        assert guide["seat"]["overlap_max_mm"] <= 0.05


@pytest.mark.slow
def test_the_chevron_slots_open_into_each_other(built):
    (guide,) = built("hip-left-type1-two-cut")["guides"]
    assert [slot["joined"] for slot in guide["plan"]["slots"]] == [["A2"], ["A1"]]


def test_the_bad_mesh_is_refused_by_name_and_place(shared_cases, tmp_path):
    with pytest.raises(SurfaceError, match=r"LeftHip33_cpd.vtk.*false faces with edges up to 140 mm.*near \("):
        psi_cad.build(shared_cases / "atlas-hip-holes" / "bad-mesh.toml", tmp_path / "out")
    assert written(tmp_path / "out") == {"REFUSED.png"}


def test_repairs_are_reported(shared_cases, tmp_path):
    found = psi_cad.validate(shared_cases / "atlas-hip-holes" / "case.toml")
    kinds = [repair["kind"] for repair in found["bone"]["repairs"]]
    assert "filled hole" in kinds and "duplicate or unused vertices removed" in kinds
