"""Whole results between a worker and the case's folder, and what is done already: known by hashes, never by names or times."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from psi_cad.approval.acceptance import accept_in, add_plans
from psi_cad.approval.publish import Before, publish
from psi_cad.batch.expand import Task
from psi_cad.batch.work import FILES, RESULT, STAGE
from psi_cad.files import alone, sha256_of, whole_file
from psi_cad.outputs.subject import NO_PLAN, disagreement, read_plan
from psi_cad.records.base import read_as
from psi_cad.records.report import BuildReport, Release

__all__ = ["Result", "Store", "published"]

STORE: Final = ".psi-cad-batch"
LOCK: Final = ".psi-cad-batch.lock"
MARK: Final = "running"  # while it is there, workers go on
WAIT_S: Final = 1.0
ASIDE: Final = ("donor", "retained")  # keys of a report that tell of other bones than the patient's whole ones


@dataclass(frozen=True)
class Result:
    """What came of a job: a report of one guide or part with the files it names, or an error."""

    report: dict[str, Any] | None
    folder: Path
    sha256: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    kept: bool = False  # a person has accepted or released what lies there: it is not written again

    @property
    def status(self) -> str:
        """As `batch.json` tells it, of a whole result."""
        if self.report is None:
            return "refused"
        return "done" if self.made is not None and self.made["status"] == "passed" else "rejected"

    @property
    def made(self) -> dict[str, Any] | None:
        """The guide or part."""
        return None if self.report is None else dict((*self.report["guides"], *self.report.get("parts", ()))[0])

    @property
    def sound(self) -> bool:
        """Whether every file is there, and as it was built."""
        return all((self.folder / name).is_file() and sha256_of(self.folder / name) == digest for name, digest in self.sha256.items())


def published(out: Path, tasks: Sequence[Task]) -> dict[tuple[str, str], Result]:
    """The results that lie in the cases' folders already, whole and unchanged, by folder and job."""
    found: dict[tuple[str, str], Result] = {}
    wanted = {task.job for task in tasks}
    for folder in dict.fromkeys(task.folder for task in tasks):
        lies = Before(out / folder).report
        report = lies.to_json() if lies is not None else {"guides": []}
        used = {one["used"]: one["used_sha256"] for one in report.get("bones") or [report.get("bone", {})] if "used" in one}
        used |= {one["used"]: one["used_sha256"] for one in [report.get("donor") or {}, *report.get("retained", ())] if "used" in one}
        for kind, made in (*(("guides", guide) for guide in report["guides"]), *(("parts", part) for part in report.get("parts", ()))):
            if made.get("job") not in wanted or made["status"] == "stale":
                continue
            sums = {**used, **{str(name): str(made["sha256"][name]) for name in made["files"].values()}}
            one = {key: value for key, value in made.items() if key != "kept"}
            cautions = [caution for caution in report["cautions"] if caution["id"] != NO_PLAN]  # which is told anew
            kept = bool(made.get("accepted")) or bool(report.get("accepted")) or set(report.get("release", {})) != {"released"}
            alone = {key: value for key, value in report.items() if key != "parts"} | {"cautions": cautions, "guides": [], "refused": [], kind: [one]}
            result = Result(alone, out / folder, sums, kept=kept)
            if result.sound:
                found[folder, str(made["job"])] = result
    return found


class Store:
    """The folder in the output folder in which workers leave whole results, a folder for each job."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / STORE
        self.mark = self.folder / MARK

    @contextmanager
    def held(self) -> Iterator[None]:
        """Alone in the output folder; what runs that were killed left unfinished is cleared away.

        Raises
        ------
        BuildError, OSError
        """
        made = not self.out.exists()
        self.out.mkdir(parents=True, exist_ok=True)
        with alone(self.out / LOCK, what=f"a batch is being written into '{self.out}'", wait=WAIT_S):
            self.folder.mkdir(exist_ok=True)
            self._clear()
            self.mark.write_bytes(b"")
            try:
                yield
            finally:
                self.stop()
                self._clear()
                if not any(self.folder.iterdir()):
                    self.folder.rmdir()
        if made and not any(self.out.iterdir()):
            self.out.rmdir()

    def _clear(self) -> None:
        """Take away what is not whole: nobody waits for it any more, and a worker that is still at it fails alone."""
        for stage in self.folder.glob(f"{STAGE}*"):
            shutil.rmtree(stage, ignore_errors=True)

    def stop(self) -> None:
        """Have workers end what they are at."""
        self.mark.unlink(missing_ok=True)

    def of(self, job: str) -> Result | None:
        """The whole result of a job; None where there is none, or its files are not those that were built."""
        folder = self.folder / job
        try:
            said = json.loads((folder / RESULT).read_text("utf-8"))
            found = Result(said.get("report"), folder / FILES, dict(said["sha256"]), error=said.get("error"))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if said.get("job") == job and (found.report or found.error) and found.sound else None

    def discard(self, job: str) -> None:
        """Take away what lies there of a job."""
        shutil.rmtree(self.folder / job, ignore_errors=True)

    def assemble(self, tasks: Sequence[Task], results: Mapping[str, Result], before: Before) -> None:
        """Give the results of a case's jobs their names in its folder, and write its report, as one build of all of them would.

        What comes out depends on the results alone, not on the order they came in.

        Parameters
        ----------
        tasks : sequence of Task
            All of one folder, in order.
        results : mapping
            By job; those of some may be missing.
        before : Before
            What lay in the folder when the guides were named.

        Raises
        ------
        PsiCadError, OSError
        """
        there = [results[task.job] for task in tasks if task.job in results]
        final = self.out / tasks[0].folder
        for result in there:
            if result.report is None and result.folder != final:
                for name in result.sha256:  # the picture of what was refused
                    with whole_file(final / name) as path:
                        shutil.copyfile(result.folder / name, path)
        made = [result for result in there if result.report is not None and not (result.kept and result.folder == final)]
        if not made:
            return
        report = read_as(BuildReport, _joined(made, [result.error for result in there]), file="report.json", again="build again")
        staging = Path(tempfile.mkdtemp(prefix=STAGE, dir=self.folder))
        try:
            for result in made:
                for name in result.sha256:
                    _laid(result.folder / name, staging / name)
            plan = read_plan(final)
            if plan is None or disagreement(plan, report) is None:
                add_plans(report, plan)
            accept_in(report, ())
            report.release = Release(released=False)
            publish(staging, final, report, before)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _joined(made: Sequence[Result], errors: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """One report of several results of a case."""
    reports = [result.report for result in made if result.report is not None]
    guides = [guide for report in reports for guide in report["guides"]]
    parts = [part for report in reports for part in report.get("parts", ())]
    refused = [error for error in errors if error is not None]
    status = "passed" if not refused and all(one["status"] == "passed" for one in (*guides, *parts)) else "rejected"
    aside = {key: report[key] for report in reversed(reports) for key in ASIDE if key in report}  # each of what its own guide sits on
    outcome = {"guides": guides, **aside, **({"parts": parts} if parts else {})}
    told = {key: value for key, value in reports[0].items() if key not in ("guides", "parts", "refused", *ASIDE)}
    before = list(reports[0]).index("guides")  # the keys in the order of one build
    first = dict(list(told.items())[:before])
    return {**first, **outcome, "refused": refused, **told, "status": status}


def _laid(source: Path, target: Path) -> None:
    """The same file under another name: a second name of it where the file system has such, else a copy."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
