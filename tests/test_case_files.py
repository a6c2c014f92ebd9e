"""Wrong case files: exit code 2, one sentence with the key, no output, no traceback."""

import json
import re

import numpy as np
import pytest
from conftest import CASES, written

from psi_cad.case.catalogue import shipped_catalogue
from psi_cad.case.load import load_case
from psi_cad.case.starter import write_starter
from psi_cad.case.write import case_with_planes, write_case
from psi_cad.errors import CaseError, CatalogueError, PsiCadError
from psi_cad.intake.loading import resolved_guides

GOOD = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())

# (what is replaced, by what, what the sentence must say)
WRONG = {
    "misspelt key": ("surface =", "surfce =", ["bone.surfce", "did you mean 'surface'"]),
    "misspelt table key": ("approach =", "aproach =", ["guide[0].aproach", "did you mean 'approach'"]),
    "unknown unit": ('units = "mm"', 'units = "mmm"', ["bone.units", "'mm'"]),
    "missing unit": ('units = "mm"\n', "", ["unit", "mm"]),
    "missing coordinates": ('coordinates = "LPS"\n', "", ["coordinates", "LPS"]),
    "two numbers": ("origin = [-96.0, -8.0, 35.0]", "origin = [-96.0, -8.0]", ["cut[0].origin", "three numbers"]),
    "nan": ("origin = [-96.0, -8.0, 35.0]", "origin = [-96.0, nan, 35.0]", ["cut[0].origin", "finite"]),
    "infinite": ("origin = [-96.0, -8.0, 35.0]", "origin = [-96.0, inf, 35.0]", ["cut[0].origin", "finite"]),
    "text for numbers": ("origin = [-96.0, -8.0, 35.0]", 'origin = "there"', ["cut[0].origin"]),
    "zero normal": ("normal = [0.0, 0.15, 1.0]", "normal = [0, 0, 0]", ["cut[0].normal", "zero length"]),
    "unknown blade": ('"generic-25x0.89"', '"generic-25x0.9"', ["blade", "did you mean 'generic-25x0.89'"]),
    "unknown printer": ('"fdm-ultem1010"', '"fdm-ultem101"', ["printer", "did you mean 'fdm-ultem1010'"]),
    "unknown template": ('"osteotomy"', '"osteotmy"', ["template", "did you mean 'osteotomy'"]),
    "unknown cut": ('cuts = ["A"]', 'cuts = ["B"]', ["guide[0].cuts", "'B'"]),
    "no cuts": ('cuts = ["A"]', "cuts = []", ["guide[0].cuts"]),
    "id with slashes": ('id = "phantom-type1"', 'id = "../../x"', ["id", "valid name"]),
    "guide name with slashes": ('name = "supra-acetabular"', 'name = "../x"', ["guide[0].name", "valid name"]),
    "other schema": ("schema = 1", "schema = 2", ["schema", "1"]),
    "unknown parameter": ("clearance = 0.15", "clearence = 0.15", ["params.clearence", "did you mean 'clearance'"]),
    "parameter out of range": ("clearance = 0.15", "clearance = 0.5", ["params.clearance", "0.1–0.2", "clearance_override"]),
    "parameter of wrong type": ("clearance = 0.15", 'clearance = "wide"', ["params.clearance", "number"]),
    "cut beside the bone": ("origin = [-96.0, -8.0, 35.0]", "origin = [-96.0, -8.0, 400.0]", ["cut 'A'", "mm from the origin"]),
    "wrong RAS": ('coordinates = "LPS"\n\n[tumour]', 'coordinates = "RAS"\n\n[tumour]', ["LPS"]),
    "metres": ('units = "mm"\ncoordinates = "LPS"\n\n[tumour]', 'units = "m"\ncoordinates = "LPS"\n\n[tumour]', ["bone.units", 'units = "mm"']),
    "centimetres": ('units = "mm"\ncoordinates = "LPS"\n\n[tumour]', 'units = "cm"\ncoordinates = "LPS"\n\n[tumour]', ["unit"]),
    "no such surface": ("bone.stl", "bones.stl", ["bone.surface", "is not there"]),
    "not TOML": ("schema = 1", "schema = = 1", ["not valid TOML"]),
    "two sources": ("[bone]", '[bone]\nct = "ct/"', ["bone", "exactly one"]),
    "labels": ("surface = ", "labels = ", ["bone"]),
    "two guides of one name": ("[guide.params]", "[guide.params]\n[[guide]]\nname = 'supra-acetabular'\ntemplate = 'osteotomy'\ncuts = ['A']\n"
                               "approach = [1, 0, 0]\nblade = 'generic-10x0.6'\nprinter = 'fdm-generic'\n[guide.params]", ["guide", "supra-acetabular"]),
    "inline blade with a typo": ('blade = "generic-25x0.89"', 'blade = {id = "x", thicknes = 0.8, cutting_width = 10, usable_length = 40, reference = "caliper"}',
                                 ["thicknes", "did you mean 'thickness'"]),
    "approach across the plane": ("approach = [-1.0, -0.1, 0.0]", "approach = [0.0, 0.1, 1.0]", ["approach"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_case(kind, tmp_path, run):
    old, new, said = WRONG[kind]
    assert old in GOOD, "the example case has changed: mend this test"
    case = tmp_path / "case.toml"
    case.write_text(GOOD.replace(old, new, 1), "utf-8")
    result = run("build", case, "-o", tmp_path / "out", "--no-suggest")
    expected = 1 if kind == "approach across the plane" else 2
    assert result.returncode == expected, result.stderr
    sentences = [line for line in result.stderr.splitlines() if line.startswith("psi-cad: ")]
    assert len(sentences) == 1
    assert "Traceback" not in result.stderr
    for words in said:
        assert words in sentences[0]
    assert written(tmp_path / "out") <= {"REFUSED.png"}, "nothing may be written but a picture of the place"


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"\x00\x01\xff\xfe\x80binary", "not text"), (b"\x89PNG\r\n\x1a\n" * 40, "not")])
def test_no_case_at_all(content, words, tmp_path, run):
    case = tmp_path / "case.toml"
    case.write_bytes(content)
    result = run("build", case, "-o", tmp_path / "out")
    assert result.returncode == 2
    assert words in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_and_a_missing_file(tmp_path, run):
    for path in (tmp_path, tmp_path / "nothing.toml"):
        result = run("build", path, "-o", tmp_path / "out")
        assert result.returncode == 2 and "Traceback" not in result.stderr


