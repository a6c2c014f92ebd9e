"""The allograft: a guide on the donor for the same cuts, a graft whose faces lie where kerfs and fit put them, each promise measured from files."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES

import psi_cad
from psi_cad import api
from psi_cad.approval.comparing import standing_in
from psi_cad.batch.collect import collect
from psi_cad.batch.expand import Asked
from psi_cad.batch.run import dry_run
from psi_cad.errors import CaseError, DesignError, InputError
from psi_cad.grafting.graft import contact_cautions, graft_parts, refuse_faceless
from psi_cad.guides.contract import Needs
from psi_cad.guides.registry import base_sha256, load_template, template_sha256
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import plan_job, works_of
from psi_cad.outputs.subject import disagreement, read_plan, read_report
from psi_cad.records.grafts import GraftSaid
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.registration.rigid import apply
from psi_cad.sawing.kerfs import graft_terms, kerfs_of, sawings
from psi_cad.scene.kerf import GraftTerm
from psi_cad.verify.features.flat import PLACE_MM

CASE = CASES / "phantom-allograft"
STEM = "graft_generic-25x0.89"
KERF = 1.04  # of the blade, which nobody measured: 0.89 and the clearance


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return built_once(tmp_path_factory, "allograft", lambda folder: psi_cad.build(CASE, folder)) / "phantom-allograft"


@pytest.fixture(scope="module")
def report(out):
    return json.loads((out / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def site():
    job = plan_job(load(CASE), blades=[], progress=lambda step: None, only="graft")
    return job.donor.guides[0].sites[0]


def guide_of(report, name="graft"):
    return next(guide for guide in report["guides"] if guide["name"] == name)


def heights(mesh, face, pose):
    """Heights (n, 3) above the planned plane of the triangles of a graft that look down at it, as it lies in the patient."""
    corners = apply(pose, np.asarray(mesh.vertices))[np.asarray(mesh.faces)]
    normal = np.array(face["normal"])
    looks = np.asarray(mesh.face_normals) @ pose[:3, :3].T @ normal
    found = (corners - np.array(face["origin"])) @ normal
    return found[(looks < -0.9999) & (np.abs(found).max(axis=1) < 3.0)]


@pytest.mark.slow
def test_the_faces_of_the_graft_lie_where_kerfs_and_fit_put_them(out, report):
    graft = guide_of(report)["graft"]
    (face,) = graft["faces"]
    assert (face["patient_kerf_mm"], face["donor_kerf_mm"], face["fit_mm"]) == (KERF, KERF, 0.2)
    assert (
        face["shift_mm"] == pytest.approx(0.2 - KERF)
        and face["host_mm"] == pytest.approx(-KERF / 2)
        and face["face_mm"] == pytest.approx(0.2 - KERF / 2)
    )
    mesh = trimesh.load_mesh(out / f"{STEM}-graft.stl")
    found = heights(mesh, face, np.array(graft["patient_from_donor"]))
    assert len(found) > 20
    assert np.abs(found - (0.2 - KERF / 2)).max() < PLACE_MM
    planned = guide_of(report)["plan"]["slots"][0]
    assert planned["shift"] == pytest.approx(0.2 - KERF)
    measured = guide_of(report)["slots"][0]
    assert measured["from_plan_mm"] == pytest.approx(0.2 - KERF, abs=0.005)


@pytest.mark.slow
def test_the_guide_sits_on_the_donor_and_passes_every_check_of_an_osteotomy_guide(out, report):
    guide, other = guide_of(report), guide_of(report, "wing")
    assert report["status"] == "passed"
    assert guide["parts"][0]["printed"] is False and not {check["id"] for check in guide["checks"]} & {"printer_room[graft]"}, "bone is not printed"
    ids = {check["id"] for check in guide["checks"]}
    assert {check["id"] for check in other["checks"]} <= ids
    assert {"flat[graft A]", "graft_area[A]", "graft_gap[A]", "stl_watertight[graft]"} <= ids
    assert guide["label"]["lines"][0] == "phantom-allograft donor-a R"
    donor = trimesh.load_mesh(out / report["donor"]["used"])
    low, high = np.asarray(donor.bounds)
    sits = np.asarray(trimesh.load_mesh(out / f"{STEM}.stl").bounds)
    assert (sits[0] > low - 20.0).all() and (sits[1] < high + 20.0).all()
    assert "graft" not in other and "donor-fit" not in {caution["id"] for caution in other["cautions"]}
    assert "donor-fit" in {caution["id"] for caution in guide["cautions"]}


@pytest.mark.slow
def test_the_graft_is_what_the_kerf_leaves_of_the_donor(out, report):
    whole = abs(trimesh.load_mesh(out / "donor.stl").volume)
    graft = trimesh.load_mesh(out / f"{STEM}-graft.stl")
    assert graft.is_watertight and 0.2 * whole < graft.volume < 0.8 * whole
    met = guide_of(report)["graft"]["faces"][0]["met"]
    assert 0.9 < met["covered"] < 1.0 and 0.05 < met["overhang"] < 0.2, "the donor is 3.5 % larger"
    assert 0.0 < met["step_median_mm"] < met["step_rms_mm"] < met["step_p95_mm"] < met["step_max_mm"]


@pytest.mark.slow
def test_checking_the_folder_again_measures_guide_and_graft(out, tmp_path):
    folder = shutil.copytree(out, tmp_path / out.name)
    again = api.measure(folder)
    assert again["status"] == "passed"
    found = {check["id"] for guide in again["guides"] for check in guide["checks"]}
    assert {"graft_gap[A]", "flat[graft A]", "seat_max"} <= found


def told(folder, name, mesh, *, sha=True):
    """Write a falsified STL, and let the report know its hash."""
    from psi_cad.export.meshes import write_stl
    from psi_cad.files import sha256_of

    write_stl(folder / name, mesh, header="mm SPACE=LPS")
    report = json.loads((folder / "report.json").read_text("utf-8"))
    guide = guide_of(report)
    if sha and name in guide["sha256"]:
        guide["sha256"][name] = sha256_of(folder / name)
    (folder / "report.json").write_text(json.dumps(report), "utf-8")


def lower(mesh, face, pose, *, by, lean=0.0):
    """A graft whose face is moved along its normal, and leans."""
    points = apply(pose, np.asarray(mesh.vertices))
    normal, side = np.array(face["normal"]), np.cross(face["normal"], [0.0, 1.0, 0.0])
    high = (points - np.array(face["origin"])) @ normal
    on = np.abs(high - face["face_mm"]) < 1e-3
    moved = np.asarray(mesh.vertices).copy()
    away = by + lean * ((points - points[on].mean(axis=0)) @ side)
    moved[on] += (away[on, None] * normal) @ pose[:3, :3]
    return trimesh.Trimesh(moved, mesh.faces, process=False)


OFF = {"flat", "graft_area", "graft_gap"}  # falsified here


@pytest.mark.parametrize(
    ("by", "lean", "wanted"),
    [
        pytest.param(0.03, 0.0, {"flat[graft A]", "graft_gap[A]"}, marks=pytest.mark.slow),
        pytest.param(-0.03, 0.0, {"flat[graft A]", "graft_gap[A]"}, marks=pytest.mark.slow),
        pytest.param(0.0, 0.004, {"flat[graft A]"}, marks=pytest.mark.slow),
        pytest.param(2.0, 0.0, {"flat[graft A]", "graft_area[A]", "graft_gap[A]"}, marks=pytest.mark.slow),
    ],
)
def test_a_graft_that_is_off_fails_its_checks(out, report, tmp_path, by, lean, wanted):
    folder = shutil.copytree(out, tmp_path / out.name)
    graft = guide_of(report)["graft"]
    mesh = trimesh.load_mesh(out / f"{STEM}-graft.stl")
    told(folder, f"{STEM}-graft.stl", lower(mesh, graft["faces"][0], np.array(graft["patient_from_donor"]), by=by, lean=lean))
    (guide,) = [one for one in api.measure(folder)["guides"] if one["name"] == "graft"]
    failed = {check["id"] for check in guide["checks"] if not check["passed"]}
    assert wanted <= failed and guide["status"] == "failed"
    assert not {check for check in failed if not check.startswith(("flat", "graft_"))}


@pytest.mark.slow
def test_another_donor_beside_the_guide_is_noticed(out, report, tmp_path):
    folder = shutil.copytree(out, tmp_path / out.name)
    mesh = trimesh.load_mesh(out / "donor.stl")
    mesh.vertices = np.asarray(mesh.vertices) + 0.3
    mesh.export(folder / "donor.stl")
    guides = {one["name"]: {check["id"] for check in one["checks"] if not check["passed"]} for one in api.measure(folder)["guides"]}
    assert {"bone_unchanged", "seat_rms"} <= guides["graft"] and not guides["wing"]
    (folder / "donor.stl").unlink()
    with pytest.raises(InputError, match="the donor's surface is missing"):
        api.measure(folder)


@pytest.mark.slow
def test_an_approval_is_for_this_graft_and_this_donor(out, tmp_path):
    folder = shutil.copytree(out, tmp_path / out.name)
    api.plan(CASE, tmp_path)
    for role, code in (("surgeon", "S-17"), ("engineer", "E-4")):
        api.approve(folder, role=role, name_code=code)

    def approved():
        return {section.split()[1].split("_")[0] for section, stands in standing_in(folder).items() if stands.approved}

    assert approved() == {"wing", "graft"}
    for name in (f"{STEM}-graft.stl", "donor.stl"):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before[:-1] + b"\x01")
        assert approved() == {"wing"}, name
        (folder / name).write_bytes(before)
    assert approved() == {"wing", "graft"}


@pytest.mark.slow
def test_a_plan_of_other_planes_or_another_kerf_does_not_go_with_the_graft(out, report, tmp_path):
    psi_cad_plan = api.plan(CASE, tmp_path)
    plan, built = PlanReport.model_validate(psi_cad_plan), BuildReport.model_validate(report)
    assert disagreement(plan, built) is None
    (guide,) = [one for one in built.guides if one.graft is not None]
    face = guide.graft.faces[0]
    for changed, said in (
        ({"origin": [-96.0, -8.0, 57.0]}, "the plane of cut 'A' differs"),
        ({"patient_kerf_mm": 1.2}, "is made for a kerf of 1.2 mm"),
    ):
        other = guide.but(graft=guide.graft.but(faces=[face.but(**changed)]))
        assert said in disagreement(plan, built.but(guides=[other]))


@pytest.mark.parametrize("side", ["centre", "specimen", "retained"])
def test_the_gap_is_the_fit_whatever_side_the_kerf_lies_on(side):
    term = GraftTerm("A", side, fit=0.3, patient_blade="p", patient_kerf=1.1, donor_blade="d", donor_kerf=1.7)
    assert term.face - term.host == pytest.approx(0.3)
    assert term.shift == pytest.approx(term.patient_shift + 0.3 - (1.1 + 1.7) / 2)


def test_the_patients_kerf_is_not_that_of_a_guide_on_the_donor():
    loaded = load(CASE, settings=["guide.graft.blade=generic-20x1.27"])
    own = sawings(loaded)
    assert [one.on_donor for one in own] == [False, True]
    assert kerfs_of(loaded.case, own)["A"].width == pytest.approx(KERF)
    term = graft_terms(loaded.case, own[1], own)["A"]
    assert (term.patient_blade, term.donor_blade) == ("generic-25x0.89", "generic-20x1.27")
    assert term.donor_kerf == pytest.approx(1.27 + 0.15)


def test_a_blade_of_the_command_line_saws_the_patient_too():
    """Also where it is the graft's own blade in the case: every guide of that run is made for it, and the graft is the same in company."""
    loaded = load(CASE, settings=["guide.graft.blade=generic-20x1.27"])
    own, (params,) = sawings(loaded), [one.params for one in sawings(loaded) if one.on_donor]
    for blade, kerf in (("generic-20x1.27", 1.27 + 0.15), ("generic-20x1.0", 1.0 + 0.15)):
        for company in ([blade], [blade, "generic-10x0.6"]):
            work = works_of(loaded, 1, params, company)[0]
            term = graft_terms(loaded.case, work, own)["A"]
            assert (term.patient_blade, term.donor_blade) == (blade, blade)
            assert term.patient_kerf == term.donor_kerf == pytest.approx(kerf)
    (work,) = works_of(loaded, 1, params, [])
    assert graft_terms(loaded.case, work, own)["A"].patient_blade == "generic-25x0.89"


