"""`look`: a page to turn the bone and find points, normals and planes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(look)


def look(
    source: Annotated[
        Path, typer.Argument(help="A case, a surface file, or a scan (DICOM folder or zip, NIfTI, NRRD, MetaImage).", show_default=False)
    ],
    page: Annotated[Path, typer.Option("-o", "--page", help="The HTML file to write.")] = Path("look.html"),
    units: Annotated[str | None, typer.Option("--units", help="Unit of a surface file: mm, cm, m or in.")] = None,
    coordinates: Annotated[str, typer.Option("--coordinates", help="Frame of a surface file: LPS or RAS.")] = "LPS",
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder of a build, to show its guides and parts; without it 'out', if it is there.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the case, such as cut.A.origin=[1,2,3].")] = None,
    series: Annotated[str | None, typer.Option("--series", help="Of a DICOM folder: number or start of a SeriesInstanceUID.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a page that shows a case, a surface or a scan; a click gives the point and the outward normal to paste.

    It needs no network and holds no patient's name; open it in any browser.

    Example: psi-cad look bone.stl --units mm -o look.html
    """
    from psi_cad.checking.look import look_at
    from psi_cad.cli.showing import progress, say_json
    from psi_cad.errors import InputError
    from psi_cad.units import MM_PER_UNIT

    if units is not None and units not in MM_PER_UNIT:
        raise InputError(f"--units {units}: it is one of {', '.join(MM_PER_UNIT)}.")
    if coordinates not in ("LPS", "RAS"):
        raise InputError(f"--coordinates {coordinates}: it is LPS or RAS.")
    with progress(quiet=json) as tell:
        said = look_at(
            source, page, units=units, coordinates=coordinates, out=out, settings=tuple(set_ or ()), series=series, progress=tell or (lambda _: None)
        )
    if json:
        say_json(said)
        return
    typer.echo(f"{page}: {said['size_bytes'] / 1e6:.1f} MB; open it in a browser")
    for note in said["notes"]:
        typer.echo(f"  {note}")
