"""Spacers and moulds: they fill what the saw leaves, go in and come out, and each promise can fail."""

import json
import re
import shutil

import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from shapes import ball, block, planned
from test_validators import volume_by_admesh

import psi_cad
from psi_cad import api
from psi_cad.errors import DesignError
from psi_cad.guides.registry import load_body
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import plan_job
from psi_cad.models.defect import Filler, fillers, way_out
from psi_cad.models.parting import drawn_along, parted, turned
from psi_cad.parts.contract import BodySite
from psi_cad.parts.measured import OWN
from psi_cad.readback.printed import Printed
from psi_cad.scene.kerf import Kerf
from psi_cad.stages.workshop import Workshop
from psi_cad.surface.solids import joined, mesh_of, solid_of
from psi_cad.verify.features.flat import Flat, checks, measure

CASE = CASES / "phantom-spacer"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return built_once(tmp_path_factory, "spacer", lambda folder: psi_cad.build(CASE, folder)) / "phantom-spacer"


@pytest.fixture(scope="module")
def site():
    return plan_job(load(CASE), blades=[], progress=lambda step: None).parts[0].site


def solid(mesh):
    return solid_of(mesh, name="a part", key="part")


def read(path):
    found = trimesh.load_mesh(path)
    found.merge_vertices()
    return found


def bar(site, planes, kerf=Kerf(), groups=None):
    """A bar of 120 x 40 x 60 mm with these cuts."""
    bone, cuts = planned(block(120, 40, 60), planes, groups=groups)
    return BodySite(None, bone.mesh, cuts, dict.fromkeys(cuts, kerf), dict.fromkeys(cuts, 5.0), site.printer, site.label)


def made(name, where, **params):
    template = load_body(name, where="here")
    return template.build(where, template.Params(**params), Workshop())


def test_the_example_passes_and_its_spacer_stands_off_by_the_fit(out, site):
    report = json.loads((out / "report.json").read_text("utf-8"))
    trial, cast = report["parts"]
    assert trial["status"] == cast["status"] == "passed" and api.measure(out)["status"] == "passed"
    assert trial["notes"] == [
        "face A of spacer lies 0.50 mm from the sawn bone; towards the specimen from the planned plane: sawn bone +0.00 mm (no kerf known), face +0.50 mm",
        "spacer goes in towards feet, along (0.0, -0.148, -0.989) LPS",
    ]
    walls = [one for part in cast["parts"] for one in part["features"] if one["name"] == "cavity A"]
    assert walls and sum(one["area_mm2"] for one in walls) == pytest.approx(1768.0, rel=0.03), "the mould's own face is measured, too"
    cut, mesh = site.cuts["A"], read(out / "trial_fdm-generic.stl")
    heights = (np.asarray(mesh.vertices) - cut.origin) @ cut.normal
    assert heights.min() == pytest.approx(0.5, abs=1e-3), "no guide takes the cut, so the saw takes nothing"
    assert mesh.is_watertight and mesh.body_count == 1
    assert {part["name"]: part["label"] for part in cast["parts"]} == {
        "": ["phantom-spacer R", "cast"],
        "lower": ["phantom-spacer R", "cast", "lower"],
    }
    assert "kerf-unknown" in {caution["id"] for caution in trial["cautions"]} & {caution["id"] for caution in cast["cautions"]}


def test_a_part_of_a_changed_case_does_not_have_the_letters_of_the_case_s_own():
    def label(*settings):
        job = plan_job(load(CASE, settings=list(settings)), blades=[], progress=lambda step: None, only_part="trial")
        return job.parts[0].site.label, job.parts[0].job

    moved = [label(one) for one in ("cut.A.origin=[-96.0, -8.0, 57.0]", "part.trial.params.fit=0.6")]
    own, other = label(), label("part.cast.params.fit=0.6")
    assert own == other and own[0][:2] == ("phantom-spacer R", "trial") and len({own, *moved}) == 3
    assert all(re.fullmatch("set-[0-9a-f]{6}", one[0][2]) for one in moved)


