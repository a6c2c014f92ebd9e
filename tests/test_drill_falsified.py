"""A falsified file of each kind makes its own check of a sleeve fail, and no other: no check is there for show."""

import dataclasses
import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh
from test_drill import STEM, drill_out, drill_report  # noqa: F401  (fixtures)

from psi_cad.export.meshes import triangulated, write_stl
from psi_cad.export.step import write_step
from psi_cad.files import sha256_of
from psi_cad.inspection.inspect import bone_probe
from psi_cad.inspection.measure import measure_folder
from psi_cad.promises.expected import Expected
from psi_cad.remedies.mending import CHECKS
from psi_cad.verify.checks import measure_files

NAME = "T1"


class Sleeve:
    """One sleeve of the example, for faults to be planted in: lengths along its axis above the entry, mm."""

    def __init__(self, guide):
        self.plan = next(bore for bore in guide["plan"]["bores"] if bore["name"] == NAME)
        measured = next(bore for bore in guide["bores"] if bore["name"] == NAME)
        self.entry, self.out = np.array(self.plan["entry"]), np.array(self.plan["out"])
        self.high = self.plan["stop"] - self.plan["depth"]
        self.low = self.high - measured["guided_mm"]
        self.bore = measured["diameter_mm"] / 2.0
        self.radius = self.bore + self.plan["wall"] + 0.02
        up = np.array(guide["seating_axis"])
        self.side = (up @ self.out) * self.out - up  # where one does not look when one looks into the bore along the seating axis
        self.side /= np.linalg.norm(self.side)
        self.start = self.high - self.plan["guided"] - 0.5

    def at(self, up, beside=0.0):
        return self.entry + up * self.out + beside * self.side

    def rod(self, radius, low, high, *, beside=0.0):
        """A cylinder along the axis."""
        return cq.Solid.makeCylinder(radius, high - low, cq.Vector(*self.at(low, beside)), cq.Vector(*self.out))

    def turned(self, solid, angle):
        """The sleeve cut off a little above the seat, and one that leans by `angle` degrees more in its place, the bore a hair wider."""
        way = np.cos(np.radians(angle)) * self.out + np.sin(np.radians(angle)) * self.side
        base = self.start + 2.0
        start, length = cq.Vector(*(self.at(base) - 0.5 * way)), self.high - base
        other = cq.Solid.makeCylinder(self.radius + 0.3, length + 0.5, start, cq.Vector(*way))
        hole = cq.Solid.makeCylinder(self.bore + 0.004, length + 1.5, start, cq.Vector(*way))
        return solid.cut(self.rod(self.radius + 0.3, base, self.high + 1.0)).fuse(other.cut(hole))

    def beam(self, radius, up, low, high):
        """A cylinder across the axis."""
        start = self.at(up, low)
        return cq.Solid.makeCylinder(radius, high - low, cq.Vector(*start), cq.Vector(*self.side))

    def block(self, up, low, high, *, beside):
        """A box from `beside` outward on one side."""
        plane = cq.Plane(origin=cq.Vector(*self.at(up)), xDir=cq.Vector(*self.side), normal=cq.Vector(*self.out))
        box = cq.Solid.makeBox(5.0, 9.0, high - low, cq.Vector(beside, -4.5, low))
        return box.moved(cq.Location(plane))

    def redrilled(self, solid, **how):
        """The sleeve thickened, its bore filled, and drilled again somewhat otherwise: nothing but the bore is off."""
        jacket = self.rod(self.radius + 0.6, self.start, self.high - 0.9)
        whole = solid.fuse(jacket).fuse(self.rod(self.bore + 0.3, self.start, self.high))
        return whole.cut(self.rod(self.bore + 0.003, self.start - 0.5, self.high + 3.0, **how))


FAULTS = {
    "bore_diameter": lambda s, one: s.cut(one.rod(one.bore + 0.008, -8.0, one.high + 3.0)),
    "bore_angle": lambda s, one: one.turned(s, 0.2),
    "bore_entry": lambda s, one: one.redrilled(s, beside=0.07),
    "bore_open": lambda s, one: s.fuse(one.beam(0.3, one.low + 0.9, -one.bore - 0.8, one.bore + 0.8)),
    "sleeve_guided": lambda s, one: s.cut(one.block((one.low + one.high) / 2.0, -1.0, 1.0, beside=0.0)),
    "sleeve_wall": lambda s, one: s.cut(one.block(one.high - 6.0, -2.0, 2.0, beside=one.radius - 0.4)),
    "sleeve_stop": lambda s, one: s.cut(one.rod(one.radius + 1.0, one.high - 0.2, one.high + 3.0)),
    "sleeve_square": lambda s, one: s.cut(one.block(one.high, -0.09, 3.0, beside=0.0)),
}
BY_PLAN = ("tool_reach", "tool_apart", "tool_avoid")


@pytest.mark.slow
def test_every_check_of_a_sleeve_is_falsified(drill_report):  # noqa: F811
    (guide,) = drill_report["guides"]
    own = {check["id"].split("[")[0] for check in guide["checks"] if check["id"].startswith(("bore_", "sleeve_", "tool_"))}
    assert own == {*FAULTS, *BY_PLAN}
    assert {check["id"].split("[")[0] for check in guide["checks"]} <= set(CHECKS), "a check without a word on what mends it"


