"""The build process: one request on standard input, progress and the result as lines of JSON on standard output.

Started by `psi_cad.run.process`; a hang or crash of the kernel ends this process and not its caller.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from psi_cad.errors import EnvironmentProblem, PsiCadError


def _own_stdout() -> TextIO:
    """A stream on the real standard output; what the kernel prints there goes to standard error from now on."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8", newline="\n")


def _perform(request: dict[str, Any], progress: Any) -> Any:
    try:
        import OCP.gp  # noqa: F401
    except ImportError as error:
        if "libGL" in str(error):
            raise EnvironmentProblem(
                "The system library libGL.so.1 is missing, the geometry kernel needs it; install it (Debian, Ubuntu: apt-get install libgl1)."
            ) from error
        raise
    from psi_cad.case.load import load_case

    if request["verb"] == "measure":
        from psi_cad.run.measure import measure_folder

        return measure_folder(Path(request["folder"]), progress=progress)
    catalogue = Path(request["catalogue"]) if request["catalogue"] else None
    loaded = load_case(Path(request["case"]), settings=request["settings"], catalogue=catalogue)
    if request["verb"] == "validate":
        from psi_cad.run.build import validate_case

        return validate_case(loaded)
    from psi_cad.run.build import build_case

    return build_case(loaded, Path(request["folder"]), blades=request["blades"], progress=progress)


def main() -> None:
    """Serve one request."""
    out = _own_stdout()

    def tell(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    request = json.loads(sys.stdin.readline())
    try:
        tell(done=_perform(request, lambda step: tell(step=step)))
    except PsiCadError as error:
        tell(error=type(error).__name__, message=str(error))
    except Exception as error:  # the last door: whatever else goes wrong is told in one sentence, with where it came from
        import traceback

        traceback.print_exc()
        tell(
            error="BuildError",
            message=f"An unexpected {type(error).__name__} ended the build: {str(error).splitlines()[0] if str(error) else 'no message'}.",
        )
    out.flush()
    os._exit(0)  # the kernel's own tear-down has crashed on exit; everything is written by now


if __name__ == "__main__":
    main()
