"""A copy of this process that works beside it: it is there at once, and knows all that the process knows."""

from __future__ import annotations

import ctypes
import os
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

from psi_cad.processes.nursery import PR_SET_PDEATHSIG, can_fork

__all__ = ["Copy"]

MOST_FILES: Final = 4096  # descriptors that are looked at


class Copy:
    """A copy that serves on a line of its own, until it is hung up on; it ends with this process.

    The kernel's threads are not copied, so it must ask the kernel for nothing.

    Parameters
    ----------
    serve : callable
        Run in the copy, with its end of the line.

    Raises
    ------
    OSError
        Where the system has no room for it, or cannot copy a process.
    """

    def __init__(self, serve: Callable[[Connection], None]) -> None:
        if not can_fork():
            raise OSError("processes cannot be copied here")
        ours, theirs = Pipe()
        me = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads, which no copy has: what a copy does needs none
            self._pid = os.fork()
        if self._pid == 0:
            with suppress(BaseException):  # nothing may lead back into what the process was doing; its caller sees the line end
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == me:
                    _let_go(theirs.fileno())
                    serve(theirs)
            os._exit(0)
        theirs.close()
        self._line = ours

    def say(self, message: Any) -> None:
        """Send something.

        Raises
        ------
        OSError
            Where it has died.
        """
        self._line.send(message)

    def hear(self) -> Any:
        """Its next answer.

        Raises
        ------
        EOFError, OSError
            Where it has died.
        """
        return self._line.recv()

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._line.close()
        with suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _let_go(kept: int) -> None:
    """Close what was open in the process that was copied, but for `kept` and what errors are written to: else nobody would see that it has ended."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, MOST_FILES)
