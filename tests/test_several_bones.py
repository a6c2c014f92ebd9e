"""Several bones in one case: what is refused, and what the cuts on each do, against closed forms of two boxes with a tumour across them."""

import numpy as np
import pytest
import trimesh
from conftest import CASES

from psi_cad.api import plan, starting_plan
from psi_cad.case.load import load_case
from psi_cad.case.write import case_with_planes, write_case
from psi_cad.errors import CaseError, PsiCadError, SegmentationError, SurfaceError
from psi_cad.intake import sources
from psi_cad.intake.bones import read_bones
from psi_cad.intake.jobs import job_facts, job_hash
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import planes_of
from psi_cad.sawing.kerfs import sawings

ILIUM, SACRUM = ((0, -30, -40), (40, 30, 40)), ((-42, -30, -40), (-2, 30, 40))  # mm; a joint of 2 mm between them
TUMOUR = ((-12, -10, -10), (10, 10, 10))
FACE = 60.0 * 80.0  # of a cut square to x, mm²
KERF = 1.15  # of the blade below: its thickness of 1.0, and the clearance
BONE = '[[bone]]\nname = "{0}"\nsurface = "{0}.stl"\nunits = "mm"\ncoordinates = "LPS"\n'
CUT = '[[cut]]\nname = "{}"\nbone = "{}"\norigin = {}\nnormal = {}\n'
GUIDE = """
[[guide]]
name = "{0}"
bone = "{0}"
template = "osteotomy"
cuts = ["{1}"]
approach = [0.0, 1.0, 0.0]
blade = "generic-20x1.0"
printer = "fdm-ultem1010"
[guide.params]
allow_sliding = true
"""
A, B = CUT.format("A", "ilium", [20.0, 0.0, 0.0], [-1.0, 0.0, 0.0]), CUT.format("B", "sacrum", [-22.0, 0.0, 0.0], [1.0, 0.0, 0.0])
HEAD = 'schema = 1\nid = "boxes"\nside = "left"\n'
LESION = '[tumour]\nsurface = "tumour.stl"\nunits = "mm"\ncoordinates = "LPS"\nmargin = 8.0\n'
BONES = BONE.format("ilium") + BONE.format("sacrum")
WHOLE = HEAD + BONES + LESION + A + B + GUIDE.format("ilium", "A") + GUIDE.format("sacrum", "B")


def box(bounds, fine=6.0):
    return trimesh.creation.box(bounds=np.array(bounds, dtype=float)).subdivide_to_size(fine)


@pytest.fixture
def case(tmp_path):
    """Writes a case of two boxes with a tumour, and gives its path."""

    def write(text=WHOLE, *, ilium=ILIUM, sacrum=SACRUM, tumour=TUMOUR):
        for name, bounds in (("ilium", ilium), ("sacrum", sacrum), ("tumour", tumour)):
            box(bounds).export(tmp_path / f"{name}.stl")
        (tmp_path / "case.toml").write_text(text, "utf-8")
        return tmp_path / "case.toml"

    return write


def cautions(report, kind):
    return [one["text"] for one in report["cautions"] if one["id"] == kind]


def check(report, name):
    return next(one for one in report["checks"] if one["id"] == name)


# what is wrong with a case file

