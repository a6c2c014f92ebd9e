"""Run a verb in a process of its own with a time limit; a hang or crash becomes one sentence that names the step."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Final

from psi_cad.errors import KernelError, by_name

__all__ = ["DEFAULT_LIMIT", "perform"]

DEFAULT_LIMIT: Final = 300.0
WORKER: Final = (sys.executable, "-m", "psi_cad.run.worker")


def perform(
    verb: str,
    request: dict[str, Any],
    *,
    payload: Callable[[], Any] | None = None,
    progress: Callable[[str], None] | None = None,
    time_limit: float = DEFAULT_LIMIT,
    command: tuple[str, ...] = WORKER,
) -> Any:
    """What the build process answers to `request`.

    Parameters
    ----------
    verb : str
        "build" or "measure".
    payload : callable, optional
        Makes the object to send along; called while the process starts.
    time_limit : float
        Seconds for the whole request; then the process is ended.

    Raises
    ------
    PsiCadError
        As raised in the process or by `payload`; `KernelError` where the process hung or crashed.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen((*command, verb), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(time_limit, stop)
        timer.daemon = True
        timer.start()
        step, answer = "start", None
        assert process.stdin is not None and process.stdout is not None
        try:
            body = pickle.dumps(payload(), protocol=pickle.HIGHEST_PROTOCOL) if payload is not None else b""
            _send(process.stdin, json.dumps({**request, "payload": len(body)}).encode() + b"\n" + body)
            for line in process.stdout:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # cut short by a crash
                if "step" in message:
                    step = str(message["step"])
                    if progress is not None:
                        progress(step)
                else:
                    answer = message
        finally:
            timer.cancel()
            if process.poll() is None and (answer is None or late.is_set()):
                process.kill()  # also when planning failed or the caller was interrupted
            process.wait()
            with suppress(OSError):
                process.stdin.close()
            process.stdout.close()
        if answer is None:
            raise KernelError(_what_happened(step, late.is_set(), process.returncode, time_limit, request))
        if "error" in answer:
            raise by_name(str(answer["error"]))(str(answer["message"]))
        return answer["done"]


def _send(stream: IO[bytes], data: bytes) -> None:
    with suppress(OSError):  # the process died at once: told by its missing answer
        stream.write(data)
        stream.close()


def _what_happened(step: str, late: bool, code: int, limit: float, request: dict[str, Any]) -> str:
    how = f"ran longer than {limit:g} s" if late else f"crashed (exit {code})"
    given = [str(setting) for setting in request.get("settings", [])] + [str(blade) for blade in request.get("blades", [])]
    with_what = f" with {', '.join(given)}" if given else ""
    hint = "raise --time-limit, or change footplate_reach, slope_limit or run_out a little"
    return f"The geometry kernel {how} in the step '{step}'{with_what}; nothing was written; {hint}."
