"""Guides that carry sleeves: what a case may say, where sleeves stand, what comes out, read by other code than the product's own."""

import dataclasses
import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES, ROOT
from OCP.BRepAdaptor import BRepAdaptor_Surface
from strict import strictly
from test_docs import undocumented

import psi_cad
from psi_cad import api
from psi_cad.case.catalogue import shipped_catalogue
from psi_cad.case.model import Tool
from psi_cad.drilling.sleeves import _raised, plan_sleeves
from psi_cad.drilling.ways import about_ways, drilling_of
from psi_cad.errors import CaseError, DesignError, PsiCadError
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import Way, make_site
from psi_cad.intake.loading import load, resolved_guides
from psi_cad.siting.about import AboutPoints
from psi_cad.stages.workshop import Workshop
from psi_cad.surface.lines import segments_apart
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import checked_bone

CASE = CASES / "phantom-drill"
TEXT = (CASE / "case.toml").read_text("utf-8").replace("../phantom/", f"{(CASES / 'phantom').as_posix()}/")
STEM = "roof_generic-drill-3.2"


@pytest.fixture(scope="session")
def drill_out(tmp_path_factory):
    """The output folder of the example with sleeves, built once."""

    def make(out):
        assert psi_cad.build(CASE, out)["status"] == "passed"

    return built_once(tmp_path_factory, "drill", make) / "phantom-drill"


@pytest.fixture(scope="session")
def drill_report(drill_out):
    return json.loads((drill_out / "report.json").read_text("utf-8"))


