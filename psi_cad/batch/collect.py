"""A plain folder of finished STL files for the print shop: names that say what each is, and a manifest with hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from psi_cad.errors import BuildError
from psi_cad.files import sha256_of, whole_file, write_json
from psi_cad.outputs.notice import NOT_A_DEVICE

__all__ = ["MANIFEST", "collect"]

MANIFEST: Final = "manifest.json"


def collect(out: Path, folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copy the STL of every guide that passed into `folder`, as <case>_<guide>_<blade>….stl; what the manifest written there holds.

    Files that an earlier manifest names and that are not among them any more go, unless they were changed.

    Raises
    ------
    BuildError
        Where a file is not the one that was built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = list(_entries(rows))
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
    write_json(folder / MANIFEST, {"schema": 1, "notice": NOT_A_DEVICE, "files": entries})
    return entries


def _entries(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A manifest's entries: of passed guides alone."""
    for row in rows:
        if row["status"] != "done":
            continue
        source = str(row["files"]["stl"])
        *levels, case, name = source.split("/")
        keys = ("case", "guide", "blade", "printer", "settings", "job")
        yield {"file": "_".join([case, *levels, name]), "sha256": row["sha256"][source], "source": source, **{key: row[key] for key in keys}}


def _earlier(folder: Path) -> dict[str, str]:
    try:
        return {str(entry["file"]): str(entry["sha256"]) for entry in json.loads((folder / MANIFEST).read_text("utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
