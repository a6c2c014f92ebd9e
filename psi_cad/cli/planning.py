"""`plan`: what the planned cuts do, and better ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(plan)


def plan(
    case: Annotated[Path, typer.Argument(help="Case file (TOML), or a folder that holds case.toml.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Output folder for surfaces, pictures and plan.json; without it only numbers.")
    ] = None,
    optimise: Annotated[bool, typer.Option("--optimise", help="Also propose planes that remove less healthy bone; the case is not changed.")] = False,
    max_angle: Annotated[float, typer.Option("--max-angle", min=0.0, max=45.0, help="How far a proposed plane may turn, degrees.")] = 15.0,
    max_shift: Annotated[float, typer.Option("--max-shift", min=0.0, max=60.0, help="How far a proposed plane may move, mm.")] = 15.0,
    blade: Annotated[
        list[str] | None, typer.Option("--blade", help="Blade id instead of the case's own; repeat it to plan for several blades.")
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Write a starting plan of this Enneking type instead, such as I or I+II.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key, such as tumour.margin=15.0; may be repeated.")] = None,
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades, tools and printers (TOML).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure a plan: margins, specimen, bone lost, cutting depth, reach; with --optimise also propose better planes.

    Example: psi-cad plan cases/phantom-type1 -o out --optimise
    """
    from psi_cad.api import plan as run
    from psi_cad.api import starting_plan
    from psi_cad.cli.showing import approval_lines, optimised_lines, plan_lines, progress, say_json, say_lines
    from psi_cad.cli.telling import caution_lines, cautions_in

    with progress(quiet=json) as tell:
        if type_ is not None:
            found: dict[str, Any] = starting_plan(case, type_, out, settings=set_ or [], catalogue=catalogue)
        else:
            found = run(
                case,
                out,
                optimise=optimise,
                max_angle=max_angle,
                max_shift=max_shift,
                blades=blade or [],
                settings=set_ or [],
                catalogue=catalogue,
                progress=tell,
            )
    if json:
        say_json(found)
    elif type_ is not None:
        typer.echo(found["toml"] if out is None else "\n".join(found["files"].values()))
        for line in [*caution_lines(found["cautions"]), *(f"  {note}" for note in found["notes"])]:
            typer.echo(line, err=True)
    else:
        typer.echo("\n".join(plan_lines(found)))
        if "optimised" in found and "proposal" not in found:
            typer.echo("\n".join(optimised_lines(found["optimised"])))
        if "proposal" in found:
            typer.echo("\nProposal (the case is unchanged):\n" + "\n".join(plan_lines(found["proposal"])))
            typer.echo("\n".join(optimised_lines(found["optimised"])))
        if found.get("approval", {}).get("entries") or found.get("approval", {}).get("broken"):
            typer.echo("\n".join(approval_lines(found["approval"], released=False)[0 if found["approval"]["broken"] else 1 :]))
        for path in found.get("files", {}).values():
            typer.echo(f"  {path}")
        say_lines(caution_lines(cautions_in(found), more_in="plan.json" if out is not None else "the output of --json"))
        ours = {caution["text"] for caution in found["cautions"]}
        of_proposal = [one for one in cautions_in(found.get("proposal", {})) if one["text"] not in ours]
        if of_proposal:
            say_lines(["Of the proposal only:", *caution_lines(of_proposal, more_in="plan.json")[1:]])
    if found.get("status", "passed") != "passed":
        raise typer.Exit(1)