@pytest.mark.parametrize("side", ["centre", "specimen", "retained"])
def test_a_face_lies_the_fit_from_where_the_saw_leaves_bone(site, side):
    kerf = Kerf(side, 1.2)
    (filler,) = fillers(bar(site, [("A", [20, 0, 0], [1, 0, 0])], kerf), 0.3, 0.0)
    low = {"centre": -0.6, "specimen": 0.0, "retained": -1.2}[side]
    assert np.asarray(mesh_of(filler.solid).vertices)[:, 0].min() == pytest.approx(20.0 + low + 0.3, abs=1e-6)
    assert float(filler.solid.volume()) == pytest.approx((60.0 - (20.0 + low + 0.3)) * 40.0 * 60.0, rel=1e-6)
    assert [face.cut.name for face in filler.faces] == ["A"]


def test_two_faces_that_look_at_each_other_let_it_in_from_the_side(site):
    where = bar(site, [("A", [-20, 0, 0], [1, 0, 0]), ("B", [20, 0, 0], [-1, 0, 0])])
    design = made("spacer", where, holes=1)
    (part,) = design.parts
    assert part.shape.volume == pytest.approx(39.0 * 40 * 60 - 2 * np.pi * 1.75**2 * 15.0, rel=2e-3)  # letters besides
    assert [feature.name for feature in part.features] == ["face A", "face B", "hole A 1", "hole B 1"]
    (note,) = [one for one in design.notes if "goes in" in one]
    way = np.array([float(v) for v in note[note.index("(") + 1 : note.index(")")].split(",")])
    assert abs(way[0]) < 1e-9


def test_each_specimen_has_a_spacer(site):
    where = bar(site, [("A", [-30, 0, 0], [-1, 0, 0]), ("B", [20, 0, 0], [1, 0, 0])], groups={"A": "1", "B": "2"})
    assert [part.name for part in made("spacer", where).parts] == ["", "piece-2"]
    with pytest.raises(DesignError, match="A mould is for one specimen, and the cuts free 2"):
        made("mould", where)


def dovetail(undercut):
    """A body in a closed pocket that is wider at its floor, and what is round it: manifold solids; the normals from the pocket's faces inward."""
    import manifold3d

    outline = [(-8.0 - undercut, 0.0), (8.0 + undercut, 0.0), (8.0, 20.0), (-8.0, 20.0)]
    body = manifold3d.Manifold.extrude(manifold3d.CrossSection([outline]), 30.0).rotate((90.0, 0.0, 0.0))
    around = manifold3d.Manifold.cube((80.0, 80.0, 30.0)).translate((-40.0, -55.0, -10.0))
    left, right = np.array([20.0, 0.0, -undercut]), np.array([-20.0, 0.0, -undercut])
    normals = [left / np.linalg.norm(left), right / np.linalg.norm(right), *np.array([[0, 1, 0], [0, -1, 0], [0, 0, 1.0]])]
    return body, around - body, normals


def test_the_way_out_is_found_or_there_is_none():
    body, around, normals = dovetail(-1.0)  # narrower at its floor
    np.testing.assert_allclose(way_out(body, normals, [around]), [0.0, 0.0, 1.0], atol=1e-6)
    body, around, normals = dovetail(2.0)
    assert way_out(body, normals, [around]) is None, "the pocket is closed at its ends"
    np.testing.assert_allclose(np.abs(way_out(body, [*normals[:2], normals[-1]], [])), [0.0, 1.0, 0.0], atol=1e-6)


def pocket(site, undercut):
    """A block with a pocket in its top, 20 mm deep and wider at its floor."""
    leaning = [("L", [-8, 0, 30], [20, 0, -undercut]), ("R", [8, 0, 30], [-20, 0, -undercut])]
    upright = [("N", [0, 15, 30], [0, -1, 0]), ("S", [0, -15, 30], [0, 1, 0]), ("F", [0, 0, 10], [0, 0, 1])]
    bone, cuts = planned(
        block(120, 80, 60), [(name, origin, np.array(normal) / np.linalg.norm(normal)) for name, origin, normal in leaning + upright]
    )
    return BodySite(None, bone.mesh, cuts, dict.fromkeys(cuts, Kerf()), dict.fromkeys(cuts, 5.0), site.printer, site.label)


