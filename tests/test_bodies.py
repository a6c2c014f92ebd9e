"""Parts made of a bone's body, and parts beside a guide: what a template delivers is written, measured, listed, approved, and able to fail."""

import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh
from conftest import CASES, ROOT, written
from own_templates import PHANTOM, head
from strict import strictly

import psi_cad
from psi_cad import api
from psi_cad.case.load import load_case
from psi_cad.errors import CaseError, DesignError, PsiCadError
from psi_cad.export.meshes import write_stl
from psi_cad.frames import Frame
from psi_cad.guides.contract import BodySite, Bore, Part
from psi_cad.intake.bones import read_bones
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import plan_job, planned_cuts
from psi_cad.making.asked import part_jobs
from psi_cad.making.beside import kept_beside, parts_beside, with_beside
from psi_cad.outputs.subject import read_report, subject_of
from psi_cad.readback.printed import Printed
from psi_cad.records.base import faults
from psi_cad.records.guide import MeasuredFiles, MeasuredSeat
from psi_cad.records.parts import MadePart
from psi_cad.sawing.kerfs import kerfs_of, run_outs_of, sawings
from psi_cad.surface.solids import mesh_of

HALVES = (
    head("The pieces of a bone after the planned cuts: small, to be tested.")
    + '''
from typing import Final

import cadquery as cq
import numpy as np
import trimesh

from psi_cad.guides.contract import BodySite, Bore, FreeDesign, Part, Web, Workshop
from psi_cad.guides.params import Parameters, param

SITE: Final = "body"


class Params(Parameters):
    """Parameters of the halves."""

    wrong: str = param("", unit="", help="open, inside out, promise, raise")
    peg: float = param(3.0, unit="mm", low=1.0, high=10.0, help="half the width of the gauge that comes along")


def build(site: BodySite, params: Params, workshop: Workshop) -> FreeDesign:
    if params.wrong == "raise":
        raise ValueError("no halves")
    (specimen,), (retained,) = site.specimens.values(), site.retained
    if params.wrong == "open":
        specimen.update_faces(np.arange(len(specimen.faces)) > 0)
    if params.wrong == "inside out":
        specimen.invert()
    x, y, z = site.cuts["A"].origin
    peg = cq.Solid.makeBox(2.0 * params.peg, 2.0 * params.peg, 20.0, cq.Vector(x - params.peg, y - params.peg, z))
    thick = 2.0 * params.peg + (0.3 if params.wrong == "promise" else 0.0)
    side = Web("across", (x, y, z + 10.0), (1.0, 0.0, 0.0), thick)
    return FreeDesign(retained, further=(Part("specimen", specimen), Part("peg", peg, (side,))))
'''
)
PART = '\n[[part]]\nname = "halves"\ntemplate = "halves"\nprinter = "fdm-generic"\n'
STEM = "halves_fdm-generic"


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Writes the type I case of the phantom with a part and without its guide, or with it."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "halves.py").write_text(HALVES, "utf-8")
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path / "templates"))

    def write(*changes, guide=False, part=PART):
        text = (PHANTOM if guide else PHANTOM[: PHANTOM.index("[[guide]]")]) + part
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "case.toml").write_text(text, "utf-8")
        return tmp_path / "case.toml"

    return write


def failed(entry):
    return {check["id"] for check in entry["checks"] if not check["passed"]}


