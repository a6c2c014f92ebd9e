"""Wires in the holes of a plate: which holes there is room for, and files in which a bore passes its hole."""

import json
import shutil

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, solid_in

import psi_cad
from psi_cad.errors import CaseError, DesignError, PsiCadError

STEM = "supra-acetabular_generic-25x0.89"
POINTS = ([-116.286, -40.289, 55.04], [-83.381, 44.783, 41.378], [-107.312, -27.441, 22.933], [-97.893, 29.334, 19.191])
INTO = [0.991936, 0.03271, 0.122446]  # 8° from the seating axis


def case_with(folder, points=POINTS, into=INTO, *, more=""):
    """The type I case on the phantom, with these holes for its guide."""
    shutil.copytree(CASES / "phantom-type1", folder / "case")
    shutil.copytree(CASES / "phantom", folder / "phantom", ignore=shutil.ignore_patterns("scans"))
    file = folder / "case" / "case.toml"
    holes = "".join(f'[[guide.hole]]\nname = "P{n}"\npoint = {point}\ndirection = {into}\n\n' for n, point in enumerate(points, start=1))
    file.write_text(file.read_text("utf-8").replace("[guide.params]", holes + "[guide.params]").replace("[[cut]]", more + "[[cut]]", 1), "utf-8")
    return folder / "case"


def moved(point, way, by):
    return [float(v) for v in np.array(point) + by * np.array(way)]


SEAT_UP, HEAD = (-0.995, -0.0995, 0.0), (0.0, 0.0, 1.0)
UNFIT = {
    "names 2": (POINTS[:2], INTO),
    "'P1': its axis leans": (POINTS, [0.7, 0.0, 0.7]),
    "'P1': its point lies .* give the point where the axis meets the bone": ([moved(POINTS[0], SEAT_UP, 30.0), *POINTS[1:]], INTO),
    "'P1': its sleeve would stand .* beside the footplates": ([moved(POINTS[0], HEAD, 14.0), *POINTS[1:]], INTO),
    "'P1' and 'P2' lie too near": ([POINTS[0], moved(POINTS[0], HEAD, -3.0), *POINTS[2:]], INTO),
    "'P1': its (wire comes within|sleeve has no room)": ([moved(POINTS[0], HEAD, -13.0), *POINTS[1:]], INTO),
}


@pytest.mark.slow
@pytest.mark.parametrize("said", UNFIT)
def test_a_hole_that_does_not_fit_is_refused_by_its_name(said, tmp_path):
    points, into = UNFIT[said]
    with pytest.raises(DesignError, match=rf"guide\.hole:? {said}"):
        psi_cad.build(case_with(tmp_path, points, into), tmp_path / "out", suggest=False)
    assert not list((tmp_path / "out").rglob("supra*.stl"))


def test_a_template_that_places_its_wires_itself_takes_no_holes(tmp_path):
    case = case_with(tmp_path)
    with pytest.raises(CaseError, match=r"guide\[0\]\.hole: template '_?\w+' places its wires itself; leave hole out"):
        psi_cad.validate(case, settings=["guide.template=drill"])
    file = case / "case.toml"
    file.write_text(file.read_text("utf-8").replace('"P2"', '"P1"'), "utf-8")
    with pytest.raises(CaseError, match="two holes are called 'P1'"):
        psi_cad.validate(case)


@pytest.mark.slow
def test_holes_and_a_lean_of_wires_contradict_each_other(tmp_path):
    with pytest.raises(PsiCadError, match=r"params\.pin_divergence: the holes of a plate say how the wires lean"):
        psi_cad.build(case_with(tmp_path), tmp_path / "out", settings=["params.pin_divergence=8"], suggest=False)


@pytest.mark.slow
def test_a_structure_beside_a_hole_refuses_it(tmp_path):
    vessel = '[[avoid]]\nname = "vessel"\nsurface = "vessel.stl"\nunits = "mm"\ncoordinates = "LPS"\ndistance = 5.0\n\n'
    case = case_with(tmp_path, more=vessel)
    ball = trimesh.creation.icosphere(radius=4.0)
    ball.apply_translation(moved(POINTS[1], INTO, 15.0))
    ball.export(case / "vessel.stl")
    with pytest.raises(PsiCadError, match=r"guide\.hole 'P2': its wire comes within -?\d\.\d mm of a structure to avoid"):
        psi_cad.build(case, tmp_path / "out", suggest=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(case_with(here), here)["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "plated", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


@pytest.mark.slow
def test_a_wire_in_each_bore_goes_through_its_hole(out, guide):
    """Rays along the axes that the case gives, by trimesh: free from far outside to 10 mm below the bone, and the bore stands 1.05 mm round them."""
    mesh, way = trimesh.load_mesh(out / f"{STEM}.stl"), np.array(INTO) / np.linalg.norm(INTO)
    side = np.cross(way, HEAD) / np.linalg.norm(np.cross(way, HEAD))
    assert [one["name"] for one in guide["holes"]] == ["P1", "P2", "P3", "P4"] and len(guide["pins"]) == 4
    for point in np.array(POINTS):
        assert not mesh.ray.intersects_any([point - 60.0 * way], [way]).any()
        for turn in np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False):
            off = np.cos(turn) * side + np.sin(turn) * np.cross(way, side)
            hits, _, _ = mesh.ray.intersects_location([point - 5.0 * way], [off], multiple_hits=False)
            assert np.linalg.norm(hits[0] - (point - 5.0 * way)) == pytest.approx(1.05, abs=0.03)
    assert {f"plated_axis[P{n}]" for n in range(1, 5)} <= {check["id"] for check in guide["checks"]}
    assert "pin_lock" not in {check["id"] for check in guide["checks"]}


def bored_anew(solid, at, way):
    """The bore of P1 closed, and drilled again."""
    start = np.array(POINTS[0]) - 9.0 * np.array(INTO)
    plug = cq.Solid.makeCylinder(1.4, 8.2, cq.Vector(*start), cq.Vector(*INTO))
    hole = cq.Solid.makeCylinder(1.05, 60.0, cq.Vector(*(at - 30.0 * way)), cq.Vector(*way))
    return solid.fuse(plug).cut(hole)


def turned(degrees):
    way = np.array(INTO) / np.linalg.norm(INTO)
    return np.cos(np.radians(degrees)) * way + np.sin(np.radians(degrees)) * np.cross(way, HEAD) / np.linalg.norm(np.cross(way, HEAD))


FAULTS = {
    "plated_axis": (np.array(POINTS[0]) + 0.2 * np.array(HEAD), turned(0.0)),
    "plated_turn": (np.array(POINTS[0]), turned(0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_bore_that_passes_its_hole_fails(check, out, guide, tmp_path):
    failed = failed_with(bored_anew(solid_in(out / f"{STEM}.step"), *FAULTS[check]), guide["plan"], out / "bone.stl", tmp_path)
    assert f"{check}[P1]" in failed and all(name.startswith(("plated", "pin", "seat")) for name in failed), set(failed)
    np.testing.assert_allclose(failed[f"{check}[P1]"].where, POINTS[0], atol=0.01)
