"""`build` and `check`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from psi_cad.records.check import CheckedFolder, CheckedGuide, CheckedPart, ToldGuide, ToldPart
    from psi_cad.records.shared import Refused

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(build)
    app.command()(check)


def build(
    case: Annotated[Path, typer.Argument(help="Case file (TOML), or a folder that holds case.toml.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; a folder named by the case's id is made in it.")] = Path("out"),
    blade: Annotated[list[str] | None, typer.Option("--blade", help="Blade id instead of the case's; repeat it for several variants.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key, such as params.clearance=0.12; may be repeated.")] = None,
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades, tools, implants, printers and slot sleeves (TOML).")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Name of this variant in the files, such as tight-slot.")] = None,
    accept: Annotated[
        list[str] | None, typer.Option("--accept", help="A caution that you accept, such as nominal-blade; repeat it, or separate several by commas.")
    ] = None,
    release: Annotated[
        bool,
        typer.Option(
            "--release", help="Mark as released, if surgeon and engineer approved exactly this and --accept names each caution that blocks."
        ),
    ] = False,
    suggest: Annotated[bool, typer.Option(help="If a guide is refused or rejected, try changes and show those that pass.")] = True,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1.0, help="Seconds before it is ended; guides beside one that hung get them anew.")
    ] = 300.0,
    explain: Annotated[bool, typer.Option("--explain", help="Show which stages were made and which kept from earlier builds, and why.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Build every guide and part of a case: STEP, STL, 3MF, a picture, and a report measured from the files.

    Example: psi-cad build cases/phantom-type1 -o out --blade generic-25x0.89 --blade generic-20x1.27
    """
    from psi_cad.cli.showing import approval_lines, guide_lines, part_lines, progress, say_json, say_lines
    from psi_cad.processes.loading import quick_imports
    from psi_cad.processes.workers import Workers

    with progress(quiet=json) as tell, Workers() as workers:
        workers.start("build")  # loads its kernel while this process loads what plans
        with quick_imports():
            from psi_cad.api import build as run
            from psi_cad.cli.approving import acceptance_lines, release_lines
            from psi_cad.intake import prepare, siting  # noqa: F401  (used soon)
            from psi_cad.records.report import BuildReport
            from psi_cad.stages.told import stage_lines
            from psi_cad.wording.rejected import rejection_lines
            from psi_cad.wording.telling import caution_lines, cautions_in

        stages = list[dict[str, Any]]()
        told = run(
            case,
            out,
            blades=blade or [],
            settings=set_ or [],
            catalogue=catalogue,
            accept=accept or [],
            variant=variant,
            release=release,
            suggest=suggest,
            progress=tell,
            time_limit=time_limit,
            workers=workers,
            stages=stages,
        )
    report = BuildReport.model_validate(told)
    if json:
        say_json({**told, "stages": stages} if explain else told)
    else:
        say_lines(stage_lines(stages) if explain else [])
        for guide in report.guides:
            say_lines(guide_lines(guide))
        for part in report.parts:
            say_lines(part_lines(part))
        typer.echo(f"files: {out / report.case.id}")
        assert report.approval is not None and report.release is not None  # a build has just written both
        say_lines([*approval_lines(report.approval, released=report.release.released), *release_lines(report.release)])
        guides, parts = [one for one in report.guides if one.status != "stale"], [one for one in report.parts if one.status != "stale"]
        say_lines([*caution_lines(cautions_in(report.cautions, [*guides, *parts])), *acceptance_lines(report, accept or [])])
    if report.status != "passed":
        for guide in report.guides:
            if not guide.kept:
                say_lines(rejection_lines(guide), err=True)
        for part in report.parts:
            if part.status == "rejected" and not part.kept:
                say_lines([f"psi-cad: part {part.name} is rejected; change its printer or parameters, or mend its template."], err=True)
        _tell_refused(report.refused)
        raise typer.Exit(1)


def _tell_refused(refused: Sequence[Refused]) -> None:
    """Guides and parts that were not made beside others that were, a line each."""
    for one in refused:
        what = f"part {one.part}" if one.part else f"{one.guide} for {one.blade}"
        typer.echo(f"psi-cad: not made: {what}: {one.message}", err=True)


