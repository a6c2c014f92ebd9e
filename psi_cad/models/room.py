"""Whether a printer has room for parts, before they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh

from psi_cad.case.model import Printer
from psi_cad.errors import DesignError, either
from psi_cad.frames import triple
from psi_cad.parts.contract import Part
from psi_cad.parts.measured import beyond

__all__ = ["refuse_too_large"]


def refuse_too_large(printer: Printer, parts: Sequence[Part], *ways: str, first: str) -> None:
    """Refuse parts of which one exceeds the printer's room however it is turned; `ways` to make it smaller, `first`: what the first is called.

    Raises
    ------
    DesignError
    """
    for part in parts:
        if not isinstance(part.shape, trimesh.Trimesh):
            continue
        over = beyond(part.shape, printer.build_volume)
        if over > 0.0:
            size = " x ".join(f"{value:.0f}" for value in np.ptp(np.asarray(part.shape.bounds), axis=0))
            raise DesignError(
                f"'{part.name or first}' of {size} mm is {over:.0f} mm too large for printer {printer.id}; "
                f"{either([*ways, 'name a larger printer'])}.",
                where=triple(np.asarray(part.shape.bounds).mean(axis=0)),
            )
