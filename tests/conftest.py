"""Shared fixtures: the phantom, one finished guide on it, and where the real bones are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import psi_cad
from psi_cad.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "cases"


def data_folder() -> Path:
    return Path(os.environ.get("PSI_CAD_DATA", str(ROOT.parent / "shared" / "data")))


def written(folder: Path) -> set[str]:
    """The names of all files below a folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real bones."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip("no real bones here: PSI_CAD_DATA names no folder, and ../shared/data does not exist")
    return folder


@pytest.fixture(scope="session")
def shared_cases(data: Path) -> Path:
    """The folder of case files on real bones, beside the data."""
    folder = data.parent / "cases"
    if not folder.is_dir():
        pytest.skip("no case files beside the folder that PSI_CAD_DATA names")
    return folder


@pytest.fixture(scope="session")
def phantom_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of the type I case on the phantom, built once."""
    out = tmp_path_factory.mktemp("phantom")
    report = psi_cad.build(CASES / "phantom-type1", out)
    assert report["status"] == "passed"
    return out / "phantom-type1"


@pytest.fixture
def out(phantom_out: Path, tmp_path: Path) -> Path:
    """A copy of the built case, to be approved or changed."""
    return Path(shutil.copytree(phantom_out, tmp_path / "out" / phantom_out.name))


@pytest.fixture(scope="session")
def phantom_report(phantom_out: Path) -> dict:
    return json.loads((phantom_out / "report.json").read_text("utf-8"))


@pytest.fixture
def run():
    """Run the command line in a process of its own."""

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "psi_cad", *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **environment},
            timeout=600,
        )

    return call


@pytest.fixture
def here(monkeypatch, capsys):
    """Run the command line in this process: (exit code, standard output, standard error); a traceback would be ours."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["psi-cad", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