@pytest.mark.slow
def test_a_spacer_in_two_goes_in_one_after_the_other(site):
    where = pocket(site, 2.0)
    design = made("spacer", where, fit=0.2)
    assert [part.name for part in design.parts] == ["", "half-2"]
    going = [note for note in design.notes if "goes in" in note]
    first, second = (solid(part.shape) for part in design.parts)
    ways = [np.array([float(v) for v in note[note.index("(") + 1 : note.index(")")].split(",")]) for note in going]
    (stays,) = where.left.retained
    for step in (1.0, 5.0, 15.0, 40.0):
        assert float((first.translate(tuple(-step * ways[0])) ^ stays).volume()) < 1.0
        assert float((second.translate(tuple(-step * ways[1])) ^ joined([stays, first])).volume()) < 1.0
    assert float((first ^ second).volume()) == 0.0
    with pytest.raises(DesignError, match="split = false"):
        made("spacer", where, fit=0.2, split=False)


def test_what_is_less_than_asked_is_told(site):
    where = bar(site, [("A", [20, 0, 0], [1, 0, 0])])
    texts = [caution.text for caution in made("spacer", where, holes=4, hole_diameter=10.0, hole_depth=60.0, shell=8.0).cautions]
    assert "face A of spacer has 0 of 4 holes: no room for more" in texts