WRONG = {
    "a bone without a name": ('name = "sacrum"\nsurface', "surface", "bone[1].name", "bone[1].name is missing"),
    "two bones of one name": ('name = "sacrum"\nsurface', 'name = "ilium"\nsurface', "bone[1].name", "two entries of [[bone]] are named 'ilium'"),
    "a bone called bone": ('name = "sacrum"\nsurface', 'name = "bone"\nsurface', "bone[1].name", "bone[1].name = 'bone' tells it from no other"),
    "a cut on no bone": ('name = "B"\nbone = "sacrum"\n', 'name = "B"\n', "cut[1].bone", "cut[1].bone is missing: with several bones"),
    "a cut on an unknown bone": ('name = "B"\nbone = "sacrum"', 'name = "B"\nbone = "sacrm"', "cut[1].bone", "the nearest is 'sacrum'"),
    "a cut on another bone": ('name = "B"\nbone = "sacrum"', 'name = "B"\nbone = "femur"', "cut[1].bone", "the case has ilium, sacrum"),
    "a guide on no bone": ('name = "sacrum"\nbone = "sacrum"', 'name = "sacrum"', "guide[1].bone", "one of ilium, sacrum"),
    "a guide beside its cut": ('cuts = ["B"]', 'cuts = ["A"]', "guide[1].cuts", "names 'A', which is on bone 'ilium', but the guide is on 'sacrum'"),
    "no surface": ('surface = "sacrum.stl"', 'surface = "sacrun.stl"', "bone[1].surface", "bone 'sacrum': bone[1].surface: there is no file"),
    "no coordinates": ('surface = "sacrum.stl"\nunits = "mm"\ncoordinates = "LPS"', 'surface = "sacrum.stl"', "bone[1]", "needs coordinates"),
    "a wrong unit": ('"sacrum.stl"\nunits = "mm"', '"sacrum.stl"\nunits = "mmm"', "bone[1].units", "'mmm'"),
    "an unknown key": ('surface = "sacrum.stl"', 'surface = "sacrum.stl"\nsides = "left"', "bone[1].sides", "did you mean 'side'?"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_is_told_with_its_key(case, kind):
    old, new, key, words = WRONG[kind]
    assert old in WHOLE
    with pytest.raises(PsiCadError) as raised:
        plan(case(WHOLE.replace(old, new, 1)))
    assert words in str(raised.value), str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert raised.value.exit_code == 2
    if raised.value.errors:
        assert [one["key"] for one in raised.value.errors] == [key]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(case):
    text = (
        WHOLE.replace('bone = "ilium"\norigin', "origin")
        .replace('bone = "sacrum"\norigin', 'bone = "sacrm"\norigin')
        .replace('cuts = ["B"]', 'cuts = ["A", "C"]')
    )
    with pytest.raises(CaseError) as raised:
        load(case(text))
    assert [one["key"] for one in raised.value.errors] == ["cut[0].bone", "cut[1].bone", "guide[1].cuts"]
    with pytest.raises(CaseError) as raised:
        load(case(ONE.replace("[bone]\n", '[bone]\nside = "left"\n')), needs=("cut",))
    assert [one["key"] for one in raised.value.errors] == ["bone.side", "cut[0].bone"]


ONE = HEAD + BONE.format("ilium").replace('[[bone]]\nname = "ilium"\n', "[bone]\n") + CUT.format("A", "ilium", [20.0, 0.0, 0.0], [-1.0, 0.0, 0.0])


def test_a_single_bone_needs_no_name_and_what_names_it_must_name_it(case):
    with pytest.raises(
        CaseError, match=r"cut\[0\].bone names 'ilium', but the case's bone has no name; remove the key, or write name = \"ilium\" under \[bone\]"
    ):
        load(case(ONE), needs=("cut",))
    named = load(case(ONE.replace("[bone]\n", '[bone]\nname = "ilium"\n')), needs=("cut",))
    assert named.case.bone_of(named.case.cut[0]) == "ilium"
    assert plan(named.path).keys() == plan(case(ONE.replace('bone = "ilium"\n', ""))).keys(), "as any other single bone"
    with pytest.raises(CaseError, match=r"cut\[0\].bone names 'ilium', which is no bone of the case; the nearest is 'iliu'"):
        load(case(ONE.replace("[bone]\n", '[bone]\nname = "iliu"\n')), needs=("cut",))
    with pytest.raises(CaseError, match=r"bone.side belongs to one of several bones"):
        load(case(ONE.replace('bone = "ilium"\n', "").replace("[bone]\n", '[bone]\nside = "left"\n')), needs=("cut",))


def test_two_scans_are_refused_for_bones_move_between_them(tmp_path):
    text = HEAD + "".join(
        f'[[bone]]\nname = "{name}"\nct = "{ct}"\n[bone.segment]\nseed = [0.0, 0.0, 0.0]\n' for name, ct in (("a", "one"), ("b", "two"))
    )
    (tmp_path / "case.toml").write_text(text, "utf-8")
    with pytest.raises(CaseError, match=r"bone\[1\].ct is another scan than bone\[0\].ct"):
        load_case(tmp_path / "case.toml", needs=())
    (tmp_path / "case.toml").write_text(text.replace('"two"', '"one"'), "utf-8")
    assert len(load_case(tmp_path / "case.toml", needs=()).case.bones) == 2


def test_settings_reach_one_of_several_bones_by_its_name(case):
    path = case()
    loaded = load_case(path, settings=["bone.sacrum.units=cm"])
    assert [bone.units for bone in loaded.case.bones] == ["mm", "cm"]
    with pytest.raises(CaseError, match=r"'units' names no \[\[bone\]\]; they are ilium, sacrum"):
        load_case(path, settings=["bone.units=cm"])
    with pytest.raises(CaseError, match=r"'bone' names no \[\[guide\]\]"):
        load_case(path, settings=["guide.bone=ilium"])
    single = load_case(CASES / "phantom-type1", settings=["bone.units=cm"])
    assert single.case.bones[0].units == "cm"


def test_a_case_of_several_bones_is_written_and_read_again(case, tmp_path):
    loaded = load_case(case())
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_case(folder / "case.toml", case_with_planes(loaded, planes_of(loaded), folder=folder), comment="again")
    again = load_case(folder / "case.toml")
    assert [bone.name for bone in again.case.bones] == ["ilium", "sacrum"]
    assert [again.resolve(bone.surface) for bone in again.case.bones] == [loaded.resolve(bone.surface) for bone in loaded.case.bones]
    assert [again.case.bone_of(cut) for cut in again.case.cut] == ["ilium", "sacrum"]


def test_a_sacrum_among_several_bones_is_of_no_side_and_each_may_say_its_own(case):
    words = WHOLE.replace('"sacrum.stl"\n', '"sacrum.stl"\nanatomy = "sacrum"\n', 1)
    for text, sides in (
        (WHOLE, ["left", "left"]),
        (words, ["left", "midline"]),
        (words.replace("anatomy", 'side = "right"\nanatomy', 1), ["left", "right"]),
    ):
        loaded = load_case(case(text))
        assert [loaded.case.side_of(bone) for bone in loaded.case.bones] == sides
    single = load_case(case(ONE.replace('bone = "ilium"\n', "").replace("[bone]\n", '[bone]\nanatomy = "sacrum"\n')), needs=("cut",)).case
    assert single.side_of(single.bones[0]) == "left", "as before: the case says it"


def test_a_guide_goes_by_a_hash_of_every_bone_and_a_single_ones_name_is_no_part_of_it(case):
    def hashed(text):
        loaded = load_case(case(text))
        own = sawings(loaded)
        return job_hash(job_facts(loaded, own[0], own, planes=planes_of(loaded), inputs={}))

    single = WHOLE.replace(BONE.format("sacrum"), "").replace(B, "").replace(GUIDE.format("sacrum", "B"), "").replace("[[bone]]", "[bone]")
    assert hashed(single) == hashed(single.replace('[bone]\nname = "ilium"\n', "[bone]\n").replace('bone = "ilium"\n', ""))
    assert len({hashed(text) for text in (WHOLE, single, WHOLE.replace('"sacrum.stl"\n', '"sacrum.stl"\nside = "midline"\n', 1))}) == 3


# what is read


def test_what_is_wrong_with_one_bone_names_it(case):
    with pytest.raises(PsiCadError, match=r"^bone 'sacrum': "):
        plan(case(WHOLE.replace('"sacrum.stl"\nunits = "mm"', '"sacrum.stl"\nunits = "m"')))


@pytest.mark.parametrize(("over", "said"), [(0.05, None), (1.0, "bones-overlap"), (3.0, "refused")])
def test_two_bones_that_reach_into_each_other(case, over, said):
    path = case(sacrum=((-42 + 2 + over, -30, -40), (over, 30, 40)))
    if said == "refused":
        with pytest.raises(SurfaceError, match=r"bones 'ilium' and 'sacrum' reach into each other by 3.0 mm near \(") as raised:
            plan(path)
        assert 0.0 <= raised.value.where[0] <= 3.0
        return
    told = cautions(plan(path), "bones-overlap")
    assert told == [] if said is None else "by 1.0 mm" in told[0]


def test_two_labels_of_one_file(tmp_path):
    import SimpleITK as sitk  # noqa: N813

    values = np.zeros((30, 30, 40), dtype=np.uint8)
    values[5:25, 5:25, 4:18], values[5:25, 5:25, 22:36] = 1, 2
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "labels.nrrd"))
    entries = "".join(f'[[bone]]\nname = "{name}"\nlabels = "labels.nrrd"\nlabel = {label}\n' for name, label in (("one", 1), ("two", 2)))
    (tmp_path / "case.toml").write_text(HEAD + entries, "utf-8")
    found = read_bones(load_case(tmp_path / "case.toml", needs=()), progress=lambda step: None)
    middles = [body.bone.mesh.bounds.mean(axis=0)[0] for body in found.scene.bodies]
    assert middles == pytest.approx([10.5, 28.5], abs=0.1)
    assert [said.label for said in found.said] == [1, 2]
    assert sorted(path.name for path in (tmp_path / "work" / "boxes").iterdir()) == ["bone-one", "bone-two"]


