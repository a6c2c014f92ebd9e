"""Variants: how a guide is named among others of a folder, told apart, and taken out again."""

import copy
import json
import shutil
from pathlib import Path

import pytest
from approving import ACCEPTED, GUIDE, PRINTED, STEM, accepted, both, edit_report
from conftest import CASES

from psi_cad import api
from psi_cad.approval import publish as publishing
from psi_cad.approval.publish import Before, publish, remove_made
from psi_cad.approval.release import check_approvals, release_said
from psi_cad.case.load import load_case
from psi_cad.case.model import PlateHole
from psi_cad.cli.showing import guide_lines
from psi_cad.errors import ApprovalError, BuildError, InputError
from psi_cad.files import sha256_of
from psi_cad.intake.work import digest_of
from psi_cad.outputs.naming import Naming, check_variant, differences, making_of, name_for, recorded_making
from psi_cad.outputs.overrides import mark_of, overrides_of
from psi_cad.outputs.subject import read_json, read_report, stem, stem_of
from psi_cad.records.guide import Guide
from psi_cad.records.report import BuildReport


@pytest.fixture
def guide(phantom_report) -> dict:
    """The plain guide, as the report tells of it."""
    return copy.deepcopy(phantom_report["guides"][0])


def otherwise(guide, **params) -> dict:
    """The same guide made with other parameters, at its plain name."""
    return {**copy.deepcopy(guide), "params": {**guide["params"], **params}}


def named(making, *others, stands=True, wanted=None) -> Naming:
    return name_for(recorded_making(Guide.model_validate(making)), [(Guide.model_validate(other), stands) for other in others], wanted=wanted)


def test_the_report_tells_how_each_guide_was_made(guide):
    assert (guide["variant"], guide["differs"], guide["cuts"]) == (None, [], ["A"])
    assert recorded_making(Guide.model_validate(guide)) is not None
    for key in ("cuts", "approach", "params", "blade_entry", "printer_entry"):  # a report of an older version
        assert recorded_making(Guide.model_validate({name: value for name, value in guide.items() if name != key})) is None


def test_what_a_report_records_of_a_guide_is_what_it_was_asked_for(guide):
    """Else a guide that is built again would not have its own name."""
    loaded = load_case(CASES / "phantom-type1" / "case.toml")
    request = loaded.case.guide[0]
    blade, printer = loaded.blade(request.blade, where="blade"), loaded.printer(request.printer, where="printer")
    made = recorded_making(Guide.model_validate(guide))
    assert made == making_of(request, guide["params"], blade, printer)
    plate = [{"name": f"H{n}", "point": [float(n), 0.0, 0.0], "direction": [0.0, 0.0, 1.0]} for n in range(3)]
    other = recorded_making(Guide.model_validate({**guide, "holes": plate}))
    held = request.model_copy(update={"hole": tuple(PlateHole.model_validate(one) for one in plate)})
    assert other == making_of(held, guide["params"], blade, printer) and differences(other, made).keys() == {"holes"}


def test_the_plain_name_goes_to_the_first_and_back_to_its_own(guide):
    assert named(guide) == Naming()
    assert named(guide, guide) == Naming()


@pytest.mark.parametrize(
    ("change", "variant", "differs"),
    [
        (lambda g: g["params"].update(clearance=0.12), "clearance-0.12", "clearance 0.12 instead of 0.15"),
        (lambda g: g["params"].update(clearance=0.12, seat_gap=0.3), "seat-gap-0.3-clearance-0.12", "seat_gap 0.3 instead of 0.2"),
        (lambda g: g["params"].update(clearance_override=True), "clearance-override-true", "clearance_override true instead of false"),
        (lambda g: g["params"].update(clearance=-0.1), "clearance-minus0.1", "clearance -0.1 instead of 0.15"),
        (lambda g: g["printer_entry"].update(id="own-printer"), "printer-own-printer", "printer own-printer instead of fdm-ultem1010"),
        (lambda g: g["printer_entry"].update(slot_compensation=0.05), "printer-slot-compensation-0.05", "printer slot_compensation 0.05 instead of"),
        (lambda g: g["blade_entry"].update(thickness=0.9), "blade-thickness-0.9", "blade thickness 0.9 instead of 0.89"),
        (lambda g: g.update(template="own-template"), "template-own-template", "template own-template instead of osteotomy"),
    ],
)
def test_a_variant_is_named_by_what_differs(guide, change, variant, differs):
    guide["params"]["seat_gap"] = 0.2
    other = copy.deepcopy(guide)
    change(other)
    found = named(other, guide)
    assert found.variant == variant and any(text.startswith(differs) for text in found.differs)
    check_variant(found.variant)


