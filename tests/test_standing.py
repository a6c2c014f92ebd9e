"""A guide that stands on one side of its cuts only: what counts as past them, and files in which something lies there."""

import json
from types import SimpleNamespace

import cadquery as cq
import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, guided, half, middle_s, solid_in, stations

import psi_cad
from psi_cad.errors import DesignError
from psi_cad.fitting.place import Asked, _standing
from psi_cad.options.standing import Standing, past

STEM = "supra-acetabular_generic-25x0.89"
EDGES = ((0.0, 0.0, 0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 1.0, 0.0))  # the piece is x > 0, y > 0


def test_what_lies_past_the_cuts_is_told_of_the_piece_and_of_what_stays():
    points = np.array([(3.0, 5.0, 9.0), (-2.0, 5.0, 0.0), (4.0, -1.0, 0.0), (-2.0, -6.0, 0.0)])
    np.testing.assert_allclose(past(Standing("footprint", 1, EDGES, 3.0), points), [-3.0, 2.0, 1.0, 6.0])
    np.testing.assert_allclose(past(Standing("footprint", -1, EDGES, 3.0), points), [3.0, -2.0, -1.0, -6.0])


def test_cuts_that_free_several_pieces_have_no_one_side():
    site = SimpleNamespace(sawn=[SimpleNamespace(group="a"), SimpleNamespace(group="b")])
    plans = [SimpleNamespace(cut=SimpleNamespace(origin=np.zeros(3)))]
    with pytest.raises(DesignError, match=r"params\.footprint_side = 1: the cuts of this guide free several pieces"):
        _standing(site, Asked(3.0, 10.0, 2.0, 0.6, 3.0, 10.0, footprint_side=1), plans)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=["params.footprint_side=-1"])["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "standing", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


@pytest.mark.slow
def test_nothing_but_the_far_wall_lies_on_the_specimen(out, guide):
    """Corners of the STL against the planned plane; wires and footplates by the report."""
    origin, _, _, normal = stations(guide)
    off = (trimesh.load_mesh(out / f"{STEM}.stl").vertices - origin) @ normal
    assert 2.5 < off.max() <= guide["slots"][0]["width_mm"] / 2.0 + 2.0 + 0.6 + 0.05 and off.min() < -12.0
    assert len(guide["pins"]) == 3
    axes = np.array(guide["plan"]["axes"])
    flat = (axes @ normal)[:2]
    for pin in guide["pins"]:
        assert (np.array(pin["centre_mm"]) - (axes @ (origin - np.array(guide["plan"]["origin"])))[:2]) @ flat < -4.0


def stub(solid, guide):
    """A rod on the far wall, to 6 mm past the plane."""
    origin, along, blade, normal = stations(guide)
    s = middle_s(guide)
    place = origin + s * along + np.mean(guided(solid, guide, s)) * blade + (half(guide) + 1.0) * normal
    return cq.Solid.makeCylinder(1.0, 6.0 - half(guide) - 1.0, cq.Vector(*place), cq.Vector(*normal))


FAULTS = {"standing_past"}  # the next test


@pytest.mark.slow
def test_something_on_the_other_side_fails(out, guide, tmp_path):
    solid = solid_in(out / f"{STEM}.step")
    failed = failed_with(solid.fuse(stub(solid, guide)), guide["plan"], out / "bone.stl", tmp_path)
    assert set(failed) == FAULTS and failed["standing_past"].value == pytest.approx(6.0, abs=0.01)
    origin, _, _, normal = stations(guide)
    assert (np.array(failed["standing_past"].where) - origin) @ normal == pytest.approx(6.0, abs=0.01)
