"""The verbs of psi-cad for Python; the command line only calls these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psi_cad.approval.acceptance import accept_in, accepted_ids, add_plans
from psi_cad.approval.approve import approve_folder
from psi_cad.approval.comparing import compare_folder
from psi_cad.approval.publish import Before, job_named, publish, remove_made
from psi_cad.approval.reasons import refusal
from psi_cad.approval.release import check_approvals, in_the_way, refuse_early, release_said
from psi_cad.approval.sheet import renew_sheet, write_sheets
from psi_cad.builder.suggest import REFUSED_FILE, Asked, explain_refused, explained, suggested
from psi_cad.builder.together import all_built
from psi_cad.donating import donors
from psi_cad.errors import InputError, PsiCadError
from psi_cad.files import staged
from psi_cad.gauging import calibrate, coupon
from psi_cad.outputs.naming import check_variant
from psi_cad.outputs.subject import REPORT_FILE, case_folders, disagreement, read_plan
from psi_cad.processes.workers import DEFAULT_LIMIT, Workers, perform
from psi_cad.records.report import Release
from psi_cad.sawing.blades import tell_lengths
from psi_cad.scans import register, segment, tumour

if TYPE_CHECKING:
    from psi_cad.builder.kept import Kept
    from psi_cad.case.load import LoadedCase
    from psi_cad.intake.prepare import Job
    from psi_cad.stages.workshop import Pieces

__all__ = [
    "approve",
    "build",
    "calibrate",
    "compare",
    "coupon",
    "donors",
    "measure",
    "plan",
    "register",
    "remove",
    "segment",
    "sheet",
    "starting_plan",
    "tumour",
    "validate",
]

Progress = Callable[[str], None]


def _loaded(case: Path | str, *, settings: Sequence[str], catalogue: Path | str | None, needs: tuple[str, ...] = ("cut", "guide")) -> LoadedCase:
    """The case, or everything that is wrong with it."""
    from psi_cad.intake.loading import load

    return load(case, settings=settings, catalogue=catalogue, needs=needs)


def _own(catalogue: Path | str | None) -> Path | None:
    return Path(catalogue) if catalogue is not None else None


def _silent(step: str) -> None:
    """Progress that nobody watches."""


def build(
    case: Path | str,
    out: Path | str,
    *,
    blades: Sequence[str] = (),
    settings: Sequence[str] = (),
    catalogue: Path | str | None = None,
    accept: Sequence[str] = (),
    variant: str | None = None,
    release: bool = False,
    suggest: bool = True,
    progress: Progress | None = None,
    time_limit: float = DEFAULT_LIMIT,
    workers: Workers | None = None,
    kept: Kept | None = None,
    stages: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Build every guide and part of a case into `out`/<case id>/ and return the report.

    The work is done in a process of its own, in a folder beside the final one; files get their names only when all
    is whole. A guide that cannot be made does not end the others: `refused` in the report tells why. Other guides that an
    earlier run left in the folder stay in the report; one that still stands is not replaced by one that is made otherwise,
    which gets a variant's name instead.

    Parameters
    ----------
    case : path
        The case file.
    out : path
        The output folder; made where it does not exist.
    blades : sequence of str
        Blade ids instead of the case's own.
    settings : sequence of str
        "params.clearance=0.12" and the like.
    catalogue : path, optional
        A user's own blades and printers.
    accept : sequence of str
        Kinds of caution ("nominal-blade") that are accepted by name; they are written down, approved, and needed for a release.
    variant : str, optional
        The name of this variant, instead of one that is made from what differs.
    release : bool
        Mark the report as released, which surgeon and engineer must have approved for exactly these inputs, plan and guides.
    suggest : bool
        Where a guide is refused or rejected, try changes of it, and tell those that pass; never with `release`.
    progress : callable, optional
        Told each step.
    time_limit : float
        Seconds.
    workers : Workers, optional
        Processes that are there already, for the kernel's work (`Session` has such); by default there are new ones, for this build
        and the changes that are tried after it.
    kept : Kept, optional
        What this process has kept of earlier builds (`Session` has such); by default what lies on disk.
    stages : list, optional
        Told which stages were made and which were found, and why: `of`, `stage`, `made`, `found`, `seconds`, `why` of each.

    Raises
    ------
    PsiCadError
        Where no guide can be made, with one sentence, and what was tried against it; nothing is written then but a picture of the
        place, `REFUSED.png`.
    """
    out = Path(out)
    loaded = _loaded(case, settings=settings, catalogue=catalogue)  # mistakes are told before anything is started
    accepted_ids(accept)
    if variant is not None:
        check_variant(variant)
    for blade in blades:
        loaded.catalogue.blade(blade, where="--blade")
    if out.exists() and not out.is_dir():
        raise InputError(f"-o {out}: this is a file; name a folder.")
    final = out / loaded.case.id
    _readable(final)
    if release:
        refuse_early(final, loaded.case.id, accept=accept)
    before = Before(final)
    with Workers() if workers is None else nullcontext(workers) as hands, staged(out) as staging:
        asked = Asked(loaded, _own(catalogue), tuple(blades), suggest and not release, progress, hands)
        pieces: Pieces = {}

        def job() -> Job:
            from psi_cad.builder.kept import Kept
            from psi_cad.intake.prepare import plan_job
            from psi_cad.stages.disk import own_disk

            mine = kept if kept is not None else Kept(own_disk(), role="plan")
            mine.begin(loaded)
            planned = plan_job(
                loaded,
                blades=list(dict.fromkeys(blades)),
                progress=progress or _silent,
                read=mine.bones,
                workshop=mine.workshop,
                suggest=False,  # `explained` tries more
            )
            pieces.update(mine.workshop.shelf.given())
            told = mine.end()
            if stages is not None:
                stages.extend(told)
            return job_named(planned, before, variant=variant)

        try:
            report = all_built(
                job, staging, settings=settings, blades=blades, progress=progress, time_limit=time_limit, workers=hands, pieces=lambda: pieces
            )
        except PsiCadError as error:
            (final / REFUSED_FILE).unlink(missing_ok=True)
            raise explained(asked, error, final / REFUSED_FILE) from error
        if stages is not None:
            stages.extend(hands.stages)
        tell_lengths(report.guides, loaded.catalogue)
        suggested(asked, report)
        explain_refused(asked, report, final)
        plan = read_plan(final)
        if plan is None or disagreement(plan, report) is None:  # one that disagrees is refused when it is to be approved
            add_plans(report, plan)
        try:
            accept_in(report, accept)
        except InputError as error:
            others = in_the_way(final, staging, report) if release else []
            raise refusal(InputError, "", [str(error).removesuffix("."), *others]) from error
        (final / REFUSED_FILE).unlink(missing_ok=True)
        report.release = release_said(final, staging, report) if release else Release(released=False)
        publish(staging, final, report, before)
    return report.to_json()


