"""The README's way from a plan to a release, run as it is printed."""

import shlex
import shutil
from pathlib import Path

import pytest
from conftest import CASES, ROOT
from typer.testing import CliRunner

from psi_cad.builder import together
from psi_cad.cli.main import app
from psi_cad.plans import case as plan_case

pytestmark = pytest.mark.slow


def commands(containing: str) -> list[list[str]]:
    """The commands of the README's shell block that holds `containing`."""
    text = (ROOT / "README.md").read_text("utf-8")
    (block,) = [part.split("```")[0] for part in text.split("```sh\n")[1:] if containing in part.split("```")[0]]
    return [shlex.split(line, comments=True) for line in block.splitlines() if line.strip()]


@pytest.fixture
def my_case(tmp_path, monkeypatch) -> Path:
    """The type I case on the phantom, as `my-case` in a folder that commands are run in."""
    folder = tmp_path / "my-case"
    folder.mkdir()
    text = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace('id = "phantom-type1"', 'id = "my-case"').replace("../phantom/", "")
    (folder / "case.toml").write_text(text, "utf-8")
    for name in ("bone.stl", "tumour.stl"):
        shutil.copyfile(CASES / "phantom" / name, folder / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan_case, "draw_plan", list)
    return folder


def test_two_blades_are_planned_built_approved_and_released(my_case, tmp_path, monkeypatch):
    perform, kept, built = together.perform, tmp_path / "kept", []

    def once(verb, request, **others):
        """The second build of the same is taken from the first: that both give the same bytes is tested elsewhere."""
        if verb != "build":
            return perform(verb, request, **others)
        folder = Path(request["folder"])
        if not built:
            built.append(perform(verb, request, **others))
            shutil.copytree(folder, kept)
        else:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        return {**built[0], "guides": [dict(guide) for guide in built[0]["guides"]]}

    monkeypatch.setattr(together, "perform", once)
    said = {}
    for program, *arguments in commands("psi-cad approve"):
        assert program == "psi-cad"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{' '.join(arguments)}: {result.output} {result.exception}"
        said[" ".join(arguments)] = result.output
    assert list(said)[-2:] == ["check out/my-case", "sheet out/my-case"]
    assert list(Path("out/my-case").glob("*.html")), "no page to print and sign"
    for blade in ("generic-20x1.27", "generic-25x0.89"):
        (guide,) = [name for name in said["compare out/my-case"].split() if name.endswith(blade)]
        assert f"guide {guide}: released, accepted cautions: nominal-blade, uncalibrated-printer" in said["check out/my-case"]
