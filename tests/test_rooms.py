"""The rooms of the code import one way only, and files stay small enough to read."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "psi_cad"
# a room may import from rooms in rows above its own, and from itself
ORDER = [
    {"errors", "units", "findings", "remedies"},
    {"frames", "files", "processes"},
    {"voxels", "anatomy", "case", "records"},
    {"dicom", "filling", "joints", "surface", "promises"},
    {"segmentation", "stages", "registration"},
    {"imaging", "extraction", "scene", "outputs", "export", "readback"},
    {"siting"},
    {"resection", "brep", "verify"},
    {"report", "parts", "phantom", "options"},
    {"reconstruction", "drawing"},
    {"guides", "models"},
    {"sawing"},
    {"labelling", "bones", "drilling", "gauges"},
    {"fitting"},
    {"making", "grafting"},
    {"intake"},
    {"inspection"},
    {"builder", "checking"},
    {"approval"},
    {"plans"},
    {"scans", "gauging", "donating"},
    {"api"},
    {"session", "batch", "wording"},
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


@cache
def imports_at(path: Path) -> list[ast.AST]:
    """The import statements of a file, read once."""
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in imports_at(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "psi_cad"}
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_rooms_import_one_way():
    assert [wrong for path in FILES for wrong in wrong_imports(module_of(path), imports_of(path))] == []


def wrong_imports(module: str, imports: set[str]) -> list[str]:
    """What is wrong with what a file imports, a sentence each."""
    here, found = room_of(module), []
    if here not in LEVEL:
        return [f"{module} lies in no room; add it to ORDER"]
    for name in sorted(imports):
        there = room_of(name)
        if there is None or there == "__version__":
            continue
        if there not in LEVEL:
            found.append(f"{module} imports {name}, which lies in no room")
        elif there != here and LEVEL[there] >= LEVEL[here]:
            found.append(f"{module} imports {name} against the flow")
    return found


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
    for node in imports_at(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def lines_in(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_rooms_are_small():
    lines: Counter[str | None] = Counter()
    for path in FILES:
        lines[room_of(module_of(path))] += lines_in(path)
    assert {room: count for room, count in lines.items() if count > MOST_LINES} == {}


def test_the_walk_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from psi_cad.cli.main import app\n")
    assert wrong_imports("psi_cad.surface.bad", imports_of(bad)) == ["psi_cad.surface.bad imports psi_cad.cli.main against the flow"]
    assert wrong_imports("psi_cad.cli.bad", imports_of(bad)) == []
    assert wrong_imports("psi_cad.surface.bad", {"psi_cad.attic.x"}) == ["psi_cad.surface.bad imports psi_cad.attic.x, which lies in no room"]
    assert wrong_imports("psi_cad.attic.bad", set()) == ["psi_cad.attic.bad lies in no room; add it to ORDER"]


def test_files_are_short():
    assert {path.name: count for path in FILES if (count := lines_in(path)) > 400} == {}
