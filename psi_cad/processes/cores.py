"""Whether a build takes the cores that it finds, or one: a worker of a batch has as many neighbours as there are cores, and takes one."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["ONE_CORE", "one_core"]

CORES: Final = "PSI_CAD_CORES"
ONE_CORE: Final = {CORES: "1"}  # to be set for the processes of a build


def one_core() -> bool:
    """Whether the kernel is to run in one thread, and the processes of a build one after the other."""
    return os.environ.get(CORES) == "1"
