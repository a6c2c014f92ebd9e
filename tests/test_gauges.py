"""The gauge coupon from its files, and what a print of it tells of a printer."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from conftest import CASES

from psi_cad import api, gauging
from psi_cad.case.catalogue import load_catalogue, shipped_catalogue
from psi_cad.case.load import load_case
from psi_cad.errors import CaseError, CatalogueError, InputError
from psi_cad.guides.registry import load_template
from psi_cad.parts.measured import measure_alone
from psi_cad.verify.features.bore import Bore
from psi_cad.verify.features.gap import Gap
from psi_cad.verify.features.web import Web

ROOM = (400.0, 400.0, 400.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a coupon with few steps."""
    report = api.coupon(
        tmp_path_factory.mktemp("gauge"), blade="generic-20x1.0", printer="fdm-generic", settings=["params.step=0.1", "params.most=0.4"]
    )
    assert report["status"] == "passed", [check for check in report["checks"] if not check["passed"]]
    return report


def features(report):
    kinds = {"gap": Gap, "bore": Bore, "web": Web}
    for one in report["features"]:
        kind = kinds[one["kind"]]
        values = {f.name: one[f.name] for f in dataclasses.fields(kind)}
        yield kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def test_every_step_is_there_upright_and_flat(made):
    names = [(one["kind"], one["name"]) for one in made["features"]]
    for kind in ("gap", "bore"):
        for way in ("upright", "flat"):
            assert [name for k, name in names if k == kind and name.startswith(way)] == [f"{way} {s:.2f}" for s in (0.0, 0.1, 0.2, 0.3, 0.4)]
    assert [one["width"] for one in made["features"] if one["name"].startswith("upright") and one["kind"] == "gap"] == pytest.approx(
        [1.0, 1.1, 1.2, 1.3, 1.4]
    )


def test_the_triangles_have_the_widths_that_were_drawn(made, tmp_path):
    """Cut across with another library."""
    mesh = trimesh.load_mesh(Path(made["folder"]) / "coupon.stl")
    loops = [np.ptp(loop, axis=0) for loop in mesh.section(plane_origin=(0.0, 0.0, 5.0), plane_normal=(0.0, 0.0, 1.0)).discrete]
    wide = sorted(size[0] for size in loops if size[0] < 3.0 and size[1] > 20.0)
    assert wide == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4], abs=1e-3)
    assert mesh.is_watertight and mesh.bounds[0][2] == pytest.approx(0.0)


def test_a_promise_that_is_not_kept_fails_by_its_name(made):
    folder = Path(made["folder"])
    gap, bore, web = (next(one for one in features(made) if isinstance(one, kind)) for kind in (Gap, Bore, Web))
    x, y, z = gap.point
    wrong = [
        dataclasses.replace(gap, name="wide", width=gap.width + 0.05),
        dataclasses.replace(gap, name="shut", point=(x, y - gap.length, z)),
        dataclasses.replace(bore, name="wide", diameter=bore.diameter + 0.05),
        dataclasses.replace(bore, name="gone", point=(bore.point[0] + 1.0, *bore.point[1:])),
        dataclasses.replace(web, name="thick", thickness=web.thickness + 0.1),
    ]
    found = measure_alone(folder / "coupon.step", folder / "coupon.stl", wrong, build_volume=ROOM)
    failed = {check["id"] for check in found["checks"] if not check["passed"]}
    assert {"gap_width[wide]", "gap_open[shut]", "bore[wide]", "bore[gone]", "web[thick]"} <= failed
    assert found["status"] == "rejected"


def test_files_that_do_not_belong_together_fail(made, tmp_path):
    folder = Path(made["folder"])
    mesh = trimesh.load_mesh(folder / "coupon.stl")
    mesh.vertices[:, 0] *= 1.05
    mesh.export(tmp_path / "wide.stl")
    gaps = [one for one in features(made) if isinstance(one, Gap)]
    found = measure_alone(folder / "coupon.step", tmp_path / "wide.stl", gaps[:1], build_volume=(10.0, 400.0, 400.0))
    failed = {check["id"].split("[")[0] for check in found["checks"] if not check["passed"]}
    assert {"stl_volume", "stl_faces", "printer_room", "gap_printed"} <= failed


