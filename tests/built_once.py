"""Folders that several tests read and none changes, made once in a run, whichever of its workers needs them first."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LIMIT_S = 600.0


def built_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` of this run, filled by `make`; another worker that is at it is waited for."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the folder of all workers lies above that of each
        root = root.parent
    folder, begun, failed = (root / f"{name}{ending}" for ending in ("", "-begun", "-failed"))
    try:
        begun.mkdir()
    except FileExistsError:
        until = time.monotonic() + LIMIT_S
        while not folder.is_dir():
            if failed.exists() or time.monotonic() > until:
                pytest.fail(f"another worker could not make '{name}'; it tells why")
            time.sleep(0.2)
        return folder
    making = root / f"{name}-making"
    try:
        making.mkdir()
        make(making)
        making.rename(folder)
    except BaseException:
        failed.touch()
        raise
    return folder