@pytest.mark.parametrize("key", ["approach", "cuts"])
def test_a_list_is_named_by_its_hash(guide, key):
    other = {**copy.deepcopy(guide), key: [*guide[key][:-1], "B" if key == "cuts" else 0.25]}
    found = named(other, guide)
    assert found.variant.startswith(f"{key}-") and len(found.variant) == len(key) + 7
    assert named(other, guide) == found
    assert named({**other, key: [*other[key][:-1], "C" if key == "cuts" else 0.5]}, guide).variant != found.variant


def test_what_is_too_long_for_a_name_ends_in_a_hash(guide):
    many = {name: value + 0.125 for name, value in guide["params"].items() if isinstance(value, float)}
    found, other = named(otherwise(guide, **many), guide), named(otherwise(guide, **{**many, "clearance": 0.19}), guide)
    for name in (found.variant, other.variant):
        check_variant(name)
    assert found.variant != other.variant and len(found.differs) == len(many)


def test_a_guide_that_no_longer_stands_gives_its_name_up(guide):
    assert named(otherwise(guide, clearance=0.12), guide, stands=False) == Naming()


def test_a_variant_has_its_own_name_again_even_where_the_plain_one_is_gone_or_stale(guide):
    variant = {**otherwise(guide, clearance=0.12), "variant": "clearance-0.12", "variant_given": False}
    assert named(variant, guide, variant).variant == "clearance-0.12"
    assert named(variant, variant) == Naming("clearance-0.12")
    assert named(variant, guide, variant, stands=False).variant == "clearance-0.12"
    assert named(guide, variant) == Naming()
    third = otherwise(guide, clearance=0.13)
    assert named(third, guide, variant).variant == "clearance-0.13"


PLANE = "cut.A.origin=[-96.0, -8.0, 36.0]"


@pytest.mark.parametrize(
    "setting",
    [PLANE, "landmarks.asis=[1.0, 2.0, 3.0]", "bone.units=cm", "trajectory.T.depth=40", "tumour.margin=9.0", "side=left", "guide.approach=[0,0,1]"],
)
def test_what_is_made_of_another_case_never_has_the_name_of_the_case_s_own_guide(guide, setting):
    other = {**copy.deepcopy(guide), "settings": list(overrides_of([setting], guide["name"]))}
    found = named(other)
    check_variant(found.variant)
    assert setting.partition("=")[0].removeprefix("guide.").split(".")[0] in found.variant
    assert found == named(other, guide) == named(other, guide, stands=False) == named(other, {**other, "variant": found.variant})
    assert named(guide, {**other, "variant": found.variant}) == Naming()
    assert named(guide, other).variant is None, "a guide of an earlier version, which took the plain name, gives it back"
    twice = {**other, "settings": sorted([*other["settings"], "params.seat_gap=0.3"])}
    assert named(twice).variant not in (None, found.variant), "nor do two that differ have one label"
    changed = {**other, "settings": [other["settings"][0].replace("0", "7").replace("cm", "m").replace("left", "right")]}
    assert named(changed).variant not in (None, found.variant)


def test_settings_are_told_in_one_spelling_and_of_the_guide_that_they_reach():
    given = ["guide.g.params.height = 11", "params.wall=3", "guide.other.approach=[0,0,1]", "part.p.params.x=1", "params.height=12"]
    assert overrides_of(given, "g") == ("params.height=12", "params.wall=3")
    assert overrides_of(["guide.g.approach=[0,0,1]"], "g") == overrides_of(["guide.approach=[0, 0, 1]"], "g")
    assert mark_of(overrides_of(["params.clearance=0.12", "guide.g.blade=b"], "g")) is None, "a label names both"
    marks = {mark_of(overrides_of([one], "g")) for one in ("params.height=11", "params.height=12", "guide.printer=p", "guide.template=t")}
    assert len(marks) == 4 and None not in marks