@pytest.fixture(scope="module")
def good(drill_out, drill_report):  # noqa: F811
    solid = cq.importers.importStep(str(drill_out / f"{STEM}.step")).val()
    return cq.Solid(solid.Solids()[0].wrapped), drill_report["guides"][0], bone_probe(drill_out / "bone.stl")


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_file_fails_its_own_check_alone(check, drill_out, good, tmp_path):  # noqa: F811
    whole, guide, probe = good
    one = Sleeve(guide)
    spoiled = FAULTS[check](whole, one)
    (solid,) = spoiled.Solids()
    shutil.copy(drill_out / "avoid_vessel.stl", tmp_path)
    write_step(tmp_path / "x.step", cq.Solid(solid.wrapped), product="x", faces={}, software="test")
    write_stl(tmp_path / "x.stl", triangulated(cq.Solid(solid.wrapped)), header="x")
    measured = measure_files(tmp_path / "x.step", tmp_path / "x.stl", Expected.from_json(guide["plan"]), probe)
    failed = {found.id: found for found in measured.checks if not found.passed}
    assert set(failed) == {f"{check}[{NAME}]"}
    where = np.array(failed[f"{check}[{NAME}]"].where)
    up = float((where - one.entry) @ one.out)
    assert np.linalg.norm(where - one.at(up)) <= one.radius + 0.1 and -1.0 <= up <= one.high + 0.1, "the place is on the sleeve"


def changed(folder, tmp_path, change):
    """Ids that fail once `change` was made in the folder, given its report's guide."""
    here = tmp_path / "case"
    shutil.copytree(folder, here)
    report = json.loads((here / "report.json").read_text("utf-8"))
    change(report["guides"][0], here)
    (here / "report.json").write_text(json.dumps(report))
    (guide,) = measure_folder(here, progress=lambda step: None)["guides"]
    return {check["id"]: check for check in guide["checks"] if not check["passed"]}


def measured(guide, id):
    return next(check for check in guide["checks"] if check["id"] == id)


@pytest.mark.slow
def test_a_tool_that_is_just_too_short_fails(drill_out, tmp_path):  # noqa: F811
    def shorter(spare):
        def change(guide, here):
            guide["plan"]["bores"][0]["tool_length"] = measured(guide, "tool_reach[T1]")["limit"] + spare

        return change

    assert changed(drill_out, tmp_path / "1", shorter(0.01)) == {}
    failed = changed(drill_out, tmp_path / "2", shorter(-0.01))
    assert set(failed) == {"tool_reach[T1]"}


@pytest.mark.slow
def test_tools_that_come_nearer_than_asked_fail(drill_out, tmp_path):  # noqa: F811
    values = {}

    def asked(guide, here):
        values.update({check["id"]: check["value"] for check in guide["checks"] if check["id"].startswith("tool_apart")})
        guide["plan"]["tool_clearance"] = min(values.values()) + 0.1

    failed = changed(drill_out, tmp_path, asked)
    assert failed and set(failed) == {name for name, value in values.items() if value < min(values.values()) + 0.05}


@pytest.mark.slow
def test_a_structure_nearer_than_its_distance_fails_and_so_does_one_that_was_exchanged(drill_out, tmp_path):  # noqa: F811
    def nearer(known, sign=1.0):
        def change(guide, here):
            one, path = Sleeve(guide), here / "avoid_vessel.stl"
            mesh = trimesh.creation.icosphere(radius=2.0)
            mesh.apply_translation(one.at(-10.0, sign * (one.plan["tool_diameter"] / 2.0 + 5.5)))  # 3.5 mm from the tool, and 5 are wanted
            mesh.export(path)
            if known:
                guide["plan"]["avoid"][0]["sha256"] = sha256_of(path)

        return change

    failed = changed(drill_out, tmp_path / "1", nearer(known=True))
    assert set(failed) == {"tool_avoid[T1 vessel]"}
    assert failed["tool_avoid[T1 vessel]"]["value"] == pytest.approx(3.5, abs=0.05)
    unknown = changed(drill_out, tmp_path / "2", nearer(known=False))
    assert set(unknown) == {"tool_avoid[T1 vessel]", "tool_avoid[T2 vessel]", "tool_avoid[W1 vessel]"}
    assert all("is not the file" in check["note"] for check in unknown.values())


@pytest.mark.slow
def test_a_bore_that_is_gone_fails_what_is_measured_of_it(drill_out, good, tmp_path):  # noqa: F811
    whole, guide, probe = good
    one = Sleeve(guide)
    solid = whole.fuse(one.rod(one.bore + 0.3, one.low - 8.0, one.high)).cut(one.rod(0.4, -8.0, one.high + 3.0))
    shutil.copy(drill_out / "avoid_vessel.stl", tmp_path)
    write_step(tmp_path / "x.step", cq.Solid(solid.Solids()[0].wrapped), product="x", faces={}, software="test")
    write_stl(tmp_path / "x.stl", triangulated(cq.Solid(solid.Solids()[0].wrapped)), header="x")
    expected = Expected.from_json(guide["plan"])
    failed = {check.id for check in measure_files(tmp_path / "x.step", tmp_path / "x.stl", expected, probe).checks if not check.passed}
    assert {f"{check}[{NAME}]" for check in (*FAULTS, "tool_reach")} <= failed
    again = Expected.from_json(json.loads(json.dumps(expected.to_json())))
    assert again == expected and dataclasses.asdict(again) == dataclasses.asdict(expected)
