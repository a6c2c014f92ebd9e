"""Parts without a bone: several in one design, and parts that are meshes; each is measured, and none that is wrong gets a clean name."""

import dataclasses
import json
import zipfile

import pytest
import trimesh
from conftest import written
from own_templates import head
from strict import strictly

from psi_cad.case.catalogue import shipped_catalogue
from psi_cad.errors import DesignError
from psi_cad.guides.contract import FreeDesign, FreeJob, Part
from psi_cad.guides.registry import load_free
from psi_cad.making.free import build_free

TEMPLATE = (
    head("A box with a lid: small, of two parts.", datum="The part's frame.")
    + '''
from typing import Final

import cadquery as cq
import trimesh

from psi_cad.guides.contract import Bore, FreeDesign, Label, Part, Web
from psi_cad.guides.params import Parameters, param

SITE: Final = "free"


class Params(Parameters):
    """Parameters of the box."""

    bore: float = param(4.0, unit="mm", low=1.0, high=8.0, help="hole through the lid")
    promised: float = param(4.0, unit="mm", low=1.0, high=8.0, help="what is said of it")
    kind: str = param("solid", unit="", help="of the lid: solid, mesh, open, inside out")


def lid(params):
    if params.kind == "solid":
        return cq.Workplane().box(20.0, 30.0, 3.0).faces(">Z").workplane().hole(params.bore).val().Solids()[0]
    mesh = trimesh.creation.annulus(r_min=params.bore / 2.0, r_max=12.0, height=3.0, sections=256)
    if params.kind == "open":
        mesh.update_faces(mesh.triangles_center[:, 2] < 1.4)
    if params.kind == "inside out":
        mesh.invert()
    return mesh


def build(site, params, workshop):
    box = cq.Solid.makeBox(20.0, 30.0, 10.0)
    hole = Bore("middle", (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), params.promised)
    lids = (Part("lid", lid(params), (hole, Web("rim", (7.0, 0.0, 0.0), (0.0, 0.0, 1.0), 3.0))),)
    return FreeDesign(box, (Web("side", (10.0, 15.0, 5.0), (1.0, 0.0, 0.0), 20.0),), Label((), 0.0), further=lids)
'''
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "box.py").write_text(TEMPLATE, "utf-8")
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path / "templates"))

    def make(**params):
        entries = shipped_catalogue()
        values = load_free("box").Params(**params).model_dump()
        job = FreeJob("box", values, entries.blades["generic-20x1.0"], entries.printers["fdm-generic"])
        report = build_free(job, tmp_path / "out", progress=lambda step: None).to_json()
        assert strictly("coupon", report) == []
        assert json.loads(json.dumps(report)) == json.loads((tmp_path / "out" / "box.json").read_text("utf-8"))
        assert set(report["sha256"]) == set(report["files"].values()) == written(tmp_path / "out") - {"box.json"}
        return report, tmp_path / "out"

    return make


def failed(report):
    return {check["id"] for check in report["checks"] if not check["passed"]}


@pytest.mark.parametrize("kind", ["solid", "mesh"])
def test_two_parts_have_files_checks_and_an_entry_each(made, kind):
    report, out = made(kind=kind)
    assert (report["status"], failed(report)) == ("passed", set())
    lids = {"box-lid.stl"} | ({"box-lid.step"} if kind == "solid" else set())
    assert written(out) == {"box.step", "box.stl", "box.3mf", "box.png", "box.json", "measured.csv"} | lids
    ids = {check["id"] for check in report["checks"]}
    assert {"step_solids", "stl_watertight", "stl_watertight[lid]", "stl_bodies[lid]", "printer_room[lid]", "bore[lid middle]", "web[side]"} <= ids
    assert ("step_solids[lid]" in ids) == (kind == "solid") and ("stl_outward[lid]" in ids) == (kind == "mesh")
    first, second = report["parts"]
    assert (first["name"], first["kind"], second["name"], second["kind"]) == ("", "solid", "lid", kind)
    assert ("no_step" in second) == (kind == "mesh") and set(second["files"]) == lids
    assert first["volume_mm3"] == pytest.approx(6000.0)
    with zipfile.ZipFile(out / "box.3mf") as archive:
        model = archive.read("3D/3dmodel.model").decode()
    assert model.count("<object ") == 2 == model.count("<item ") and 'name="box generic-20x1.0 fdm-generic lid"' in model
    assert trimesh.load_mesh(out / "box-lid.stl").is_watertight


FAULTS = {
    "a part is open": ({"kind": "open"}, {"stl_watertight[lid]", "stl_outward[lid]"}),
    "a part is inside out": ({"kind": "inside out"}, {"stl_outward[lid]"}),
    "a promise of a mesh is not kept": ({"kind": "mesh", "promised": 4.5}, {"bore[lid middle]"}),
    "a promise of a solid is not kept": ({"promised": 4.02}, {"bore[lid middle]"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_wrong_part_rejects_all(made, fault):
    params, wrong = FAULTS[fault]
    report, out = made(**params)
    assert report["status"] == "rejected" and wrong <= failed(report)
    assert not any(name.endswith("[side]") or "[" not in name for name in failed(report)), "the box itself is right"
    assert [part["status"] for part in report["parts"]] == ["passed", "rejected"]
    left = written(out) - {"box.json"}
    assert left == {"box_REJECTED.step", "box-lid_REJECTED.step" if "kind" not in params else "box-lid_REJECTED.stl"}


@pytest.mark.parametrize("names", [("",), ("../lid",), ("Lid",), ("lid", "lid")])
def test_a_part_needs_a_name_of_its_own(names):
    box = trimesh.creation.box()
    with pytest.raises(DesignError, match="needs a name of its own"):
        _ = FreeDesign(box, further=tuple(Part(name, box) for name in names)).parts


def test_a_design_of_one_part_is_as_before():
    box = trimesh.creation.box()
    assert [dataclasses.astuple(part)[0] for part in FreeDesign(box, (), FreeDesign(box).label).parts] == [""]