def test_a_name_taken_by_a_person_s_own_variant_is_not_taken_from_it(guide):
    taken = {**otherwise(guide, clearance=0.19), "variant": "clearance-0.12", "variant_given": True}
    found = named(otherwise(guide, clearance=0.12), guide, taken)
    assert found.variant.startswith("clearance-0.12-") and found.variant != "clearance-0.12"


def test_a_name_that_is_given_is_used_and_never_taken_from_another(guide):
    tight = {**otherwise(guide, clearance=0.12), "variant": "tight", "variant_given": True}
    assert named(otherwise(guide, clearance=0.12), guide, wanted="tight") == Naming("tight", ("clearance 0.12 instead of 0.15",), given=True)
    assert named(tight, guide, tight, wanted="tight").variant == "tight"  # built again
    with pytest.raises(
        InputError, match=r"--variant tight: .*_tight lies there and was made with other values \(clearance 0.13 instead of 0.12\).*remove"
    ):
        named(otherwise(guide, clearance=0.13), guide, tight, wanted="tight")
    assert named(otherwise(guide, clearance=0.13), tight, stands=False, wanted="tight").variant == "tight"
    assert named(otherwise(guide, clearance=0.12), tight) == Naming(), "a plain build gets the plain name, whatever a person named"


@pytest.mark.parametrize("variant", ["", "Tight", "a_b", "../x", "a/b", "a\\b", "-a", "a-", "a.", ".a", "x" * 41, "rejected", "a b", "ä", "a\n"])
def test_a_name_that_no_file_may_have_is_refused(variant, tmp_path):
    with pytest.raises(InputError, match="--variant .*must be lower-case letters"):
        check_variant(variant)


@pytest.mark.parametrize("variant", ["a", "tight-slot", "v1.2", "x" * 40])
def test_a_name_that_files_may_have(variant):
    check_variant(variant)


def test_names_never_collide(guide):
    """No part holds a '_', so that name, blade and variant are read back from a file's name."""
    stems = {stem(n, b, v) for n in ("a", "a-b") for b in ("b", "b-c", "b.c") for v in (None, "b", "c", "b.c")}
    assert len(stems) == 2 * 3 * 4


def test_an_unsafe_name_is_told_before_anything_is_built(tmp_path, run):
    result = run("build", CASES / "phantom-type1", "-o", tmp_path / "out", "--variant", "../x")
    assert result.returncode == 2 and "--variant '../x'" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def as_built(out, folder, variant, *, status="passed", **params) -> BuildReport:
    """Files and report of a variant, as a build leaves them in its staging folder: those of the plain guide, renamed."""
    report = read_json(out / "report.json")
    (entry,) = [guide for guide in report["guides"] if guide["variant"] is None]
    entry = {**entry, "variant": variant, "variant_given": False, "params": {**entry["params"], **params}, "status": status}
    stem = stem_of(Guide.model_validate(entry))
    folder.mkdir(parents=True, exist_ok=True)
    kinds = entry["files"] if status == "passed" else {"step": ""}
    entry["files"] = {kind: f"{stem}.{kind}" if status == "passed" else f"{stem}_REJECTED.step" for kind in kinds}
    for kind, name in entry["files"].items():
        shutil.copyfile(out / f"{STEM}.{kind}", folder / name)
    entry["sha256"] = {name: sha256_of(folder / name) for name in entry["files"].values()}
    shutil.copyfile(out / "bone.stl", folder / "bone.stl")
    return BuildReport.model_validate({**report, "guides": [entry], "release": {"released": False}})


@pytest.fixture
def two(out, tmp_path) -> Path:
    """The plain guide, and a variant with another clearance."""
    report = as_built(out, tmp_path / "staging", "clearance-0.12", clearance=0.12)
    publish(tmp_path / "staging", out, report, Before(out))
    return out


VARIANT = f"{STEM}_clearance-0.12"


