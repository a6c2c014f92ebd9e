"""Results that take long to make, kept beside the case with what they were made from, and made again only when that changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psi_cad import __version__
from psi_cad.export.safely import sha256_of, write_json

__all__ = ["Stage", "Work", "digest_of"]

SCHEMA: Final = 1
_KEPT: Final = "stage.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage: its `folder`, what it `said`, and the `key` that stages made from it depend on."""

    folder: Path
    said: dict[str, Any]
    key: str


class Work:
    """The folder `work/` beside a case, a folder in it for each stage."""

    def __init__(self, folder: Path, progress: Callable[[str], None]) -> None:
        self.folder, self.progress = folder, progress

    def stage(self, name: str, inputs: dict[str, Any], make: Callable[[Path], dict[str, Any]]) -> Stage:
        """The stage `name` of `inputs` (plain values, hashes of files): as kept, or as `make` gives it now.

        `make` is given an empty folder to write into and returns what is to be said. A stage whose files were changed by
        hand is made again. A stage is kept whole or not at all.
        """
        final = self.folder / name
        asked = json.dumps({"stage": name, "psi-cad": __version__, "schema": SCHEMA, **inputs}, sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        said = _kept(final, key)
        if said is not None:
            self.progress(f"{name}: as kept in {self.folder.name}/")
            return Stage(final, said, key)
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self.folder))
        try:
            said = make(fresh)
            files = {path.name: sha256_of(path) for path in sorted(fresh.iterdir()) if path.is_file()}
            write_json(fresh / _KEPT, {"key": key, "files": files, "said": said})
            shutil.rmtree(final, ignore_errors=True)
            fresh.replace(final)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return Stage(final, said, key)


def _kept(folder: Path, key: str) -> dict[str, Any] | None:
    try:
        kept = json.loads((folder / _KEPT).read_text("utf-8"))
        if kept["key"] == key and all(sha256_of(folder / name) == digest for name, digest in kept["files"].items()):
            return dict(kept["said"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder, whatever their names are."""
    if not path.is_dir():
        return sha256_of(path)
    digests = sorted(sha256_of(file) for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