def test_bones_of_one_scan_part_each_other(tmp_path, monkeypatch):
    import SimpleITK as sitk  # noqa: N813

    from psi_cad.bones import segment

    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((20, 20, 20), dtype=np.int16)), str(tmp_path / "ct.nii.gz"))
    entries = "".join(
        f'[[bone]]\nname = "{name}"\nct = "ct.nii.gz"\n[bone.segment]\nseed = [{x}, 5.0, 5.0]\n' for name, x in (("ilium", 4.0), ("sacrum", 12.0))
    )
    (tmp_path / "case.toml").write_text(HEAD + entries, "utf-8")
    asked = []

    def stop(volume, seeds, **options):
        asked.append(seeds)
        raise SegmentationError("far enough")

    monkeypatch.setattr(segment, "segment_bone", stop)
    loaded = load_case(tmp_path / "case.toml", needs=())
    for number in range(2):
        with pytest.raises(SegmentationError, match=rf"case.toml: bone\[{number}\].segment: far enough"):
            sources.bone_source(loaded, number, progress=lambda step: None)
    assert asked == [{"bone": (4.0, 5.0, 5.0), "sacrum": (12.0, 5.0, 5.0)}, {"bone": (12.0, 5.0, 5.0), "ilium": (4.0, 5.0, 5.0)}]


