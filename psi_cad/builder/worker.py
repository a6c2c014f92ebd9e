"""The build process: requests on standard input, progress and results as lines of JSON on standard output.

Started by `psi_cad.processes.workers`, or forked of one that is; a hang or crash of the kernel ends this process and not its caller. It serves
one request after the other, until its caller hangs up; of one stays for the next what is known by all that it was made from.
"""

from __future__ import annotations

import gc
import io
import json
import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

from psi_cad.errors import EnvironmentProblem, PsiCadError, refused_by_system, unexpected
from psi_cad.processes.cores import give_back
from psi_cad.processes.loading import without_vtk
from psi_cad.processes.nursery import tend

WORK: Final = {"inspect": "measuring of the files", "measure": "measuring of the files", "try": "try of a change"}  # of a verb, in words
NURSE: Final = "nurse"  # as `process` says it
KEEPS: Final = {"build", "try"}  # verbs that find again what was made for an earlier request


def own_stdout() -> TextIO:
    """A stream on the real standard output; what the kernel prints there goes to standard error from now on."""
    private = os.dup(1)
    os.dup2(2, 1)
    return _written(private)


def _written(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")


def _load() -> None:
    """Load the kernel: that takes longest, so it comes before the first request.

    Raises
    ------
    EnvironmentProblem
    """
    without_vtk()
    try:
        import OCP.gp  # noqa: F401
    except ImportError as error:
        if "libGL" in str(error):
            raise EnvironmentProblem(
                "The system library libGL.so.1 is missing, the geometry kernel needs it; install it (Debian, Ubuntu: apt-get install libgl1)."
            ) from error
        raise


def _settled() -> None:
    """All that stays is loaded: rubbish is looked for from now on, and not among that."""
    gc.freeze()
    gc.enable()


def server(verb: str, tell: Any, kept: Any = None) -> Any:
    """The function that serves `verb`: of a folder, what was sent along, and who is told of each step; `kept`: see `Kept`."""
    if verb == "measure":
        from psi_cad.inspection.measure import measure_folder

        return lambda folder, _payload, progress: measure_folder(folder, progress=progress)
    if verb == "try":
        from psi_cad.builder.trying import attempt

        return lambda folder, payload, progress: attempt(folder, payload, progress, kept=kept)
    if verb == "free":
        from psi_cad.making.free import build_free

        return lambda folder, payload, progress: build_free(payload, folder, progress=progress).to_json()
    from psi_cad.builder.guides import build_case
    from psi_cad.inspection.inspect import Line

    line = Line(say=lambda message: tell(inspect=message), hear=lambda: json.loads(sys.stdin.buffer.readline()))

    def build(folder: Path, payload: Any, progress: Any) -> Any:
        job, pieces = payload
        kept.begin(job.loaded)
        kept.workshop.shelf.take(pieces)
        report = build_case(job, folder, inspection=line, progress=progress, kept=kept)
        tell(stages=kept.end())
        return report.to_json()

    return build


def _kept() -> Any:
    from psi_cad.builder.kept import Kept
    from psi_cad.stages.disk import own_disk

    return Kept(own_disk(), role="build")


def _request() -> tuple[dict[str, Any], Any]:
    """The request line, and the object that follows it where there is one (pickled by our own caller)."""
    request: dict[str, Any] = {"measured": None}
    while request and "verb" not in request:  # what was measured for an earlier request that did not wait for it
        request = json.loads(sys.stdin.buffer.readline() or b"{}")  # nothing: the caller has hung up
    size = int(request.get("payload", 0))
    return request, pickle.loads(sys.stdin.buffer.read(size)) if size else None


def _inspect(tell: Any) -> None:
    """Serve as inspector until the caller hangs up."""
    without_vtk()
    from psi_cad.inspection import inspect

    _settled()

    inspect.serve(io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8"), lambda message: tell(**message))
    os._exit(0)


def _serve(verb: str, tell: Any, hold: dict[str, Any]) -> bool:
    """Serve the next request; whether one more may come. `verb` is what the first is expected to be; `hold`: what lives on to the next."""
    ready = False
    try:
        if verb:
            _load()
            server(verb, tell)  # its modules too
            _settled()
        request, payload = _request()
        if not request:
            return False
        ready = True
        verb = request["verb"]
        if verb in KEEPS and "kept" not in hold:
            hold["kept"] = _kept()
        tell(done=server(verb, tell, hold.get("kept"))(Path(request["folder"]), payload, lambda step: tell(step=step)))
        del payload
        give_back()
    except PsiCadError as error:
        tell(**error.to_json(), ends=not ready)
        return ready
    except OSError as error:  # no mistake of ours: a full disk, a folder that has gone
        tell(**refused_by_system(error, "the output folder").to_json(), ends=True)
        return False
    except Exception as error:  # the last door: whatever else goes wrong is told in one sentence, with where it came from
        what, said = unexpected(error)
        tell(error="BuildError", message=f"An {what} ended the {WORK.get(verb, 'build')}: {said}.", ends=True)
        return False
    return True


def _forked(verb: str, requests: int, answers: int) -> None:
    """Serve `verb` in a process that was forked for it, on its own pipes."""
    os.dup2(requests, 0)
    os.close(requests)
    _served(verb, _written(answers))


def _nurse(verb: str, line: int) -> None:
    """Load what `verb` needs, and have processes forked that need not load it again."""
    with suppress(Exception):  # each of them meets the same, and tells it to its caller
        _load()
        server(verb, None)
        from psi_cad.brep.label import text_width

        text_width("")  # reads the letters
    _settled()
    tend(line, _forked)
    os._exit(0)


def _served(first: str, out: TextIO) -> None:
    """Serve requests until the caller hangs up, the first of them for the verb `first`; does not return."""

    def tell(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    if first == "inspect":
        _inspect(tell)
    hold: dict[str, Any] = {}
    while _serve(first, tell, hold):
        first = ""
    out.flush()
    os._exit(0)  # the kernel's own tear-down has crashed on exit; everything is written by now


def main() -> None:
    """Serve the verb that the command line names, or be the nursery of processes that do."""
    gc.disable()  # while modules are loaded nothing becomes rubbish, and looking for it took a tenth of that time
    if sys.argv[1] == NURSE:
        _nurse(sys.argv[2], int(sys.argv[3]))
    _served(sys.argv[1], own_stdout())


if __name__ == "__main__":
    main()