def written_case(folder, *changes):
    """The example's case in `folder`, with (old, new) text exchanged."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    shutil.copy(CASE / "vessel.stl", folder / "vessel.stl")
    (folder / "case.toml").write_text(text, "utf-8")
    return folder / "case.toml"


# what a case may say

BOTH = '[[cut]]\nname = "A"\norigin = [-96.0, -8.0, 35.0]\nnormal = [0.0, 0.15, 1.0]\n\n[[guide]]'
MISFITS = {
    "a template with slots": ((('"drill"', '"osteotomy"'),), ["guide[0].cuts is missing", "[0].trajectories: template 'osteotomy'", "[0].blade is missing"]),
    "cuts for sleeves": ((("trajectories =", 'cuts = ["A"]\ntrajectories ='), ("[[guide]]", BOTH)), ["guide[0].cuts: template 'drill' makes no slots"]),
    "a blade for sleeves": ((("approach", 'blade = "generic-20x1.0"\napproach'),), ["guide[0].blade: template 'drill' guides no saw"]),
    "no trajectories": ((('trajectories = ["T1", "T2", "W1"]\n', ""),), ["guide[0].trajectories is missing", "name 1 to 8"]),
    "an empty list": ((('["T1", "T2", "W1"]', "[]"),), ["guide[0].trajectories is missing"]),
    "an unknown trajectory": ((('"W1"]', '"W2"]'),), ["guide[0].trajectories names 'W2', but the trajectories are T1, T2, W1"]),
    "twice": ((('"W1"]', '"T1"]'),), ["guide[0].trajectories names a trajectory twice"]),
    "two of one name": ((('name = "T2"', 'name = "T1"'),), ["two entries of [[trajectory]] are named 'T1'"]),
    "an unknown tool": ((('"generic-wire-2.0"', '"generic-wire-20"'),), ["trajectory[2].tool: there is no tool", "did you mean 'generic-wire-2.0'", "psi-cad drills"]),
    "no direction": ((("direction = [0.77, 0.02, -0.64] ", "direction = [0, 0, 0] "),), ["trajectory[0].direction", "zero length"]),
    "no depth": ((("depth = 45.0 ", "depth = 0.0 "),), ["trajectory[0].depth must be at least 1"]),
    "a tool of another kind": ((('tool = "generic-wire-2.0"', 'tool = {id = "x", kind = "saw", diameter = 2.0, usable_length = 90, reference = "mine"}'),),
                               ["trajectory[2].tool.kind", "'drill', 'wire' or 'reamer'"]),
    "a parameter of slots": ((('printer = "fdm-ultem1010"', 'printer = "fdm-ultem1010"\nparams = {run_out = 3.0}'),), ["params.run_out is no parameter"]),
    "a misspelt key": ((("entry = [-96.99", "entri = [-96.99"),), ["'trajectory[2].entri' is no key", "did you mean 'entry'"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISFITS)
def test_a_case_that_does_not_fit_its_template_is_told(kind, tmp_path):
    changes, said = MISFITS[kind]
    with pytest.raises(PsiCadError) as caught:
        resolved_guides(load(written_case(tmp_path, *changes)))
    assert caught.value.exit_code == 2 and all(line.startswith("case.toml: ") for line in str(caught.value).splitlines())
    for words in said:
        assert words in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    path = written_case(
        tmp_path, ('"generic-wire-2.0"', '"wire"'), ("approach", 'blade = "generic-20x1.0"\napproach'), ("depth = 45.0", "depth = -1.0")
    )
    with pytest.raises(CaseError) as caught:
        load(path)
    assert [error["key"] for error in caught.value.errors] == ["trajectory[0].depth", "trajectory[2].tool", "guide[0].blade"]


def test_a_saw_guide_still_needs_its_cuts_and_blade(tmp_path):
    text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom/", f"{(CASES / 'phantom').as_posix()}/")
    for old, key in (('cuts = ["A"]\n', "guide[0].cuts"), ('blade = "generic-25x0.89"\n', "guide[0].blade")):
        (tmp_path / "case.toml").write_text(text.replace(old, ""), "utf-8")
        with pytest.raises(CaseError, match="is missing") as caught:
            resolved_guides(load(tmp_path / "case.toml"))
        assert [error["key"] for error in caught.value.errors] == [key]
    (tmp_path / "case.toml").write_text(text[: text.index("[[cut]]")] + text[text.index("[[guide]]") :], "utf-8")
    with pytest.raises(CaseError, match=r"\[\[cut\]\] is missing"):
        load(tmp_path / "case.toml")


def test_tools_are_listed_and_added(tmp_path, run):
    listed = json.loads(run("drills", "--json").stdout)
    assert [one["id"] for one in listed] == list(shipped_catalogue().tools) and {one["kind"] for one in listed} == {"drill", "wire", "reamer"}
    assert all(one["nominal"] for one in listed), "nobody has measured these"
    (tmp_path / "mine.toml").write_text(
        '[[tool]]\nid = "mine"\nkind = "drill"\ndiameter = 3.17\nusable_length = 118.0\nnominal = false\nreference = "caliper"\n'
    )
    assert "3.17" in run("drills", "--catalogue", tmp_path / "mine.toml").stdout
    path = written_case(tmp_path, ('tool = "generic-wire-2.0"', 'tool = "mine"'), ('side = "right"', 'side = "right"\ncatalogue = "mine.toml"'))
    loaded = load(path)
    assert loaded.tool(loaded.case.trajectory_named("W1").tool, where="").diameter == 3.17
    (tmp_path / "mine.toml").write_text('[[tool]]\nid = "mine"\nkind = "drill"\ndiameter = 0.1\nreference = "caliper"\n')
    said = run("drills", "--catalogue", tmp_path / "mine.toml")
    assert said.returncode == 2 and "tool[0].diameter" in said.stderr and "tool[0].usable_length is missing" in said.stderr


def test_templates_tell_what_they_take(run):
    (drill,) = json.loads(run("templates", "drill", "--json").stdout)
    assert drill["needs"] == {"cuts": [0, 0], "trajectories": [1, 8]} and "guided" in {param["name"] for param in drill["params"]}
    (osteotomy,) = json.loads(run("templates", "osteotomy", "--json").stdout)
    assert osteotomy["needs"] == {"cuts": [1, 6], "trajectories": [0, 0], "holes": True, "slot_sleeve": True}


# refused before anything is built

REFUSED = {
    "beside the bone": (["trajectory.T1.entry=[-130,0,20]"], r"'T1': its entry .* lies [0-9.]+ mm outside the bone; .*surface"),
    "within the bone": (["trajectory.T1.entry=[-97.5,-7.8,28.6]"], r"'T1': its entry .* lies [0-9.]+ mm inside the bone"),
    "turned round": (["trajectory.T1.direction=[-0.77,-0.02,0.64]"], r"'T1': its direction leads past the bone .*turn it round"),
    "along the surface": (["trajectory.T1.direction=[-0.3,-1.0,0.0]"], r"'T1': its direction leads past the bone"),
    "into the vessel": (["trajectory.T1.direction=[0.75,-0.15,-0.35]", "trajectory.T1.depth=60"], r"'T1': its tool .*'vessel'.* 5 mm"),
    "tools that cross": (["trajectory.T1.direction=[0.70,-0.20,-0.64]", "trajectory.T2.direction=[0.72,0.26,-0.66]"], r"'T1' and 'T2': their tools .*tool_clearance"),
    "bores without a wall": (["trajectory.T2.entry=[-105.38,-10.0,35.0]"], r"'T1' and 'T2': .* left between their bores.*; move the entries apart, or make a guide for each"),
    "a tool too short": (["trajectory.T1.tool=generic-drill-2.5", "trajectory.T1.depth=75"], r"'T1': depth 75 and params.guided 15 .*usable length"),
    "too steep for a sleeve": (["params.lean_limit=10", "params.axis_search=5"], r"leans \d+° from the approach.*10°.*lean_limit"),
    "from the other side": (["guide.approach=[0.95,-0.1,-0.3]"], r"guide.approach"),
    "no room for wires": (["params.wire_wall=4", "params.footplate_reach=8", "params.allow_sliding=true", "params.slope_limit=30"],
                          r"three fixation wires, clear of the trajectories.*footplate_reach.*pins = 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(kind):
    settings, said = REFUSED[kind]
    with pytest.raises(PsiCadError, match=said) as caught:
        api.validate(CASE, settings=settings)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_blade_on_the_command_line_is_none_of_its_business():
    with pytest.raises(CaseError, match=r"--blade generic-20x1\.0: no guide of this case takes a saw blade"):
        api.validate(CASE, blades=["generic-20x1.0"])


def test_a_plan_has_nothing_to_measure_and_says_so():
    with pytest.raises(CaseError, match=r"\[\[cut\]\] is missing \(this is about cuts.*psi-cad check"):
        api.plan(CASE)


def test_a_case_may_saw_and_drill(tmp_path):
    """Two guides of both kinds: the plan measures the cut, `--blade` changes the saw's guide alone, and both find a seat."""
    text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom/", f"{(CASES / 'phantom').as_posix()}/")
    more = TEXT[TEXT.index("[[trajectory]]") :]
    (tmp_path / "case.toml").write_text(text[: text.index("[[guide]]")] + more[: more.index("[[guide]]")] + text[text.index("[[guide]]") :] + "\n"
                                        + more[more.index("[[guide]]") :])  # fmt: skip
    found = api.validate(tmp_path, blades=["generic-25x0.89", "generic-20x1.0"])
    assert [(seat["name"], seat["blade"]) for seat in found["seats"]] == [
        ("supra-acetabular", "generic-25x0.89"), ("supra-acetabular", "generic-20x1.0"), ("roof", "generic-drill-3.2")]  # fmt: skip
    assert {slot["guide"] for slot in api.plan(tmp_path)["slots"]} == {"supra-acetabular"}


