"""Run verbs in processes of their own with a time limit; a hang or crash becomes one sentence that names the step.

A build is two processes: the builder designs and writes guides, the inspector reads them back and measures them
meanwhile. What one says to the other passes through the caller, who can end both. They serve one request after the other,
so that the kernel is loaded once; what hangs, crashes or meets something unexpected is ended, and started anew for the next.
Where the system can fork, a third process loads the kernel for both (`nursery`); all end with their caller.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from psi_cad.errors import BuildError, KernelError, PsiCadError, from_json
from psi_cad.processes.guard import Guard
from psi_cad.processes.nursery import Nursery, can_fork
from psi_cad.processes.own import running
from psi_cad.processes.spoken import TAKEN, Inbox, Spoken

__all__ = ["DEFAULT_LIMIT", "PICTURE_STEP", "Workers", "perform"]

DEFAULT_LIMIT: Final = 300.0
START_S: Final = 120.0  # to load the kernel and take a request, before the limit of the work itself counts
WORKER: Final = running("psi_cad.builder.worker")
INSPECT: Final = "inspect"
NURSE: Final = "nurse"
PICTURE_STEP: Final = "draw the picture"
OURS: Final = "PSI_CAD_"  # in front of the names of environment variables
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}  # many small products: threads that wait for each other doubled the time of a build
MOST_REQUESTS: Final = 50  # of one process, before a fresh one takes its place: a kernel that runs for days grows

Progress = Callable[[str], None]


class Workers:
    """A builder and an inspector that live on from one request to the next; ended by `close`, or at the end of a `with`.

    Not to be shared between threads.
    """

    def __init__(self, *, command: tuple[str, ...] = WORKER) -> None:
        self._command = command
        self._inbox: Inbox = queue.SimpleQueue()
        self._nursery: Nursery | None = None
        self._worker: Spoken | None = None
        self._inspector: Spoken | None = None
        self._around: tuple[str, dict[str, str]] = ("", {})
        self._served = 0
        self.stages: list[dict[str, Any]] = []  # of the last build: which were made in its process, and which found

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(kill=kind is not None)

    def close(self, *, kill: bool = False) -> None:
        """End the processes; the next request starts new ones.

        Parameters
        ----------
        kill : bool
            Without waiting for what the builder is doing.
        """
        if self._nursery is not None and not kill:  # all that is asked for has been answered: they end together, which takes a third of the time
            self._nursery.close()
        self._end(self._worker, kill=kill)
        self._end(self._inspector, kill=True)
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def _started(self, verb: str, *, first: str) -> Spoken:
        """A new process for `verb`; `first`: what the nursery loads for, where there is none yet."""
        around = {**ONE_THREAD, **os.environ}
        if self._command != WORKER or not can_fork():
            pipe, command = subprocess.PIPE, (*self._command, verb)
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=around)
            return Spoken(process, self._inbox, guard=Guard(process.pid))
        if self._nursery is not None and not self._nursery.alive:
            self._nursery.close()
            self._nursery = None
        if self._nursery is None:
            self._nursery = Nursery((*self._command, NURSE, first), around=around)
        return Spoken(self._nursery.start(verb), self._inbox)

    def _end(self, process: Spoken | None, *, kill: bool) -> int:
        """The exit code of a process that is to be there no more."""
        if process is None:
            return 0
        if process is self._worker:
            self._worker, self._served = None, 0
        else:
            self._inspector = None
        return process.ended(kill=kill)

    def _ready(self, verb: str) -> Spoken:
        """A builder that can take a request, and knows where we are now: folders and our settings may have changed since it was started."""
        around = str(Path.cwd()), {key: value for key, value in os.environ.items() if key.startswith(OURS)}
        if self._around != around:
            self.close()
        elif self._served >= MOST_REQUESTS:
            self._end(self._worker, kill=False)
            self._end(self._inspector, kill=True)
        if self._worker is None or not self._worker.alive:
            self._end(self._worker, kill=True)
            self._around = around
            self._worker = self._started(verb, first=verb)
        return self._worker

    def start(self, verb: str) -> None:
        """Have the builder load its kernel now, for a request that will come soon."""
        self._ready(verb)

    def perform(
        self,
        verb: str,
        request: dict[str, Any],
        *,
        payload: Callable[[], Any] | None = None,
        progress: Progress | None = None,
        time_limit: float = DEFAULT_LIMIT,
    ) -> Any:
        """What the process for `verb` answers to `request`.

        Parameters
        ----------
        verb : str
            "build", "measure", "try" or "free".
        payload : callable, optional
            Makes the object to send along; called while the process starts.
        time_limit : float
            Seconds from when the process has taken its request; then both are ended. It has `START_S` to take it.

        Raises
        ------
        PsiCadError
            As raised in the process or by `payload`; `KernelError` where a process hung or crashed.
        """
        worker = self._ready(verb)
        body = pickle.dumps(payload(), protocol=pickle.HIGHEST_PROTOCOL) if payload is not None else b""
        step, answer, late, taken, code = "start", None, False, False, 0
        asked, told = 0, 0  # of the inspector, and by it
        try:
            worker.send(json.dumps({**request, "verb": verb, "payload": len(body)}).encode() + b"\n" + body, number=self._served)
            deadline = time.monotonic() + START_S
            if verb == "build" and self._inspector is None:  # started late: while the caller plans and the builder starts, both cores are busy
                self._inspector = self._started(INSPECT, first=verb)
            while answer is None:
                try:
                    source, message = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    late = True
                    break
                if source not in (worker, self._inspector):
                    continue  # last words of one that has gone
                if message is None:
                    if source is self._inspector:
                        code = self._end(source, kill=False)
                        if code == 0:
                            continue  # it has told the worker why
                        step = "measure the files"
                    break
                if TAKEN in message:  # the limit is of the kernel's work; segmenting a scan beforehand may take its time
                    if message[TAKEN] == self._served:  # else of an earlier request, which was answered sooner
                        taken, deadline = True, time.monotonic() + time_limit
                elif "step" in message:
                    step = str(message["step"])
                    if progress is not None:
                        progress(step)
                elif "stages" in message:
                    self.stages = message["stages"]
                elif "inspect" in message and self._inspector is not None:
                    asked += "stl" in message["inspect"]
                    self._inspector.send(json.dumps(message["inspect"]).encode() + b"\n")
                elif source is self._inspector:
                    told += 1
                    worker.send(json.dumps(message).encode() + b"\n")
                else:
                    answer = message
        finally:
            self._served += 1
            ended = self._after(worker, answer, waiting=asked != told)
        if answer is None:
            if late and not taken:
                raise _not_started()
            raise _what_happened(verb, step, late, code or ended, time_limit, request)
        if "error" in answer:
            raise from_json(answer)
        return answer["done"]

    def _after(self, worker: Spoken, answer: dict[str, Any] | None, *, waiting: bool) -> int:
        """End what can serve no more; the exit code of the builder, 0 where it lives on.

        Parameters
        ----------
        answer : dict or None
            What the builder said in the end; None where it did not come to that.
        waiting : bool
            The inspector still measures for a request that is over.
        """
        # after an error it may still be reading files that are taken away, and would be found dead by the next request
        if self._inspector is not None and (answer is None or waiting or "error" in answer):
            self._end(self._inspector, kill=True)
        if answer is None or answer.get("ends"):
            return self._end(worker, kill=answer is None)
        return 0


def perform(
    verb: str,
    request: dict[str, Any],
    *,
    payload: Callable[[], Any] | None = None,
    progress: Progress | None = None,
    time_limit: float = DEFAULT_LIMIT,
    command: tuple[str, ...] = WORKER,
    workers: Workers | None = None,
) -> Any:
    """What `workers` answer, or such as live for this one request; see there.

    Raises
    ------
    PsiCadError
    """
    if workers is not None:
        return workers.perform(verb, request, payload=payload, progress=progress, time_limit=time_limit)
    with Workers(command=command) as mine:
        return mine.perform(verb, request, payload=payload, progress=progress, time_limit=time_limit)


def _not_started() -> KernelError:
    return KernelError(f"The build process did not start within {START_S:g} s; nothing was written; end other programs, and try again.")


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
