"""The process that does one job after the other: reads the case, seats the guide, and has it built in processes of its own.

It speaks as `psi_cad.builder.worker` does, and is started by `psi_cad.batch.work`. When its caller is gone, it ends with all it has started.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from psi_cad.approval.publish import Before, job_named
from psi_cad.batch.work import FILES, RESULT
from psi_cad.builder.kept import Kept
from psi_cad.builder.suggest import REFUSED_FILE, Asked, explained
from psi_cad.builder.together import all_built
from psi_cad.builder.worker import own_stdout
from psi_cad.case.load import LoadedCase
from psi_cad.case.named import Stamps, refuse_changed, stamps_of
from psi_cad.errors import BuildError, DesignError, InputError, PsiCadError, SeatError, from_json, refused_by_system, unexpected
from psi_cad.files import sha256_of, write_json
from psi_cad.intake.jobs import job_facts, job_hash, part_facts
from psi_cad.intake.loading import load, resolved_guides
from psi_cad.intake.named import inputs_of
from psi_cad.intake.prepare import Job, Progress, plan_job, planes_of, works_of
from psi_cad.making.asked import resolved_part
from psi_cad.outputs.subject import made_in
from psi_cad.processes.cores import ONE_CORE, give_back
from psi_cad.processes.workers import Workers
from psi_cad.sawing.blades import tell_lengths
from psi_cad.sawing.kerfs import sawings
from psi_cad.stages.disk import own_disk

__all__ = ["done"]

ANOTHER: Final = "the case, a file that it names, a template or psi-cad itself is not what the batch was begun with; start the batch again."
REFUSALS: Final = (InputError, DesignError, SeatError)  # of what was asked for: another try would end alike


def done(request: dict[str, Any], *, kept: Kept, workers: Workers | None, progress: Progress) -> str:
    """Do a job in `request["folder"]`: files, and `result.json` last; the status of the guide, or "refused".

    Raises
    ------
    PsiCadError
        What is no refusal of what was asked for. Also where the case, or a file or template that it names, is not what the batch was begun with.
    """
    folder, settings, blades = Path(request["folder"]), request["settings"], request["blades"]
    loaded, stamps = _as_begun(request)
    files = folder / FILES
    files.mkdir(parents=True)

    def planned() -> Job:
        kept.workshop.shelf.begin()
        guide, part = request["guide"] or None, request.get("part") or None
        try:
            job = plan_job(
                loaded, blades=blades, progress=progress, read=kept.bones, workshop=kept.workshop, suggest=False, only=guide, only_part=part
            )
        finally:
            refuse_changed(loaded, stamps)  # a refusal, too, would be of something else
        hashes = [*(digest for guide in job.every_guide for digest in guide.hashes), *(part.job for part in job.parts)]
        if hashes != [request["job"]]:
            raise BuildError(f"{loaded.path.name}: {ANOTHER}")
        return job_named(job, Before(Path(request["final"])), variant=None)

    said: dict[str, Any]
    try:
        job = planned()  # before the build process has its request: the deadline is then the kernel's alone
        limit, pieces = request["time_limit"], kept.workshop.shelf.given
        built = all_built(lambda: job, files, settings=settings, blades=blades, progress=progress, time_limit=limit, workers=workers, pieces=pieces)
        if not made_in(built):  # of a part alone, a build tells in its report why it was not made
            raise from_json(built.refused[0].to_json())
    except REFUSALS as error:
        shutil.rmtree(files)
        files.mkdir()
        part = {"part": request["part"]} if request.get("part") else {}
        if not part:  # a part has no place on the bone to draw
            error.about(request["guide"], request["tool"])
            with suppress(OSError):  # the refusal counts, the picture does not
                explained(Asked(loaded, None, tuple(blades), False, progress, workers), error, files / f"{error.guide}_{error.blade}_{REFUSED_FILE}")
        said, status = {"error": {**error.to_json(), **part}}, "refused"
    else:
        tell_lengths(built.guides, loaded.catalogue)
        report = built.to_json()
        for guide in report["guides"]:
            if guide["status"] != "passed":  # as a build without suggestions says it
                guide["tried"], guide["remedies"] = [], []
        said, status = {"report": report}, made_in(built)[0].status
    write_json(folder / RESULT, {"job": request["job"], **said, "sha256": {path.name: sha256_of(path) for path in sorted(files.iterdir())}})
    return status


def _as_begun(request: dict[str, Any]) -> tuple[LoadedCase, Stamps]:
    """The case of a request, which was sound when the batch began, and what tells whether its files change from now on.

    Raises
    ------
    BuildError
        Where the case, or what its guide is made from, is not what it was then.
    """
    try:
        loaded = load(request["case"], settings=request["settings"], catalogue=request["catalogue"])
        stamps = stamps_of(loaded)
        inputs, own, planes = inputs_of(loaded), sawings(loaded), planes_of(loaded)
        hashes = [
            job_hash(job_facts(loaded, work, own, planes=planes, inputs=inputs))
            for number, params in enumerate(resolved_guides(loaded))
            if loaded.case.guide[number].name == request["guide"]
            for work in works_of(loaded, number, params, request["blades"])
        ]
        hashes += [
            job_hash(part_facts(loaded, part, resolved_part(loaded, number).model_dump(), own, planes=planes, inputs=inputs))
            for number, part in enumerate(loaded.case.part)
            if part.name == request.get("part")
        ]
    except PsiCadError as error:
        raise BuildError(f"{Path(request['case']).name}: {ANOTHER} It is refused now: {error}") from error
    if hashes != [request["job"]]:
        raise BuildError(f"{loaded.path.name}: {ANOTHER}")
    return loaded, stamps


def _end_all() -> None:
    """End this process and all below it: nobody is there who would take what they make."""
    import psutil

    with suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
    os._exit(1)


def main() -> None:
    """Serve requests until the caller is gone."""
    os.environ.update(ONE_CORE)
    out = own_stdout()
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def tell(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    def listen() -> None:
        for line in sys.stdin.buffer:
            requests.put(json.loads(line))
        _end_all()

    threading.Thread(target=listen, daemon=True).start()
    kept: Kept | None = None
    with Workers() as workers:
        while True:
            request = requests.get()
            try:
                kept = kept or Kept(own_disk(), role="plan")
                tell(done=done(request, kept=kept, workers=workers, progress=lambda step: tell(step=step)))
            except PsiCadError as error:
                tell(**error.to_json())
            except OSError as error:
                tell(**refused_by_system(error, request["folder"]).to_json())
            except Exception as error:  # the last door: whatever else goes wrong ends this job alone, and is told with its place
                what, said = unexpected(error)
                tell(error="BuildError", message=f"An {what} ended the job: {said}.")
            give_back()


if __name__ == "__main__":
    main()
