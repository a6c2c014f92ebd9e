"""`sheet`: the processing sheet of every instrument in an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(sheet)


def sheet(
    path: Annotated[Path, typer.Argument(help="Output folder of 'build', of one case or of several.")],
    json: Annotated[bool, typer.Option("--json", help="Print what the sheets say as JSON.")] = False,
) -> None:
    """Write a printable page for each instrument: printer, material, gauge, label, processing, signatures. What nobody has entered stays open.

    Example: psi-cad sheet out/hip-left-type1
    """
    from psi_cad.api import sheet as run
    from psi_cad.approval.comparing import NOT_SOUND, not_sound_line
    from psi_cad.approval.sheet import state_in
    from psi_cad.cli.showing import say_json
    from psi_cad.outputs.notice import CASE_NOT_READ
    from psi_cad.records.sheet import Sheet

    found = {file: Sheet.model_validate(said) for file, said in run(path).items()}
    broken = [said.case for said in found.values() if any(not one.sound or state_in(one) == NOT_SOUND for one in said.instruments)]
    if json:
        say_json([said.to_json() for said in found.values()])
        if broken:
            raise typer.Exit(1)
        return
    for file, said in found.items():
        typer.echo(f"{file}: {len(said.instruments)} instrument{'s' * (len(said.instruments) != 1)}")
        for one in said.instruments:
            state = state_in(one)
            unsaid = [name.replace("_", "-") for name, value in one.to_json().items() if value is None and name != "tool"]
            told = f"open: {', '.join(unsaid)}" if unsaid else "nothing is open"
            typer.echo(f"  {one.instrument}: {state if state in ('released', NOT_SOUND) else 'NOT RELEASED'}; {told}")
    typer.echo("what is open is entered under [printer.processing] of your catalogue, and then built again")
    typer.echo(CASE_NOT_READ)
    if broken:
        typer.echo(not_sound_line(broken))
        raise typer.Exit(1)