# what the cuts do


def test_a_resection_across_the_joint(case):
    found = plan(case())
    ilium, sacrum = found["bones"]
    half = KERF / 2.0
    for bone, cut in ((ilium, "A"), (sacrum, "B")):
        assert bone["cuts"] == [cut]
        assert bone["volume_mm3"] == pytest.approx(40 * FACE, rel=1e-9)
        assert bone["specimen"] == {"volume_mm3": pytest.approx((20 - half) * FACE, rel=1e-6), "pieces": 1, "groups": ["1"]}
        assert bone["retained"]["volume_mm3"] == pytest.approx((20 - half) * FACE, rel=1e-6)
        assert bone["kerf_mm3"] == pytest.approx(KERF * FACE, rel=1e-6)
        assert bone["margin_mm"] == pytest.approx(10.0, abs=1e-3) and bone["margin_sawn_mm"] == pytest.approx(10.0 - half, abs=1e-3)
        assert bone["class"] == "R0"
        assert bone["tumour"]["in_bone_mm3"] == pytest.approx(10 * 20 * 20, rel=1e-6) and bone["tumour"]["left_in_retained_mm3"] == 0.0
        assert bone["tumour"]["to_retained_mm"] == pytest.approx(10.0 + half, abs=1e-3)
    assert found["specimen"]["volume_mm3"] == pytest.approx(2 * (20 - half) * FACE, rel=1e-6)
    assert found["specimen"]["pieces"] == 2 and found["specimen"]["groups"] == ["ilium/1", "sacrum/1"]
    assert found["retained"]["pieces"] == 2 and found["bone"] == {
        "names": ["ilium", "sacrum"],
        "triangles": ilium["triangles"] + sacrum["triangles"],
        "repairs": [],
        "kept_clear_of": [],
        "volume_mm3": pytest.approx(80 * FACE),
    }
    assert found["tumour"]["in_bone_mm3"] == pytest.approx(2 * 10 * 20 * 20, rel=1e-6), "what lies in the joint is not in bone"
    assert found["healthy_removed_mm3"] == pytest.approx((2 * 20 + KERF) * FACE - 8000.0, rel=1e-6)
    assert [(cut["name"], cut["bone"]) for cut in found["cuts"]] == [("A", "ilium"), ("B", "sacrum")]
    assert found["margin_mm"] == pytest.approx(10.0, abs=1e-3) and found["status"] == "passed"
    assert cautions(found, "retained-in-pieces") == cautions(found, "uncut-bone-near") == cautions(found, "other-bone-in-plane") == []


