"""A process that is spoken with in lines of JSON, without waiting for it."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from contextlib import suppress
from typing import Any, Final

from psi_cad.processes.guard import Guard
from psi_cad.processes.nursery import Started

__all__ = ["TAKEN", "Inbox", "Spoken"]

TAKEN: Final = "taken"

Inbox = queue.SimpleQueue[tuple["Spoken", dict[str, Any] | None]]


class Spoken:
    """A process that speaks lines of JSON; what it says goes to `inbox` with itself, and None when it has ended.

    A thread writes to it: it may be busy for long before it reads, or hang, and its caller has a deadline to keep. `guard`: freed when it has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes] | Started, inbox: Inbox, *, guard: Guard | None = None) -> None:
        self._process, self._inbox, self._guard = process, inbox, guard
        self._outbox: queue.SimpleQueue[tuple[bytes, int | None] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._write)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # cut short by a crash
                self._inbox.put((self, message))
        self._inbox.put((self, None))

    def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # to a process that has died words go nowhere, which its end will tell
            while (one := self._outbox.get()) is not None:
                data, number = one
                self._process.stdin.write(data)
                self._process.stdin.flush()
                if number is not None:
                    self._inbox.put((self, {TAKEN: number}))
        with suppress(OSError):
            self._process.stdin.close()

    @property
    def alive(self) -> bool:
        """Whether it can still be asked for something."""
        return self._process.poll() is None

    def send(self, data: bytes, *, number: int | None = None) -> None:
        """Send bytes without waiting for it to read them; with a `number` a message `TAKEN` of that says that they are on their way."""
        self._outbox.put((data, number))

    def ended(self, *, kill: bool) -> int:
        """The exit code, once it has ended."""
        if kill and self._process.poll() is None:
            self._process.kill()
        self._outbox.put(None)
        code = self._process.wait()
        if self._guard is not None:
            self._guard.free()
        for thread in self._threads:
            thread.join()
        return code