def test_the_good_case_loads():
    loaded = load_case(CASES / "phantom-type1")
    assert loaded.case.id == "phantom-type1"
    assert loaded.blade(loaded.case.guide[0].blade, where="x").thickness == 0.89


def test_settings_reach_the_guide(tmp_path):
    loaded = load_case(CASES / "phantom-type1", settings=["params.clearance=0.12", "guide.blade=generic-20x1.0", "side=left"])
    assert loaded.case.guide[0].params["clearance"] == 0.12
    assert loaded.case.guide[0].blade == "generic-20x1.0"
    assert loaded.case.side == "left"
    with pytest.raises(CaseError, match="key=value"):
        load_case(CASES / "phantom-type1", settings=["params.clearance"])


def test_own_catalogue(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text(
        '[[blade]]\nid = "mine-18x0.7"\nthickness = 0.7\ncutting_width = 18\nusable_length = 75\nreference = "measured"\nnominal = false\n'
    )
    loaded = load_case(CASES / "phantom-type1", settings=["guide.blade=mine-18x0.7"], catalogue=own)
    assert loaded.blade("mine-18x0.7", where="x").nominal is False
    own.write_text("[[blade]]\nid = 'x'\n")
    with pytest.raises(CatalogueError, match="mine.toml"):
        load_case(CASES / "phantom-type1", catalogue=own)


def test_inline_entries(tmp_path):
    case = tmp_path / "case.toml"
    case.write_text(
        GOOD.replace(
            'blade = "generic-25x0.89"',
            'blade = {id = "inline", thickness = 0.7, cutting_width = 18, usable_length = 70, reference = "measured"}',
        )
    )
    assert load_case(case).case.guide[0].blade.thickness == 0.7


def test_every_error_is_of_the_tree():
    from psi_cad import errors

    for name in errors.__all__:
        if name != "by_name":
            assert issubclass(errors.by_name(name), PsiCadError)
    assert errors.by_name("SystemExit") is PsiCadError


def test_proposal_names_the_same_files_from_its_own_folder(tmp_path):
    home = tmp_path / "cases" / "one"
    home.mkdir(parents=True)
    (home / "blades.toml").write_text(
        '[[blade]]\nid = "own"\nthickness = 1.0\ncutting_width = 20.0\nusable_length = 60.0\nreference = "caliper"\n', "utf-8"
    )
    (home / "case.toml").write_text(
        """schema = 1
id = "scans"
side = "left"
catalogue = "blades.toml"
[bone]
ct = "ct"
segment = {seed = [1.0, 2.0, 3.0], others = {femur = [4.0, 5.0, 6.0]}}
[tumour]
labels = "../masks/tumour.nii.gz"
label = 1
mri = "mri"
series = "T1"
[[avoid]]
name = "vessel"
surface = "vessel.stl"
units = "mm"
coordinates = "LPS"
[[avoid]]
name = "nerve"
labels = "nerves.seg.nrrd"
label = "sciatic"
[[cut]]
name = "A"
markups = "planes.mrk.json"
""",
        "utf-8",
    )
    loaded = load_case(home, needs=())
    out = tmp_path / "out" / "scans"
    data = case_with_planes(loaded, {"A": (np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0]))}, folder=out)
    out.mkdir(parents=True)
    write_case(out / "proposal.toml", data, comment="a proposal")
    again = load_case(out / "proposal.toml", needs=())
    assert again.case.bone.segment == loaded.case.bone.segment
    assert again.case.tumour is not None and again.case.tumour.series == "T1"
    assert again.resolve(again.case.bone.ct) == home / "ct"
    assert again.resolve(again.case.tumour.labels) == tmp_path / "cases" / "masks" / "tumour.nii.gz"
    assert again.resolve(again.case.tumour.mri) == home / "mri"
    assert again.resolve(again.case.avoid[0].surface) == home / "vessel.stl"
    assert again.resolve(again.case.avoid[1].labels) == home / "nerves.seg.nrrd"
    assert again.resolve(again.case.catalogue) == home / "blades.toml"
    assert again.case.cut[0].markups is None and again.case.cut[0].origin == (1.0, 2.0, 3.0)


