"""`demo` and `new`: where a newcomer begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(demo)
    app.command()(new)


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("demo-out"),
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Scan a phantom pelvis with a tumour (CT and MRI), make models of both, measure the plan, build and check a guide.

    It takes two or three minutes.

    Example: psi-cad demo
    """
    from psi_cad.api import build, plan
    from psi_cad.cli.showing import guide_lines, plan_lines, progress, say_json, say_lines
    from psi_cad.phantom.demo import write_demo_case
    from psi_cad.records.plan import PlanReport
    from psi_cad.records.report import BuildReport
    from psi_cad.wording.telling import caution_lines, cautions_in

    with progress(quiet=json) as tell:
        case = write_demo_case(out, progress=tell or (lambda _: None))
        planned = PlanReport.model_validate(plan(case, out, progress=tell))
        built = build(case, out, progress=tell)
    report = BuildReport.model_validate(built)
    if json:
        say_json(built)
    else:
        say_lines(plan_lines(planned))
        for guide in report.guides:
            say_lines(guide_lines(guide))
        folder, work = out / report.case.id, case.parent / "work" / report.case.id
        typer.echo("\nOpen these:")
        typer.echo(f"  {work / 'bone' / 'bone.png'}  the segmented bone on the CT")
        typer.echo(f"  {work / 'registration' / 'ct_to_mri.png'}  CT and MRI in one frame")
        typer.echo(f"  {folder / 'plan-margins.png'}  the cut, coloured by its distance from the tumour")
        for guide in report.guides:
            files = guide.files
            for kind, what in (("png", "the guide on the bone, from six sides"), ("step", "the exact guide, for design review in any CAD"),
                               ("stl", "the printable guide"), ("3mf", "the same with units, for a slicer")):  # fmt: skip
                if kind in files:
                    typer.echo(f"  {folder / files[kind]}  {what}")
        typer.echo(f"  {folder / 'report.json'}  every number that was measured, and its limit")
        typer.echo(f"  {case}  the case file: change it, then 'psi-cad build {case}'")
        told, ours = cautions_in(planned.cautions), {said.text for said in planned.cautions}
        more = [one for one in cautions_in(report.cautions, report.guides) if one.text not in ours]
        say_lines(["", *caution_lines([*told, *more])])
        typer.echo("\nThis is a phantom. psi-cad is not a medical device; qualified people must approve anything made with it.")
    if report.status != "passed":
        raise typer.Exit(1)


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; case.toml is written there.")],
    json: Annotated[bool, typer.Option("--json", help="Print the file's path as JSON.")] = False,
) -> None:
    """Write a commented case file to start from.

    Example: psi-cad new my-case
    """
    from psi_cad.case.starter import write_starter
    from psi_cad.cli.showing import say_json

    path = write_starter(folder)
    if json:
        say_json({"case": str(path)})
        return
    typer.echo(f"{path}: put your bone surface beside it, fill in the side and the cut, then 'psi-cad check {path}' and 'psi-cad build {path}'")
