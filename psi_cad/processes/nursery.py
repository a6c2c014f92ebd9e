"""Processes that begin with the kernel loaded: one process loads it, and others are forked of it, which takes no time and shares its memory.

The nursery serves nobody itself: it forks when it is told to, tells how each of its own ended, and ends with its caller. Where the system
cannot fork so, each process loads the kernel for itself (`can_fork`).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import BinaryIO, Final

__all__ = ["Nursery", "Started", "can_fork", "tend"]

MOST_BYTES: Final = 4096  # of a message: a word and a number or two
PR_SET_PDEATHSIG: Final = 1  # of prctl(2)
KILLED: Final = -int(signal.SIGKILL) if sys.platform != "win32" else -9


def can_fork() -> bool:
    """Whether processes can be forked here, and waited for; on macOS, whose own libraries do not survive it, they are not."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


class Started:
    """A process of the nursery, as `subprocess.Popen` would show it: `poll`, `kill`, `wait`, `pid`."""

    def __init__(self, nursery: Nursery, number: int, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.pid: int | None = None  # until it is there
        self._nursery, self._number = nursery, number
        self._code: int | None = None
        self._over = threading.Event()

    def over(self, code: int) -> None:
        """It has ended."""
        if not self._over.is_set():
            self._code = code
            self._over.set()

    def poll(self) -> int | None:
        """Its exit code; None while it lives."""
        return self._code

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self._over.wait()
        assert self._code is not None
        return self._code

    def kill(self) -> None:
        """End it at once."""
        self._nursery.kill(self._number)


class Nursery:
    """The caller's side: a process that loads what `verb` needs, and of which others are forked.

    Parameters
    ----------
    command : tuple of str
        Starts it; a word and the number of its end of the line are added.
    around : mapping
        Its environment.
    """

    def __init__(self, command: tuple[str, ...], *, around: Mapping[str, str]) -> None:
        self._line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # each message by itself, with its descriptors
        quiet = subprocess.DEVNULL
        with other:
            words = (*command, str(other.fileno()))
            self._process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, env=around, pass_fds=(other.fileno(),))
        self._lock = threading.Lock()
        self._children: dict[int, Started] = {}
        self._ready = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked for a process."""
        return self._process.poll() is None and self._thread.is_alive()

    def start(self, verb: str) -> Started:
        """A process that serves `verb`; it is there as soon as the nursery is loaded."""
        (theirs_in, our_out), (our_in, theirs_out) = os.pipe(), os.pipe()
        try:
            with self._lock:
                number = len(self._children)
                child = Started(self, number, os.fdopen(our_out, "wb"), os.fdopen(our_in, "rb"))
                self._children[number] = child
            with suppress(OSError):  # to a nursery that has died, which its line tells
                socket.send_fds(self._line, [_packed(verb=verb, number=number)], [theirs_in, theirs_out])
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        if not self._thread.is_alive():
            child.over(KILLED)
        return child

    def kill(self, number: int) -> None:
        """End one of its processes at once; itself, where it is still loading and has none yet."""
        if not self._ready:
            self._process.kill()
            return
        with suppress(OSError):
            self._line.sendall(_packed(kill=number))

    def close(self) -> None:
        """End it, and with it all of its own that still live."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._line.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while line := self._line.recv(MOST_BYTES):
                said = json.loads(line)
                child = self._children.get(said.get("number", -1))
                self._ready = True
                if child is None:
                    continue
                if "pid" in said:
                    child.pid = said["pid"]
                else:
                    child.over(said["code"])
        for child in list(self._children.values()):  # they die with it
            child.over(KILLED)


def _packed(**message: str | int) -> bytes:
    return json.dumps(message).encode()


def tend(line: int, run: Callable[[str, int, int], None]) -> None:
    """The nursery's own side: fork, and tell of each end, until the caller hangs up.

    Parameters
    ----------
    line : int
        The file descriptor of its end of the line.
    run : callable
        Serves a verb in the process that was forked for it, on two file descriptors: requests, answers. It does not return.
    """
    libc = ctypes.CDLL(None, use_errno=True)  # looked up before any fork
    me = os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=line) as caller:
        caller.sendall(_packed(ready=1))
        living: dict[int, tuple[int, int]] = {}  # by the descriptor of each: its number and its id
        while True:
            for ready in select.select([caller.fileno(), *living], [], [])[0]:
                if ready in living:
                    number, pid = living.pop(ready)
                    os.close(ready)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with suppress(OSError):
                        caller.sendall(_packed(number=number, code=code))
                    continue
                said, descriptors, _, _ = socket.recv_fds(caller, MOST_BYTES, 2)
                if not said:
                    return
                message = json.loads(said)
                if "kill" in message:
                    for number, pid in living.values():
                        if number == message["kill"]:
                            os.kill(pid, signal.SIGKILL)
                    continue
                pid = os.fork()
                if pid == 0:
                    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                    if os.getppid() != me:  # the nursery died meanwhile
                        os._exit(1)
                    caller.close()
                    for other in living:
                        os.close(other)
                    run(message["verb"], *descriptors)
                    os._exit(0)
                for descriptor in descriptors:
                    os.close(descriptor)
                living[os.pidfd_open(pid)] = (message["number"], pid)
                caller.sendall(_packed(number=message["number"], pid=pid))
