"""Files that are whole or absent: written beside their final name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["sha256_of", "whole_file", "write_json"]


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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
