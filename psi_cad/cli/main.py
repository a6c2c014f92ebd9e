"""The `psi-cad` command: gathers the groups, and turns every deliberate error into one sentence and an exit code."""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Final, NoReturn

import typer

from psi_cad import __version__
from psi_cad.cli import (
    approving,
    batching,
    build_and_check,
    catalogues,
    gauges,
    imaging,
    looking,
    new_and_demo,
    phantom,
    planning,
    registering,
    segmenting,
    sheets,
    variants,
)
from psi_cad.errors import PsiCadError, Stopped, unexpected

__all__ = ["app", "entry", "main"]

DEBUG: Final = "PSI_CAD_DEBUG"  # an environment variable: tracebacks and warnings of libraries are shown
INTERRUPTED: Final = 130  # what a shell gives for Ctrl-C
STOPPED: Final = "stopped; nothing was written."
UsageError: Any = typer.BadParameter.__mro__[1]  # what every mistake in options and arguments derives from; typer does not export it

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
new_and_demo.register(app)
imaging.register(app)
segmenting.register(app)
registering.register(app)
looking.register(app)
planning.register(app)
build_and_check.register(app)
variants.register(app)
sheets.register(app)
batching.register(app)
approving.register(app)
catalogues.register(app)
gauges.register(app)
phantom.register(app)


def main() -> None:
    """Run the command line; every way it can end is one sentence and an exit code, with `--json` one object on standard output."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may not know 'mm²'
    _quiet()
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except UsageError as error:
        if not _wants_json():
            error.show()
            sys.exit(error.exit_code)
        _end("UsageError", error.format_message(), code=error.exit_code)
    except typer.Abort:
        _end("KeyboardInterrupt", STOPPED, code=1)
    except Stopped as error:
        _end("KeyboardInterrupt", str(error), code=INTERRUPTED)
    except PsiCadError as error:
        _end(type(error).__name__, str(error), code=error.exit_code, where=error.where, remedies=error.remedies, errors=error.errors)
    except KeyboardInterrupt as error:  # which may say what was written all the same
        _end("KeyboardInterrupt", str(error) or STOPPED, code=INTERRUPTED)
    except OSError as error:
        named = f" '{error.filename}'" if error.filename else ""
        _end("OSError", f"the system refused{named}: {error.strerror or error}.", code=2)
    except Exception as error:  # the last door: a mistake of ours is told in a sentence too
        if os.environ.get(DEBUG):
            raise
        what, said = unexpected(error)
        _end(type(error).__name__, f"an {what}: {said}; this is a defect of psi-cad ({DEBUG}=1 shows more).", code=1)
    sys.exit(code if isinstance(code, int) else 0)


def _end(kind: str, message: str, *, code: int, where: object = None, remedies: Sequence[str] = (), errors: Sequence[object] = ()) -> NoReturn:
    """Tell how it ended, on standard error a line for each mistake, or as JSON on standard output, and leave."""
    if _wants_json():
        told = {"kind": kind, "message": message, "where": where, "remedies": list(remedies), "errors": list(errors), "exit_code": code}
        typer.echo(json.dumps({"error": told}, indent=2, ensure_ascii=False))
    else:
        for line in message.splitlines() or [kind]:
            typer.echo(f"psi-cad: {line}", err=True)
    sys.exit(code)


def _wants_json() -> bool:
    return "--json" in sys.argv[1:]


def _quiet() -> None:
    """Warnings and log lines of the libraries that we use say nothing to a user; what matters in them is told in our own words."""
    if os.environ.get(DEBUG):
        return
    warnings.simplefilter("ignore")
    logging.lastResort = None


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
