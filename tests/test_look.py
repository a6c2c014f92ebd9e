"""The page of `look`: no network, no names, exact points; what a browser picks is what a ray cast finds."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh
from approving import GUIDE
from typer.testing import CliRunner

from psi_cad.case.load import load_case
from psi_cad.checking.look import look_at
from psi_cad.cli.main import app
from psi_cad.errors import PsiCadError
from psi_cad.report.look import page
from psi_cad.report.look.page import LookBody, LookScene, write_page
from psi_cad.surface.rays import SignedDistance
from psi_cad.voxels.volume import Volume

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CASES = Path(__file__).resolve().parent.parent / "cases"
browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: only a browser can click in the page; .ci/run installs it")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,1000",
    "--virtual-time-budget=10000",
    "--dump-dom",
]


def stone() -> trimesh.Trimesh:
    """A bumpy closed body that is like itself from no two sides."""
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=40.0)
    points = np.asarray(mesh.vertices)
    mesh.vertices = points * (1.0 + 0.2 * np.sin(points[:, :1] / 9.0) * np.cos(points[:, 1:2] / 7.0)) * (1.0, 0.7, 1.6) + (-113.0, 205.0, -530.0)
    return mesh


def data_of(path) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.S).group(1))


def opened(path, asked, tmp_path, *more) -> dict:
    """What the page says of itself once a browser has done what is asked of it."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *more, f"--user-data-dir={tmp_path / 'profile'}", f"{path.as_uri()}#{asked}"],
        capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return {**json.loads(found.group(1)), "dom": done.stdout}


def tilted() -> Volume:
    """A scan on a tilted, left-handed grid whose value is linear in the patient's coordinates."""
    turn = trimesh.transformations.euler_matrix(0.2, -0.4, 0.3)[:3, :3]
    matrix = np.eye(4)
    matrix[:3, :3] = turn * (1.0, 1.3, -2.0)
    matrix[:3, 3] = (-60.0, 10.0, 300.0)
    k, j, i = np.indices((30, 44, 50))
    places = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    values = 500.0 + places @ (6.0, -4.0, 5.0) - 1500.0
    values[0, 0, 0] = -1000.0  # air: it is a CT
    return Volume(values, matrix)


def test_the_page_needs_nothing_else_and_runs_nothing_else(tmp_path):
    write_page(tmp_path / "look.html", LookScene("a <b> & c", [LookBody("</script><b>", stone(), (0.9, 0.8, 0.7))]))
    text = (tmp_path / "look.html").read_text("utf-8")
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert not re.search(r'\b(src|href)="|@import|url\(|fetch\(|XMLHttpRequest', text)
    script, style = (re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S) for tag in ("script", "style"))
    assert len(script) == len(style) == 1
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy.startswith("default-src 'none'; ")
    for rule, body in (("script-src", script[0]), ("style-src", style[0])):
        assert f"{rule} 'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" in policy
    assert "<title>a &lt;b&gt; &amp; c</title>" in text
    assert data_of(tmp_path / "look.html")["bodies"][0]["name"] == "</script><b>"


def test_every_triangle_is_there_to_a_tenth_of_a_micrometre_of_the_mesh(tmp_path):
    mesh = stone()
    write_page(tmp_path / "look.html", LookScene("t", [LookBody("bone", mesh, (0.9, 0.8, 0.7))]))
    body = data_of(tmp_path / "look.html")["bodies"][0]
    points = np.frombuffer(base64.b64decode(body["positions"]), "<f4").reshape(-1, 3).astype(float) + body["centre"]
    faces = np.frombuffer(base64.b64decode(body["faces"]), "<u4").reshape(-1, 3)
    assert np.abs(points[faces] - mesh.triangles).max() < 1e-5


def test_too_many_triangles_are_simplified_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_TRIANGLES", 4000)
    mesh = stone()
    (note,) = write_page(tmp_path / "look.html", LookScene("t", [LookBody("bone", mesh, (0.9, 0.8, 0.7))]))
    body = data_of(tmp_path / "look.html")["bodies"][0]
    points = np.frombuffer(base64.b64decode(body["positions"]), "<f4").reshape(-1, 3).astype(float) + body["centre"]
    said = float(re.search(r"within ([\d.]+) mm", note).group(1))
    assert np.abs(SignedDistance(mesh)(points)).max() <= said + 0.006
    assert 0.0 < said < 1.0
    assert "of its 20480 triangles" in note


