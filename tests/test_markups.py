"""Planes of 3D Slicer markups: round trips in both conventions, every way a plane may be stated, refusals."""

import json
import os
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from conftest import CASES

from psi_cad.case.load import load_case
from psi_cad.errors import CaseError
from psi_cad.intake.prepare import planes_of
from psi_cad.scene.markups import SCHEMA, markups_of, read_planes, write_planes


def some_planes(rng, count=12):
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return {f"P{n}": (rng.uniform(-1500, 1500, 3), normal) for n, normal in enumerate(normals)}


@pytest.mark.parametrize("coordinates", ["LPS", "RAS"])
def test_round_trip(coordinates, tmp_path, rng):
    planes = some_planes(rng)
    write_planes(tmp_path / "p.mrk.json", planes, coordinates=coordinates)
    found = read_planes(tmp_path / "p.mrk.json")
    assert list(found) == list(planes)
    for name, (origin, normal) in planes.items():
        np.testing.assert_allclose(found[name][0], origin, atol=1e-6)
        np.testing.assert_allclose(found[name][1], normal, atol=1e-9)


def test_the_conventions_differ_by_a_half_turn(rng):
    lps, ras = (markups_of(some_planes(np.random.default_rng(3)), coordinates=c)["markups"][0] for c in ("LPS", "RAS"))
    for key in ("center", "normal"):
        np.testing.assert_allclose(np.array(lps[key]) * [-1, -1, 1], ras[key], atol=1e-12)


def test_every_matrix_of_a_written_plane_says_the_same(rng):
    for markup in markups_of(some_planes(rng), coordinates="RAS")["markups"]:
        base, orientation = np.array(markup["baseToNode"]).reshape(4, 4), np.array(markup["orientation"]).reshape(3, 3)
        np.testing.assert_allclose(base[:3, :3], orientation)
        np.testing.assert_allclose(orientation.T @ orientation, np.eye(3), atol=1e-12)
        assert np.linalg.det(orientation) == pytest.approx(1)
        np.testing.assert_allclose(orientation[:, 2], markup["normal"], atol=1e-12)
        np.testing.assert_allclose(base[:3, 3], markup["center"])


def test_against_the_published_schema(rng):
    """The schema itself is not in this repository: PSI_CAD_MARKUPS_SCHEMA names a copy of markups-schema-v1.0.3.json."""
    schema = Path(os.environ.get("PSI_CAD_MARKUPS_SCHEMA", ""))
    if not schema.is_file():
        pytest.skip("PSI_CAD_MARKUPS_SCHEMA names no file")
    for coordinates in ("LPS", "RAS"):
        jsonschema.validate(markups_of(some_planes(rng), coordinates=coordinates), json.loads(schema.read_text("utf-8")))


def test_the_structure_that_the_schema_asks_for(rng):
    data = markups_of(some_planes(rng))
    assert data["@schema"] == SCHEMA and "v1.0.3" in SCHEMA
    for markup in data["markups"]:
        assert markup["type"] == "Plane" and markup["coordinateSystem"] in ("LPS", "RAS") and markup["coordinateUnits"] == "mm"
        sizes = {"center": 3, "normal": 3, "size": 3, "planeBounds": 4, "objectToBase": 16, "baseToNode": 16, "orientation": 9}
        assert all(len(markup[key]) == size and all(type(v) is float for v in markup[key]) for key, size in sizes.items())
        (point,) = markup["controlPoints"]
        assert type(point["id"]) is str and len(point["position"]) == 3 and point["positionStatus"] == "defined"


def written(folder, **markup):
    path = folder / "p.mrk.json"
    path.write_text(json.dumps({"@schema": SCHEMA.replace("1.0.3", "1.0.0"), "markups": [{"type": "Plane", "name": "A", **markup}]}), "utf-8")
    return path


def points(*positions):
    return [{"position": list(p), "positionStatus": "defined"} for p in positions]