def test_a_part_of_a_body_is_delivered_measured_and_approved(case, tmp_path, run):
    path = case()
    report = psi_cad.build(path, tmp_path / "out")
    folder = tmp_path / "out" / "phantom-type1"
    assert strictly("report", report) == [] and report["status"] == "passed" and report["guides"] == []
    (part,) = report["parts"]
    assert (part["name"], part["status"], failed(part), part["cuts"]) == ("halves", "passed", set(), ["A"])
    assert [(one["name"], one["kind"]) for one in part["parts"]] == [("", "mesh"), ("specimen", "mesh"), ("peg", "solid")]
    names = {f"{STEM}.stl", f"{STEM}.3mf", f"{STEM}.png", f"{STEM}-specimen.stl", f"{STEM}-peg.step", f"{STEM}-peg.stl"}
    assert written(folder) == names | {"bone.stl", "report.json"} and set(part["files"].values()) == set(part["sha256"]) == names
    assert {"stl_watertight", "stl_outward[specimen]", "step_valid[peg]", "web[peg across]"} <= {check["id"] for check in part["checks"]}
    bone = trimesh.load_mesh(folder / "bone.stl")
    assert sum(one["volume_mm3"] for one in part["parts"][:2]) == pytest.approx(bone.volume, rel=1e-5), "no blade is known, so nothing is dust"
    plane = load_case(path, needs=()).case.cut[0].plane
    sides = [(trimesh.load_mesh(folder / name).vertices - plane[0]) @ plane[1] for name in (f"{STEM}.stl", f"{STEM}-specimen.stl")]
    assert sides[0].max() < 1e-3 and sides[1].min() > -1e-3, "each lies on its side of the cut, in the patient frame"

    found = run("check", folder, "--json")
    checked = json.loads(found.stdout)
    assert found.returncode == 0 and strictly("check", checked) == [] and checked["parts"][0]["status"] == "passed"
    assert set(subject_of(folder, plan=None, report=read_report(folder))) == {f"part {STEM}"}
    api.approve(folder, role="surgeon", name_code="S-1")
    mesh = trimesh.load_mesh(folder / f"{STEM}-specimen.stl")
    mesh.update_faces(np.arange(len(mesh.faces)) > 0)
    mesh.export(folder / f"{STEM}-specimen.stl")
    result = run("check", folder)
    assert result.returncode == 1 and "part halves for fdm-generic: FAILED" in result.stdout
    (again,) = api.measure(folder)["parts"]
    assert {"files_unchanged", "stl_watertight[specimen]"} <= failed(again)
    (entry,) = api.measure(folder)["approvals"][0]["entries"]
    assert entry["status"] == "approved for another version" and f"{STEM}-specimen.stl" in entry["changed"]

    again = psi_cad.build(case(('halves"\ntemplate', 'others"\ntemplate')), tmp_path / "out")
    told = [(one["name"], one["status"], one["kept"]) for one in again["parts"]]
    assert told == [("others", "passed", False), ("halves", "stale", True)], "as a guide that the case names no more"
    assert strictly("report", again) == [] and names < written(folder)
    assert api.remove(folder, STEM, force=True)["left"] == ["others_fdm-generic"]
    assert not [name for name in written(folder) if name.startswith("halves")]


WRONG = {"open": {"stl_watertight[specimen]"}, "inside out": {"stl_outward[specimen]"}, "promise": {"web[peg across]"}}


@pytest.mark.parametrize("wrong", [pytest.param(name, marks=() if name == "open" else pytest.mark.slow) for name in WRONG])
def test_one_wrong_part_rejects_all_that_come_with_it(case, tmp_path, run, wrong):
    result = run("build", case(), "-o", tmp_path / "out", "--set", f"part.halves.params.wrong={wrong}")
    assert result.returncode == 1 and "part halves for fdm-generic: REJECTED" in result.stdout and "part halves is rejected" in result.stderr
    folder = tmp_path / "out" / "phantom-type1"
    (part,) = read_report(folder).to_json()["parts"]
    assert WRONG[wrong] <= failed(part) and all("[" in name for name in failed(part))
    left = {f"{STEM}_REJECTED.stl", f"{STEM}-specimen_REJECTED.stl", f"{STEM}-peg_REJECTED.step"}
    assert written(folder) == {"bone.stl", "report.json"} | left and set(part["files"].values()) == left
    with pytest.raises(psi_cad.errors.ApprovalError, match=f"part {STEM} is rejected"):
        api.approve(folder, role="surgeon", name_code="S-1")


def test_a_part_that_cannot_be_made_is_told_and_nothing_is_left_of_it(case, tmp_path, run):
    result = run("build", case(), "-o", tmp_path / "out", "--set", "part.halves.params.wrong=raise")
    assert result.returncode == 1 and "not made: part halves: The template 'halves' failed, ValueError in halves.py" in result.stderr
    report = read_report(tmp_path / "out" / "phantom-type1")
    assert strictly("report", report.to_json()) == [] and [one.part for one in report.refused] == ["halves"] and report.status == "rejected"
    assert written(tmp_path / "out") == {"bone.stl", "report.json"}


