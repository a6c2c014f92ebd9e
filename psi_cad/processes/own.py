"""How processes of psi-cad's own are started."""

from __future__ import annotations

import sys

__all__ = ["running"]


def running(module: str) -> tuple[str, ...]:
    """The command that runs a module of psi-cad, as this process has it: `-m` alone would take one from the folder that the user stands in.

    >>> running("psi_cad.builder.worker")[1:]
    ('-P', '-m', 'psi_cad.builder.worker')
    """
    return (sys.executable, "-P", "-m", module)