# where sleeves stand


def test_segments_apart_is_the_least_of_all_pairs(rng):
    for number in range(60):
        ends = rng.uniform(-10.0, 10.0, (4, 3))
        if number % 3 == 0:
            ends[3] = ends[2] + (ends[1] - ends[0]) * rng.uniform(0.2, 2.0)  # parallel
        shares = np.linspace(0.0, 1.0, 401)[:, None]
        one, two = (ends[i] + shares * (ends[i + 1] - ends[i]) for i in (0, 2))
        least = np.linalg.norm(one[:, None] - two[None], axis=2).min()
        away, place = segments_apart((ends[0], ends[1]), (ends[2], ends[3]))
        assert away == pytest.approx(least, abs=0.05) and away <= least + 1e-9
        assert np.linalg.norm(two - place, axis=1).min() == pytest.approx(away, abs=0.05)


def flat_site(lean, **given):
    """A site on a slab whose upper face is z = 0, with one wire that leans by `lean` degrees towards x."""
    mesh = trimesh.creation.box((120.0, 120.0, 14.0))
    mesh.apply_translation((0.0, 0.0, -7.0))
    bone = checked_bone(mesh.subdivide_to_size(2.0), name="slab")
    params = load_template("drill", where="").Params(allow_sliding=True, axis_search=0.0, **given)
    way = Way(
        "W", np.zeros(3), np.array([np.sin(np.radians(lean)), 0.0, np.cos(np.radians(lean))]), 20.0, shipped_catalogue().tools["generic-wire-2.0"]
    )
    about = AboutPoints(
        ("W",), way.entry[None], way.out[None], (params.outer_radius(2.0),), (params.most_rise(2.0),), params.lean_limit, np.array([1.0, 0.0, 0.0])
    )
    printer = shipped_catalogue().printers["fdm-ultem1010"]
    site = make_site(bone, RayCaster(bone.mesh), about, [], approach=np.array([0.0, 0.0, 1.0]), params=params, ways=(way,), printer=printer,
                     label=("x",), shifts={}, workshop=Workshop())  # fmt: skip
    return site, params


