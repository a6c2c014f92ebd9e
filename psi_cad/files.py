"""Files that are whole or absent: written beside their final name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
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


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """A temporary path beside `final` that becomes `final` if the block succeeds and is removed if it does not."""
    final.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays last, since some writers choose their format by it
    temporary = final.with_name(f".{final.stem}.part{os.getpid()}{final.suffix}")
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


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A hidden folder in `out` to write into; it goes when the block ends, and so does `out` where it is new and still empty."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".psi-cad-", dir=out))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()
