"""The rooms of the code import one way only, and files stay small enough to read."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "psi_cad"
# a room may import from rooms in rows above its own, and from itself
ORDER = [
    {"errors", "units", "findings", "remedies"},
    {"frames", "files"},
    {"voxels", "anatomy", "case", "records"},
    {"dicom", "filling", "joints", "registration", "surface", "promises"},
    {"segmentation", "stages"},
    {"imaging", "extraction", "scene", "outputs", "export", "readback"},
    {"siting"},
    {"resection", "brep", "verify"},
    {"report", "parts", "phantom"},
    {"guides", "models"},
    {"labelling", "bones", "drilling", "gauges"},
    {"making"},
    {"intake"},
    {"inspection"},
    {"builder", "checking"},
    {"approval"},
    {"plans"},
    {"scans", "gauging"},
    {"api"},
    {"session", "batch"},
    {"cli"},
    {"__main__"},
]
MOST_LINES = 2000  # of a room: more than that is no one idea
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "psi_cad" or len(parts) == 1:
        return None
    return parts[1]


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
    module = module_of(path)
    here = room_of(module)
    assert here in LEVEL, f"{module} lies in no room; add it to ORDER"
    for name in imports_of(path):
        there = room_of(name)
        if there is None or there == "__version__":
            continue
        assert there in LEVEL, f"{module} imports {name}, which lies in no room"
        assert there == here or LEVEL[there] < LEVEL[here], f"{module} imports {name} against the flow"


def module_of(path: Path) -> str:
    return "psi_cad." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def circle_in(graph: dict[str, set[str]]) -> set[str]:
    """The files that import each other in a circle, or lie between two circles; empty where there is none."""
    left = dict(graph)
    while free := [name for name, wanted in left.items() if not wanted & (left.keys() - {name})]:
        for name in free:
            del left[name]
    return set(left)


def test_no_file_imports_itself_by_way_of_others():
    known = {module_of(path): path for path in FILES}
    packages = {name for name, path in known.items() if path.name == "__init__.py"}  # a room's own front door
    graph = {name: (every_import(path) & known.keys()) - packages - {name} for name, path in known.items()}
    assert not circle_in(graph)
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


def every_import(path: Path) -> set[str]:
    """Also `from psi_cad.room import file`."""
    found = imports_of(path)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", sorted({room_of(module_of(path)) for path in FILES} - {None}))
def test_rooms_are_small(room: str):
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in FILES if room_of(module_of(path)) == room)
    assert lines <= MOST_LINES


def test_the_walk_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from psi_cad.cli.main import app\n")
    assert {room_of(name) for name in imports_of(bad)} >= {"cli"}
    assert LEVEL["cli"] > LEVEL["surface"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_files_are_short(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
