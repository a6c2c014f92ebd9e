"""The rooms of the code import one way only, and files stay small enough to read."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "psi_cad"
# a room may import from rooms in rows above its own, and from itself
ORDER = [
    {"errors", "units", "findings"},
    {"frames"},
    {"export/safely"},  # files that are whole or absent: no knowledge of what is in them
    {"case"},
    {"imaging"},
    {"surface"},
    {"planning"},
    {"brep"},
    {"guides"},
    {"export"},
    {"verify"},
    {"report"},
    {"phantom"},
    {"run"},
    {"api"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "psi_cad" or len(parts) == 1:
        return None
    path = "/".join(parts[1:3])
    return path if path in LEVEL else parts[1]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "psi_cad"}
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_rooms_import_one_way(path: Path):
    module = "psi_cad." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    here = room_of(module)
    assert here in LEVEL, f"{module} lies in no room; add it to ORDER"
    for name in imports_of(path):
        there = room_of(name)
        if there is None or there == "__version__":
            continue
        assert there in LEVEL, f"{module} imports {name}, which lies in no room"
        assert there == here or LEVEL[there] < LEVEL[here], f"{module} imports {name} against the flow"


def test_the_walk_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from psi_cad.cli.main import app\n")
    assert {room_of(name) for name in imports_of(bad)} >= {"cli"}
    assert LEVEL["cli"] > LEVEL["surface"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_files_are_short(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
