"""A slot that is open at one end: which one, what joins its leaves, and files in which it is closed or falls apart."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
import trimesh
from built_once import built_once
from conftest import CASES
from faults import bridge_s, failed_with, half, in_slot, plug, solid_in, stations
from test_flap import plane_seat

import psi_cad
from psi_cad.errors import CaseError, DesignError, PsiCadError
from psi_cad.fitting.hanging import refuse_hanging
from psi_cad.frames import Frame
from psi_cad.guides.ground import SiteCut
from psi_cad.guides.params import resolve_params
from psi_cad.guides.registry import load_template
from psi_cad.options.opening import Opening, checks, measure_on_bone
from psi_cad.sawing.opening import open_ends, refuse_parted
from psi_cad.sawing.plan import SlotPlan
from psi_cad.sawing.slots import _windows

STEM = "supra-acetabular_generic-25x0.89"
X, Y, Z = np.eye(3)


def site(*cuts):
    return SimpleNamespace(cuts=cuts, frame=Frame(origin=np.zeros(3), axes=np.eye(3)))


def cut(name="A", along=X, **more):
    return SiteCut(name, np.zeros(3), np.cross(along, Z), along, Z, -20.0, 20.0, more.pop("neighbours", ()), **more)


def test_the_end_that_lies_there_is_open():
    assert open_ends(site(cut()), "") == [(False, False)]
    assert open_ends(site(cut()), "left") == [(False, True)] and open_ends(site(cut()), "right") == [(True, False)]
    assert open_ends(site(cut(along=-X)), "left") == [(True, False)]
    chevron = cut("A", neighbours=((1, 1),)), cut("B", along=-X, neighbours=((0, 1),))  # they meet at their high ends
    assert open_ends(site(*chevron), "right") == [(True, False), (False, False)]
    assert open_ends(site(*chevron), "left") == [(False, False), (True, False)]


def test_an_end_that_is_not_there_or_not_to_be_open_is_refused_by_the_name():
    with pytest.raises(DesignError, match=r"params\.open_end = 'head': no slot ends there by itself; they end towards right, towards left") as caught:
        open_ends(site(cut()), "head")
    assert caught.value.anywhere, "no other seat is looked for"
    with pytest.raises(DesignError, match=r"params\.open_end = 'left': cut 'A' ends there on another cut"):
        open_ends(site(cut(stops=(1,))), "left")
    both = cut("A", neighbours=((1, 1),)), cut("B", neighbours=((0, 1),))
    refuse_parted(site(*both), [(True, False), (False, False)], [False, False])
    refuse_parted(site(*both), [(True, False), (True, False)], [False, True])
    with pytest.raises(DesignError, match="nothing would join the two leaves"):
        refuse_parted(site(*both), [(True, False), (True, False)], [False, False])
    with pytest.raises(CaseError, match=r"p\.open_end = 'up' is none of its words; give nothing, left, right, back, front, head, feet"):
        resolve_params(load_template("osteotomy", where="here").Params, {"open_end": "up"}, where="p")


def test_a_stretch_that_hangs_on_one_end_is_half_as_long():
    def plan(low, high, open_ends):
        return SimpleNamespace(low=low, high=high, open_ends=open_ends)

    assert _windows(plan(0.0, 70.0, (False, False)), 30.0, 80.0, 4.0) == [[0.0, 70.0]]
    assert _windows(plan(0.0, 40.0, (False, True)), 30.0, 80.0, 4.0) == [[0.0, 40.0]]
    assert _windows(plan(0.0, 80.0, (True, False)), 30.0, 80.0, 4.0) == [[0.0, 40.0], [44.0, 80.0]]
    assert _windows(plan(0.0, 80.0, (False, True)), 30.0, 80.0, 4.0) == [[0.0, 36.0], [40.0, 80.0]]
    assert _windows(plan(0.0, 80.0, (False, True)), 45.0, 80.0, 4.0) == [[0.0, 80.0]], "no room for the blade beside a bridge"
    assert len(_windows(plan(0.0, 180.0, (False, True)), 30.0, 80.0, 4.0)) == 3


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=["params.open_end=back", "params.wall=2.5"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "opening", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def open_end(guide):
    """Its end (1 high, -1 low), and how far along the slot it guides."""
    ((end, s),) = guide["plan"]["slots"][0]["opens"]
    return int(end), s


@pytest.mark.slow
def test_a_blade_comes_in_from_the_side_at_that_end_only(out, guide):
    """Boxes as thick as the blade, by trimesh; and the leaves stand 10 mm high to the end."""
    mesh = trimesh.load_mesh(out / f"{STEM}.stl")
    origin, along, blade, normal = stations(guide)
    end, opens = open_end(guide)
    assert (end * along)[1] > 0.7, "towards the back"
    ups = np.arange(-60.0, 100.0, 0.5)
    for off in (-0.43, 0.0, 0.43):
        starts = origin + (opens - end * 20.0) * along + ups[:, None] * blade + off * normal
        assert not mesh.ray.intersects_any(starts, np.tile(end * along, (len(ups), 1))).any()
        assert mesh.ray.intersects_any(starts, np.tile(-end * along, (len(ups), 1))).any(), "the other way there is a bridge"
    for s in (opens - end * 0.1, opens - end * 5.0):
        for sign in (1.0, -1.0):
            start = origin + s * along + 100.0 * blade + sign * (half(guide) + 0.5) * normal
            hits, _, _ = mesh.ray.intersects_location([start], [-blade])
            ups_hit = np.sort((hits - origin) @ blade)
            assert ups_hit[-1] - ups_hit[0] >= 9.5
    chord = guide["plan"]["slots"][0]["chord_high" if end > 0 else "chord_low"]
    assert end * (opens - chord) == pytest.approx(guide["params"]["run_out"], abs=1e-6), "as far past the bone as a closed slot"
    assert [one["kind"] for one in guide["features"]] == ["opening"] and guide["features"][0]["joined_mm"] == pytest.approx(4.0, abs=0.02)


def leaf(solid, guide):
    """Something thin across the open end."""
    end, opens = open_end(guide)
    return plug(solid, guide, opens + end * 1.0, 0.4)


def sawn_through(guide):
    """Bridges and the closed end of the slot sawn through, but for 1.5 mm at either place."""
    end, _ = open_end(guide)
    windows = guide["slots"][0]["windows_mm"]
    closed = windows[0][0] if end > 0 else windows[-1][1]
    at = closed - end * (4.0 - 1.5) / 2.0
    return [
        in_slot(guide, bridge_s(guide) - end * 0.75, length=2.5, thickness=2 * half(guide)),
        in_slot(guide, at, length=2.5, thickness=2 * half(guide)),
    ]


def footplate_off(guide):
    """What of the footplate on one side holds the wall over the last 25 mm before the open end."""
    end, opens = open_end(guide)
    return in_slot(guide, opens - end * 10.0, length=40.0, thickness=30.0, off=half(guide) + 2.55 + 15.0)


BY_PLAN = ("opening_pinned",)
FAULTS = {
    "opening_free": (lambda s, g: s.fuse(leaf(s, g)), ()),
    "opening_joined": (lambda s, g: s.cut(*sawn_through(g)), ("slot_bridge[A]",)),
    "opening_hangs": (lambda s, g: s.cut(footplate_off(g)), ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_slot_that_is_closed_or_falls_apart_fails_its_own_check(check, out, guide, tmp_path):
    spoil, also = FAULTS[check]
    failed = failed_with(spoil(solid_in(out / f"{STEM}.step"), guide), guide["plan"], out / "bone.stl", tmp_path)
    may = {"slot_covers_bone[A]", "slot_blade_room[A]", "slot_height[A]"}
    may |= {"contact_share", "sliding_lock", "pins", "step_solids", "stl_bodies"} if check == "opening_hangs" else set()
    assert {f"{check}[A]", *also} <= set(failed) <= {f"{check}[A]", *also, *may}, set(failed)
    origin, _, _, normal = stations(guide)
    assert abs((np.array(failed[f"{check}[A]"].where) - origin) @ normal) < 0.6, "the place is in the slot"


def test_a_leaf_without_a_wire_of_its_own_fails():
    one = Opening("A", (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), 1, 0.0, 30.0, 1.0, 0.9, 2.0, 10.0, 4.0, (), "back")
    for wires, least in (([(0.0, 8.0, 30.0), (9.0, 9.0, 30.0), (5.0, -8.0, 30.0)], 1), ([(0.0, 8.0, 30.0), (9.0, 9.0, 30.0), (5.0, 8.0, 30.0)], 0)):
        values = measure_on_bone(one, None, SimpleNamespace(wires=wires), None)
        (check,) = (check for check in checks(one, values) if check.id == f"{BY_PLAN[0]}[A]")
        assert check.value == least and check.passed is (least > 0)


@pytest.mark.parametrize(
    ("open_ends", "ledge", "wall", "named"), [((False, True), 0, 2.0, "params.open_end = 'back'"), ((False, False), 1, 2.0, "params.ledge")]
)
def test_a_wall_that_no_footplate_holds_near_its_end_is_refused_by_its_name(open_ends, ledge, wall, named):
    """The footplate ends 16 mm before the slot does."""
    seat, plates = plane_seat()[0], [shapely.box(-14.0, -20.0, 30.0, 20.0)]
    cut = SimpleNamespace(name="A", origin=np.zeros(3), normal=np.array([0.0, 1.0, 0.0]), along=np.array([-1.0, 0.0, 0.0]), blade=Z)
    plan = SlotPlan(cut, 1.0, 0.5 + wall, -30.0, 30.0, -32.0, 32.0, ((-30.0, 30.0),), (), (True, True), open_ends=open_ends, ledge=ledge)
    with pytest.raises(
        DesignError, match=f"{named}: a wall of cut 'A' would stand alone over 1[67] mm at its end, and 12 is the most .* raise wall to [23]"
    ):
        refuse_hanging(plan, plates, seat, wall=wall, open_end="" if ledge else "back")
    refuse_hanging(plan, plates, seat, wall=3.0, open_end="")
    refuse_hanging(dataclasses.replace(plan, open_ends=(False, False), ledge=0), plates, seat, wall=wall, open_end="")


@pytest.mark.slow
def test_an_open_end_that_is_not_there_is_refused_and_leaves_no_guide(tmp_path):
    with pytest.raises(PsiCadError, match=r"params\.open_end = 'head': no slot ends there by itself; they end towards front, towards back"):
        psi_cad.build(CASES / "phantom-type1", tmp_path, settings=["params.open_end=head"], suggest=False)
    assert not list(tmp_path.rglob("supra*.stl"))