def test_unequal_margins_are_told_of_each_bone_and_the_least_of_all(case):
    found = plan(case(tumour=((-14, -10, -10), (15, 10, 10))))
    assert [bone["margin_mm"] for bone in found["bones"]] == pytest.approx([5.0, 8.0], abs=1e-3)
    assert found["margin_mm"] == pytest.approx(5.0, abs=1e-3)
    assert not check(found, "margin_A")["passed"] and not check(found, "margin_B")["passed"], "8 mm less half a kerf"
    assert found["shortfall_mm"] == pytest.approx(8.0 - 5.0 + KERF / 2.0, abs=1e-3)


FLAT = CUT.format("A", "ilium", [20.0, 0.0, 20.0], [0.0, 0.0, 1.0])


def test_a_plane_that_passes_through_both_bones_cuts_only_its_own(case):
    found = plan(case(HEAD + BONES + FLAT))
    ilium, sacrum = found["bones"]
    assert ilium["specimen"]["volume_mm3"] == pytest.approx(40 * 60 * 20, rel=1e-6)
    assert sacrum["cuts"] == [] and sacrum["specimen"] == {"volume_mm3": 0.0, "pieces": 0, "groups": []} and sacrum["class"] is None
    assert sacrum["retained"]["volume_mm3"] == pytest.approx(40 * FACE, rel=1e-9) and sacrum["retained"]["pieces"] == 1
    assert found["cuts"][0]["area_mm2"] == pytest.approx(40 * 60, rel=1e-6)
    (told,) = cautions(found, "other-bone-in-plane")
    assert "where the saw runs past ilium at cut A, it goes into sacrum" in told
    assert f"({3 * 60:.0f} mm²)" in told or "(181 mm²)" in told or "(179 mm²)" in told, "a run-out of 5 mm less a joint of 2, over 60 mm"


def test_a_blade_that_goes_on_into_the_other_bone_is_told(case):
    """From the outer side through 40 mm of ilium, over a joint of 2 mm, the blade still has 38 mm of its 80 below the slot."""
    across = FLAT + GUIDE.format("ilium", "A").replace("[0.0, 1.0, 0.0]", "[1.0, 0.0, 0.0]")
    (told,) = cautions(plan(case(HEAD + BONES + across)), "structure-near")
    assert "slot A of ilium: a blade pushed to its full length goes into sacrum near (" in told and "beyond ilium; use a stop" in told
    far = plan(case(HEAD + BONES + across, sacrum=((-90, -30, -40), (-45, 30, 40))))
    assert cautions(far, "structure-near") == [], "it ends 5 mm before that"


def test_cuts_of_one_group_bound_each_other_on_their_bone_alone(case):
    corner = A + CUT.format("C", "ilium", [10.0, 0.0, 20.0], [0.0, 0.0, 1.0])  # with A: x < 20, z > 20
    found = plan(case(HEAD + BONES + corner + B))
    ilium, sacrum = found["bones"]
    assert ilium["specimen"]["volume_mm3"] == pytest.approx(20 * 60 * 20, rel=1e-6)
    assert sacrum["specimen"]["volume_mm3"] == pytest.approx(20 * FACE, rel=1e-6), "no cut of the ilium bounds it"
    shortened = {cut["name"]: cut["cut_short_by"] for cut in found["cuts"]}
    assert shortened == {"A": ["C"], "C": ["A"], "B": []}


def test_bone_that_stays_attached_is_refused_for_its_own_bone(case):
    with pytest.raises(CaseError, match="cut 'B' does not free the specimen: bone stays attached near"):
        plan(case(HEAD + BONES + A + B.replace("normal", "extent = 40.0\nnormal")))


def test_a_cut_beside_its_own_bone_is_refused_though_the_other_lies_there(case):
    with pytest.raises(CaseError, match="cut 'B': its plane meets no bone"):
        plan(case(HEAD + BONES + A + CUT.format("B", "sacrum", [20.0, 0.0, 0.0], [1.0, 0.0, 0.0])))


