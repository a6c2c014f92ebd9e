"""The pages tell what is so: every key of the reports, links and pictures that are there, commands that exist."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import CASES, ROOT
from typer.main import get_command

from psi_cad.api import plan
from psi_cad.cli.main import app

PAGES: Final = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *CASES.glob("*/README.md")])
REFERENCE: Final = ROOT / "docs" / "report.md"
# what stands below these keys is named by the case, a file or a template
FREE: Final = {"inputs", "sha256", "files", "params", "blade_entry", "printer_entry", "tool", "over_travel_near_mm"}
SHARED: Final = ("checks", "cautions")  # lists that stand in several places and are described once


def paths_in(value: Any, path: str = "") -> Iterator[str]:
    """Every key of a report as a path such as `guides[].seat.gap_mm`; lists are collapsed, free mappings not entered."""
    if isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}".lstrip(".")
            yield here
            if key in SHARED:
                for item in inner:
                    yield from (f"{key}[].{name}" for name in item)
            elif key not in FREE or not isinstance(inner, dict):
                yield from paths_in(inner, here)
    elif isinstance(value, list):
        for item in value:
            yield from paths_in(item, f"{path}[]")


@functools.cache
def documented() -> dict[str, dict[str, str]]:
    """What the page tells of: rows by path, for each of the two files."""
    found: dict[str, dict[str, str]] = {"report.json": {}, "plan.json": {}}
    files, prefix = list(found), ""
    for line in REFERENCE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            named = re.findall(r"`([^`]+)`", line)
            if line.startswith("## "):
                files = [name for name in named if name in found] or list(found)
            whole = next((name for name in named if name not in found), "")
            prefix = f"{whole}." if whole else ""
            for file in files if whole else ():
                found[file].setdefault(whole.removesuffix("[]"), line)
        elif line.startswith("| `"):
            for name in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
                for file in files:
                    found[file][prefix + name] = line
    return found


def undocumented(report: dict[str, Any], file: str) -> set[str]:
    """The keys of a report that the page does not tell of."""
    return set(paths_in(report)) - documented()[file].keys()


@pytest.fixture(scope="module")
def phantom_plan() -> dict[str, Any]:
    return plan(CASES / "phantom-type1")


def test_every_key_of_a_report_is_documented(phantom_report):
    assert undocumented(phantom_report, "report.json") == set()


def test_every_key_of_a_plan_is_documented(phantom_plan):
    assert undocumented(phantom_plan, "plan.json") == set()


def test_a_key_that_nobody_documented_is_found(phantom_report):
    guide = {**phantom_report["guides"][0], "seat": {**phantom_report["guides"][0]["seat"], "colour": 1}}
    assert undocumented({**phantom_report, "guides": [guide]}, "report.json") == {"guides[].seat.colour"}


def test_a_documented_key_is_there_or_its_row_says_when(phantom_report, phantom_plan):
    there = {"report.json": set(paths_in(phantom_report)), "plan.json": set(paths_in(phantom_plan))}
    for file, rows in documented().items():
        gone = {path for path, row in rows.items() if path not in there[file] and "only" not in row}
        assert gone == set(), file


def links(page: Path) -> list[str]:
    """The relative links and pictures of a page, without code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as a code host makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme():
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= {
        link.partition("#")[0].removeprefix("docs/") for link in links(ROOT / "README.md")
    }


def command_lines() -> list[tuple[str, list[str]]]:
    """Every line of a code block that calls psi-cad, with the page it stands on."""
    found = []
    for page in PAGES:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL):
            if language not in ("", "sh", "bat"):
                continue
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split("&&"):
                    words = shlex.split(part.replace("\\", "/"), comments=True)
                    if words and Path(words[0]).name == "psi-cad":
                        found.append((f"{page.relative_to(ROOT)}: {part.strip()}", words[1:]))
    return found


def commands() -> dict[str, Any]:
    """The commands of psi-cad by name."""
    return dict(get_command(app).commands)  # type: ignore[attr-defined]  # typer keeps click to itself, and a plain command has none


def parse(words: list[str]) -> int:
    """The exit code of a command line whose command does nothing: 0 if command and options exist, 2 if not."""
    root = get_command(app)
    for command in root.commands.values():  # type: ignore[attr-defined]  # as above
        command.callback = lambda **_values: None
    try:
        root.main(list(words), prog_name="psi-cad")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(("line", "words"), command_lines(), ids=lambda value: value if isinstance(value, str) else "")
def test_printed_commands_exist(line, words):
    assert parse(words) == 0


@pytest.mark.parametrize("words", [["bild", "case"], ["build", "case", "--blades", "x"], ["build"], ["plan", "case", "--max-angle", "wide"]])
def test_a_command_that_does_not_exist_is_found(words):
    assert parse(words) == 2


def test_every_command_is_told_of():
    text = "\n".join(page.read_text("utf-8") for page in PAGES if page.name != "CHANGELOG.md")
    told = set(re.findall(r"psi-cad ([a-z-]+)", text)) | set(re.findall(r"`([a-z-]+)`", text))
    assert len(commands()) > 10 and commands().keys() <= told


def test_what_is_added_touches_few_files():
    """The page names them, each is there, and none of its rows has more than three."""
    table = (ROOT / "docs" / "code.md").read_text("utf-8").split("## To add something")[1].split("\n\nDocs come")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| a")]
    assert len(rows) >= 7
    for what, files in rows:
        assert files.count(";") <= 2, f"{what}: more than three files"
        for path in re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", files):
            assert (ROOT / "psi_cad" / path).exists() or (ROOT / path).exists(), f"{what}: no {path}"
