"""What the saw removes: margins, classes and volumes of what it leaves, against closed forms; and the slot that lets it run there."""

import cadquery as cq
import numpy as np
import pytest
import trimesh
from conftest import CASES
from shapes import ball, block, moved, planned, turn

from psi_cad.api import build, plan
from psi_cad.errors import CaseError, PsiCadError
from psi_cad.outputs.subject import disagreement
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.resection.dust import without_dust
from psi_cad.resection.margins import cut_margin, face_map
from psi_cad.resection.pieces import resect
from psi_cad.scene.kerf import Kerf, moved_cuts, specimen_faces
from psi_cad.scene.nearest import Surface
from psi_cad.surface.solids import solid_of

Z, X = [0, 0, 1.0], [1.0, 0, 0]
SIDES = {"centre": 0.5, "specimen": 1.0, "retained": 0.0}  # the specimen's face above the plane, of a kerf of 1 mm
BLADE = '{id = "saw", thickness = 0.9, cutting_width = 10.0, usable_length = 90.0, kerf = 1.0, nominal = false, reference = "measured"}'
CASE = """schema = 1
id = "c"
side = "left"
[bone]
surface = "bone.stl"
units = "mm"
coordinates = "LPS"
[tumour]
surface = "tumour.ply"
units = "mm"
coordinates = "LPS"
margin = 1.0
[[cut]]
name = "A"
origin = [0.0, 0.0, 0.0]
normal = [0.0, 0.0, 1.0]
kerf_side = "SIDE"
GUIDE"""
GUIDE = f"""[[guide]]
name = "g"
template = "osteotomy"
cuts = ["A"]
approach = [0.0, 1.0, 0.0]
blade = {BLADE}
printer = "fdm-generic"
[guide.params]
axis_search = 0.0
"""


@pytest.fixture
def plan_of(tmp_path):
    """The plan of a tumour in a block of 100 x 60 x 80 mm, cut across its middle, with the saw's kerf on one side of the plane."""

    def run(tumour, side="centre", *, guide=GUIDE, **options):
        block(100, 60, 80).export(tmp_path / "bone.stl")
        tumour.export(tmp_path / "tumour.ply")
        (tmp_path / "case.toml").write_text(CASE.replace("SIDE", side).replace("GUIDE", guide), "utf-8")
        return plan(tmp_path / "case.toml", **options)

    return run


def sawn(mesh, planes, kerf, *, groups=None):
    """(bone, cuts, what is left) of a bone sawn along planes with one kerf."""
    bone, cuts = planned(mesh, planes, groups=groups)
    found = resect(solid_of(bone.mesh, name="b", key="b"), bone.mesh, cuts)
    return bone, cuts, without_dust(found, cuts, dict.fromkeys(cuts, kerf), dict.fromkeys(cuts, 5.0))


def above(height, *, radius=10.0, fine=6):
    """A ball that stands `height` above the plane."""
    return ball(radius, at=(3, -2, radius + height), fine=fine)


@pytest.mark.parametrize(
    ("side", "margin", "kind"), [pytest.param("centre", 1.8, "R1", marks=pytest.mark.slow), ("specimen", 1.3, "R1"), ("retained", 2.3, "R0")]
)
def test_a_ball_in_a_block(plan_of, side, margin, kind):
    report = plan_of(above(2.3), side)
    (cut,) = report["cuts"]
    assert cut["margin_mm"] == report["margin_mm"] == pytest.approx(2.3, abs=5e-4)
    assert cut["margin_sawn_mm"] == report["margin_sawn_mm"] == pytest.approx(margin, abs=5e-4)
    assert cut["class"] == report["class"] == kind and report["status"] == "passed"
    assert (cut["kerf_side"], cut["kerf_mm"], cut["kerf_blade"], cut["kerf_measured"]) == (side, 1.0, "saw", True)
    high = SIDES[side]
    assert report["specimen"]["volume_mm3"] == pytest.approx(6000 * (40 - high), rel=1e-6)
    assert report["retained"]["volume_mm3"] == pytest.approx(6000 * (39 + high), rel=1e-6)
    assert report["kerf_mm3"] == pytest.approx(6000, rel=1e-6)
    assert report["healthy_removed_mm3"] == pytest.approx(6000 * (41 - high) - above(2.3).volume, rel=1e-6)
    areas, reach = cut["area_by_class_mm2"], 2.3 - high + 10.0  # from the face to the ball's middle
    assert sum(areas.values()) == pytest.approx(6000, rel=1e-9) and areas["R2"] == 0.0
    assert areas["R1"] == pytest.approx(np.pi * max(0.0, 144 - reach**2), abs=0.5)
    (check,) = [check for check in report["checks"] if check["id"] == "margin_A"]
    assert check["value"] == cut["margin_sawn_mm"] and "2.30 mm to the plane" in check["note"]
    assert (report["slots"][0]["kerf_mm"], report["slots"][0]["kerf_shift_mm"]) == (1.0, high - 0.5)
    assert "kerf-not-measured" not in {caution["id"] for caution in report["cautions"]}


