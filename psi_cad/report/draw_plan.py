"""Draw pictures of a plan or a case in a process of its own: `python -m psi_cad.report.draw_plan`, one pickled request on stdin."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from psi_cad.processes.own import running
from psi_cad.report.pictures import picture_of_case, picture_of_place
from psi_cad.report.plan_pictures import picture_of_depths, picture_of_margins, picture_of_pieces

__all__ = ["draw_plan"]

LIMIT_S = 120.0


def draw_plan(pictures: dict[str, tuple[Path, dict[str, Any]]]) -> list[str]:
    """Draw pictures by kind ("margins", "pieces", "depths", "case", "place"), each with its path and arguments; the kinds that failed.

    A graphics driver that crashes takes only the drawing process with it: what was measured does not depend on it.
    """
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            running("psi_cad.report.draw_plan"),
            input=pickle.dumps(pictures),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )
    return [kind for kind, (path, _) in pictures.items() if not path.is_file()]


def main() -> None:
    """Serve one request of our own caller."""
    draw: dict[str, Callable[..., None]] = {
        "margins": picture_of_margins,
        "pieces": picture_of_pieces,
        "depths": picture_of_depths,
        "case": picture_of_case,
        "place": picture_of_place,
    }
    for kind, (path, arguments) in pickle.loads(sys.stdin.buffer.read()).items():
        draw[kind](path, **arguments)


if __name__ == "__main__":
    main()