@pytest.mark.parametrize("lean", [0.0, 20.0, 40.0])
def test_a_sleeve_guides_from_where_it_is_whole_all_round(lean):
    """On flat bone in closed form: the seat's gap along the axis, and half the sleeve's width times the tangent of its lean."""
    site, params = flat_site(lean)
    (plan,) = plan_sleeves(site, params)
    radius = params.outer_radius(2.0)
    least = site.seat.gap / np.cos(np.radians(lean)) + radius * np.tan(np.radians(lean))
    assert least < plan.low < least + 0.3
    assert plan.stop == round(plan.stop) and plan.stop - 1.0 < plan.low + params.guided + 20.0 <= plan.stop
    assert plan.high == pytest.approx(plan.stop - 20.0)


def test_sleeves_are_raised_until_none_stands_before_another():
    """A wire upright, and one beside it that leans away: where their tops are, the two sleeves have to be as far apart as they are wide."""
    site, params = flat_site(0.0)
    (plan,) = plan_sleeves(site, params)
    away, lean = 2.0 * plan.radius - 0.7, np.radians(2.0)
    out = np.array([np.sin(lean), 0.0, np.cos(lean)])
    beside = dataclasses.replace(plan, way=dataclasses.replace(plan.way, name="B", entry=np.array([away, 0.0, 0.0]), out=out))
    assert away + plan.high * np.tan(lean) < 2.0 * plan.radius, "as they stand, each is before the other's stop face"
    raised = _raised([plan, beside], params)
    for one in raised:
        more = one.high - plan.high
        assert more == round(more) == one.stop - plan.stop and 0.0 < more <= 8.0
        assert away + one.high * np.tan(lean) > 2.0 * plan.radius - 0.1
    further = dataclasses.replace(beside, way=dataclasses.replace(beside.way, entry=np.array([8.0, 0.0, 0.0])))
    assert _raised([plan, further], params) == [plan, further], "nothing stands in its way"
    short = dataclasses.replace(plan, way=dataclasses.replace(plan.way, tool=plan.way.tool.model_copy(update={"usable_length": plan.stop})))
    with pytest.raises(DesignError, match="'B' would stand before the stop face of 'W'"):
        _raised([short, beside], params)


def test_a_sleeve_that_leans_too_far_or_meets_the_bone_too_slantingly_is_refused():
    with pytest.raises(DesignError, match=r"leans.*30°; give an approach"):
        flat_site(40.0, lean_limit=30.0)
    site, params = flat_site(58.0, lean_limit=60.0, sleeve_wall=5.0)
    with pytest.raises(DesignError, match="meets the bone so slantingly.*sleeve_wall"):
        plan_sleeves(site, params)