def test_a_scan_made_coarser_keeps_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_VOXELS", 9000)
    volume = tilted()
    notes = write_page(tmp_path / "look.html", LookScene("t", volume=volume))
    said = data_of(tmp_path / "look.html")["volume"]
    nx, ny, nz = said["size"]
    grey = np.frombuffer(gzip.decompress(base64.b64decode(said["data"])), np.uint8).reshape(nz, ny, nx)
    assert grey.size <= 9000
    assert "the scan itself has voxels of 1.00 × 1.30 × 2.00 mm" in notes[-1]
    patient = np.linalg.inv(np.reshape(said["index_from_patient"], (4, 4)))
    index = np.array([4, 5, 6])
    place = patient[:3, :3] @ index + patient[:3, 3]
    true = 500.0 + place @ (6.0, -4.0, 5.0) - 1500.0
    found = said["low"] + (said["high"] - said["low"]) * grey[6, 5, 4] / 255.0
    assert said["low"] < true < said["high"]
    assert found == pytest.approx(true, abs=(said["high"] - said["low"]) / 510 + 0.01)


def test_a_surface_file_leaves_no_name_and_wants_a_unit(tmp_path):
    stone().export(tmp_path / "Doe_John.stl")
    with pytest.raises(PsiCadError, match="carries no unit"):
        look_at(tmp_path / "Doe_John.stl", tmp_path / "look.html", progress=lambda _: None)
    done = CliRunner().invoke(app, ["look", str(tmp_path / "Doe_John.stl"), "--units", "mm", "-o", str(tmp_path / "look.html"), "--json"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "look.html").read_text("utf-8")
    assert "Doe_John" not in text and str(tmp_path) not in text


def test_a_mesh_turned_inside_out_has_outward_normals(tmp_path):
    mesh = stone()
    mesh.invert()
    mesh.export(tmp_path / "bone.stl")
    look_at(tmp_path / "bone.stl", tmp_path / "look.html", units="mm", progress=lambda _: None)
    body = data_of(tmp_path / "look.html")["bodies"][0]
    points = np.frombuffer(base64.b64decode(body["positions"]), "<f4").reshape(-1, 3).astype(float)
    assert trimesh.Trimesh(points, np.frombuffer(base64.b64decode(body["faces"]), "<u4").reshape(-1, 3)).volume > 0.0


def test_a_case_is_shown_with_what_is_wrong_with_it(tmp_path):
    stone().export(tmp_path / "Doe_John.stl")
    (tmp_path / "case.toml").write_text(
        'schema = 1\nid = "stone"\nside = "left"\n[bone]\nsurface = "Doe_John.stl"\nunits = "mm"\ncoordinates = "LPS"\n'
        '[[cut]]\nname = "A"\norigin = [0.0, 0.0, 0.0]\nnormal = [0.0, 0.0, 1.0]\n', encoding="utf-8"
    )  # fmt: skip
    said = look_at(tmp_path / "case.toml", tmp_path / "look.html", progress=lambda _: None)
    assert any("refused" in note for note in said["notes"])
    assert [body["name"] for body in said["bodies"]] == ["bone", "face of cut A"]
    assert "Doe_John" not in (tmp_path / "look.html").read_text("utf-8")


def test_a_case_with_guides(phantom_out, tmp_path):
    said = look_at(CASES / "phantom-type1", tmp_path / "look.html", out=phantom_out.parent, progress=lambda _: None)
    names = [body["name"] for body in said["bodies"]]
    assert names[0] == "bone" and any(name.startswith("guide supra-acetabular, generic-25x0.89 (passed)") for name in names)


@pytest.mark.parametrize(
    ("changed", "told"),
    [("case file", "case file"), ("tumour", "tumour.surface"), ("settings", None)],
)
def test_a_guide_of_the_case_as_it_was_is_shown_as_stale(out, tmp_path, run, changed, told):
    folder = tmp_path / "cases"
    for name in ("phantom", "phantom-type1"):
        shutil.copytree(CASES / name, folder / name)
    page, case = tmp_path / "look.html", folder / "phantom-type1"
    words = ("look", case, "--out", out.parent, "-o", page)
    said = run(*words)
    assert "STALE" not in said.stdout and "STALE" not in page.read_text("utf-8"), "a copy of the case elsewhere is the same case"
    if changed == "case file":
        with (case / "case.toml").open("a", encoding="utf-8") as stream:
            stream.write("# moved\n")
    elif changed == "tumour":
        loaded = load_case(case)
        file = loaded.resolve(loaded.case.tumour.surface)
        mesh = trimesh.load(file)
        mesh.apply_translation([0.0, 0.0, 1.0])
        mesh.export(file)
    else:
        words = (*words, "--set", "tumour.margin=11")
    said = run(*words)
    text = page.read_text("utf-8")
    assert said.returncode == 0
    (name,) = [body["name"] for body in data_of(page)["bodies"] if body["name"].startswith("guide ")]
    if told is None:
        assert "STALE" not in text and name.endswith("(passed, with other settings)")
        assert "was built without --set, and the case is shown with --set tumour.margin=11" in said.stdout
        return
    assert name.endswith("(STALE)") and [word["text"] for word in data_of(page)["words"] if word["group"] == "STALE"] == ["STALE"]
    assert f"{GUIDE}: STALE</summary>" in text
    assert f"STALE: {GUIDE}: this has changed since it was built: {told}; build it again" in said.stdout


@browser
@pytest.mark.parametrize("turned", ["view=A", "view=L&turn=0.7,-0.4"])
def test_a_click_finds_what_a_ray_cast_finds(turned, tmp_path):
    mesh = stone()
    write_page(tmp_path / "look.html", LookScene("stone", [LookBody("bone", mesh, (0.9, 0.8, 0.7))]))
    picks = [(420, 300), (405, 345), (440, 260)]
    state = opened(tmp_path / "look.html", f"{turned}&pick={';'.join(f'{x},{y}' for x, y in picks)}", tmp_path)
    camera, (wide, tall) = state["camera"], state["camera"]["size"]
    right, up, eye, focus = (np.array(camera[key]) for key in ("right", "up", "eye", "focus"))
    assert np.allclose(np.cross(right, up), eye)
    starts = [focus + (x - wide / 2) * camera["mm"] * right + (tall / 2 - y) * camera["mm"] * up + 500.0 * eye for x, y in picks]
    hits, rays, faces = mesh.ray.intersects_location(starts, np.tile(-eye, (3, 1)), multiple_hits=False)[0:3]
    assert sorted(rays) == [0, 1, 2]
    for hit, ray, face in zip(hits, rays, faces, strict=True):
        assert np.linalg.norm(np.array(state["points"][ray]["point"]) - hit) < 0.01
        assert np.array(state["points"][ray]["normal"]) @ mesh.face_normals[face] > 1.0 - 1e-6
    points = np.array([one["point"] for one in state["points"]])
    assert np.abs((points - state["plane"]["origin"]) @ state["plane"]["normal"]).max() < 1e-9
    assert "data-" not in state["dom"] and "[[cut]]" in state["dom"] and "3D Slicer" in state["dom"]


@browser
def test_the_cursor_reads_the_scan_by_patient_position(tmp_path):
    write_page(tmp_path / "look.html", LookScene("scan", volume=tilted()))
    volume = tilted()
    for index in ((20.3, 21.7, 12.2), (31.0, 12.5, 20.9)):
        place = volume.patient(np.array([index]))[0]
        state = opened(tmp_path / "look.html", "at=" + ",".join(f"{v:.6f}" for v in place), tmp_path)
        assert np.allclose(state["slices"]["cursor"], place, atol=1e-5)
        low, high = page.CT_RANGE
        found = low + (high - low) * state["slices"]["value"] / 255.0
        true = 500.0 + place @ (6.0, -4.0, 5.0) - 1500.0
        assert low < true < high
        assert found == pytest.approx(true, abs=(high - low) / 510 + 0.01)
        assert f"RAS [{-place[0]:.1f}, {-place[1]:.1f}, {place[2]:.1f}] mm" in state["dom"]


@browser
def test_the_slices_of_a_long_scan_fit_the_window(tmp_path):
    tall = Volume(np.linspace(-1000.0, 1500.0, 20 * 16 * 90).reshape(90, 16, 20), np.diag([5.0, 5.0, 10.0, 1.0]))
    write_page(tmp_path / "look.html", LookScene("scan", volume=tall))
    shown = opened(tmp_path / "look.html", "at=10,10,10", tmp_path, "--window-size=1366,768")["slices"]["shown"]
    for width, height, own_width, own_height in shown["planes"]:
        assert 0 < height <= shown["window"][1] - 100 and 0 < width <= shown["window"][0]
        assert width / height == pytest.approx(own_width / own_height, rel=0.02), "a click is read by the picture's proportions"


@browser
def test_without_webgl_the_page_says_so(tmp_path):
    write_page(tmp_path / "look.html", LookScene("stone", [LookBody("bone", stone(), (0.9, 0.8, 0.7))]))
    state = opened(tmp_path / "look.html", "view=A", tmp_path, "--disable-3d-apis")
    assert "draws no WebGL 2" in state["dom"]
