"""`phantom`: the phantom's scans, surfaces and true transform, to try every step on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(phantom)


def phantom(
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("phantom"),
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a DICOM CT and a DICOM MRI of the phantom pelvis in another pose, with its true surfaces and transform.

    Example: psi-cad phantom -o phantom
    """
    from psi_cad.cli.showing import progress, say_json
    from psi_cad.phantom.scans import write_scans

    with progress(quiet=json) as tell:
        written = write_scans(out, progress=tell)
    if json:
        say_json({what: str(path) for what, path in written.items()})
        return
    for what, path in written.items():
        typer.echo(f"{path}  {what}")