@pytest.mark.parametrize(
    ("side", "height", "kind"),
    [
        ("specimen", 0.7, "R2"),
        ("centre", 0.7, "R1"),
        pytest.param("retained", 0.7, "R1", marks=pytest.mark.slow),
        pytest.param("centre", 0.4, "R2", marks=pytest.mark.slow),
    ],
)
def test_a_kerf_wider_than_the_margin_is_positive(side, height, kind):
    bone, cuts = planned(block(100, 60, 80), [("A", [0, 0, 0], Z)])
    kerf, tumour = Kerf(side, 1.0), Surface(above(height))
    faces = specimen_faces(bone, cuts, {"A": kerf})
    found = cut_margin(cuts["A"], tumour, kerf=kerf, face=faces["A"])
    assert found.kind == kind and found.nearest.distance == pytest.approx(height, abs=5e-4)
    into = max(0.0, SIDES[side] - height)
    assert found.area_by_class["R2"] == pytest.approx(np.pi * (100 - (10 - into) ** 2), rel=0.01, abs=1e-3)
    lowest = face_map(faces["A"], tumour, depth=1.0).distance.min()
    assert lowest == pytest.approx(found.sawn.distance, abs=0.02), "the map is of the sawn face"


@pytest.mark.parametrize("top", [0.0, -1e-9, 0.3, -0.3])
def test_tumour_that_comes_from_the_bone_that_stays_has_its_area(top):
    """A cube whose upper face touches the plane, crosses it, or reaches into the kerf beneath it."""
    bone, cuts = planned(block(100, 60, 80), [("A", [0, 0, 0], Z)])
    cube = Surface(block(20, 10, 20, at=(0, 0, top - 10), fine=1))
    plane = cut_margin(cuts["A"], cube)
    assert (plane.kind == "R2") == (top > -1e-6) and plane.area_by_class["R2"] == pytest.approx(200.0 if top > -1e-6 else 0.0, rel=1e-6)
    kerf = Kerf("centre", 1.0)
    found = cut_margin(cuts["A"], cube, kerf=kerf, face=specimen_faces(bone, cuts, {"A": kerf})["A"])
    assert found.kind == "R2" and found.sawn.distance == 0.0
    assert found.area_by_class["R2"] == pytest.approx(200.0, rel=1e-6)


@pytest.mark.parametrize(("low", "beside", "margin"), [(-1.5, 0.0, 1.0), (-0.2, 9.0, 4.0)])
def test_the_distance_is_to_the_whole_kerf(low, beside, margin):
    """A cube beneath the kerf, 1 mm from its lower face; and one that straddles its height beside the bone and the run-out."""
    bone, cuts = planned(block(100, 60, 80), [("A", [0, 0, 0], Z)])
    kerf = Kerf("centre", 1.0)
    cube = block(10, 10, 10, at=(0 if not beside else 50 + beside + 5, 0, low - 5 if not beside else 0), fine=1)
    found = cut_margin(cuts["A"], Surface(cube), run_out=5.0, kerf=kerf, face=specimen_faces(bone, cuts, {"A": kerf})["A"])
    assert found.sawn.distance == pytest.approx(margin, abs=1e-3)


