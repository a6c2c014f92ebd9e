"""`plan`: what the planned cuts do, and better ones; `donors`: whose bone fits them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from psi_cad.records.plan import PlanReport

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(plan)
    app.command()(donors)


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
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades, tools, implants, printers and slot sleeves (TOML).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure a plan: margins, specimen, bone lost, cutting depth, reach; with --optimise also propose better planes.

    Example: psi-cad plan cases/phantom-type1 -o out --optimise
    """
    from psi_cad.api import plan as run
    from psi_cad.api import starting_plan
    from psi_cad.cli.showing import progress, say_json
    from psi_cad.errors import InputError
    from psi_cad.records.plan import PlanReport
    from psi_cad.wording.telling import caution_lines, cautions_of

    if type_ is not None and (optimise or blade):
        raise InputError("--type writes a starting plan and measures none; give --optimise and --blade in a run without it.")
    if not optimise and (max_angle, max_shift) != (15.0, 15.0):
        raise InputError("--max-angle and --max-shift limit what --optimise proposes; add --optimise, or leave them out.")
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
        for line in [*caution_lines(cautions_of(found["cautions"])), *(f"  {note}" for note in found["notes"])]:
            typer.echo(line, err=True)
    else:
        _tell(PlanReport.model_validate(found), more_in="plan.json" if out is not None else "the output of --json")
    if found.get("status", "passed") != "passed":
        raise typer.Exit(1)


def donors(
    folder: Annotated[Path, typer.Argument(help="Folder with the donors' surfaces, a file each.")],
    case: Annotated[Path, typer.Argument(help="Case file (TOML), or a folder that holds case.toml.")],
    bone: Annotated[str | None, typer.Option("--bone", help="Of several bones of the patient: the one that the donor replaces.")] = None,
    units: Annotated[str, typer.Option("--units", help="Of all these surfaces: mm, cm, m or in.")] = "mm",
    coordinates: Annotated[str, typer.Option("--coordinates", help="Of all these surfaces: LPS or RAS.")] = "LPS",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the case; may be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the ranking as JSON.")] = False,
) -> None:
    """Rank donor bones for an allograft: fit at the cuts, and size; a donor that does not serve is told with its reason.

    Example: psi-cad donors cases/phantom/donors cases/phantom-allograft
    """
    from psi_cad.api import donors as run
    from psi_cad.cli.showing import progress, say_json, say_lines, table
    from psi_cad.grafting.told import ranking_lines
    from psi_cad.records.grafts import DonorsRanked

    with progress(quiet=json) as tell:
        found = run(folder, case, bone=bone, units=units, coordinates=coordinates, settings=set_ or [], progress=tell)
    if json:
        say_json(found)
    else:
        say_lines(ranking_lines(DonorsRanked.model_validate(found), table))
    if not found["donors"]:
        raise typer.Exit(1)


def _tell(found: PlanReport, *, more_in: str) -> None:
    """A plan, and its proposal, as people read them."""
    from psi_cad.cli.showing import approval_lines, optimised_lines, plan_lines, say_lines
    from psi_cad.wording.telling import caution_lines, cautions_in

    say_lines(plan_lines(found))
    if found.proposal is not None:
        typer.echo("\nProposal (the case is unchanged):\n" + "\n".join(plan_lines(found.proposal)))
    if found.optimised is not None:
        typer.echo("\n".join(optimised_lines(found.optimised)))
    if found.approval is not None and (found.approval.entries or found.approval.broken):
        say_lines(approval_lines(found.approval, released=False)[0 if found.approval.broken else 1 :])
    say_lines([f"  {path}" for path in found.files.values()])
    say_lines(caution_lines(cautions_in(found.cautions), more_in=more_in))
    ours = {caution.text for caution in found.cautions}
    of_proposal = [] if found.proposal is None else [one for one in cautions_in(found.proposal.cautions) if one.text not in ours]
    if of_proposal:
        say_lines(["Of the proposal only:", *caution_lines(of_proposal, more_in="plan.json")[1:]])
