"""`compare` and `remove`: the guides and parts of a case's output folder side by side, and a guide or part taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(compare)
    app.command()(remove)


def compare(
    path: Annotated[Path, typer.Argument(help="Output folder of 'build', of one case or of several.")],
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Table the guides and parts in a folder: what each is, how it differs, and whether it is approved and released.

    Example: psi-cad compare out/hip-left-type1
    """
    from psi_cad.api import compare as run
    from psi_cad.approval.comparing import not_sound_line
    from psi_cad.cli.showing import say_json, say_lines, table
    from psi_cad.outputs.notice import CASE_NOT_READ
    from psi_cad.reconstruction.lines import stem_lines
    from psi_cad.records.stems import StemSaid

    rows = run(path)
    if json:
        say_json(rows)
        if _not_sound(rows):
            raise typer.Exit(1)
        return
    if not rows:
        typer.echo(f"{path}: no guide and no part lies there; 'psi-cad build' makes one")
        return
    several = len({row["case"] for row in rows}) > 1
    typer.echo(table([_cells(row, several=several) for row in rows], HEAD))
    for row in rows:
        if row["differs"]:
            typer.echo(f"{_called(row)}: {', '.join(row['differs'])}")
    for row in rows:
        if row["stems"]:
            told = stem_lines([StemSaid.model_validate(stem) for stem in row["stems"]])
            say_lines([f"{_called(row)}:", *told, f"    cautions: {', '.join(row['cautions']) or 'none'}"])
    typer.echo(CASE_NOT_READ)
    broken = _not_sound(rows)
    if broken:
        typer.echo(not_sound_line(broken))
        raise typer.Exit(1)


HEAD = [
    "instrument",
    "status",
    "clearance",
    "slot mm",
    "wall mm",
    "contact mm²",
    "seat max",
    "reach spare",
    "cm³",
    "letters",
    "cautions",
    "approved",
]


def _cells(row: dict[str, Any], *, several: bool) -> list[str]:
    return [
        f"{row['case']}/{_called(row)}" if several else _called(row),
        row["status"],
        _number(row["clearance_mm"], 2),
        _number(row["slot_width_mm"], 3),
        _number(row["wall_mm"], 2),
        _number(row["contact_mm2"], 0),
        _number(row["seat_max_mm"], 3),
        _number(row["reach_spare_mm"], 1),
        _number(None if row["volume_mm3"] is None else row["volume_mm3"] / 1000.0, 2),
        _number(row["letters_mm"], 1),
        str(len(row["cautions"])),
        _state(row),
    ]


def _state(row: dict[str, Any]) -> str:
    from psi_cad.approval.comparing import state_of

    return state_of(approved=row["approved"], released=row["released"], sound=row["sound"], status=row["status"])


def _not_sound(rows: list[dict[str, Any]]) -> list[str]:
    """The cases of which a release, or the record of approvals, does not hold."""
    from psi_cad.approval.comparing import NOT_SOUND

    return list(dict.fromkeys(row["case"] for row in rows if not row["sound"] or _state(row) == NOT_SOUND))


def _called(row: dict[str, Any]) -> str:
    """A guide's file name, or that of a part."""
    return str(row["guide"] or f"part {row['part']}")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def remove(
    path: Annotated[Path, typer.Argument(help="Output folder of one case.")],
    guide: Annotated[str, typer.Argument(help="As its files are called: a guide NAME_BLADE or NAME_BLADE_VARIANT, or a part NAME_PRINTER.")],
    force: Annotated[bool, typer.Option("--force", help="Also if it is released, or if a file was changed since it was built.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was deleted as JSON.")] = False,
) -> None:
    """Delete one guide or part of a folder: all of its files, and its entry in report.json.

    Example: psi-cad remove out/hip-left-type1 supra-acetabular_generic-25x0.89_clearance-0.12
    """
    from psi_cad.api import remove as run
    from psi_cad.cli.showing import say_json

    found = run(path, guide, force=force)
    if json:
        say_json(found)
        return
    name = found["guide"] if "guide" in found else f"part {found['part']}"
    typer.echo(f"removed {name}: {', '.join(found['files']) or 'it had no file'}")
    if found["missing"]:
        typer.echo(f"  gone before: {', '.join(found['missing'])}")
    typer.echo(f"  left in {found['folder']}: {', '.join(found['left']) or 'nothing'}")
