"""A process that ends another one when their caller is gone, whatever that other is doing.

A process that waits for a caller's words ends by itself when these stop; one that is busy in the kernel does not look, and no thread of its own can,
for a call of the kernel keeps the interpreter to itself. The guard is a small process beside it that only waits: for the end of a pipe whose
other end the caller holds. Where processes are forked of a nursery the system does the same (`nursery`), and no guard is needed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final

__all__ = ["Guard"]

FREE: Final = b"free\n"  # the guarded one has ended
WATCH: Final = (
    "import os, signal, sys\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    f"if sys.stdin.buffer.readline() != {FREE!r}:\n"
    "    try: os.kill(int(sys.argv[1]), int(sys.argv[2]))\n"
    "    except OSError: pass\n"
)
KILL: Final = int(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)  # on Windows any signal ends it at once


class Guard:
    """The caller's side: from now on the process `pid` ends with this one, until it is freed."""

    def __init__(self, pid: int) -> None:
        quiet = subprocess.DEVNULL
        words = (sys.executable, "-I", "-S", "-c", WATCH, str(pid), str(KILL))  # nothing is loaded but what Python itself begins with
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, cwd=os.sep, start_new_session=True)

    def free(self) -> None:
        """It has ended, and its number may be another's soon."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.write(FREE)
            self._process.stdin.close()
        self._process.wait()