def test_entries_turn_with_the_patient(rng):
    """The seat of the example, moved as a whole at random, is the same seat moved."""
    loaded = load(CASE)
    (params,) = resolved_guides(loaded)
    drilling = drilling_of(loaded, loaded.case.guide[0], params)
    mesh = trimesh.load_mesh(loaded.resolve(loaded.case.bone.surface))
    printer, found = loaded.printer("fdm-ultem1010", where=""), []
    matrix = trimesh.transformations.random_rotation_matrix(rng.random(3))
    matrix[:3, 3] = rng.uniform(-300.0, 300.0, 3)
    for move in (np.eye(4), matrix):
        turn, moved = move[:3, :3], mesh.copy()
        moved.apply_transform(move)
        moved.vertices = moved.vertices.astype(np.float32).astype(np.float64)
        bone = checked_bone(moved, name="bone")
        ways = tuple(Way(way.name, turn @ way.entry + move[:3, 3], turn @ way.out, way.depth, way.tool) for way in drilling.ways)
        about = about_ways(type(drilling)(drilling.request, drilling.params, ways), bone)
        site = make_site(bone, RayCaster(bone.mesh), about, [], approach=turn @ np.array(loaded.case.guide[0].approach), params=params, ways=ways,
                         printer=printer, label=("x",), shifts={}, workshop=Workshop())  # fmt: skip
        plans = plan_sleeves(site, params)
        found.append((turn.T @ site.axis.direction, [plan.low for plan in plans], [plan.stop for plan in plans]))
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-5)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=0.06)
    assert found[1][2] == found[0][2]


# what comes out, read with other code than the product's


def bores_in(step):
    """(point, direction, diameter) of every hollow cylinder of a STEP file, straight from the kernel."""
    found = []
    for face in cq.importers.importStep(str(step)).val().Faces():
        if face.geomType() != "CYLINDER":
            continue
        surface = BRepAdaptor_Surface(face.wrapped).Cylinder()
        axis = surface.Axis()
        point, way = (np.array([v.X(), v.Y(), v.Z()]) for v in (axis.Location(), axis.Direction()))
        middle, normal = np.array(face.Center().toTuple()), np.array(face.normalAt(face.Center()).toTuple())
        if normal @ (middle - point - (middle - point) @ way * way) < 0.0:
            found.append((point, way, 2.0 * surface.Radius()))
    return found


def test_the_step_holds_each_bore_where_it_is_planned(drill_out, drill_report):
    holes = bores_in(drill_out / f"{STEM}.step")
    case = load(CASE).case
    for trajectory in case.trajectory:
        entry, into = trajectory.line
        beside = [(np.linalg.norm(np.cross(entry - point, way)), np.linalg.norm(np.cross(way, into)), diameter) for point, way, diameter in holes]
        off, turned, diameter = min(beside)
        tool = shipped_catalogue().tools[trajectory.tool]
        assert off < 1e-6 and turned < 1e-9 and diameter == pytest.approx(tool.diameter + 0.1, abs=1e-9)
    assert {bore["name"]: bore["diameter_mm"] for bore in drill_report["guides"][0]["bores"]} == {"T1": 3.3, "T2": 3.3, "W1": 2.1}


def test_the_stl_lets_each_tool_through_and_stops_it(drill_out, drill_report):
    """A ring of rays along each tool, and one down onto the stop face, by trimesh."""
    mesh = trimesh.load_mesh(drill_out / f"{STEM}.stl")
    (guide,) = drill_report["guides"]
    for trajectory, plan in zip(load(CASE).case.trajectory, guide["plan"]["bores"], strict=True):
        entry, into = trajectory.line
        side = np.cross(into, [0.3, 0.5, 0.8])
        side /= np.linalg.norm(side)
        turns = [np.cos(a) * side + np.sin(a) * np.cross(into, side) for a in np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)]
        starts = np.array([entry - 100.0 * into + 0.48 * plan["tool_diameter"] * turn for turn in turns])
        assert not np.any(mesh.ray.intersects_any(starts, np.tile(into, (len(starts), 1))))
        ring = np.array([entry - 100.0 * into + (plan["tool_diameter"] / 2.0 + 0.8) * turn for turn in turns])
        hits, rays, _ = mesh.ray.intersects_location(ring, np.tile(into, (len(ring), 1)), multiple_hits=False)
        assert sorted(rays) == list(range(len(ring)))
        np.testing.assert_allclose((entry + plan["depth"] * into - hits) @ into, plan["stop"], atol=0.01)


