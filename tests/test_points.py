"""Points of a template's declared space that were made in whole and then failed a check: each is now good, or refused by the name of a parameter."""

import cadquery as cq
import pytest
from conftest import written

import psi_cad
from psi_cad.brep.checked import filled

# a stem in the ilium of another person; on one rim of its sawn face the bone has an edge that no cell of the height field lies on
STEM = """
schema = 1
id = "stem-try"
side = "right"
[bone]
surface = "{bone}"
units = "mm"
coordinates = "LPS"
[landmarks]
asis = [-97.612, -182.161, -655.377]
asis-other-side = [111.016, -182.161, -655.377]
pubic-symphysis = [6.702, -176.568, -744.388]
[[cut]]
name = "A"
origin = [-66.380, -131.959, -684.178]
normal = [0.0, 0.0, -1.0]
[[trajectory]]
name = "S"
entry = [-58.460, -125.652, -684.178]
direction = [0.089, 0.445, 0.891]
depth = 40.0
tool = "generic-reamer-8.0"
implant = "wide-46"
[[guide]]
name = "saw"
template = "osteotomy"
cuts = ["A"]
approach = [-1.0, 0.0, 0.0]
blade = "generic-25x0.89"
printer = "fdm-ultem1010"
[[guide]]
name = "stem"
template = "acetabular"
trajectories = ["S"]
approach = [-1.0, -0.1, -0.7]
printer = "fdm-ultem1010"
"""
WIDE = (
    '{id="wide-46", stem_diameter=8.0, stem_length=40.0, cup_diameter=46.0, cup_offset=26.0, cup_angle=33.0, teeth=24, nominal=true, '
    'reference="made up"}'
)


@pytest.fixture(scope="module")
def case(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("stem") / "case.toml"
    bone = (data / "pelvis_atlas_meshes" / "RightHip14_cpd.vtk").as_posix()
    path.write_text(STEM.format(bone=bone).replace('"wide-46"', WIDE), "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"seat_gap": 0.055},  # a rim of the sawn face reached 0.08 mm into the seat
        {"seat_gap": 0.47},  # a footplate spanned bone that it missed by 0.4 mm
        {"tool_clearance": 5.637, "pin_clearance": 11.32},  # the trial closed a void in itself
    ],
)
def test_a_guide_for_a_stem_is_good_on_its_first_seat(case, tmp_path, values):
    settings = [f"guide.stem.params.{name}={value}" for name, value in values.items()]
    report = psi_cad.build(case, tmp_path, settings=settings)
    (guide,) = [one for one in report["guides"] if one["name"] == "stem"]
    assert [check for check in guide["checks"] if not check["passed"]] == []
    assert not any("failed at" in tried["left"] for tried in guide["seating"]["tried"]), "none was built on another seat before"
    assert not [name for name in written(tmp_path) if "REJECTED" in name]


def test_a_void_that_bodies_close_between_them_is_filled():
    box = cq.Solid.makeBox(20.0, 20.0, 20.0)
    hollow = cq.Workplane(obj=box).cut(cq.Workplane(obj=cq.Solid.makeSphere(5.0, cq.Vector(10.0, 10.0, 10.0)))).val().Solids()[0]
    assert len(hollow.Shells()) == 2 and hollow.Volume() < 7800.0
    whole = filled(hollow)
    assert whole.isValid() and len(whole.Shells()) == 1 and whole.Volume() == pytest.approx(8000.0)
    assert filled(box) is box