def test_proposal_writes_out_what_only_a_catalogue_of_the_command_line_holds(tmp_path):
    """A blade and a printer of `--catalogue`, one of them under an id that the shipped catalogue has too; an id that the case finds stays."""
    own = '[[blade]]\nid = "mine"\nthickness = 0.94\ncutting_width = 18.0\nusable_length = 75.0\nreference = "measured"\n'
    known = '[[blade]]\nid = "theirs"\nthickness = 0.5\ncutting_width = 9.0\nusable_length = 60.0\nreference = "measured"\n'
    printer = next(entry for entry in shipped_catalogue().printers.values() if entry.id == "fdm-ultem1010")
    gauged = "\n".join(
        f"{key} = {json.dumps(value)}" for key, value in {**printer.model_dump(mode="json", exclude_none=True), "slot_compensation": 0.03}.items()
    )
    (tmp_path / "mine.toml").write_text(f"{own}[[printer]]\n{gauged}\n", "utf-8")
    (tmp_path / "known.toml").write_text(known, "utf-8")
    guide = GOOD[GOOD.index("[[guide]]") :]
    text = GOOD.replace('side = "right"\n', 'side = "right"\ncatalogue = "known.toml"\n').replace("generic-25x0.89", "mine")
    (tmp_path / "case.toml").write_text(text + guide.replace("generic-25x0.89", "theirs").replace("supra-acetabular", "two"), "utf-8")
    with pytest.raises(CatalogueError):
        load_case(tmp_path)
    loaded = load_case(tmp_path, catalogue=tmp_path / "mine.toml")
    (tmp_path / "out").mkdir()
    data = case_with_planes(loaded, {"A": loaded.case.cut[0].plane}, folder=tmp_path / "out")
    write_case(tmp_path / "out" / "proposal.toml", data, comment="a proposal")
    again = load_case(tmp_path / "out" / "proposal.toml")
    for before, after in zip(loaded.case.guide, again.case.guide, strict=True):
        assert again.blade(after.blade, where="") == loaded.blade(before.blade, where="")
        assert again.printer(after.printer, where="") == loaded.printer(before.printer, where="")
    assert again.printer(again.case.guide[0].printer, where="").slot_compensation == 0.03
    assert again.case.guide[1].blade == "theirs"


