"""Programs of others judge the phantom's files: admesh and PrusaSlicer, where they are installed (Debian has both)."""

import re
import shutil
import subprocess

import pytest

STEM = "supra-acetabular_generic-25x0.89"


def output_of(*command) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")  # .ci/run installs admesh; prusa-slicer is too large to fetch for each run
    done = subprocess.run([str(part) for part in command], capture_output=True, encoding="utf-8", errors="replace", timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def volume_by_admesh(path) -> float:
    """The volume of a file in which admesh finds one part and nothing to mend, mm³."""
    said = output_of("admesh", path)
    counts = {name: int(count) for name, count in re.findall(r"^([A-Z][a-z ]+?)\s*:\s+(\d+)", said, re.MULTILINE)}
    assert counts["Number of parts"] == 1
    for fault in ("Degenerate facets", "Edges fixed", "Facets removed", "Facets added", "Facets reversed", "Backwards edges", "Normals fixed"):
        assert counts[fault] == 0, fault
    return float(re.search(r"Volume\s*:\s*([\d.]+)", said)[1])


def test_admesh_finds_nothing_to_mend(phantom_out, phantom_report):
    assert volume_by_admesh(phantom_out / f"{STEM}.stl") == pytest.approx(phantom_report["guides"][0]["volume_mm3"], rel=0.005)


@pytest.mark.parametrize("kind", ["stl", "3mf"])
def test_a_slicer_takes_it_as_one_closed_part(phantom_out, phantom_report, kind):
    said = dict(re.findall(r"^(\w+) =\s+(\S+)", output_of("prusa-slicer", "--info", phantom_out / f"{STEM}.{kind}"), re.MULTILINE))
    assert said["manifold"] == "yes" and said["number_of_parts"] == "1"
    assert float(said["volume"]) == pytest.approx(phantom_report["guides"][0]["volume_mm3"], rel=0.005)
