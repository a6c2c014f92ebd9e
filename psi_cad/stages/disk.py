"""Pieces of builds on disk, in a folder of the user's own: bounded, safe between processes, and made again where one is damaged."""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from psi_cad.errors import InputError
from psi_cad.files import whole_file

__all__ = ["VARIABLE", "Disk", "code_sha256", "own_disk"]

VARIABLE: Final = "PSI_CAD_CACHE"  # a folder, or "off"
OFF: Final = "off"
MOST_BYTES: Final = 1 << 30
TRIM_TO: Final = 0.8  # of that, so that not every new piece has the folder looked through
ENDING: Final = ".piece"
_HERE: Final = Path(__file__).resolve().parent.parent


class Disk:
    """Pieces by key in `folder`; each file begins with the SHA-256 of the rest, and the ones used longest ago go first.

    Pieces are pickles: whoever can write into the folder can have a program run, so it has to be the user's own.

    Raises
    ------
    InputError
        Where the folder belongs to somebody else, or everybody may write there.
    """

    def __init__(self, folder: Path, *, most: int = MOST_BYTES) -> None:
        self.folder, self.most = folder, most
        self._written = 0
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not hasattr(os, "getuid") or not folder.is_dir():  # on Windows a user's own folders are closed to others by its access lists
            return
        told = folder.stat()
        if told.st_uid != os.getuid():
            raise InputError(f"{VARIABLE}: the folder '{folder}' belongs to another user; name one of your own, or 'off'.")
        if told.st_mode & stat.S_IWOTH:
            raise InputError(f"{VARIABLE}: everybody may write into the folder '{folder}'; take that right away (chmod o-w), or name 'off'.")

    def _path(self, key: bytes) -> Path:
        name = hashlib.sha256(key + code_sha256()).hexdigest()
        return self.folder / name[:2] / f"{name}{ENDING}"

    def read(self, key: bytes) -> bytes | None:
        """The pickle that was written under `key` by this very code; None where there is none, or it is not whole."""
        path = self._path(key)
        try:
            held = path.read_bytes()
        except OSError:
            return None
        whole, body = held[:32], held[32:]
        if hashlib.sha256(body).digest() != whole:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return body

    def write(self, key: bytes, body: bytes) -> None:
        """Keep a pickle; where the disk is full or may not be written to, nothing is kept."""
        try:
            with whole_file(self._path(key)) as temporary:
                temporary.write_bytes(hashlib.sha256(body).digest() + body)
        except OSError:
            return
        self._written += len(body)
        if self._written > self.most * (1.0 - TRIM_TO):
            self.trim()

    def trim(self) -> None:
        """Have the pieces used longest ago go until the rest is well below the bound."""
        self._written = 0
        found = []
        for path in self.folder.glob(f"*/*{ENDING}"):
            with suppress(OSError):
                told = path.stat()
                found.append((told.st_mtime_ns, path, told.st_size))
        size = sum(one[2] for one in found)
        if size <= self.most:
            return
        for _, path, own in sorted(found):
            if size <= self.most * TRIM_TO:
                break
            with suppress(OSError):
                path.unlink()
            size -= own


def own_disk() -> Disk | None:
    """The folder that the environment names, else the user's own for such things; None where it is off or cannot be had.

    Raises
    ------
    InputError
    """
    said = os.environ.get(VARIABLE, "")
    if said.lower() == OFF:
        return None
    if said:
        return Disk(Path(said))
    import platformdirs

    try:
        return Disk(platformdirs.user_cache_path("psi-cad", appauthor=False))
    except (InputError, OSError):  # nobody asked for it
        return None


@cache
def code_sha256() -> bytes:
    """A digest of this program's files and of what is installed beside it: other code makes other pieces."""
    state = hashlib.sha256(sys.version.encode())
    for path in sorted(_HERE.rglob("*.py")):
        state.update(path.relative_to(_HERE).as_posix().encode())
        state.update(path.read_bytes())
    for line in sorted(f"{found.name}=={found.version}" for found in distributions()):
        state.update(line.encode())
    return state.digest()


def held(value: Any) -> bytes | None:
    """A value as a pickle; None where it cannot be one."""
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None
