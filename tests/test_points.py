"""Points of a template's declared space that were made in whole and then failed a check: each is now good, or refused by the name of a parameter."""

from types import SimpleNamespace

import cadquery as cq
import numpy as np
import pytest
import trimesh
from conftest import CASES, written

import psi_cad
from psi_cad.brep.checked import filled
from psi_cad.errors import DesignError, SurfaceError
from psi_cad.fitting.inserts import place_inserts
from psi_cad.guides.registry import load_template
from psi_cad.siting.pins import UP
from psi_cad.stages.workshop import Workshop
from psi_cad.surface import solids
from psi_cad.surface.solids import printable, solid_of

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
PARTS = """
schema = 1
id = "parts"
side = "left"
[bone]
surface = "{bone}"
units = "mm"
coordinates = "LPS"
[[cut]]
name = "A"
origin = [87.5, -136.0, -686.0]
normal = [0.0, 0.0, 1.0]
[[part]]
name = "{template}"
template = "{template}"
printer = "fdm-generic"
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("spacer", {"relief": 0.11, "hole_diameter": 4.704}),  # rounding had parted a crumb of 0.000002 mm³ from it
        ("mould", {"fit": 2.669, "relief": 0.065, "shrinkage": 0.333, "undercut": 13.15, "wall": 19.292, "key_diameter": 18.062, "key_height": 10.323,
                   "key_clearance": 0.502, "pour": 8.52, "vent_diameter": 1.195}),  # an STL's rounding opened its lower half
    ],
)  # fmt: skip
def test_a_part_of_a_coarse_hip_is_closed_in_its_stl(data, tmp_path, template, values):
    path, bone = tmp_path / "case.toml", (data / "pelvis_atlas_meshes" / "LeftHip14_cpd.vtk").as_posix()
    path.write_text(PARTS.format(bone=bone, template=template), "utf-8")
    report = psi_cad.build(path, tmp_path / "out", settings=[f"part.{template}.params.{name}={value}" for name, value in values.items()])
    (part,) = report["parts"]
    assert [check for check in part["checks"] if not check["passed"]] == []
    for file in (tmp_path / "out").rglob(f"{template}*.stl"):
        mesh = trimesh.load_mesh(file)
        mesh.merge_vertices()
        assert mesh.is_watertight and mesh.body_count == 1


def test_a_bushing_too_thin_to_print_is_refused_before_any_guide_is_built_and_on_no_other_seat():
    template = load_template("acetabular", where="here")
    way = SimpleNamespace(tool=SimpleNamespace(diameter=6.0))
    site = SimpleNamespace(ways=(way,), printer=SimpleNamespace(hole_compensation=0.0, minimum_wall=1.0))
    with pytest.raises(
        DesignError, match=r"params\.guide_wire = 5 leaves 0\.4 mm of wall in a bushing for the sleeve, and the printer needs 1;"
    ) as caught:
        template.lay_out(site, template.Params(guide_wire=5.0), Workshop())
    assert caught.value.anywhere


def test_an_insert_without_a_shoulder_is_refused_on_no_other_seat():
    pins = [SimpleNamespace(centre=(0.0, 0.0), out=UP)]
    with pytest.raises(DesignError, match="it has no shoulder to stand on") as caught:
        place_inserts(pins, None, diameter=3.495, length=6.0, fit=0.0, compensation=0.0, bore=3.378, wall=2.0, top=10.0)
    assert caught.value.anywhere


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["insert_diameter=3.5", "wire_diameter=3.3"], "insert_diameter"),
        (["insert_diameter=4.0", "insert_length=9.5"], "insert_length"),
        (["relief_depth=1.2", "footplate_thickness=2.5"], "relief_depth"),
    ],
)
def test_what_goes_together_on_no_bone_is_refused_before_a_seat_is_looked_for(settings, named, monkeypatch):
    def none(*_given, **_named):
        raise AssertionError("a seat was looked for")

    monkeypatch.setattr("psi_cad.intake.siting.make_site", none)
    with pytest.raises(DesignError, match=rf"params\.{named} = "):
        psi_cad.validate(CASES / "phantom-type1", settings=[f"params.{one}" for one in settings])


def test_crumbs_are_no_part_of_what_is_printed():
    box, crumb = trimesh.creation.box((10.0, 10.0, 10.0)), trimesh.creation.box((0.05, 0.05, 0.05))
    crumb.apply_translation((20.0, 0.0, 0.0))
    both = trimesh.util.concatenate([box, crumb])
    found = printable(solid_of(both, name="both", key="part"))
    assert found.body_count == 1 and found.is_watertight and found.volume == pytest.approx(1000.0)


def test_what_an_stl_would_open_is_tried_again_from_what_was_left(monkeypatch):
    tried = []

    def closed(mesh):
        tried.append(len(mesh.faces))
        return len(tried) == 4

    monkeypatch.setattr(solids, "_closed_in_stl", closed)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=20.0)
    found = printable(solid_of(ball, name="ball", key="part"))
    assert len(tried) == 4 and found.is_watertight and found.volume == pytest.approx(ball.volume, rel=1e-3)


@pytest.mark.parametrize("wide", [1.0, 2.0])
def test_corners_at_one_place_are_drawn_apart_though_they_look_the_same_way(wide):
    """Two pyramids with one tip: the same normal and, of the same width, the same faces round it."""
    base = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    faces = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [0, 2, 1], [0, 3, 2]])
    one, two = (trimesh.Trimesh(np.vstack([np.column_stack([w * base, -z * np.ones(4)]), np.zeros(3)]) + 700.0, faces, process=False)
                for w, z in ((1.0, 5.0), (wide, 5.0 * wide + 1.0)))  # fmt: skip
    both = trimesh.util.concatenate([one, two])
    both = trimesh.Trimesh(both.vertices, both.faces, process=False)
    assert len(np.unique(np.asarray(both.vertices, dtype=np.float32), axis=0)) == 9
    apart = solids._unpinched(both)
    assert len(np.unique(np.asarray(apart.vertices, dtype=np.float32), axis=0)) == 10
    assert np.abs(np.asarray(apart.vertices) - both.vertices).max() <= 2.0 * solids.PINCH_MM + 1e-9


def test_what_is_no_solid_any_more_is_left_to_fail_where_its_file_is_measured(monkeypatch):
    ball = solid_of(trimesh.creation.icosphere(subdivisions=2, radius=20.0), name="ball", key="part")

    def none(*_given, **_named):
        raise SurfaceError("part: 'a part' bounds no solid.")

    monkeypatch.setattr(solids, "_closed_in_stl", lambda _mesh: False)
    monkeypatch.setattr(solids, "solid_of", none)
    assert len(printable(ball).faces) > 0


def test_a_void_that_bodies_close_between_them_is_filled():
    box = cq.Solid.makeBox(20.0, 20.0, 20.0)
    hollow = cq.Workplane(obj=box).cut(cq.Workplane(obj=cq.Solid.makeSphere(5.0, cq.Vector(10.0, 10.0, 10.0)))).val().Solids()[0]
    assert len(hollow.Shells()) == 2 and hollow.Volume() < 7800.0
    whole = filled(hollow)
    assert whole.isValid() and len(whole.Shells()) == 1 and whole.Volume() == pytest.approx(8000.0)
    assert filled(box) is box