@pytest.mark.parametrize("slot, hole, scatter", [(0.12, 0.2, 0.02), (-0.05, 0.0, 0.01), (0.31, 0.25, 0.0)])
def test_a_known_compensation_comes_back(made, tmp_path, slot, hole, scatter):
    rng = np.random.default_rng(11)
    rows = list(csv.DictReader(_sheet(made).read_text("utf-8").splitlines()))
    takes = {"gap": slot, "bore": hole, "web": -0.1}
    for row in rows:
        row["measured_mm"] = f"{float(row['drawn_mm']) - takes[row['kind']] + rng.normal(0.0, scatter):.3f}"
    filled = tmp_path / "filled.csv"
    with filled.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    found = api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", measured=filled)
    entry = load_catalogue(tmp_path / "mine.toml", where="--catalogue").printers["mine"]
    assert entry.calibrated and entry.slot_compensation == pytest.approx(slot, abs=0.01) and entry.hole_compensation == pytest.approx(hole, abs=0.01)
    assert entry.slot_spread == pytest.approx(scatter, abs=0.01) and entry.build_volume == shipped_catalogue().printers["fdm-generic"].build_volume
    assert not any(one["orientations_differ"] for one in found["closings"])


def _sheet(made):
    return Path(made["folder"]) / "measured.csv"


def test_orientations_that_differ_are_told(made, tmp_path):
    text = "kind,name,drawn_mm,measured_mm\n" + "".join(
        f"gap,{one['name']},{one['width']},{one['width'] - (0.1 if 'flat' in one['name'] else 0.25):.3f}\n"
        for one in made["features"]
        if one["kind"] == "gap"
    )
    (tmp_path / "filled.csv").write_text(text, "utf-8")
    found = api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", measured=tmp_path / "filled.csv")
    assert found["closings"][0]["orientations_differ"]
    assert found["closings"][0]["by_orientation_mm"] == pytest.approx({"upright": 0.25, "flat": 0.1}, abs=1e-3)


def test_the_first_fit_tells_it_to_half_a_step(made, tmp_path):
    found = api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", fits=["upright=0.2", "flat=0.20"], wire_fits=["upright=0.3"])
    assert [one["mean_mm"] for one in found["closings"]] == pytest.approx([0.15, 0.25])
    assert found["calibrated"] and not any(one["spread_mm"] for one in found["closings"]), "nothing of that tells a spread"


def test_half_a_calibration_is_none(made, tmp_path):
    found = api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", fits=["upright=20"])
    entry = load_catalogue(tmp_path / "mine.toml", where="--catalogue").printers["mine"]
    assert (entry.slot_compensation, entry.hole_compensation, entry.calibrated, found["calibrated"]) == (0.15, 0.0, False, False)


def test_a_sheet_with_semicolons_and_commas_is_read(made, tmp_path):
    lines = ["kind;name;drawn_mm;measured_mm"] + [
        f"gap;{one['name']};{one['width']:g};{one['width'] - 0.1:.3f}".replace(".", ",").replace(f"{one['name']}".replace(".", ","), one["name"])
        for one in made["features"]
        if one["kind"] == "gap"
    ]
    (tmp_path / "filled.csv").write_text("\n".join(lines), "utf-8")
    found = api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", measured=tmp_path / "filled.csv")
    assert found["closings"][0]["mean_mm"] == pytest.approx(0.1, abs=1e-3)


def test_another_coupon_is_not_put_in_the_place_of_one(made):
    before = (Path(made["folder"]) / "coupon.json").read_bytes()
    with pytest.raises(InputError, match="holds another coupon"):
        api.coupon(Path(made["folder"]).parent, blade="generic-20x1.0", printer="fdm-generic", settings=["params.step=0.2", "params.most=0.4"])
    assert (Path(made["folder"]) / "coupon.json").read_bytes() == before


