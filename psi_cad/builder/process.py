"""Run a verb in processes of its own with a time limit; a hang or crash becomes one sentence that names the step.

A build is two processes: the builder designs and writes guides, the inspector reads them back and measures them
meanwhile. What one says to the other passes through the caller, who can end both.
"""

from __future__ import annotations

import json
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from psi_cad.errors import BuildError, KernelError, PsiCadError, from_json

__all__ = ["DEFAULT_LIMIT", "PICTURE_STEP", "perform"]

DEFAULT_LIMIT: Final = 300.0
WORKER: Final = (sys.executable, "-m", "psi_cad.builder.worker")
INSPECT: Final = "inspect"
PICTURE_STEP: Final = "draw the picture"


class _Process:
    """A process that speaks lines of JSON; what it says goes to `inbox` with itself, and None when it has ended."""

    def __init__(self, command: tuple[str, ...], inbox: queue.SimpleQueue[tuple[_Process, dict[str, Any] | None]]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._inbox = inbox
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

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

    def send(self, data: bytes) -> None:
        """Send bytes; to a process that has died they go nowhere, which its end will tell."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def ended(self, *, kill: bool) -> int:
        """The exit code, once it has ended."""
        assert self._process.stdin is not None
        if kill and self._process.poll() is None:
            self._process.kill()
        with suppress(OSError):
            self._process.stdin.close()
        code = self._process.wait()
        self._reader.join()
        return code


def perform(
    verb: str,
    request: dict[str, Any],
    *,
    payload: Callable[[], Any] | None = None,
    progress: Callable[[str], None] | None = None,
    time_limit: float = DEFAULT_LIMIT,
    command: tuple[str, ...] = WORKER,
) -> Any:
    """What the process for `verb` answers to `request`.

    Parameters
    ----------
    verb : str
        "build", "measure" or "try".
    payload : callable, optional
        Makes the object to send along; called while the process starts.
    time_limit : float
        Seconds from when the process has its request; then both are ended.

    Raises
    ------
    PsiCadError
        As raised in the process or by `payload`; `KernelError` where a process hung or crashed.
    """
    inbox: queue.SimpleQueue[tuple[_Process, dict[str, Any] | None]] = queue.SimpleQueue()
    worker = _Process((*command, verb), inbox)
    inspector: _Process | None = None
    step, answer, late, crashed = "start", None, False, worker
    try:
        body = pickle.dumps(payload(), protocol=pickle.HIGHEST_PROTOCOL) if payload is not None else b""
        worker.send(json.dumps({**request, "payload": len(body)}).encode() + b"\n" + body)
        deadline = time.monotonic() + time_limit  # of the kernel's work; segmenting a scan beforehand may take its time
        if verb == "build":  # started late: while the caller plans and the builder starts, both cores are busy
            inspector = _Process((*command, INSPECT), inbox)
        while answer is None:
            try:
                source, message = inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                late = True
                break
            if message is None:
                if source is inspector and source.ended(kill=False) == 0:
                    continue  # it has told the worker why
                crashed = source
                step = step if source is worker else "measure the files"
                break
            if "step" in message:
                step = str(message["step"])
                if progress is not None:
                    progress(step)
            elif "inspect" in message and inspector is not None:
                inspector.send(json.dumps(message["inspect"]).encode() + b"\n")
            elif source is inspector:
                worker.send(json.dumps(message).encode() + b"\n")
            else:
                answer = message
    finally:
        codes = {id(process): process.ended(kill=answer is None or process is inspector) for process in (worker, inspector) if process is not None}
    if answer is None:
        raise _what_happened(verb, step, late, codes[id(crashed)], time_limit, request)
    if "error" in answer:
        raise from_json(answer)
    return answer["done"]


def _what_happened(verb: str, step: str, late: bool, code: int, limit: float, request: dict[str, Any]) -> PsiCadError:
    how = f"ran longer than {limit:g} s" if late else f"crashed (exit {code})"
    if step.endswith(PICTURE_STEP) and not late:
        return BuildError(f"The picture could not be drawn: the process {how}; off-screen OpenGL is missing or broken; nothing was written.")
    given = [str(setting) for setting in request.get("settings", [])] + [str(blade) for blade in request.get("blades", [])]
    with_what = f" with {', '.join(given)}" if given else ""
    what = "one of its parameters" if verb == "free" else "footplate_reach, slope_limit or run_out"
    hint = f"raise --time-limit, or change {what} a little"
    error = KernelError(f"The geometry kernel {how} in the step '{step}'{with_what}; nothing was written; {hint}.")
    error.step = step
    return error