def check(
    path: Annotated[Path, typer.Argument(help="An output folder of a build, or a case file to validate without building.")],
    blade: Annotated[list[str] | None, typer.Option("--blade", help="For a case file: blade id instead of the case's; may be repeated.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="For a case file: override a key, as in 'build'; may be repeated.")] = None,
    catalogue: Annotated[
        Path | None, typer.Option("--catalogue", help="Your own blades, tools, implants, printers and slot sleeves (TOML), for a case file.")
    ] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="For a case file: PNG to write, the bone with its cuts and approaches.")] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", min=1.0, help="Seconds before the measurement is ended.")] = 300.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure an output folder again from its files and tell who approved it; or find what 'build' would refuse of a case.

    Example: psi-cad check out/hip-left-type1
    """
    from psi_cad.api import measure, validate
    from psi_cad.cli.showing import case_lines, progress, say_json, say_lines
    from psi_cad.errors import InputError
    from psi_cad.records.case_check import CaseCheck
    from psi_cad.records.check import CheckedFolder
    from psi_cad.wording.rejected import told_of_tries
    from psi_cad.wording.telling import caution_lines, cautions_in

    is_case = path.suffix.lower() == ".toml" or (path / "case.toml").is_file() or not path.exists() or path.is_file()
    if picture is not None and not is_case:
        raise InputError("--picture is for a case; an output folder holds a picture of each guide.")
    for name, given in (("--blade", blade), ("--set", set_), ("--catalogue", catalogue)):
        if given and not is_case:
            raise InputError(f"{name} is for a case file; an output folder is measured against what it was built for.")
    with progress(quiet=json) as tell:
        if is_case:
            found = validate(path, blades=blade or [], settings=set_ or [], catalogue=catalogue, picture=picture, progress=tell)
        else:
            found = measure(path, progress=tell, time_limit=time_limit)
    if json:
        say_json(found)
    refused: list[Refused] = []
    tried: list[str] = []
    if is_case:
        checked = CaseCheck.model_validate(found)
        refused, status = checked.refused, str(checked.status)
        tried = [one.reason for one in refused] + [check.id for seat in checked.seats for check in seat.checks if not check.passed]
        if not json:
            told = f"picture: {picture}" if picture is not None else "a picture: --picture FILE.png; to turn it: psi-cad look"
            cautions = caution_lines(cautions_in(checked.cautions, checked.seats), more_in="the output of --json")
            say_lines([*case_lines(checked), told, *cautions])
    else:
        measured = CheckedFolder.model_validate(found)
        status = str(measured.status)
        if not json:
            _tell_measured(measured)
    if status != "passed":
        hint = (
            f"a guide would be rejected, for the reason above; {told_of_tries(tried)}."
            if is_case
            else "do not use what failed; restore the files, or build again from the case and check that."
        )
        _tell_refused(refused)
        typer.echo(f"psi-cad: {hint}", err=True)
        raise typer.Exit(1)


def _tell_measured(found: CheckedFolder) -> None:
    """What was measured again of a folder, and who approved what of it."""
    from psi_cad.cli.approving import standing_lines
    from psi_cad.cli.showing import guide_lines, part_lines, say_lines
    from psi_cad.outputs.notice import CASE_NOT_READ
    from psi_cad.outputs.subject import section_of
    from psi_cad.wording.telling import caution_lines, cautions_in

    for guide in found.guides:
        say_lines(guide_lines(guide))
    for part in found.parts:
        say_lines(part_lines(part))
    checked: list[CheckedGuide | CheckedPart] = [*found.guides, *found.parts]
    for case in found.approvals:
        failed = {section_of(one) for one in checked if one.case == case.case and one.status != "passed"}
        say_lines(standing_lines(case, failed=failed))
    _tell_refused([one for report in found.reports for one in report.refused])
    stale = {(one.case, section_of(one)) for one in checked if one.status == "stale"}
    for report in found.reports:
        told: list[ToldGuide | ToldPart] = [*report.guides, *report.parts]
        head, *lines = caution_lines(cautions_in(report.cautions, [one for one in told if (report.case, section_of(one)) not in stale])) or [""]
        say_lines([f"{report.case}: {head[:1].lower()}{head[1:]}", *lines] if lines else [])
    say_lines([CASE_NOT_READ] if found.reports else [])