@pytest.mark.parametrize(
    "given, told",
    [
        ({}, "give either --measured"),
        ({"fits": ["upright=0.15"]}, "upright=0.15: write an orientation and a value of the coupon"),
        ({"fits": ["sideways=0.2"]}, "sideways=0.2"),
        ({"fits": ["upright=0"]}, "upright=0: this is the narrowest slot of the coupon"),
        ({"fits": ["upright=0.2"], "wire_fits": ["upright=00"]}, "--wire-fits upright=00: this is the narrowest hole"),
        ({"measured": "gap,upright 0.00,1.0,abc"}, "'abc' is no number"),
        ({"measured": "gap,upright 0.00,1.0,2.0"}, "2.0 mm was measured where 1 was drawn"),
        ({"measured": "gap,upright 0.07,1.0,0.9"}, "the coupon has no 'gap upright 0.07'"),
        ({"measured": "gap,upright 0.00,1.0,0.9"}, "at least three"),
        ({"measured": "gap,upright 0.00,1.27,1.15"}, "1.27 mm was drawn there, and 1 on this coupon; this is the sheet of another one"),
        ({"measured": "gap,upright 0.00,1.0,0,9"}, "more values than columns"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(made, tmp_path, given, told):
    if "measured" in given:
        (tmp_path / "filled.csv").write_text("kind,name,drawn_mm,measured_mm\n" + given["measured"] + "\n", "utf-8")
        given = {"measured": tmp_path / "filled.csv"}
    with pytest.raises(InputError, match=told):
        api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", **given)
    assert not (tmp_path / "mine.toml").exists()


def test_a_coupon_that_is_not_there_is_told_as_that(tmp_path):
    with pytest.raises(InputError, match="nothere: there is no such folder; give the one that psi-cad coupon made"):
        api.calibrate(tmp_path / "nothere", tmp_path / "mine.toml", id="mine", fits=["flat=0.2"])


def test_an_entry_of_the_same_name_is_not_written_over(made, tmp_path):
    (tmp_path / "mine.toml").write_text("mine", "utf-8")
    with pytest.raises(InputError, match="there is such a file already"):
        api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", fits=["flat=0.2"])
    assert (tmp_path / "mine.toml").read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    "given, kind, told",
    [
        ({"settings": ["params.step=9"]}, CaseError, "params.step = 9 is outside 0.02"),
        ({"settings": ["params.stp=0.1"]}, CaseError, "did you mean 'step'"),
        ({"settings": ["step=0.1"]}, InputError, "write params.KEY=value"),
        ({"blade": "generic-20x1"}, CatalogueError, "generic-20x1.0"),
    ],
)
def test_a_coupon_asked_for_wrongly_is_refused(tmp_path, given, kind, told):
    with pytest.raises(kind, match=told):
        api.coupon(tmp_path / "out", **{"blade": "generic-20x1.0", "printer": "fdm-generic", **given})
    assert not (tmp_path / "out").exists()


def test_it_is_no_guide():
    with pytest.raises(CaseError, match="'coupon' makes no guide"):
        load_template("coupon", where="guide[0].template")


def test_a_filled_sheet_is_not_lost(made, monkeypatch):
    sheet = _sheet(made)

    def perform(verb, request, **_):  # the same coupon once more
        shutil.copytree(sheet.parent, request["folder"])
        (Path(request["folder"]) / sheet.name).write_text(before, "utf-8")
        return made

    monkeypatch.setattr(gauging, "perform", perform)
    before = sheet.read_text("utf-8")
    sheet.write_text(before + "mine\n", "utf-8")
    api.coupon(sheet.parent.parent, blade="generic-20x1.0", printer="fdm-generic", settings=["params.step=0.1", "params.most=0.4"])
    assert sheet.read_text("utf-8") == before + "mine\n"
    sheet.write_text(before, "utf-8")


def test_a_guide_is_built_with_what_was_calibrated(made, tmp_path):
    """The slot of a guide is as much wider as the printer closes it up."""
    api.calibrate(made["folder"], tmp_path / "mine.toml", id="mine", fits=["upright=0.1"])
    loaded = load_case(CASES / "phantom-type1" / "case.toml", settings=['guide.supra-acetabular.printer="mine"'], catalogue=tmp_path / "mine.toml")
    assert loaded.printer(loaded.case.guide[0].printer, where="").slot_compensation == 0.05


def test_the_command_line(made, run, tmp_path):
    ended = run("calibrate", made["folder"], "-o", tmp_path / "mine.toml", "--id", "mine", "--fits", "flat=0.2", "--json")
    assert ended.returncode == 0 and json.loads(ended.stdout)["printer"]["slot_compensation"] == 0.15
