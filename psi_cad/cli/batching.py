"""`batch`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from psi_cad.batch.run import Standing

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(batch)


def batch(
    cases: Annotated[list[str], typer.Argument(help="Case files, folders that hold cases, or patterns such as 'cases/*'.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder, with a folder for each case.")] = Path("out"),
    blade: Annotated[list[str] | None, typer.Option("--blade", help="Blade id instead of the case's; repeat it for several.")] = None,
    printer: Annotated[list[str] | None, typer.Option("--printer", help="Printer id instead of the case's; repeat it for several.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key by one or several values: params.clearance=0.10,0.15.")] = None,
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades, tools, implants, printers and slot sleeves (TOML).")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes; by default one for each two cores.")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, instead of workers here.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the jobs, and what of them is done; write nothing.")] = False,
    time_limit: Annotated[float, typer.Option("--time-limit", min=1.0, help="Seconds that the kernel may take for one guide or part.")] = 300.0,
    collect: Annotated[Path | None, typer.Option("--collect", help="Folder to copy the STL of all that passed into, for printing.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what batch.json holds.")] = False,
) -> None:
    """Build many guides: every case with every blade, printer and value. What is done already is not done again.

    Example: psi-cad batch cases/phantom-type1 cases/phantom-type3 --blade generic-20x1.27 --set params.clearance=0.10,0.15 -o out
    """
    from psi_cad.batch.collect import NOT_RELEASED, told_open
    from psi_cad.batch.collect import collect as collected
    from psi_cad.batch.expand import Asked
    from psi_cad.batch.run import batch as run
    from psi_cad.batch.run import dry_run as listed
    from psi_cad.batch.told import counts_of
    from psi_cad.cli.showing import progress, say_json, table
    from psi_cad.errors import InputError, Stopped

    if workers is not None and scheduler is not None:
        raise InputError("--workers counts processes on this computer, and --scheduler names a cluster; give one of them.")
    if collect is not None and collect.exists() and not collect.is_dir():  # told before hours of work
        raise InputError(f"--collect {collect}: this is a file; name a folder.")
    asked = Asked(tuple(cases), tuple(blade or ()), tuple(printer or ()), tuple(set_ or ()), catalogue)
    if dry_run:
        rows = listed(asked, out)
        if json:
            say_json({"counts": counts_of(rows), "tasks": rows})
            return
        shown = [[row["case"], _called(row), row["blade"], row["printer"], " ".join(row["settings"]), row["status"]] for row in rows]
        typer.echo(table(shown, ["case", "guide", "blade", "printer", "settings", "status"]))
        typer.echo(_counted(counts_of(rows)))
        return
    with progress(quiet=json) as tell:

        def follow(standing: Standing, step: str) -> None:
            if tell is not None and step:  # nothing has happened since, otherwise
                tell(f"{standing.line}; {step}")

        try:
            said = run(asked, out, workers=workers, scheduler=scheduler, time_limit=time_limit, progress=follow)
        except KeyboardInterrupt as stopped:  # which would lose its words on the way out
            raise Stopped(str(stopped)) from None
    if collect is not None:
        entries = collected(out, collect, said["tasks"])
        if not json and (said_open := told_open(entries)):
            typer.echo(f"psi-cad: {said_open}; {collect / NOT_RELEASED} lists them.", err=True)
    if json:
        say_json(said)
    else:
        for row in said["tasks"]:
            if row["status"] != "done":
                setting = f" ({' '.join(row['settings'])})" if row["settings"] else ""
                tool = f" for {row['blade']}" if row["blade"] else ""
                typer.echo(f"psi-cad: {row['case']}: {_called(row)}{tool}{setting} {row['status']}: {row['reason']}", err=True)
        typer.echo(f"{_counted(said['counts'])}; see {out / 'index.html'}")
    if said["counts"]["done"] != said["counts"]["tasks"]:
        raise typer.Exit(1)


def _counted(counts: dict[str, int]) -> str:
    return f"{counts['tasks']} jobs: " + ", ".join(f"{number} {status}" for status, number in counts.items() if status != "tasks" and number)


def _called(row: Mapping[str, Any]) -> str:
    """A row's guide, or its part."""
    return f"part {row['part']}" if "part" in row else str(row["guide"])
