"""What a person is told: every caution is documented, the serious ones come first, and much of a kind is counted."""

import re

import numpy as np
import pytest
import trimesh
from conftest import CASES, ROOT

from psi_cad.api import plan
from psi_cad.case.load import load_case
from psi_cad.findings import CAUTIONS, REASONS, Caution, Check
from psi_cad.guides.params import GuideParams
from psi_cad.guides.seating import Seating
from psi_cad.intake.bones import BonesRead
from psi_cad.intake.cautions import _of_seating, case_cautions, source_cautions
from psi_cad.records.bones import Bone
from psi_cad.records.check import ToldGuide
from psi_cad.records.shared import CautionSaid, CheckSaid
from psi_cad.remedies.mending import CHECKS
from psi_cad.remedies.words import WORDS
from psi_cad.scene.bodies import Body, Scene
from psi_cad.siting.axis import SeatingAxis
from psi_cad.wording.telling import Told, caution_lines, cautions_in, check_lines

PAGE = (ROOT / "docs" / "cautions.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)` \|.*\| (yes|no) \|$", PAGE, flags=re.MULTILINE)


def test_the_page_tells_of_every_caution_in_the_order_of_the_table():
    assert [name for name, _ in ROWS] == list(CAUTIONS)


def test_the_reasons_to_doubt_a_segmentation_are_those_of_its_page_and_each_is_given_somewhere():
    page = (ROOT / "docs" / "segmentation.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| [^|]+ \| `([a-z-]+)` \|", page, flags=re.MULTILINE)) == sorted(REASONS)
    code = "".join(path.read_text("utf-8") for path in (ROOT / "psi_cad").rglob("*.py") if path.name != "findings.py")
    assert [reason for reason in REASONS if f'"{reason}"' not in code] == []


def test_a_reason_travels_through_a_report_and_no_other_word_passes_for_one():
    doubt = Caution("segmentation-doubt", "The marrow is missing.", (1.0, 2.0, 3.0), "void")
    assert doubt.to_json()["reason"] == "void" and Caution.from_json(doubt.to_json()) == doubt
    assert "reason" not in Caution("look", "there").to_json()
    assert Caution.from_json({**doubt.to_json(), "reason": "of a later version"}).reason == ""
    with pytest.raises(ValueError, match="no reason"):
        Caution("segmentation-doubt", "It is odd.", None, "odd")


def test_the_page_says_which_block_a_release():
    assert {name: accepted == "yes" for name, accepted in ROWS} == {name: kind.blocks_release for name, kind in CAUTIONS.items()}


def test_the_most_serious_comes_first_and_many_of_a_kind_are_counted():
    many = [Told("look", f"look at {n}") for n in range(60)]
    head, *lines = caution_lines([*many, Told("nominal-blade", "measure."), Told("nominal-blade", "measure.")])
    assert head.startswith("What to know")
    assert lines[0] == "  ! nominal-blade: measure" and len(lines) == 1 + 3 + 1
    assert "57 more" in lines[-1] and "report.json" in lines[-1]


def test_no_flood_of_lines():
    each = [Told(kind, f"{kind} {n}") for kind in CAUTIONS for n in range(9)]
    lines = caution_lines(each, more_in="plan.json")
    assert len(lines) <= 20 and lines[-1] == f"  … and {4 * len(CAUTIONS) - 15} more in plan.json"
    assert caution_lines([]) == []


def test_a_caution_names_its_guide_where_not_all_have_it():
    small, nominal = CautionSaid(id="small-letters", text="small"), CautionSaid(id="nominal-blade", text="nominal")
    guides = [ToldGuide(name=name, blade="b", variant=None, cautions=told) for name, told in (("one", [small, nominal]), ("two", [nominal]))]
    lines = caution_lines(cautions_in([], guides))
    assert "  ! small-letters: small [one]" in lines and "  ! nominal-blade: nominal" in lines


def test_a_caution_of_one_variant_is_not_told_of_the_plain_guide():
    override = CautionSaid(id="clearance-override", text="0.3 mm")
    guides = [ToldGuide(name="g", blade="b", variant=variant, cautions=told) for variant, told in ((None, []), ("tight", [override]))]
    assert "  ! clearance-override: 0.3 mm [g b tight]" in caution_lines(cautions_in([], guides))


def check(name, value, rule, limit, passed, note="", where=None, unit="mm"):
    return CheckSaid.model_validate(Check(name, value, unit, rule, limit, passed, note, where).to_json())