def test_what_is_left_of_a_bone_is_what_the_plan_says(case):
    loaded = load(case(guide=True))
    read, own = read_bones(loaded, progress=lambda step: None), sawings(loaded)
    scene = read.scene
    kerfs, run_outs = kerfs_of(loaded.case, own), run_outs_of(loaded.case, own)
    (one,) = part_jobs(loaded, scene, planned_cuts(loaded, scene), kerfs=kerfs, run_outs=run_outs, tumour=None)
    plan = api.plan(loaded.path)
    left = one.site.left
    assert left.kerf == pytest.approx(plan["kerf_mm3"], rel=1e-6) and left.kerf > 100.0
    assert [mesh.volume for mesh in one.site.specimens.values()] == pytest.approx([plan["specimen"]["volume_mm3"]], rel=1e-6)
    assert sum(mesh.volume for mesh in one.site.retained) == pytest.approx(plan["retained"]["volume_mm3"], rel=1e-6)
    of_one = {"blades": [], "progress": lambda step: None, "read": lambda *_: read}
    assert plan_job(loaded, **of_one, only="no guide").parts == (), "a batch makes one guide or part after the other"


def test_pieces_that_a_cut_leaves_with_sharp_corners_are_closed_in_an_stl_too(tmp_path):
    """Two cuts that meet leave edges shorter than an STL can tell: as they are, its rounding tears them open."""
    loaded = load_case(CASES / "phantom-two-cut")
    scene, own = read_bones(loaded, progress=lambda step: None).scene, sawings(loaded)
    kerfs, run_outs = kerfs_of(loaded.case, own), run_outs_of(loaded.case, own)
    body, printer = scene.bodies[0], loaded.printer(loaded.case.guide[0].printer, where="here")
    site = BodySite(body.name, body.bone.mesh, planned_cuts(loaded, scene), kerfs, run_outs, printer, ())
    frame = Frame(np.zeros(3), np.eye(3))
    for number, (mesh, solid) in enumerate(zip((*site.retained, *site.specimens.values()), (*site.left.retained, site.left.specimen), strict=True)):
        write_stl(tmp_path / f"{number}.stl", mesh, header="x")
        read = Printed(tmp_path / f"{number}.stl", frame)
        assert read.closed and read.bodies == 1 and read.mesh.volume == pytest.approx(solid.volume(), rel=1e-6)
    write_stl(tmp_path / "raw.stl", mesh_of(site.left.retained[0]), header="x")
    assert not Printed(tmp_path / "raw.stl", frame).closed, "else this tells nothing"


