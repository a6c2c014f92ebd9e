"""Files that are whole or absent: written beside their final name, then renamed."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from filelock import SoftFileLock, Timeout

from psi_cad.errors import BuildError

__all__ = ["alone", "sha256_of", "staged", "whole_file", "write_json"]

WAIT_S: Final = 10.0  # far longer than a record takes to be written
LOOK_S: Final = 0.05
HIDDEN: Final = ".psi-cad-stage-"  # in front of the names of folders in which files wait until they are whole
FILES: Final = "files"  # in such a folder, beside what says who holds it
HELD: Final = "held"
TRIES: Final = 5  # to make such a folder while another run clears what it takes for nobody's


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """A temporary path beside `final` that becomes `final` if the block succeeds and is removed if it does not."""
    final.parent.mkdir(parents=True, exist_ok=True)
    _clear_parts(final)
    # the suffix stays last, since some writers choose their format by it
    temporary = final.with_name(f".{final.stem}.part-{_here()}-{os.getpid()}{final.suffix}")
    try:
        yield temporary
        temporary.replace(final)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_json(path: Path, data: Any) -> None:
    """`data` as JSON, UTF-8, two spaces, without NaN."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def alone(lock: Path, *, what: str, wait: float = WAIT_S) -> Iterator[None]:
    """Hold the file `lock` while the block runs; whoever else wants it waits for up to `wait` seconds.

    A lock that a killed program left behind on this computer is known by that program's number, and taken over. One of another computer
    is never broken: the message says what to do.

    Parameters
    ----------
    what : str
        What is being done, for the message: "an approval is being written".

    Raises
    ------
    BuildError
    """
    held = SoftFileLock(lock, timeout=wait, poll_interval=LOOK_S)  # which takes its file away again
    try:
        held.acquire()
    except Timeout:
        raise BuildError(
            f"'{lock.name}' has been held for {wait:g} s: {what} by another run; try again, and if none is running, delete that file."
        ) from None
    try:
        yield
    finally:
        held.release()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _here() -> str:
    """A short name of this computer: the numbers of its processes mean nothing on another."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _clear_parts(final: Path) -> None:
    """Take away what killed programs of this computer left of `final`, half written."""
    head = f".{final.stem}.part-{_here()}-"
    for left in final.parent.glob(f"{glob.escape(head)}*{glob.escape(final.suffix)}"):
        number = left.name.removeprefix(head).removesuffix(final.suffix)
        if number.isdecimal() and int(number) != os.getpid() and not _lives(int(number)):
            left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    import psutil  # needed only after a program was killed

    return bool(psutil.pid_exists(process))


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A hidden folder in `out` to write into; it goes when the block ends, and so does `out` where it is new and still empty.

    What killed runs left of such folders goes before. A folder is known to be nobody's as a lock is (see `alone`), by the program that held it.
    """
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(f"{HIDDEN}*"):
        _clear(left)
    held, folder = _held_folder(out)
    try:
        (folder / FILES).mkdir()
        yield folder / FILES
    finally:
        held.release()
        shutil.rmtree(folder, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()


def _held_folder(out: Path) -> tuple[SoftFileLock, Path]:
    """A new hidden folder, and the lock that says it is ours."""
    for _ in range(TRIES):
        folder = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=out))
        held = SoftFileLock(folder / HELD, timeout=0)
        with suppress(Timeout, FileNotFoundError):  # another run has just taken it for nobody's
            held.acquire()
            return held, folder
    raise BuildError(f"'{out}' is being cleared by other runs all the time, so nothing can be written there; try again.")


def _clear(left: Path) -> None:
    """Take away a hidden folder, unless a living program holds it."""
    held = SoftFileLock(left / HELD, timeout=0)
    with suppress(Timeout, OSError):  # it is held; or somebody else takes it away at this moment
        held.acquire()
        try:
            for path in left.iterdir():
                if path.name != HELD:
                    shutil.rmtree(path, ignore_errors=True)
        finally:
            held.release()
        shutil.rmtree(left, ignore_errors=True)