def _readable(final: Path) -> None:
    """A plan beside the guides that cannot be read is told before anything is built.

    Raises
    ------
    InputError
    """
    read_plan(final)


def measure(
    folder: Path | str, *, progress: Progress | None = None, time_limit: float = DEFAULT_LIMIT, workers: Workers | None = None
) -> dict[str, Any]:
    """Measure an output folder again, from its files; `status` is "passed" or "failed". For `workers` see `build`.

    `approvals` tells for each case who approved what lies there; a broken record, or a release that rests on nothing, fails.

    Raises
    ------
    PsiCadError
    """
    folder = Path(folder)
    approvals = check_approvals(folder)
    found: dict[str, Any] = {"guides": [], "reports": [], "status": "passed"}
    if any((below / REPORT_FILE).is_file() for below in case_folders(folder)):  # a folder of `plan` holds nothing to measure
        found = perform("measure", {"folder": str(folder.resolve())}, progress=progress, time_limit=time_limit, workers=workers)
    status = "passed" if all(case.sound for case in approvals) else "failed"
    told = {"approvals": [case.to_json() for case in approvals], "case_file": "not looked at"}
    return {**found, **told, "status": found["status"] if status == "passed" else status}


def approve(
    folder: Path | str,
    *,
    role: str,
    name_code: str,
    note: str = "",
    same_person: bool = False,
    guides: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> dict[str, Any]:
    """Record that everything in a case's output folder (of `build` or `plan`) is approved as it is now; the new entry. Its sheet is written anew.

    Parameters
    ----------
    role : str
        "surgeon" or "engineer".
    name_code : str
        Who: a pseudonymous code, never a name.
    note : str
        One line.
    same_person : bool
        One person may approve in both roles; it is recorded and shown.
    guides, parts : sequence of str
        Only these guides ("NAME_BLADE") and parts ("NAME_PRINTER"), and the plan.

    Raises
    ------
    InputError, ApprovalError
    """
    entry = approve_folder(Path(folder), role=role, name_code=name_code, note=note, same_person=same_person, guides=guides, parts=parts)
    renew_sheet(Path(entry["folder"]))
    return entry


def compare(folder: Path | str) -> list[dict[str, Any]]:
    """The guides and parts that lie in a case's output folder, or in those of several cases, one row each, as their reports tell.

    Raises
    ------
    InputError
    """
    return compare_folder(Path(folder))


def sheet(folder: Path | str) -> dict[Path, dict[str, Any]]:
    """Write `sheet.html`, a printable page for each instrument, into the folder of each case below `folder`; what each file says.

    What the hospital has not entered for its printer (`[printer.processing]`) is None, and open on the page.

    Raises
    ------
    InputError
    """
    return {path: said.to_json() for path, said in write_sheets(Path(folder)).items()}


def remove(folder: Path | str, guide: str, *, force: bool = False) -> dict[str, Any]:
    """Take a guide ("NAME_BLADE" or "NAME_BLADE_VARIANT") or part ("NAME_PRINTER") out of a case's output folder; what went, and what is left.

    Parameters
    ----------
    force : bool
        Also where it is released, or a file is not the one that the report tells of.

    Raises
    ------
    InputError, ApprovalError
    """
    return remove_made(Path(folder), guide, force=force)


def validate(
    case: Path | str,
    *,
    blades: Sequence[str] = (),
    settings: Sequence[str] = (),
    catalogue: Path | str | None = None,
    picture: Path | str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check a case without building: its file, bone and cuts, and a seat for every guide; with `picture` (a PNG) draw them first.

    Other parameters are as for `build`, which refuses the same.

    Raises
    ------
    PsiCadError
        A mistake of the file is told with all others; after that, the first thing that is wrong.
    """
    from psi_cad.checking.validate import validate_case

    drawn = Path(picture) if picture is not None else None
    if drawn is not None and (drawn.suffix.lower() != ".png" or not drawn.parent.is_dir()):
        raise InputError(f"--picture {drawn}: name a .png file in a folder that is there.")
    loaded = _loaded(case, settings=settings, catalogue=catalogue)
    return validate_case(loaded, blades=list(dict.fromkeys(blades)), picture=drawn, progress=progress or _silent).to_json()


def plan(
    case: Path | str,
    out: Path | str | None = None,
    *,
    optimise: bool = False,
    max_angle: float = 15.0,
    max_shift: float = 15.0,
    blades: Sequence[str] = (),
    settings: Sequence[str] = (),
    catalogue: Path | str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What the planned cuts of a case do: margins, specimen, bone lost, depth, reach; the report.

    Parameters
    ----------
    case : path
        The case file.
    out : path, optional
        Where plan.json, surfaces and pictures go, in a folder named by the case's id; without it nothing is written.
    optimise : bool
        Also search for planes that cost less healthy bone, within `max_angle` degrees and `max_shift` mm of the given
        ones. The result is a proposal beside the report; the case is never changed.
    blades : sequence of str
        Blade ids instead of the case's own: depth, reach and kerf are measured for each guide with each of them, and a cut's margin
        is that of the widest kerf.

    Raises
    ------
    PsiCadError
    """
    from psi_cad.plans.case import plan_case

    loaded = _loaded(case, settings=settings, catalogue=catalogue, needs=("cut",))
    for blade in blades:
        loaded.catalogue.blade(blade, where="--blade")
    folder = Path(out) if out is not None else None
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"-o {folder}: this is a file; name a folder.")
    try:
        found = plan_case(loaded, folder, optimise=optimise, max_angle=max_angle, max_shift=max_shift, blades=blades, progress=progress or _silent)
    except PsiCadError as error:
        if folder is None:
            raise
        picture = folder / loaded.case.id / REFUSED_FILE
        picture.unlink(missing_ok=True)
        raise explained(Asked(loaded, _own(catalogue), (), False, None), error, picture) from error
    if folder is not None:
        (folder / loaded.case.id / REFUSED_FILE).unlink(missing_ok=True)
    return found


def starting_plan(
    case: Path | str,
    kind: str,
    out: Path | str | None = None,
    *,
    settings: Sequence[str] = (),
    catalogue: Path | str | None = None,
) -> dict[str, Any]:
    """Cuts of an Enneking and Dunham type ("I", "II+III", …) from the case's landmarks: a plan to edit, not a decision.

    Raises
    ------
    PsiCadError
    """
    from psi_cad.plans.case import start_plan

    loaded = _loaded(case, settings=settings, catalogue=catalogue, needs=())
    return start_plan(loaded, kind, Path(out) if out is not None else None, progress=_silent)