@pytest.mark.parametrize("side", SIDES)
def test_two_crossing_cuts_leave_one_sharp_corner(side):
    high = SIDES[side]
    low = high - 1.0
    _, _, found = sawn(block(80, 40, 80), [("A", [0, 0, 0], Z), ("B", [10, 0, 0], X)], Kerf(side, 1.0))
    specimen, inner = 40 * (40 - high) * (30 - high), 40 * (40 - low) * (30 - low)
    assert found.specimen.volume() == pytest.approx(specimen, rel=1e-6)
    assert [piece.volume() for piece in found.retained] == pytest.approx([80 * 80 * 40 - inner], rel=1e-6)
    assert found.kerf == pytest.approx(inner - specimen, rel=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_the_union_of_two_groups_is_not_cut_into(side):
    """A wedge and a slab that overlap: at their inner corner each kerf ends where the other piece begins."""
    planes = [("A", [20, 0, 10], Z), ("B", [-10, 0, 30], X), ("C", [30, 0, -10], X)]
    _, _, found = sawn(block(100, 40, 100), planes, Kerf(side, 1.0), groups={"A": "1", "B": "1", "C": "2"})

    def union(t):
        return 40 * ((40 - t) * (60 - t) + 100 * (20 - t) - (40 - t) * (20 - t))

    assert found.specimen.volume() == pytest.approx(union(SIDES[side]), rel=1e-6)
    assert sum(piece.volume() for piece in found.retained) == pytest.approx(100 * 100 * 40 - union(SIDES[side] - 1.0), rel=1e-6)


def test_bone_elsewhere_in_the_slab_is_not_touched():
    """Another bone 3 mm beside the cut, within the run-out: the plane meets it, and no cut does."""
    two = trimesh.util.concatenate([block(40, 30, 100), block(30, 30, 100, at=(38, 0, 0))])
    _, _, found = sawn(two, [("A", [0, 0, 0], Z)], Kerf("centre", 1.0))
    assert found.specimen.volume() == pytest.approx(40 * 30 * 49.5, rel=1e-6)
    assert [piece.volume() for piece in found.retained] == pytest.approx([30 * 30 * 100, 40 * 30 * 49.5], rel=1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_slanted_bone_leaves_no_slivers(side):
    """A ball cut far from its middle: its surface leans by 50° at the cut, so the faces of the kerf differ in size."""
    high = SIDES[side]

    def cap(z):
        return np.pi * (30 - z) ** 2 * (60 + z) / 3

    bone, cuts, found = sawn(ball(30, fine=6), [("A", [0, 0, 23], Z)], Kerf(side, 1.0))
    assert found.specimen.volume() == pytest.approx(cap(23 + high), rel=2e-3)
    assert found.kerf == pytest.approx(cap(22 + high) - cap(23 + high), rel=2e-3)
    assert len(found.retained) == 1 and not found.crumbs
    (face,) = specimen_faces(bone, cuts, {"A": Kerf(side, 1.0)}).values()
    assert face.section.area == pytest.approx(np.pi * (900 - (23 + high) ** 2), rel=2e-3)


@pytest.mark.parametrize("side", SIDES)
def test_a_kerf_moves_with_the_patient(side):
    matrix, kerf = turn(), Kerf(side, 1.0)
    planes = [("A", [0, 0, 0], [0.1, 0.2, 1.0]), ("B", [10, 0, 0], [1.0, 0.3, 0])]
    there = [(n, trimesh.transform_points([o], matrix)[0], matrix[:3, :3] @ d) for n, o, d in planes]
    tumour = ball(6, at=(20, 3, 8.0))
    results = []
    for mesh, cuts, lesion in ((block(80, 40, 80), planes, tumour), (moved(matrix, block(80, 40, 80)), there, moved(matrix, tumour))):
        bone, placed, found = sawn(mesh, cuts, kerf)
        faces = specimen_faces(bone, placed, dict.fromkeys(placed, kerf))
        margins = [cut_margin(placed[name], Surface(lesion), kerf=kerf, face=faces[name]) for name in placed]
        areas = [area for margin in margins for area in margin.area_by_class.values()]
        volumes = [found.specimen.volume(), sum(piece.volume() for piece in found.retained), found.kerf]
        results.append((volumes, [margin.sawn.distance for margin in margins], areas))
    (volumes, margins, areas), (volumes_there, margins_there, areas_there) = results
    assert volumes_there == pytest.approx(volumes, rel=1e-6)
    assert margins_there == pytest.approx(margins, abs=1e-6)
    assert areas_there == pytest.approx(areas, abs=0.5)


def test_moved_cuts_keep_what_does_not_move():
    bone, cuts = planned(block(80, 40, 80), [("A", [0, 0, 0], Z), ("B", [10, 0, 0], X)])
    still = moved_cuts(bone, cuts, {"A": 0.0, "B": 0.0})
    assert all(still[name] is cut for name, cut in cuts.items())
    found = moved_cuts(bone, cuts, {"A": 0.5})
    assert found["A"].section.area == pytest.approx(40 * 30) and found["B"].section.area == pytest.approx(40 * 39.5), "B ends at A's new plane"
    with pytest.raises(CaseError, match="lies no more bone"):
        moved_cuts(bone, cuts, {"A": 41.0})


def test_an_unmeasured_and_an_unknown_kerf_are_told(plan_of):
    report = plan_of(above(5.0), guide=GUIDE.replace("kerf = 1.0, ", ""))
    (cut,) = report["cuts"]
    assert cut["kerf_mm"] == pytest.approx(0.9 + 0.15) and not cut["kerf_measured"]
    (told,) = [caution["text"] for caution in report["cautions"] if caution["id"] == "kerf-not-measured"]
    assert "saw" in told and "1.05 mm" in told
    report = plan_of(above(2.3), "specimen", guide="")
    (cut,) = report["cuts"]
    assert cut["kerf_mm"] is None and cut["margin_sawn_mm"] is None and report["margin_sawn_mm"] is None
    assert cut["class"] == "R0" and report["kerf_mm3"] == 0.0 and report["specimen"]["volume_mm3"] == pytest.approx(240_000)
    assert "kerf-unknown" in {caution["id"] for caution in report["cautions"]}


def test_a_kerf_narrower_than_its_blade_is_refused(plan_of):
    with pytest.raises(CaseError, match=r"guide\[0\]\.blade\.kerf is 0\.8 mm, less than the blade's thickness of 0\.9;"):
        plan_of(above(5.0), guide=GUIDE.replace("kerf = 1.0", "kerf = 0.8"))


def test_a_plan_for_several_blades(plan_of):
    """Each blade has its slot; the cut's margin is that of the widest kerf."""
    report = plan_of(above(5.0), blades=["generic-10x0.6", "generic-20x1.0", "generic-10x0.6"])
    assert [(slot["guide"], slot["cut"], slot["blade"], slot["kerf_mm"]) for slot in report["slots"]] == [
        ("g", "A", "generic-10x0.6", 0.75),
        ("g", "A", "generic-20x1.0", 1.15),
    ]
    (cut,) = report["cuts"]
    assert (cut["kerf_mm"], cut["kerf_blade"]) == (1.15, "generic-20x1.0") and cut["margin_sawn_mm"] == pytest.approx(5.0 - 0.575, abs=5e-4)
    checks = {check["id"]: check["passed"] for check in report["checks"]}
    assert not checks["blade_reach_g_A_generic-10x0.6"] and checks["blade_reach_g_A_generic-20x1.0"]
    with pytest.raises(PsiCadError, match="--blade: there is no blade 'nonsense'"):
        plan_of(above(5.0), blades=["nonsense"])


def test_soft_tissue_tumour_beside_bone_that_stays_is_told(plan_of):
    """A rod beside the block, across the plane: the specimen takes its upper half along, and nothing the lower one."""
    rod = trimesh.creation.cylinder(radius=4, height=30, sections=64)
    rod.apply_translation([0, 40, 0])
    report = plan_of(rod, "retained")
    (told,) = [caution for caution in report["cautions"] if caution["id"] == "soft-tumour-stays"]
    (piece,) = report["tumour"]["soft_beside_retained"]
    assert piece["volume_mm3"] == pytest.approx(rod.volume * 14 / 30, rel=1e-4), "below the kerf of 1 mm beneath the plane"
    np.testing.assert_allclose(told["where"], [0, 40, -8], atol=0.5)
    assert told["blocks_release"] and "0.70 cm³" in told["text"]
    up = rod.copy()
    up.apply_translation([0, 0, 16])
    assert not plan_of(up)["tumour"]["soft_beside_retained"]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """The guide of the type III case's upper ramus, with the kerf on the specimen's side: its report, and its folder."""
    out = tmp_path_factory.mktemp("kerf")
    text = (CASES / "phantom-type3" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    text = text.replace('name = "B"\n', 'name = "B"\nkerf_side = "specimen"\n', 1)
    case = out / "case.toml"
    case.write_text(text[: text.rindex("[[guide]]")], "utf-8")
    report = build(case, out / "out")
    return case, report, out / "out" / report["case"]["id"]


@pytest.mark.slow
def test_the_slot_stands_where_the_blade_runs(shifted):
    """Half a kerf of 0.75 mm (0.6 and the clearance) towards the specimen, measured in the STEP by other code than the product's."""
    _, report, folder = shifted
    (guide,) = report["guides"]
    assert guide["status"] == "passed"
    (slot,) = guide["slots"]
    assert slot["plane_offset_mm"] < 0.005 and slot["from_plan_mm"] == pytest.approx(0.375, abs=0.005)
    solid = cq.importers.importStep(str(folder / guide["files"]["step"])).val()
    planned_slot = guide["plan"]["slots"][0]
    origin, normal = np.array(planned_slot["origin"]), np.array(planned_slot["normal"])
    sides = []
    for face in solid.Faces():
        if face.geomType() == "PLANE" and face.Area() > 30 and abs(abs(np.array(face.normalAt().toTuple()) @ normal) - 1) < 1e-8:
            sides.append(float((np.array(face.Center().toTuple()) - origin) @ normal))
    inner = sorted(side for side in sides if abs(side - 0.375) < 0.75)
    assert inner[-1] - inner[0] == pytest.approx(0.75, abs=0.005) and (inner[0] + inner[-1]) / 2 == pytest.approx(0.375, abs=0.005)
    assert {caution["id"] for caution in guide["cautions"]} >= {"kerf-not-measured"}
    checks = {check["id"]: check for check in guide["checks"]}
    assert "0.375 mm from the plan on the side of the specimen" in checks["slot_plane_offset[B]"]["note"]


@pytest.mark.slow
def test_the_plan_of_a_shifted_kerf_is_the_guides_plan(shifted):
    case, report, _ = shifted
    found = plan(case)
    assert found["slots"][0]["kerf_shift_mm"] == 0.375
    assert found["slots"][0]["depth_max_mm"] == pytest.approx(report["guides"][0]["plan"]["slots"][0]["depth"], abs=1e-3)
    refuses_another_kerf(found, report)


def test_a_plan_with_another_kerf_is_not_the_guides_plan(phantom_report):
    refuses_another_kerf(plan(CASES / "phantom-type1"), phantom_report)


def refuses_another_kerf(found, report):
    """The plan is that of the guides, and with another kerf it is not."""
    side = found["cuts"][0]["kerf_side"]
    assert disagreement(PlanReport.model_validate(found), BuildReport.model_validate(report)) is None
    found["cuts"][0]["kerf_side"] = "retained"
    assert "another side" in disagreement(PlanReport.model_validate(found), BuildReport.model_validate(report))
    found["cuts"][0]["kerf_side"] = side
    found["slots"][0]["kerf_mm"] = 0.7
    assert "kerf of 0.7 mm" in disagreement(PlanReport.model_validate(found), BuildReport.model_validate(report))