WRONG_CASES = [
    ((('template = "halves"', 'template = "osteotomy"'),), r"part\[0\]\.template: 'osteotomy' makes no part .* name it under \[\[guide\]\]"),
    ((('template = "halves"', 'template = "coupon"'),), r"part\[0\]\.template: 'coupon' makes no part .* 'psi-cad coupon --help'"),
    ((('template = "halves"', 'template = "halvs"'),), r"there is no template 'halvs'; did you mean 'halves'"),
    ((('printer = "fdm-generic"\n', 'printer = "fdm-generic"\nparams = {peg = 40.0}\n'),), r"part\[0\]\.params\.peg = 40 is outside 1–10 mm"),
    ((('printer = "fdm-generic"\n', 'printer = "nowhere"\n'),), r"part\[0\]\.printer.*'nowhere'"),
    ((('printer = "fdm-generic"\n', 'printer = "fdm-generic"\nbone = "femur"\n'),), r"part\[0\]\.bone names 'femur'"),
    ((('printer = "fdm-generic"\n', 'printer = "fdm-generic"\ncuts = ["A"]\n'),), r"part\[0\]\.cuts"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG_CASES)
def test_a_wrong_part_is_one_sentence(case, changes, said):
    with pytest.raises(PsiCadError, match=said):
        plan_job(load(case(*changes)), blades=[], progress=lambda step: None)


def test_a_template_of_a_body_makes_no_guide(case):
    with pytest.raises(CaseError, match=r"guide\[0\]\.template: 'halves' makes no guide, but a part of a bone's body; name it under \[\[part\]\]"):
        plan_job(load(case(('template = "osteotomy"', 'template = "halves"'), guide=True)), blades=[], progress=lambda step: None)


BESIDE = {
    "Design, Label": "Bore, Design, Label, Part",
    "        edge_break=params.edge_break,\n    )\n": "        edge_break=params.edge_break,\n        further=(Part(params.beside, lid(params.kind), (hole,)),),\n    )\n",
    "import numpy as np\n": "import cadquery as cq\nimport numpy as np\nimport trimesh\n",
    "def build(": '''def lid(kind):
    if kind == "solid":
        return cq.Workplane().box(20.0, 30.0, 3.0).faces(">Z").workplane().hole(4.0).val().Solids()[0].moved(cq.Location(cq.Vector(0, 0, 60)))
    mesh = trimesh.creation.annulus(r_min=2.0, r_max=12.0, height=3.0, sections=256)
    mesh.apply_translation([0.0, 0.0, 60.0])
    return mesh


hole = Bore("middle", (0.0, 0.0, 60.0), (0.0, 0.0, 1.0), 4.0)


def build(''',
    "    clearance: float": '    beside: str = param("lid", unit="", help="name of the part")\n    kind: str = param("solid", unit="", help="solid or mesh")\n    clearance: float',
}  # fmt: skip


@pytest.fixture
def lidded(tmp_path, monkeypatch):
    """Builds the type I case with a saw block that comes with a lid."""
    text = (ROOT / "templates" / "_template.py").read_text("utf-8")
    for old, new in BESIDE.items():
        start, found, end = text.rpartition(old)
        assert found, old
        text = start + new + end
    (tmp_path / "templates").mkdir()
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path / "templates"))

    def make(*changes, out="out", **params):
        content = text
        for old, new in changes:
            assert old in content
            content = content.replace(old, new)
        (tmp_path / "templates" / "lidded.py").write_text(content, "utf-8")
        given = ", ".join(f'{key} = "{value}"' for key, value in params.items())
        settings = ["guide.template=lidded", f"guide.params={{{given}}}"]
        return psi_cad.build(CASES / "phantom-type1", tmp_path / out, settings=settings, suggest=False), tmp_path / out / "phantom-type1"

    return make


BLOCK = "supra-acetabular_generic-25x0.89"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["solid", "mesh"])
def test_a_part_beside_a_guide_has_its_files_checks_and_place(lidded, kind):
    report, folder = lidded(kind=kind)
    (guide,) = report["guides"]
    assert strictly("report", report) == [] and (guide["status"], failed(guide)) == ("passed", set())
    (part,) = guide["parts"]
    kinds = ("step", "stl", "3mf") if kind == "solid" else ("stl", "3mf")
    lids = {f"{BLOCK}-lid.{one}" for one in kinds}
    assert lids < written(folder) and {f"{one}-lid" for one in kinds} < set(guide["files"]) and set(guide["sha256"]) == set(guide["files"].values())
    assert part["name"] == "lid" and part["kind"] == kind and part["features"][0]["kind"] == "bore"
    assert {"stl_watertight[lid]", "printer_room[lid]", "bore[lid middle]"} <= {check["id"] for check in guide["checks"]}
    origin, up = np.array(guide["plan"]["origin"]), np.array(guide["plan"]["axes"][2])
    np.testing.assert_allclose(trimesh.load_mesh(folder / f"{BLOCK}-lid.stl").center_mass, origin + 60.0 * up, atol=0.01)
    section = subject_of(folder, plan=None, report=read_report(folder))[f"guide {BLOCK}"]
    assert lids < set(section), "what is printed is signed"
    assert psi_cad.measure(folder)["status"] == "passed"
    entry = json.loads((folder / "report.json").read_text("utf-8"))
    entry["guides"][0]["parts"][0]["features"][0]["diameter"] = 4.2
    (folder / "report.json").write_text(json.dumps(entry))
    assert failed(psi_cad.measure(folder)["guides"][0]) == {"bore[lid middle]"}