def test_a_variant_and_the_plain_guide_lie_side_by_side(two):
    names = {path.name for path in two.iterdir()}
    assert {f"{stem}.{kind}" for stem in (STEM, VARIANT) for kind in ("step", "stl", "3mf", "png")} < names
    assert [stem_of(guide) for guide in read_report(two).guides] == [VARIANT, STEM]
    accepted(two)
    entry = api.approve(two, role="surgeon", name_code="S-17")
    assert list(entry["what"]) == [f"guide {VARIANT}", GUIDE]
    assert set(entry["what"][GUIDE]) & set(entry["what"][f"guide {VARIANT}"]) >= {"case file", "bone.stl", "template file", "software"}


def test_a_rejected_variant_takes_no_file_of_another(two, tmp_path):
    before = {name: sha256_of(two / name) for name in PRINTED}
    report = as_built(two, tmp_path / "again", "clearance-0.12", status="rejected", clearance=0.12)
    publish(tmp_path / "again", two, report, Before(two))
    assert (two / f"{VARIANT}_REJECTED.step").is_file() and not (two / f"{VARIANT}.step").exists()
    assert {name: sha256_of(two / name) for name in PRINTED} == before
    assert [guide["status"] for guide in read_json(two / "report.json")["guides"]] == ["rejected", "passed"]


def test_a_changed_template_makes_the_earlier_guide_stale(two, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "template_sha256", lambda _: "0" * 64)
    report = as_built(two, tmp_path / "again", "clearance-0.12", clearance=0.12)
    publish(tmp_path / "again", two, report, Before(two))
    _, earlier = read_json(two / "report.json")["guides"]
    assert earlier["status"] == "stale" and "the template's file; build it again" in earlier["notes"][-1]


def test_another_run_that_wrote_the_same_name_meanwhile_is_not_overwritten(out, tmp_path):
    before = Before(out)
    publish(tmp_path / "one", out, as_built(out, tmp_path / "one", "clearance-0.12", clearance=0.12), before)
    mine = as_built(out, tmp_path / "two", "clearance-0.12", clearance=0.13)
    digest = digest_of(out)
    with pytest.raises(BuildError, match="another run has written guides of the same names"):
        publish(tmp_path / "two", out, mine, before)
    assert digest_of(out) == digest
    publish(tmp_path / "three", out, as_built(out, tmp_path / "three", "clearance-0.13", clearance=0.13), before)  # a name that is free
    assert len(read_json(out / "report.json")["guides"]) == 3


def test_compare_tables_what_lies_there(two, run):
    both(two)
    rows = api.compare(two.parent)
    assert [(row["guide"], row["variant"], row["clearance_mm"]) for row in rows] == [(VARIANT, "clearance-0.12", 0.12), (STEM, None, 0.15)]
    plain = rows[1]
    report = read_json(two / "report.json")["guides"][1]
    assert plain["slot_width_mm"] == report["slots"][0]["width_mm"] and plain["volume_mm3"] == report["volume_mm3"]
    assert plain["approved"] and not plain["released"] and plain["accepted"] == ACCEPTED
    reach = next(check for check in report["checks"] if check["id"].startswith("blade_reach"))
    assert plain["reach_spare_mm"] == pytest.approx(reach["value"] - reach["limit"], abs=1e-3)
    (two / f"{VARIANT}.stl").write_bytes(b"solid other")
    assert [row["status"] for row in api.compare(two)] == ["changed", "passed"]
    result = run("compare", two)
    assert result.returncode == 0 and VARIANT in result.stdout and "approved" in result.stdout
    assert [row["guide"] for row in json.loads(run("compare", two, "--json").stdout)] == [VARIANT, STEM]


def test_compare_and_check_agree_that_a_release_written_by_hand_is_not_sound(two, run):
    both(two)
    edit_report(two, lambda report: report.update(release=release_said(two, two, BuildReport.model_validate(report)).to_json()))
    assert all(row["released"] and row["sound"] for row in api.compare(two))
    assert "NOT SOUND" not in run("compare", two).stdout
    (two / "approvals.json").unlink()
    edit_report(two, lambda report: report["release"].update(approvals=[]))
    edit_report(two, lambda report: report.update(approval={"entries": []}))  # nothing tells of an approval any more
    assert not check_approvals(two)[0].sound
    assert [(row["released"], row["sound"]) for row in api.compare(two)] == [(True, False)] * 2
    said = run("compare", two).stdout
    assert said.count("NOT SOUND") == 3 and "released" not in said.splitlines()[1]