# a tumour and a bone that no cut takes


def test_tumour_in_a_bone_that_no_cut_takes_fails_and_is_told(case):
    found = plan(case(HEAD + BONES + LESION + A))
    left = check(found, "tumour_left_behind")
    assert not left["passed"] and left["value"] == pytest.approx(4000.0, rel=1e-6) and left["where"][0] < 0.0
    (told,) = cautions(found, "uncut-bone-near")
    assert "the tumour lies in sacrum" in told and "4.00 cm³" in told and "no cut takes that bone; add one on it" in told


def test_tumour_near_a_bone_that_no_cut_takes_is_told_with_the_gap(case):
    found = plan(case(HEAD + BONES + LESION + A, tumour=((1, -10, -10), (10, 10, 10))))
    assert found["status"] == "passed"
    (told,) = cautions(found, "uncut-bone-near")
    assert "the tumour comes within 3.0 mm of sacrum" in told and "its margin is that gap" in told
    assert found["bones"][1]["tumour"]["to_retained_mm"] == pytest.approx(3.0, abs=1e-3)
    far = plan(case(HEAD + BONES + LESION.replace("8.0", "2.5") + A, tumour=((1, -10, -10), (10, 10, 10))))
    assert cautions(far, "uncut-bone-near") == [], "farther than the margin that is wanted"


def test_bone_that_stays_nearer_than_any_cut_on_it_is_told(case):
    top = CUT.format("B", "sacrum", [-20.0, 0.0, 25.0], [0.0, 0.0, 1.0])  # takes z > 25, and leaves what faces the tumour
    found = plan(case(HEAD + BONES + LESION + A + top, tumour=((1, -10, -10), (10, 10, 10))))
    (told,) = cautions(found, "uncut-bone-near")
    assert "within 3.0 mm of what stays of sacrum" in told and "nearer than any cut on that bone" in told


def test_tumour_in_soft_tissue_past_the_cut_of_one_bone_is_not_within_the_specimen(case):
    """Cuts of one group on two bones bound one specimen: beside the retained sacrum lies beyond it, though the ilium's plane looks that way."""
    found = plan(case(HEAD + BONES + LESION + A + B, tumour=((-38, 31, -10), (10, 35, 10))))
    (told,) = cautions(found, "soft-tumour-stays")
    assert "cm³ of tumour lies in soft tissue beside bone that stays" in told
    assert found["tumour"]["soft_beside_retained"][0]["volume_mm3"] == pytest.approx(16 * 4 * 20, rel=1e-6)


# verbs that know one bone


def test_optimise_is_refused_before_anything_is_read(case):
    with pytest.raises(CaseError, match=r"--optimise searches planes on one bone, and the case has several"):
        plan(case(WHOLE.replace("sacrum.stl", "tumour.stl")), optimise=True)


def test_a_starting_plan_wants_to_know_which_bone_is_the_hip(tmp_path):
    marks = "[landmarks]\ngreater-sciatic-notch = [-72.0, 42.0, 15.0]\naiis = [-98.0, -36.0, 20.0]\nacetabulum-centre = [-101.0, -7.0, -6.0]\npsis = [-58.0, 84.0, 84.0]\nasis = [-124.0, -52.0, 82.0]\n"
    bones = "".join(
        f'[[bone]]\nname = "{name}"\nsurface = "{(CASES / "phantom" / file).as_posix()}"\nunits = "mm"\ncoordinates = "LPS"\n{more}'
        for name, file, more in (("ilium", "bone.stl", ""), ("sacrum", "sacrum.stl", 'side = "midline"\n'))
    )
    path = tmp_path / "case.toml"
    path.write_text(HEAD.replace("left", "right") + bones + marks, "utf-8")
    with pytest.raises(CaseError, match='write anatomy = "hip" under that one'):
        starting_plan(path, "I")
    path.write_text(HEAD.replace("left", "right") + bones.replace('LPS"\n', 'LPS"\nanatomy = "hip"\n', 1) + marks, "utf-8")
    found = starting_plan(path, "I")
    assert all(entry["bone"] == "ilium" for entry in found["cuts"]) and 'bone = "ilium"' in found["toml"]
