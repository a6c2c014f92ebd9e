"""A plain folder of finished STL files for the print shop: names that say what each is, a manifest with hashes, and what is not released."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from psi_cad.approval.comparing import Standing, standing_in
from psi_cad.errors import BuildError, InputError
from psi_cad.files import sha256_of, whole_file, write_json
from psi_cad.outputs.notice import NOT_A_DEVICE

__all__ = ["MANIFEST", "NOT_RELEASED", "collect", "told_open"]

MANIFEST: Final = "manifest.json"
NOT_RELEASED: Final = "NOT-RELEASED.txt"
NOWHERE: Final = Standing(approved=False, released=False, sound=False)
HEAD: Final = """These files are not released by surgeon and engineer. Print them to look at and to try, not for a patient.
A released guide is made by 'psi-cad approve' in both roles and 'psi-cad build --release'; collect again after that.
"""


def collect(out: Path, folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copy the STL of every guide and part that passed into `folder`, as <case>_<guide>_<blade>….stl; what the manifest written there holds.

    Passed is not approved: each entry says whether its guide is `approved` and `released`, and `NOT-RELEASED.txt` lists those that are not.
    Files that an earlier manifest names and that are not among them any more go, unless they were changed.

    Raises
    ------
    BuildError
        Where a file is not the one that was built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = list(_entries(out, rows))
    for entry in entries:
        with whole_file(folder / entry["file"]) as path:
            shutil.copyfile(out / entry["source"], path)
            if sha256_of(path) != entry["sha256"]:
                raise BuildError(f"'{entry['source']}' is not the file that was built, so it is not collected; run the batch again.")
    kept = {entry["file"] for entry in entries}
    for name, digest in _earlier(folder).items():
        old = folder / name
        if name not in kept and Path(name).name == name and old.is_file() and sha256_of(old) == digest:
            old.unlink()
    _say_not_released(folder / NOT_RELEASED, entries)
    write_json(folder / MANIFEST, {"schema": 1, "notice": NOT_A_DEVICE, "files": entries})
    return entries


def told_open(entries: Sequence[Mapping[str, Any]]) -> str:
    """How many of the collected guides and parts nobody has released, and in how many files; "" where all are."""
    told, files = [], sum(not entry["released"] for entry in entries)
    for kind in ("guide", "part"):
        every = {
            (str(entry["case"]), str(entry[kind]), str(entry["job"]), str(Path(entry["source"]).parent)): bool(entry["released"])
            for entry in entries
            if ("part" in entry) == (kind == "part")
        }
        if every:
            told.append(f"{sum(not released for released in every.values())} of {len(every)} collected {kind}{'s' * (len(every) != 1)}")
    one = len(told) == 1 and not told[0].endswith("s")
    return f"{' and '.join(told)} {'is' if one else 'are'} not released ({files} file{'s' * (files != 1)})" if files else ""


def _say_not_released(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write which files are of guides that nobody has released; none such: no file."""
    told = [f"{entry['file']}: {'approved, not released' if entry['approved'] else 'not approved'}" for entry in entries if not entry["released"]]
    if not told:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as temporary:
        temporary.write_text("\n".join([HEAD, *told]) + "\n", "utf-8", newline="\n")


def _standing(folder: Path) -> dict[str, Standing]:
    """How each guide and part of a case's folder stands, by its files' name; nothing of what cannot be read."""
    try:
        return {section.partition(" ")[2]: standing for section, standing in standing_in(folder).items()}
    except InputError:
        return {}


def _entries(out: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A manifest's entries: of what passed alone."""
    known: dict[Path, dict[str, Standing]] = {}
    for row in rows:
        if row["status"] != "done":
            continue
        keys = ("case", "guide", *(["part"] if "part" in row else []), "blade", "printer", "settings", "job")
        there = (out / str(row["files"]["stl"])).parent
        if there not in known:
            known[there] = _standing(there)
        stands = known[there].get(Path(str(row["files"]["stl"])).stem, NOWHERE)
        told = {"approved": stands.sound and stands.approved, "released": stands.sound and stands.released}
        sawn = row.get("not_printed", ())  # of bone, not printed
        for source in (str(name) for kind, name in row["files"].items() if kind.partition("-")[0] == "stl" and kind not in sawn):
            *levels, case, name = source.split("/")
            said = {"file": "_".join([case, *levels, name]), "sha256": row["sha256"][source], "source": source, **{key: row[key] for key in keys}}
            yield {**said, **told}


def _earlier(folder: Path) -> dict[str, str]:
    try:
        return {str(entry["file"]): str(entry["sha256"]) for entry in json.loads((folder / MANIFEST).read_text("utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
