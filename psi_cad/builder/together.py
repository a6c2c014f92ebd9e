"""All guides of a build: what stands in the way of one does not end the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psi_cad.errors import KernelError
from psi_cad.processes.workers import Workers, perform
from psi_cad.records.report import BuildReport

if TYPE_CHECKING:
    from psi_cad.intake.prepare import Job
    from psi_cad.stages.workshop import Pieces

__all__ = ["all_built"]

Progress = Callable[[str], None]


def all_built(
    job: Callable[[], Job],
    folder: Path,
    *,
    settings: Sequence[str],
    blades: Sequence[str],
    progress: Progress | None,
    time_limit: float,
    workers: Workers | None = None,
    pieces: Callable[[], Pieces] = dict,
) -> BuildReport:
    """The report of a build in `folder`; a guide on which the kernel hangs or crashes is left out, and the others are built again without it.

    Its `refused` tells of each guide and blade that was not made, as errors do.

    Parameters
    ----------
    job : callable
        Makes the job, while the build process starts.
    settings, blades : sequence of str
        As the user gave them, for what a hang or crash is told with.
    time_limit : float
        Seconds of one attempt: after a hang the others have as many again.
    workers : Workers, optional
        Processes that are there already; by default there are new ones.
    pieces : callable
        What was made for the job already, and need not be made again.

    Raises
    ------
    PsiCadError
        Where nothing can be made at all: why the first guide was not.
    """
    left: Job | None = None
    request = {"folder": str(folder.resolve()), "settings": list(settings), "blades": list(blades)}

    def payload() -> tuple[Job, Pieces]:
        nonlocal left
        left = left if left is not None else job()
        return left, pieces()

    while True:
        try:
            made = perform("build", request, payload=payload, progress=progress, time_limit=time_limit, workers=workers)
        except KernelError as error:
            left = None if left is None else _without(left, error)
            if left is None:
                raise
            for path in folder.iterdir():  # what the dead process left is no whole result
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if progress is not None:
                progress(f"{error.guide} {error.blade}: not made; the other guides are built without it")
            continue
        report = BuildReport.model_validate(made)
        if report.refused:
            report.status = "rejected"
        return report


def _without(job: Job, error: KernelError) -> Job | None:
    """`job` without the guide in whose step the kernel hung or crashed; None where that is not known, or no other is left."""
    from psi_cad.intake.prepare import step_of  # only a job that was planned can lose a guide
    from psi_cad.parts.contract import step_of_part

    for part in job.parts:
        if error.step.startswith(step_of_part(part, "")):
            told = {**_told(error), "part": part.request.name}
            told["message"] = told["message"].replace("this guide", "this part")
            return replace(job, parts=tuple(other for other in job.parts if other is not part), refused=(*job.refused, told))
    donor, stems = (None if other is None else _without(other, error) for other in (job.donor, job.rest))
    if donor is not None:
        return replace(job, donor=replace(donor, refused=()), refused=(*job.refused, *donor.refused))
    if stems is not None:
        return replace(job, rest=replace(stems, refused=()), refused=(*job.refused, *stems.refused))
    for number, guide in enumerate(job.guides):
        for index, site in enumerate(guide.sites):
            if not error.step.startswith(step_of(guide.request, site.tool_id, "")):
                continue
            error.about(guide.request.name, site.tool_id)
            rest = replace(guide, sites=_but(guide.sites, index), namings=_but(guide.namings, index), hashes=_but(guide.hashes, index))
            guides = (*job.guides[:number], rest, *job.guides[number + 1 :])
            if not any(other.sites for other in guides) and not job.parts and all(one is None for one in (job.donor, job.read, job.rest, job.stays)):
                return None
            return replace(job, guides=guides, refused=(*job.refused, _told(error)))
    return None


def _told(error: KernelError) -> dict[str, Any]:
    said = error.to_json()
    return {**said, "message": said["message"].replace("nothing was written", "this guide was not made")}


def _but(values: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    return (*values[:index], *values[index + 1 :])
