"""The command line: help with examples, JSON, exit codes, the demo's ending."""

import json
import subprocess
import sys

import pytest
from conftest import CASES

COMMANDS = ["demo", "new", "build", "check", "approve", "plan", "templates", "blades", "printers"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, run):
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"Example: psi-cad {command}" in " ".join(result.stdout.split())


def test_help_loads_nothing_heavy():
    code = (
        "import sys, psi_cad.cli.main as m\ntry:\n    m.app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'OCP', 'cadquery', 'trimesh', 'scipy', 'vtkmodules', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr


def test_blades_json(run):
    blades = json.loads(run("blades", "--json").stdout)
    assert {"generic-25x0.89", "generic-10x0.6", "generic-20x1.27"} <= {blade["id"] for blade in blades}
    for blade in blades:
        assert isinstance(blade["thickness"], float) and blade["reference"] and "nominal" in blade


def test_printers_json(run):
    printers = json.loads(run("printers", "--json").stdout)
    assert "fdm-ultem1010" in {printer["id"] for printer in printers}
    assert all(p["slot_compensation"] == 0 and p["hole_compensation"] == 0 and not p["calibrated"] for p in printers)


def test_templates_json(run):
    (template,) = [t for t in json.loads(run("templates", "--json").stdout) if t["name"] == "osteotomy"]
    clearance = next(p for p in template["params"] if p["name"] == "clearance")
    assert (clearance["default"], clearance["low"], clearance["high"], clearance["unit"]) == (0.15, 0.1, 0.2, "mm")
    assert template["summary"].startswith("Osteotomy guide")
    assert "clearance" in run("templates", "osteotomy").stdout
    assert run("templates", "osteotmy").returncode == 2


def test_new_makes_a_case_that_loads_but_for_its_bone(tmp_path, run):
    result = run("new", tmp_path / "My Case 1")
    assert result.returncode == 0 and "psi-cad build" in result.stdout
    result = run("check", tmp_path / "My Case 1")
    assert result.returncode == 2 and "side is missing" in result.stderr, "nobody's side is the default"
    case = tmp_path / "My Case 1" / "case.toml"
    case.write_text(case.read_text("utf-8").replace('# side = "…"', 'side = "left"'), "utf-8")
    result = run("check", case)
    assert result.returncode == 2 and "bone.stl" in result.stderr
    assert run("new", tmp_path / "My Case 1").returncode == 2


def test_check_validates_a_case(run):
    result = run("check", CASES / "phantom-two-cut", "--json")
    found = json.loads(result.stdout)
    assert [cut["cut_short_by"] for cut in found["cuts"]] == [["A2"], ["A1"]] and result.returncode == 0


def test_check_of_nothing(tmp_path, run):
    result = run("check", tmp_path)
    assert result.returncode == 2 and "report.json" in result.stderr


@pytest.mark.slow
def test_demo_ends_with_what_to_open(tmp_path, process):
    result = process("demo", "-o", tmp_path / "demo-out")
    assert result.returncode == 0, result.stderr
    for line in result.stdout.splitlines():
        if line.startswith("  ") and "demo-out" in line and "psi-cad build" not in line:
            path = line.split("  ")[1]
            assert (tmp_path / path).exists(), path
    assert "not a medical device" in result.stdout
    assert result.stdout.count(".step") >= 1 and ".png" in result.stdout


def test_a_missing_graphics_library_is_a_sentence(tmp_path, process):
    fake = tmp_path / "OCP"
    fake.mkdir()
    (fake / "__init__.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')")
    result = process("build", CASES / "phantom-type1", "-o", tmp_path / "out", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "libgl1" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