MATRIX = [1, 0, 0, 5, 0, 0, -1, 6, 0, 1, 0, 7, 0, 0, 0, 1]  # z axis of the object: (0, -1, 0)
STATED = {
    "three points": {"planeType": "3Points", "controlPoints": points([5, 6, 7], [6, 6, 7], [5, 6, 8])},
    "three points, oldest files": {"controlPoints": points([5, 6, 7], [6, 6, 7], [5, 6, 8])},
    "three points by Slicer's other name": {"planeType": "threePoints", "controlPoints": points([5, 6, 7], [6, 6, 7], [5, 6, 8])},
    "point and normal": {"planeType": "pointNormal", "normal": [0, -2, 0], "controlPoints": points([5, 6, 7])},
    "centre and orientation": {"planeType": "pointNormal", "center": [5, 6, 7], "orientation": [1, 0, 0, 0, 0, -1, 0, 1, 0]},
    "matrix alone": {"planeType": "pointNormal", "baseToNode": MATRIX},
    "fit, by its matrix": {"planeType": "planeFit", "baseToNode": MATRIX, "controlPoints": points([9, 6, 9], [1, 6, 2], [3, 6, 3], [2, 6, 8])},
}


@pytest.mark.parametrize("how", STATED)
@pytest.mark.parametrize(("coordinates", "sign"), [("LPS", [1, 1, 1]), ("RAS", [-1, -1, 1])])
def test_every_way_to_state_a_plane(how, coordinates, sign, tmp_path):
    origin, normal = read_planes(written(tmp_path, coordinateSystem=coordinates, **STATED[how]))["A"]
    assert (origin - np.array([5, 6, 7]) * sign) @ normal == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(normal, np.array([0, -1, 0]) * sign, atol=1e-12)


def test_micrometres(tmp_path):
    origin, _ = read_planes(written(tmp_path, coordinateUnits="um", planeType="pointNormal", normal=[0, 0, 1], center=[5000, 0, 0]))["A"]
    np.testing.assert_allclose(origin, [5, 0, 0])


WRONG = {
    "contradicts itself": {"planeType": "pointNormal", "normal": [0, 0, 1], "center": [0, 0, 0], "baseToNode": MATRIX},
    "points on one line": {"planeType": "3Points", "controlPoints": points([0, 0, 0], [1, 0, 0], [2, 0, 0])},
    "not placed": {"planeType": "pointNormal", "normal": [0, 0, 1], "controlPoints": []},
    "nan": {"planeType": "pointNormal", "normal": [0, 0, float("nan")], "center": [0, 0, 0]},
    "zero normal": {"planeType": "pointNormal", "normal": [0, 0, 0], "center": [0, 0, 0]},
    "other system": {"coordinateSystem": "IJK", "planeType": "pointNormal", "normal": [0, 0, 1], "center": [0, 0, 0]},
}


@pytest.mark.parametrize("how", WRONG)
def test_refused(how, tmp_path):
    with pytest.raises(CaseError, match="plane 'A' of 'p.mrk.json'"):
        read_planes(written(tmp_path, **WRONG[how]))


def test_no_markups_file(tmp_path):
    for content in ("", "[]", '{"markups": []}', '{"@schema": "x-v2.0.0", "markups": []}', '{"@schema": 3, "markups": {}}'):
        (tmp_path / "p.mrk.json").write_text(content)
        with pytest.raises(CaseError):
            read_planes(tmp_path / "p.mrk.json")


def test_a_case_takes_its_planes_by_name(tmp_path):
    text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    lines = [line for line in text.splitlines() if not line.startswith("origin =")]
    text = "\n".join('markups = "plan.mrk.json"' if line.startswith("normal =") else line for line in lines)
    case = tmp_path / "case.toml"
    case.write_text(text, "utf-8")
    plane = (np.array([-96.0, -8.0, 35.0]), np.array([0.0, 0.15, 1.0]))
    write_planes(tmp_path / "plan.mrk.json", {"A": plane, "other": plane}, coordinates="RAS")
    origin, normal = planes_of(load_case(case))["A"]
    np.testing.assert_allclose(origin, plane[0])
    np.testing.assert_allclose(normal, plane[1] / np.linalg.norm(plane[1]))
    case.write_text(text.replace('markups = "plan', 'flip = true\nmarkups = "plan'), "utf-8")
    np.testing.assert_allclose(planes_of(load_case(case))["A"][1], -normal)
    write_planes(tmp_path / "plan.mrk.json", {"B": plane})
    with pytest.raises(CaseError, match=r"no plane called 'A'; its planes are B"):
        planes_of(load_case(case))
    case.write_text(text.replace('markups = "plan', 'origin = [0, 0, 0]\nmarkups = "plan'), "utf-8")
    with pytest.raises(CaseError, match="remove origin and normal"):
        load_case(case)
