"""Results that take long to make, kept beside the case with what they were made from, and made again only when that changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from psi_cad import __version__
from psi_cad.errors import BuildError, PsiCadError
from psi_cad.files import sha256_of, staged, write_json

__all__ = ["Stage", "Work", "digest_of"]

SCHEMA: Final = 2  # what a stage says has changed
ATTEMPTS: Final = 5  # to put a finished stage in its place, where another run does so at the same time
PAUSE_S: Final = 0.2
_KEPT: Final = "stage.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """A finished stage: its `folder`, what it `said`, and the `key` that it goes by and stages made from it depend on."""

    folder: Path
    said: dict[str, Any]
    key: str

    def read(self, name: str, reader: Callable[[Path], T]) -> T:
        """What `reader` makes of the stage's own file `name`, and of no other run's that took its place meanwhile.

        Raises
        ------
        BuildError
            Where another run has put its own stage there; and whatever `reader` raises.
        """
        problem: Exception | None = None
        try:
            found = reader(self.folder / name)
        except (OSError, PsiCadError) as error:
            problem = error
        if _key_in(self.folder) != self.key:
            where = f"work/{self.folder.parent.name}/{self.folder.name}"
            raise BuildError(
                f"{where}: another run changed this stage while it was being read; run one case of this id at a time, and try again."
            ) from problem
        if problem is not None:
            raise problem
        return found


class Work:
    """The folder of one case in `work/` beside the case file, a folder in it for each stage.

    `sound` raises where the files that stages are made from have changed meanwhile: such a stage is not kept.
    """

    def __init__(self, folder: Path, progress: Callable[[str], None], sound: Callable[[], None] = lambda: None) -> None:
        self.folder, self.progress, self._sound = folder, progress, sound

    def stage(self, name: str, inputs: dict[str, Any], make: Callable[[Path], dict[str, Any]]) -> Stage:
        """The stage `name` of `inputs` (plain values, hashes of files): as kept, or as `make` gives it now.

        `make` is given an empty folder to write into and returns what is to be said. A stage whose files were changed by
        hand is made again. A stage is kept whole or not at all. Read its files by `Stage.read`: another run may put its
        own stage in the same place.

        Raises
        ------
        BuildError
            Where other runs keep the stage's place taken; and whatever `make` raises.
        """
        final = self.folder / name
        asked = json.dumps({"stage": name, "psi-cad": __version__, "schema": SCHEMA, **inputs}, sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        said = _kept(final, key)
        if said is not None:
            self.progress(f"{name}: as kept in work/{self.folder.name}/")
            return Stage(final, said, key)
        with staged(self.folder) as fresh:
            said = make(fresh)
            self._sound()
            files = {path.name: sha256_of(path) for path in sorted(fresh.iterdir()) if path.is_file()}
            write_json(fresh / _KEPT, {"key": key, "files": files, "said": said})
            _put(fresh, final, key)
        return Stage(final, said, key)


def _put(fresh: Path, final: Path, key: str) -> None:
    """Give a finished stage its name, unless another run has just put the same there.

    Raises
    ------
    BuildError
    """
    for _ in range(ATTEMPTS):
        if _kept(final, key) is not None:
            return
        shutil.rmtree(final, ignore_errors=True)
        try:
            fresh.replace(final)
            return
        except OSError:  # another run was faster, or (Windows) is reading what lies there
            time.sleep(PAUSE_S)
    raise BuildError(
        f"work/{final.parent.name}/{final.name} cannot be written, because another run is writing it; run one case of this id at a time."
    )


def _key_in(folder: Path) -> str | None:
    """The key of the stage that lies in a folder now."""
    try:
        return str(json.loads((folder / _KEPT).read_text("utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