def test_a_guide_that_was_kept_is_not_told_as_built(two):
    variant, plain = read_report(two).guides
    assert (variant.kept, plain.kept) == (False, True)
    assert guide_lines(plain) == [f"{plain.name} for {plain.blade}: kept from earlier, passed"]
    assert len(guide_lines(variant)) > 3 and "kept" not in guide_lines(variant)[0]


def test_check_says_why_a_stale_guide_fails(two):
    edit_report(two, lambda report: report["guides"][1].update(status="stale"))
    found = api.measure(two)["guides"]
    assert (found[1]["status"], found[1]["why"]) == ("stale", "what it was made from has changed since it was built: build it again")


def test_remove_takes_one_guide_and_its_files_and_no_other(two, run):
    keep = {path.name: sha256_of(path) for path in two.iterdir() if VARIANT not in path.name and path.name != "report.json"}
    (two / f"{VARIANT}.txt").write_text("mine")
    result = run("remove", two, VARIANT)
    assert result.returncode == 0 and result.stdout.startswith(f"removed {VARIANT}: {VARIANT}.step, ")
    assert {path.name: sha256_of(path) for path in two.iterdir() if path.name not in ("report.json", f"{VARIANT}.txt")} == keep
    assert (two / f"{VARIANT}.txt").is_file(), "a file that the report does not name stays"
    assert [stem_of(guide) for guide in read_report(two).guides] == [STEM]
    result = run("remove", two, VARIANT)
    assert result.returncode == 2 and f"did you mean '{STEM}'" in result.stderr and result.stderr.count("\n") == 1


def test_a_rejected_guide_can_be_removed_and_the_folder_is_sound_again(out, tmp_path):
    report = as_built(out, tmp_path / "s", "clearance-0.5", status="rejected", clearance=0.5)
    publish(tmp_path / "s", out, report.but(status="rejected"), Before(out))
    assert remove_made(out, f"{STEM}_clearance-0.5")["files"] == [f"{STEM}_clearance-0.5_REJECTED.step"]
    assert read_json(out / "report.json")["status"] == "passed"
    accepted(out)
    api.approve(out, role="surgeon", name_code="S-17")


def test_a_changed_file_is_not_deleted_unless_forced(two):
    (two / f"{VARIANT}.stl").write_bytes(b"solid edited by somebody")
    before = digest_of(two)
    with pytest.raises(ApprovalError, match=rf"'{VARIANT}.stl' was changed since it was built, so nothing is removed; .*--force"):
        remove_made(two, VARIANT)
    assert digest_of(two) == before
    assert f"{VARIANT}.stl" in remove_made(two, VARIANT, force=True)["files"]


def test_a_file_that_is_gone_is_told(two):
    (two / f"{VARIANT}.png").unlink()
    assert remove_made(two, VARIANT)["missing"] == [f"{VARIANT}.png"]


@pytest.mark.parametrize("name", ["../case.toml", "bone.stl", f"{STEM}.step"])
def test_a_report_that_names_other_files_cannot_have_them_deleted(two, name):
    (two.parent / "case.toml").write_text("keep")
    edit_report(two, lambda report: report["guides"][0]["files"].update(stl=name))
    with pytest.raises((InputError, ApprovalError)):
        remove_made(two, VARIANT)
        raise ApprovalError("nothing was refused")
    assert (two.parent / "case.toml").is_file() and (two / "bone.stl").is_file() and (two / f"{STEM}.step").is_file()


def test_a_removal_that_fails_leaves_all_as_it_was(two, monkeypatch):
    before = digest_of(two)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        remove_made(two, VARIANT)
    assert digest_of(two) == before and not any(path.name.startswith(".") for path in two.iterdir())