def test_settings_reach_entries_by_name(tmp_path):
    from psi_cad.case.load import load_case

    path = CASES / "phantom-type3" / "case.toml"
    loaded = load_case(
        path, settings=["cut.B.origin=[-55.0, -46.0, -13.0]", "guide.inferior-ramus.params.clearance=0.12", "guide.blade=generic-10x0.4"]
    )
    cuts, guides = {cut.name: cut for cut in loaded.case.cut}, {guide.name: guide for guide in loaded.case.guide}
    assert cuts["B"].origin == (-55.0, -46.0, -13.0) and cuts["C"].origin == (-46.0, -8.0, -78.0)
    assert guides["inferior-ramus"].params["clearance"] == 0.12 and "clearance" not in guides["superior-ramus"].params
    assert {guide.blade for guide in guides.values()} == {"generic-10x0.4"}


@pytest.mark.parametrize(
    "setting", ["cut.X.origin=[1, 2, 3]", "cut.B=3", "cut=3", "guide.none.blade=a", "avoid.artery.distance=3.0", "guide.inferior-ramus=3"]
)
def test_settings_that_reach_nothing_are_refused(setting):
    from psi_cad.case.load import load_case

    with pytest.raises(CaseError, match=r"--set"):
        load_case(CASES / "phantom-type3" / "case.toml", settings=[setting])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("params.stem_wall=3", "guide[0].params.stem_wall is no parameter of template 'osteotomy'; 'acetabular' of guide 'stem' has it: give it there "
         "alone, in the case or with --set guide.stem.params.stem_wall=3."),
        ("guide.stem.params.flap_side=1", "guide[1].params.flap_side is no parameter of template 'acetabular'; 'osteotomy' of guide 'supra-acetabular' "
         "has it: give it there alone, in the case or with --set guide.supra-acetabular.params.flap_side=1."),
    ],
)  # fmt: skip
def test_a_parameter_of_another_template_is_told_with_its_owner(setting, said):
    with pytest.raises(CaseError) as caught:
        resolved_guides(load_case(CASES / "phantom-acetabular", settings=[setting]))
    assert str(caught.value) == f"case.toml: {said}"


def test_a_setting_for_guides_in_a_case_of_parts_alone_is_told_with_the_parts_key():
    with pytest.raises(CaseError, match=r"there is no \[\[guide\]\] for --set params.wall=3; a part's own is part.NAME.params.wall\."):
        load_case(CASES / "phantom-model", settings=["params.wall=3"])


def test_what_is_optional_in_a_new_case_is_sound_once_its_marks_are_removed(tmp_path):
    """Every line of an example that `new` writes as a comment, in the case and in the catalogue that it names."""
    text = write_starter(tmp_path / "case").read_text("utf-8")
    lines = [re.sub(r"^# (?=\[|[a-z_-]+ = )", "", line).replace('"…"', '"left"') for line in text.splitlines()]
    kept = [line for line in lines if not re.match(r"ct = |\[bone.segment|seed = |femur = ", line)]  # instead of a surface
    own = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    (tmp_path / "case" / "case.toml").write_text("\n".join(kept), "utf-8")
    (tmp_path / "case" / "mine.toml").write_text("\n".join(own), "utf-8")
    loaded = load_case(tmp_path / "case")
    case = loaded.case
    assert [guide.template for guide in case.guide] == ["osteotomy", "allograft", "acetabular"] and [part.template for part in case.part] == [
        "bone-model"
    ]
    assert case.donor is not None and set(case.landmarks) == {"asis", "asis-other-side", "pubic-symphysis"}
    assert case.trajectory[0].implant == "nominal-stem-8-cup-46" and loaded.implant("theatre-stem-10", where="").stem_length == 60.0
    (tmp_path / "case" / "bone.stl").touch()
    (tmp_path / "case" / "tumour.stl").touch()
    (tmp_path / "case" / "donor.stl").touch()
    assert len(resolved_guides(loaded)) == 3