@pytest.mark.slow
def test_the_graft_of_another_blade_is_made_for_that_kerf_and_agrees_with_its_plan(tmp_path):
    blades = ["generic-20x1.27", "generic-20x1.0"]
    api.plan(CASE, tmp_path, blades=blades)
    guides = psi_cad.build(CASE, tmp_path, blades=blades, suggest=False)["guides"]
    for guide in guides:
        if "graft" in guide:
            (face,) = guide["graft"]["faces"]
            assert (face["patient_blade"], face["donor_blade"]) == (guide["blade"], guide["blade"]) and guide["status"] == "passed"
    folder = next(path.parent for path in tmp_path.glob("*/report.json"))
    assert disagreement(read_plan(folder), read_report(folder)) is None


def variant(tmp_path, change):
    """The example with its text changed, beside a phantom of its own."""
    text = (CASE / "case.toml").read_text("utf-8").replace("../phantom/", f"{CASES / 'phantom'}/")
    (tmp_path / "case.toml").write_text(change(text), "utf-8")
    return tmp_path / "case.toml"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text[: text.index("[donor]")] + text[text.index("[[cut]]") :],
            "'allograft' sits on a donor's bone, and the case names none; add [donor]",
        ),
        (lambda text: text[: text.index("[[guide]]")] + text[text.rindex("[[guide]]") :], "no guide on the patient's bone takes cut 'A'"),
        (
            lambda text: text.replace('side = "right"                   #', 'side = "left"                   #'),
            'donor.side = "left", but by its shape this is a right hip',
        ),
        (lambda text: text.replace("fit = 0.2", "fit = 2.0"), "guide[1].params.fit = 2 is outside -0.5–1 mm"),
    ],
)
def test_what_a_graft_lacks_is_told_in_one_sentence(tmp_path, change, said):
    with pytest.raises(CaseError) as refused:
        plan_job(load(variant(tmp_path, change)), blades=[], progress=lambda step: None)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_every_cut_of_the_bone_needs_a_guide_on_the_donor(tmp_path):
    more = '\n[[cut]]\nname = "B"\norigin = [-60.0, 60.0, 70.0]\nnormal = [-0.3, -0.9, 0.3]\n\n[[guide]]'
    path = variant(tmp_path, lambda text: text.replace("\n[[guide]]", more, 1).replace('cuts = ["A"]', 'cuts = ["A", "B"]', 1))
    loaded = load(path)
    own = sawings(loaded)
    with pytest.raises(CaseError, match=r"guide 'graft'\.cuts: no guide on the donor takes cut 'B'"):
        graft_terms(loaded.case, own[1], own)


