"""Whether a build takes the cores that it finds, or one: a worker of a batch has as many neighbours as there are cores, and takes one."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

__all__ = ["ONE_CORE", "give_back", "one_core"]

CORES: Final = "PSI_CAD_CORES"
ONE_CORE: Final = {CORES: "1"}  # to be set for the processes of a build


def one_core() -> bool:
    """Whether the kernel is to run in one thread, and the processes of a build one after the other."""
    return os.environ.get(CORES) == "1"


def give_back() -> None:
    """Where the build has neighbours, give the memory that is free for now back to the system, which does not see it otherwise."""
    if one_core():
        with suppress(OSError, AttributeError, TypeError):  # a C library that knows nothing of it
            ctypes.CDLL(None).malloc_trim(0)