def test_a_released_guide_is_removed_only_by_force_and_the_other_stays_released(two):
    both(two)
    edit_report(two, lambda report: report.update(release=release_said(two, two, BuildReport.model_validate(report)).to_json()))
    with pytest.raises(ApprovalError, match="is released, so it is not removed; .*--force"):
        remove_made(two, VARIANT)
    remove_made(two, VARIANT, force=True)
    (case,) = check_approvals(two)
    assert case.releases == [GUIDE] and case.released and case.sound
    remove_made(two, STEM, force=True)
    assert read_json(two / "report.json")["release"] == {"released": False}


def test_a_release_stands_while_a_guide_for_another_plane_is_built_beside_it(out, tmp_path):
    both(out)
    edit_report(out, lambda report: report.update(release=release_said(out, out, BuildReport.model_validate(report)).to_json()))
    other = as_built(out, tmp_path / "s", "cut-a-origin-970123")
    other.case.settings = [PLANE]
    other.guides[0].settings = list(overrides_of([PLANE], GUIDE))
    publish(tmp_path / "s", out, other, Before(out))
    assert [(guide.variant, guide.status, guide.settings) for guide in read_report(out).guides] == [
        ("cut-a-origin-970123", "passed", [PLANE]),
        (None, "passed", []),
    ]
    (case,) = check_approvals(out)
    assert case.releases == [GUIDE] and case.sound
    api.approve(out, role="surgeon", name_code="S-17", guides=[STEM])


def test_another_plane_that_is_refused_leaves_the_case_s_own_guide_as_it_is(out, tmp_path):
    other = as_built(out, tmp_path / "s", "cut-a-origin-970123")
    other.case.settings, entry = [PLANE], other.guides[0]
    other = BuildReport.model_validate(
        {**other.to_json(), "guides": [], "refused": [{"error": "SeatError", "message": "no.", "guide": entry.name, "blade": entry.blade}]}
    )
    publish(tmp_path / "s", out, other, Before(out))
    assert [guide.status for guide in read_report(out).guides] == ["passed"]


@pytest.mark.slow
def test_another_plane_makes_another_guide_beside_that_of_the_case(out, tmp_path):
    """The files, the name and the letters of the case's own guide stay, in the same folder and in a new one."""
    before = {name: sha256_of(out / name) for name in PRINTED}
    same = api.build(CASES / "phantom-type1", out.parent, settings=[PLANE], suggest=False)["guides"]
    alone = api.build(CASES / "phantom-type1", tmp_path / "new", settings=[PLANE], suggest=False)["guides"]
    assert [guide["variant"] for guide in same] == ["cut-a-origin-970123", None] and same[1]["status"] == "passed"
    assert {name: sha256_of(out / name) for name in PRINTED} == before
    assert same[0]["label"]["lines"] != same[1]["label"]["lines"]
    assert [guide["variant"] for guide in alone] == ["cut-a-origin-970123"] and alone[0]["sha256"] == same[0]["sha256"]
    assert any(caution["id"] == "case-overridden" for caution in same[0]["cautions"])
    assert not any(caution["id"] == "case-overridden" for caution in same[1]["cautions"])
    (marked,) = api.build(CASES / "phantom-type1", tmp_path / "marked", settings=["params.seat_gap=0.3"], suggest=False)["guides"]
    assert marked["variant"] is None and mark_of(marked["settings"]) in " ".join(marked["label"]["lines"]).split()


def test_a_release_stands_while_another_guide_is_built_beside_it(out, tmp_path):
    both(out)
    edit_report(out, lambda report: report.update(release=release_said(out, out, BuildReport.model_validate(report)).to_json()))
    publish(tmp_path / "s", out, as_built(out, tmp_path / "s", "clearance-0.12", clearance=0.12), Before(out))
    (case,) = check_approvals(out)
    assert not case.released and case.releases == [GUIDE] and case.sound, "the run released nothing; the earlier guide is still released"
    assert [row["released"] for row in api.compare(out)] == [False, True]
    with pytest.raises(ApprovalError, match="is released"):
        remove_made(out, STEM)
    path = out / f"{STEM}.stl"
    path.write_bytes(path.read_bytes() + b"\n")
    (case,) = check_approvals(out)
    assert not case.sound and "another version" in case.missing[0]
    again = as_built(out, tmp_path / "t", None)  # built anew without --release, it is released no more
    publish(tmp_path / "t", out, again, Before(out))
    assert check_approvals(out)[0].releases == []