def test_what_is_engraved_is_what_was_measured(drill_report):
    (guide,) = drill_report["guides"]
    words = " ".join(guide["label"]["lines"]).split()
    for bore, planned in zip(guide["bores"], guide["plan"]["bores"], strict=True):
        assert f"{bore['name']}={planned['tool_diameter']:g}x{bore['stop_mm']:.0f}" in words


def test_files_are_named_by_the_first_tool_and_the_report_is_documented(drill_out, drill_report):
    names = {path.name for path in drill_out.iterdir() if not path.name.startswith(".")}
    assert names == {"bone.stl", "avoid_vessel.stl", "report.json", *(f"{STEM}.{kind}" for kind in ("step", "stl", "3mf", "png"))}
    assert undocumented(drill_report, "report.json") == set()
    assert strictly("report", drill_report) == []
    (guide,) = drill_report["guides"]
    assert guide["blade"] == "generic-drill-3.2" and guide["blade_entry"] is None and guide["cuts"] == []
    assert [Tool.model_validate(one["tool"]).id for one in guide["trajectories"]] == ["generic-drill-3.2", "generic-drill-3.2", "generic-wire-2.0"]
    assert "nominal-tool" in {caution["id"] for caution in guide["cautions"]}


@pytest.mark.slow
def test_check_measures_again_and_a_release_needs_no_plan(drill_out, tmp_path, run):
    """Approved by two, built again and released; nothing is cut, so nobody asks for a plan."""
    out = tmp_path / "out"
    shutil.copytree(drill_out, out / "phantom-drill")
    assert psi_cad.measure(out)["status"] == "passed"
    accept = [f"--accept={name}" for name in ("nominal-tool", "uncalibrated-printer")]
    assert run("build", CASE, "-o", out, *accept).returncode == 0
    for role, code in (("surgeon", "S-17"), ("engineer", "E-2")):
        assert run("approve", out / "phantom-drill", "--role", role, "--name-code", code).returncode == 0
    released = run("build", CASE, "-o", out, *accept, "--release")
    assert released.returncode == 0, released.stderr
    assert json.loads((out / "phantom-drill" / "report.json").read_text("utf-8"))["release"]["released"]
    assert f"{STEM}" in run("compare", out / "phantom-drill").stdout


def test_look_draws_trajectories(tmp_path, run):
    page = tmp_path / "look.html"
    assert run("look", CASE, "-o", page).returncode == 0
    assert "trajectory T1" in page.read_text("utf-8")


@pytest.mark.slow
def test_another_depth_is_a_variant(drill_out, tmp_path, run):
    out = tmp_path / "out"
    shutil.copytree(drill_out, out / "phantom-drill")
    assert run("build", CASE, "-o", out, "--set", "trajectory.T1.depth=40").returncode == 0
    guides = json.loads((out / "phantom-drill" / "report.json").read_text("utf-8"))["guides"]
    deep, own = guides
    assert (deep["plan"]["bores"][0]["depth"], deep["status"], own["variant"], own["status"]) == (40.0, "passed", None, "passed")
    assert deep["variant"].startswith("trajectory-t1-depth-40") and deep["variant"] in " ".join(deep["label"]["lines"])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [["params.pins=0"], ["params.guided=25", "params.sleeve_wall=3"], ["params.bore_clearance=0.4", "params.seat_gap=0.4"],
                                      ["params.footplate_reach=25", "params.slope_limit=45"]], ids=" ".join)  # fmt: skip
def test_corner_values_build(settings, tmp_path):
    report = psi_cad.build(CASE, tmp_path, settings=settings)
    assert [check for check in report["guides"][0]["checks"] if not check["passed"]] == []
    assert (ROOT / "templates" / "drill.py").is_file()