@pytest.mark.slow
def test_a_template_that_leaves_a_face_out_or_moves_it_is_refused(site):
    (part,) = graft_parts(site)
    refuse_faceless("mine", site, (part,))
    (face,) = part.features
    off = dataclasses.replace(face, point=tuple(np.array(face.point) + 0.01 * np.array(face.normal)))
    small = dataclasses.replace(face, area=face.area / 2.0)
    for features in ((), (off,), (small,)):
        with pytest.raises(DesignError, match="does not promise the graft's face of cut 'A'"):
            refuse_faceless("mine", site, (dataclasses.replace(part, features=features),))


def test_the_template_is_derived_from_the_osteotomy_guide():
    template, base = load_template("allograft", where="here"), load_template("osteotomy", where="here")
    assert Needs(cuts=(1, 6), donor=True) == template.NEEDS and issubclass(template.Params, base.Params)
    assert template.Params().model_dump() == {**base.Params().model_dump(), "fit": 0.0}
    assert base_sha256("allograft") == template_sha256("osteotomy") and base_sha256("osteotomy") is None


@pytest.mark.slow
def test_a_graft_goes_to_no_printer(out, tmp_path):
    rows = dry_run(Asked((str(CASE),)), out.parent)
    names = [entry["file"] for entry in collect(out.parent, tmp_path / "c", rows)]
    assert len(names) == 2 and not [name for name in names if "-graft" in name]
    ((page, said),) = api.sheet(out).items()
    (sheet,) = [one for one in said["instruments"] if one["instrument"] == f"guide {STEM}"]
    page.unlink()
    assert sorted(sheet["not_printed"]) == [f"{STEM}-graft.3mf", f"{STEM}-graft.stl"]