def test_checks_that_pass_are_counted_and_those_that_fail_told():
    good = [check("printer_room", -317.85, "<=", 0.0, True)] * 33
    assert check_lines(good) == ["  33 checks passed"]
    bad = [
        check("slot_wall[A]", 1.51, ">=", 1.95, False, where=(1.0, 2.0, 3.0)),
        check("step_valid", 0.0, "==", 1.0, False, unit=""),
        check("pin_bore", 1e9, "<=", 0.01, False),
        check("avoid_left-artery_A", 1.2, ">=", 5.0, False, "nearest at (1, 2, 3)"),
        check("blade_reach_one_A", 20.0, ">=", 31.0, False),
    ]
    head, wall, valid, bore, avoid, reach = check_lines([*good, *bad])
    assert head == "  5 of 38 checks failed:"
    assert wall == "  - slot_wall[A]: thinnest wall beside the slot, slot A is 1.51 mm, wanted at least 1.95 mm, near (1.0, 2.0, 3.0)"
    assert valid == "  - step_valid: the solid in the STEP file is not valid"
    assert "could not be measured" in bore and "1e" not in bore
    assert "distance from left-artery, cut A is 1.2 mm" in avoid and avoid.count("(1, 2, 3)") == 1
    assert "one, cut A is 20 mm, wanted at least 31 mm" in reach


def test_every_check_of_a_guide_has_words(phantom_report):
    stems = {check["id"].partition("[")[0] for guide in phantom_report["guides"] for check in guide["checks"]}
    assert stems <= set(CHECKS) <= set(WORDS)


def read(said):
    """What was read of a case whose only bone a report says `said` of."""
    return BonesRead(Scene((Body(None, None),)), (Bone.model_validate({"file": "bone.stl", "sha256": "", **said}),))


def test_sources_become_cautions_of_the_case(tmp_path):
    loaded = load_case(CASES / "phantom-type1", settings=["params.clearance=0.12"])
    metal = Caution("metal", "metal lies in bone", (1.0, 2.0, 3.0))
    said = {
        "scan": {"spacing_mm": [], "cautions": [Caution("coarse-scan", "too coarse").to_json()]},
        "segmentation": {"uncertainty_mm": None, "cautions": [metal.to_json()]},
        "repairs": [{"kind": "filled hole", "size_mm": size, "where": [0.0, 0.0, size], "count": 1} for size in (3.0, 5.0)],
    }
    told = case_cautions(loaded, read(said))
    assert [caution.id for caution in told] == ["case-overridden", "coarse-scan", "metal", "surface-mended"]
    assert metal in told and told[-1].where == (0.0, 0.0, 5.0) and "2 openings" in told[-1].text and "5.0 mm" in told[-1].text
    assert source_cautions(Bone(file="bone.stl", sha256="")) == ()


def test_a_proposed_outline_is_told():
    loaded = load_case(CASES / "phantom-type1")
    tumour = loaded.case.tumour.model_copy(update={"labels": "mri/tumour_PROPOSAL.nrrd", "surface": None})
    changed = type(loaded)(loaded.case.model_copy(update={"tumour": tumour}), loaded.path, loaded.sha256, loaded.catalogue)
    assert [caution.id for caution in case_cautions(changed, read({}))] == ["tumour-proposed"]


def test_a_plan_on_a_mended_bone_tells_it_first_what_weighs_most(tmp_path):
    mesh = trimesh.load_mesh(CASES / "phantom" / "bone.stl")
    mesh.merge_vertices()
    corner = np.asarray(mesh.vertices)[mesh.faces].mean(axis=1)[:, 2].argmin()
    mesh.update_faces(np.arange(len(mesh.faces)) != corner)
    mesh.export(tmp_path / "bone.stl")
    text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom/bone.stl", "bone.stl")
    (tmp_path / "case.toml").write_text(text.replace("../phantom", (CASES / "phantom").as_posix()), "utf-8")
    found = plan(tmp_path, settings=["tumour.margin=9.0"])
    kinds = [caution["id"] for caution in found["cautions"]]
    assert kinds == sorted(kinds, key=list(CAUTIONS).index)
    assert {"case-overridden", "nominal-blade", "surface-mended"} <= set(kinds)
    assert found["notes"] == [caution["text"] for caution in found["cautions"]]


@pytest.mark.parametrize("kind", CAUTIONS)
def test_a_caution_comes_back_from_a_report(kind):
    caution = Caution(kind, "text", (1.0, 2.0, 3.0))
    assert Caution.from_json(caution.to_json()) == caution


def test_a_failed_check_of_a_sleeve_names_its_trajectory():
    failed = check("tool_avoid[T1 vessel]", 3.2, ">=", 5.0, False)
    assert "distance of the tool from the structure, trajectory T1, vessel is 3.2 mm, wanted at least 5 mm" in check_lines([failed])[1]


def sat(reach, slope_limit, asked=18.0):
    """The ids of what is told of a seat, when footplates were to reach `asked` and bone of 55° to be rested on."""
    axis = SeatingAxis(np.array([0.0, 0, 1]), 500.0, 0.2, 0.0, 37)
    return [caution.id for caution in _of_seating(Seating(axis, reach, slope_limit, 0.2), GuideParams(footplate_reach=asked))]


def test_a_release_has_to_accept_footplates_that_reach_much_further_than_asked():
    assert sat(18.0, 55.0) == [] and sat(40.0, 65.0) == ["seat-widened"] and sat(14.0, 55.0) == ["seat-nearer"]
    assert sat(50.0, 55.0) == ["seat-far", "seat-widened"] and CAUTIONS["seat-far"].blocks_release
    assert sat(60.0, 55.0, asked=60.0) == []
