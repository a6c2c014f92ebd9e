"""The `psi-cad` command: gathers the groups, and turns every deliberate error into one sentence and an exit code."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Annotated, NoReturn

import typer

from psi_cad import __version__
from psi_cad.cli import approving, building, catalogues, imaging, looking, phantom, planning, registering, segmenting, starting, variants
from psi_cad.errors import PsiCadError

__all__ = ["app", "entry", "main"]

app = typer.Typer(
    name="psi-cad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Patient-specific surgical cutting guides as exact, verified solids. Not a medical device: qualified people approve.\n\n"
    "Exit code 0: done, 1: a check failed or no guide could be made, 2: the input is wrong.\n\nExample: psi-cad demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"psi-cad {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    pass


# in the order of the work, as --help lists them
starting.register(app)
imaging.register(app)
segmenting.register(app)
registering.register(app)
looking.register(app)
planning.register(app)
building.register(app)
variants.register(app)
approving.register(app)
catalogues.register(app)
phantom.register(app)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may not know 'mm²'
    try:
        app()
    except PsiCadError as error:
        typer.echo(f"psi-cad: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("psi-cad: stopped; nothing was written.", err=True)
        sys.exit(130)
    except OSError as error:
        named = f" '{error.filename}'" if error.filename else ""
        typer.echo(f"psi-cad: the system refused{named}: {error.strerror or error}.", err=True)
        sys.exit(2)


def entry() -> NoReturn:
    """The command as it is installed: `main`, then away at once.

    All is written and every helper has ended by then; taking hundreds of thousands of objects apart would only cost
    the user another 0.2 s.
    """
    code: int = 0
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        code = code or 1
    os._exit(code)
