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
    from psi_cad.cli.showing import say_json
    from psi_cad.outputs.notice import CASE_NOT_READ

    found = run(path)
    if json:
        say_json(list(found.values()))
        return
    for file, said in found.items():
        typer.echo(f"{file}: {len(said['instruments'])} instrument{'s' * (len(said['instruments']) != 1)}")
        for one in said["instruments"]:
            unsaid = [name.replace("_", "-") for name, value in one.items() if value is None and name != "tool"]
            told = f"open: {', '.join(unsaid)}" if unsaid else "nothing is open"
            typer.echo(f"  {one['instrument']}: {'released' if one['released'] else 'NOT RELEASED'}; {told}")
    typer.echo("what is open is entered under [printer.processing] of your catalogue, and then built again")
    typer.echo(CASE_NOT_READ)