@pytest.mark.parametrize("name", ["spacer", "mould"])
def test_check_refuses_what_is_made_of_cuts_where_there_is_none(tmp_path, run, name):
    text = (CASE / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    part = f'[[part]]\nname = "it"\ntemplate = "{name}"\nprinter = "fdm-generic"\n'
    (tmp_path / "case.toml").write_text(text[: text.index("[[cut]]")] + part, "utf-8")
    said = run("check", tmp_path)
    assert (
        said.returncode == 2
        and f"part[0].template: '{name}' is made of the planned cuts on its bone, and there is none; add a [[cut]]" in said.stderr
    )


@pytest.mark.parametrize(("off", "found"), [(0.0, True), (0.1, False), (3.0, False)])
def test_a_flat_face_off_its_place_fails(out, tmp_path, off, found):
    shutil.copytree(out, tmp_path / "out")
    report = json.loads((out / "report.json").read_text("utf-8"))
    (flat,) = [one for one in report["parts"][0]["parts"][0]["features"] if one["kind"] == "flat"]
    mesh = read(out / "trial_fdm-generic.stl")
    normal = np.array(flat["normal"])
    face = np.abs((np.asarray(mesh.vertices) - flat["point"]) @ normal) < 0.01
    mesh.vertices[face] += off * normal
    mesh.export(tmp_path / "out" / "trial_fdm-generic.stl")
    again, _ = api.measure(tmp_path / "out")["parts"]
    failed = {check["id"] for check in again["checks"] if not check["passed"]}
    assert ("flat[face A]" not in failed) is found


def test_a_flat_face_is_told_from_others_near_it(tmp_path):
    mesh = trimesh.creation.box((20.0, 20.0, 10.0))
    step = trimesh.creation.box((5.0, 5.0, 0.8))
    step.apply_translation((0.0, 0.0, 5.2))
    mesh_of(joined([solid(mesh), solid(step)])).export(tmp_path / "box.stl")
    printed = Printed(tmp_path / "box.stl", OWN)
    at = {name: Flat(name, (0.0, 0.0, height), (0.0, 0.0, 1.0), 400.0) for name, height in (("right", 5.0), ("step", 5.6), ("gone", 7.0))}
    values = {name: measure(flat, None, printed) for name, flat in at.items()}
    assert values["right"]["offset_mm"] == pytest.approx(0.0, abs=1e-6) and values["right"]["area_mm2"] == pytest.approx(375.0)
    assert values["step"]["offset_mm"] == pytest.approx(-0.6, abs=1e-6) and values["gone"]["offset_mm"] is None
    assert [check.passed for name in at for check in checks(at[name], values[name])] == [True, False, False]


def lets_go(cast):
    """Whether both halves open and meet next to nothing of what was cast."""
    ways = ((cast.upper, 1.0), (cast.lower, -1.0))
    met = [float((half.translate((0.0, 0.0, sign * away)) ^ cast.cavity).volume()) for half, sign in ways for away in (0.4, 2.0, 8.0, 30.0)]
    return max(met) < 2e-3 * float(cast.cavity.volume())


def test_a_mould_lets_go_of_what_would_lock():
    body = joined([solid(ball(10.0)), solid(ball(10.0, at=(8.0, 0.0, 14.0)))])  # one ball hangs over the other
    cast = parted(body, wall=6.0, flange=10.0)
    assert lets_go(cast) and float((body - cast.cavity).volume()) < 1e-6
    assert float(cast.cavity.volume()) > 1.02 * float(body.volume())
    whole = float(cast.lower.volume() + cast.upper.volume() + cast.cavity.volume())
    low, high = np.reshape(joined([cast.lower, cast.upper]).bounding_box(), (2, 3))
    assert whole == pytest.approx(float(np.prod(high - low)), rel=1e-6)


def test_the_mould_of_the_example_holds_the_spacers_shape(out, site):
    upper, lower = (solid(read(out / f"cast_fdm-generic{name}.stl")) for name in ("", "-lower"))
    (filler,) = fillers(site, 0.5, 0.0)
    assert float((filler.solid ^ joined([upper, lower])).volume()) < 1e-3 * float(filler.solid.volume()), "the cavity is free"
    low, high = np.reshape(joined([upper, lower]).bounding_box(), (2, 3))
    assert float((upper ^ lower).volume()) < 0.01 * float(np.prod(np.sort(high - low)[1:])), "the halves meet to some hundredths of a millimetre"
    axes = drawn_along(filler.solid)
    for away in (0.5, 5.0, 40.0):
        opened = upper.translate(tuple(away * axes[2]))
        assert float((opened ^ joined([lower, filler.solid])).volume()) < 2e-3 * float(filler.solid.volume()), "it opens"
    assert float(filler.solid.transform(turned(axes)).volume()) == pytest.approx(float(filler.solid.volume()))


@pytest.mark.slow
def test_a_mould_that_would_add_too_much_is_refused(site, monkeypatch):
    def jack(way):
        ends = [ball(9.0, at=tuple(sign * 18.0 * np.array(way)), fine=4) for sign in (1.0, -1.0)]
        return [*map(solid, ends), solid(trimesh.creation.cylinder(4.0, segment=[-18.0 * np.array(way), 18.0 * np.array(way)]))]

    body = joined([one for way in np.eye(3) for one in jack(way)])  # balls hang over rods whichever way it opens
    template = load_body("mould", where="here")
    monkeypatch.setitem(template.build.__globals__, "fillers", lambda *_: [Filler(body, [])])
    with pytest.raises(DesignError, match=r"would have to be added, and undercut allows 2 %; raise undercut"):
        made("mould", site, undercut=2.0)
    with pytest.raises(DesignError, match="whatever undercut allows: its outline is too rugged"):
        made("mould", site, undercut=30.0)


def test_shrinkage_makes_the_cavity_larger_all_round(site):
    where = bar(site, [("A", [20, 0, 0], [1, 0, 0])])
    rooms = []
    for shrinkage in (0.0, 4.0):
        parts = [solid(part.shape) for part in made("mould", where, shrinkage=shrinkage, vents=1).parts]
        low, high = np.reshape(joined(parts).bounding_box(), (2, 3))
        rooms.append(high - low)
    assert np.sort(rooms[1] - rooms[0]) == pytest.approx(np.sort(0.04 * np.array([39.5, 40.0, 60.0])), abs=0.1)


def test_admesh_finds_nothing_to_mend(out):
    for part in json.loads((out / "report.json").read_text("utf-8"))["parts"]:
        for one in part["parts"]:
            (name,) = one["files"]
            assert volume_by_admesh(out / name) == pytest.approx(one["volume_mm3"], rel=1e-4), name
