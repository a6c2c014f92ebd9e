"""One job on a Dask worker: done by a child process with a deadline, so that no crash or hang of it ends the worker."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from psi_cad.errors import BuildError, PsiCadError, refused_by_system
from psi_cad.processes.own import running
from psi_cad.processes.workers import Workers

__all__ = ["FILES", "RESULT", "STAGE", "Request", "run_request"]

CHILD: Final = running("psi_cad.batch.child")
FILES: Final = "files"  # of a result: what is built, and beside it
RESULT: Final = "result.json"  # what is said of it, written last
STAGE: Final = "stage-"  # in front of the names of folders that are not whole yet
BEFORE_S: Final = 1800.0  # to read scans, segment and seat before the kernel's own deadline begins

Request = dict[str, Any]
"""What a worker is sent of a job: a few paths, names and the job's hash; bones and guides never travel."""

_own = threading.local()  # a child for each thread: a worker has one


def _child() -> Workers:
    if not hasattr(_own, "workers"):
        _own.workers = Workers(command=CHILD)
    found: Workers = _own.workers
    return found


def run_request(request: Request) -> dict[str, Any]:
    """Do a job into `request["store"]`/<job>/, whole or not at all; its `status`, `seconds`, and the `error` where there is one."""
    begun, store, mark = time.monotonic(), Path(request["store"]), Path(request["mark"])
    final = store / str(request["job"])

    def wanted(_step: str) -> None:
        if not mark.exists():
            raise BuildError("The batch was stopped.")

    staging = None
    try:
        if not store.is_dir():
            raise BuildError(f"There is no folder '{store}' on this worker; cases and output must lie in a folder that all workers share.")
        if (final / RESULT).is_file():  # another worker did it, and died before it could tell
            return {"status": "done", "seconds": 0.0, "error": None}
        staging = Path(tempfile.mkdtemp(prefix=STAGE, dir=store))
        limit = BEFORE_S + float(request["time_limit"])
        told = {**request, "folder": str(staging)}
        status = _child().perform("job", told, progress=wanted, time_limit=limit)
        try:
            staging.rename(final)  # never over another: a folder that holds files is not replaced
        except OSError:
            if not (final / RESULT).is_file():
                raise
        return {"status": "done" if status == "passed" else status, "seconds": round(time.monotonic() - begun, 1), "error": None}
    except PsiCadError as error:
        return {"status": "failed", "seconds": round(time.monotonic() - begun, 1), "error": error.to_json()}
    except OSError as error:
        said = refused_by_system(error, store).to_json()
        return {"status": "failed", "seconds": round(time.monotonic() - begun, 1), "error": said}
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
