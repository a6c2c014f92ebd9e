"""`approve`: who approved exactly what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(approve)


def approve(
    path: Annotated[Path, typer.Argument(help="Output folder of one case, of 'build' or of 'plan -o'.")],
    role: Annotated[str, typer.Option("--role", help="surgeon or engineer.")],
    name_code: Annotated[str, typer.Option("--name-code", help="Who approves: a pseudonymous code, such as S-17; never a name.")],
    note: Annotated[str, typer.Option("--note", help="One line; no patient's or person's name.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the entry as JSON.")] = False,
) -> None:
    """Record that the plan and the guides in a folder are approved exactly as they are; any later change shows.

    Example: psi-cad approve out/hip-left-type1 --role surgeon --name-code S-17
    """
    from psi_cad.api import approve as run
    from psi_cad.cli.showing import say_json

    entry = run(path, role=role, name_code=name_code, note=note)
    if json:
        say_json(entry)
        return
    typer.echo(f"approval {entry['sequence']} of {entry['case']}: {entry['role']} {entry['name_code']}, {entry['time']}")
    for name, section in entry["what"].items():
        typer.echo(f"  {name}: {len(section)} hashes")
    typer.echo(f"  {Path(entry['folder']) / 'approvals.json'}, entry {entry['hash'][:16]}…; keep this number with your own records")