@pytest.mark.slow
def test_little_contact_is_a_caution(report):
    said = GraftSaid.model_validate(guide_of(report)["graft"])
    assert contact_cautions(said) == ()
    (face,) = said.faces
    (one,) = contact_cautions(said.but(faces=[face.but(met=face.met.but(covered=0.4))]))
    assert one.id == "graft-contact" and "covers 40% of the host's face at cut A" in one.text


@pytest.mark.slow
def test_a_donor_of_the_other_side_has_its_planes_mirrored_and_its_own_bone_sat_on(tmp_path):
    def other(text):
        return text.replace("donor-a", "donor-b").replace('side = "right"                   #', 'side = "left"                   #')

    report = psi_cad.build(variant(tmp_path, other), tmp_path / "out")
    graft = guide_of(report)
    assert report["status"] == "passed" and report["donor"]["mirrored"]
    pose = np.array(graft["graft"]["patient_from_donor"])
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(-1.0, abs=1e-6)
    assert "donor-mirrored" in {caution["id"] for caution in graft["cautions"]}
    mesh = trimesh.load_mesh(tmp_path / "out" / "phantom-allograft" / f"{STEM}-graft.stl")
    assert np.abs(heights(mesh, graft["graft"]["faces"][0], pose) - (0.2 - KERF / 2)).max() < PLACE_MM