@pytest.mark.slow
def test_a_wrong_part_rejects_its_guide(lidded):
    report, folder = lidded(('Bore("middle", (0.0, 0.0, 60.0), (0.0, 0.0, 1.0), 4.0)', 'Bore("middle", (0.0, 0.0, 60.0), (0.0, 0.0, 1.0), 4.2)'))
    (guide,) = report["guides"]
    assert guide["status"] == "rejected" and failed(guide) == {"bore[lid middle]"} and guide["parts"][0]["status"] == "rejected"
    assert written(folder) == {"bone.stl", "report.json", f"{BLOCK}_REJECTED.step", f"{BLOCK}_REJECTED.png", f"{BLOCK}-lid_REJECTED.step"}
    assert strictly("report", report) == []


@pytest.mark.slow
def test_a_part_beside_a_guide_needs_a_name_and_leaves_nothing(lidded, tmp_path):
    with pytest.raises(DesignError, match="The part 'Lid' needs a name of its own"):
        lidded(beside="Lid")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".step", ".stl", ".3mf")]


@pytest.mark.parametrize("promised", [4.0, 4.2])
@pytest.mark.parametrize("kind", ["solid", "mesh"])
def test_a_part_is_written_in_the_patients_frame_and_measured_in_the_guides(tmp_path, kind, promised):
    frame = Frame.from_z(origin=np.array([10.0, -20.0, 30.0]), z=np.array([1.0, 2.0, 2.0]), x_near=np.array([1.0, 0.0, 0.0]))
    shape = trimesh.creation.annulus(r_min=2.0, r_max=12.0, height=3.0, sections=256)
    if kind == "solid":
        shape = cq.Workplane().box(20.0, 30.0, 3.0).faces(">Z").workplane().hole(4.0).val().Solids()[0]
    parts = (Part("lid", shape, (Bore("middle", (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), promised),)),)
    beside = parts_beside(parts, frame, tmp_path, stem="g_b", case="c", metadata={"case": "c"}, build_volume=(100.0, 100.0, 100.0))
    np.testing.assert_allclose(trimesh.load_mesh(tmp_path / "g_b-lid.stl").center_mass, frame.origin, atol=1e-3)
    whole = with_beside(MeasuredFiles(slots=[], seat=MeasuredSeat(), volume_mm3=1.0, checks=[], status="passed"), beside)
    assert (whole.status == "passed") is (promised == 4.0) and {check.id for check in whole.failed} == (
        set() if promised == 4.0 else {"bore[lid middle]"}
    )
    kinds = ({"step"} if kind == "solid" else set()) | {"stl", "3mf"}
    files, (told,) = kept_beside(beside, tmp_path, passed=promised == 4.0)
    if promised == 4.0:
        assert files == {f"{one}-lid": f"g_b-lid.{one}" for one in kinds} and told.status == "passed"
    else:
        left = "step" if kind == "solid" else "stl"
        assert files == {f"{left}-lid": f"g_b-lid_REJECTED.{left}"} and told.status == "rejected"
    assert written(tmp_path) == set(files.values()) and strictly_part(told) == []


def strictly_part(told):
    return list(faults(MadePart.model_validate(told.to_json())))


def test_a_file_of_two_guides_is_refused(phantom_out, phantom_report, tmp_path):
    """A variant's name may end as a part's does."""
    from psi_cad.approval.publish import Before, publish
    from psi_cad.errors import BuildError
    from psi_cad.records.report import BuildReport

    final, staging = tmp_path / "case", tmp_path / "staging"
    shutil.copytree(phantom_out, final)
    staging.mkdir()
    report = BuildReport.model_validate(json.loads(json.dumps(phantom_report)))
    report.guides[0].variant = "tight"
    report.guides[0].files["stl-lid"] = f"{BLOCK}.stl"
    before = {path.name: path.read_bytes() for path in final.iterdir()}
    with pytest.raises(BuildError, match=rf"'{BLOCK}\.step' would be a file of guide '{BLOCK}' and of guide '{BLOCK}_tight'"):
        publish(staging, final, report, Before(final))
    assert {path.name: path.read_bytes() for path in final.iterdir() if path.name != "report.lock"} == before
