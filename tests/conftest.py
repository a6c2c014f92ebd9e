"""Shared fixtures: the phantom, one finished guide on it, and where the real bones are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import in_process
import met_before
import numpy as np
import pytest
from built_once import built_once

from psi_cad import api, gauging
from psi_cad.builder import suggest, together
from psi_cad.intake import bones, prepare, side
from psi_cad.plans import case as plan_case
from psi_cad.processes.workers import Workers
from psi_cad.report import draw_plan

os.environ.setdefault("PSI_CAD_CACHE", "off")  # what one test made must not decide another
ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "cases"


WORKERS = 2
# files that take longest, which are begun first so that both workers end together; the second needs no guide, while the first has it built
LONGEST = ("falsified", "segment", "met_once", "drill", "kerf", "trust", "plan_cli", "margins", "dicom_scans", "side", "errors", "sources", "optimise",
           "correcting", "part_entries", "bodies", "together", "release", "scans", "records", "elsewhere", "touching", "requirements", "holes", "gauges", "register")  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs in two workers, file by file, where pytest-xdist is there and nobody says otherwise; what is named runs here."""
    option = config.option
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    if whole and getattr(option, "numprocesses", 0) is None and not hasattr(config, "workerinput") and not option.usepdb:
        option.numprocesses, option.loadscopereorder = WORKERS, False
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker has a core of its own, and threads that wait for one use it up
        if option.dist == "no":
            option.dist = "loadfile"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is slow runs where it is asked for, with `-m` or by its name; the files that take longest come first."""
    if not config.option.markexpr and not any("::" in name for name in config.args):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


DATA_VARIABLE = "PSI_CAD_DATA"
SAID = "said.json"


def written(folder: Path) -> set[str]:
    """The names of all files below a folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def must_be(folder: Path) -> Path:
    """A folder of data: where the variable names one it has to be there, otherwise the tests that need it are skipped."""
    if not folder.is_dir():
        if os.environ.get(DATA_VARIABLE):
            pytest.fail(f"{DATA_VARIABLE} says that there are real bones, but there is no folder '{folder}'; name the right one, or unset it.")
        pytest.skip(f"no real bones here: {DATA_VARIABLE} names no folder, and '{folder}' does not exist")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real bones."""
    return must_be(Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_cases(data: Path) -> Path:
    """The folder of case files on real bones, beside the data."""
    return must_be(data.parent / "cases")


@pytest.fixture(scope="session")
def phantom_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of the type I case on the phantom, built once, as for a user: by the command, in processes of its own.

    What the command said lies beside it (`SAID`).
    """

    def make(out: Path) -> None:
        words = [sys.executable, "-m", "psi_cad", "build", str(CASES / "phantom-type1"), "-o", str(out), "--json"]
        done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=600)
        assert done.returncode == 0, done.stderr
        (out / SAID).write_text(done.stdout, "utf-8")

    return built_once(tmp_path_factory, "phantom", make) / "phantom-type1"


@pytest.fixture
def out(phantom_out: Path, tmp_path: Path) -> Path:
    """A copy of the built case, to be approved or changed."""
    return Path(shutil.copytree(phantom_out, tmp_path / "out" / phantom_out.name))


@pytest.fixture(scope="session")
def phantom_report(phantom_out: Path) -> dict:
    return json.loads((phantom_out / "report.json").read_text("utf-8"))


DONE_HERE = {
    (api, "perform"): in_process.perform,
    (gauging, "perform"): in_process.perform,
    (suggest, "perform"): in_process.perform,
    (together, "perform"): in_process.perform,
    (Workers, "start"): lambda *_: None,
    (plan_case, "draw_plan"): in_process.draw_plan,
    (draw_plan, "draw_plan"): in_process.draw_plan,
}
MADE_ONCE = {
    (bones, "checked_bone"): met_before.checked_once,
    (side, "verdict_of"): met_before.told_once,
    (prepare, "Workshop"): met_before.workshop,
}
REAL = {(module, name): getattr(module, name) for module, name in DONE_HERE | MADE_ONCE}


@pytest.fixture(scope="session", autouse=True)
def _in_process():
    """The work of the build process and of the drawing process is done in this one, and what is alike once; what was there comes back."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), done in (DONE_HERE | MADE_ONCE).items():
            patch.setattr(module, name, done)
        yield


@pytest.fixture
def processes(monkeypatch):
    """Builds and drawings in processes of their own, as for a user."""
    for (module, name), real in REAL.items():
        monkeypatch.setattr(module, name, real)


@pytest.fixture
def afresh(monkeypatch):
    """Nothing that another test worked out: for a test that changes how it is worked out."""
    for module, name in MADE_ONCE:
        monkeypatch.setattr(module, name, REAL[module, name])


@pytest.fixture
def process():
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
def run(monkeypatch, capsys):
    """Run the command line in this process; what comes back is as of a process."""

    def call(*arguments: object) -> subprocess.CompletedProcess:
        return in_process.command_line(*arguments, monkeypatch=monkeypatch, capture=capsys)

    return call


@pytest.fixture
def here(run):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def call(*arguments):
        ended = run(*arguments)
        return ended.returncode, ended.stdout, ended.stderr

    return call


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
