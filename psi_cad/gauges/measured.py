"""Measure the files of a part that sits on no bone, against what its template promised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.units import LIMITS, Mm
from psi_cad.verify.features.feature import Feature, measured, told_of
from psi_cad.verify.held import held

__all__ = ["measure_free"]

OWN = Frame(origin=np.zeros(3), axes=np.eye(3))


def measure_free(step: Path, stl: Path, features: Sequence[Feature], *, build_volume: tuple[Mm, Mm, Mm]) -> dict[str, Any]:
    """`features` with what was measured of each, all `checks`, the volume and `status`.

    Raises
    ------
    KernelError
        If the STEP cannot be read, or holds no solid.
    InputError
        If the STL cannot be read.
    """
    part, printed = Part(step, OWN), Printed(stl, OWN)
    if part.solid_count == 0:
        raise KernelError(f"'{step.name}' holds no solid.")
    volume = part.volume
    if abs(float(printed.mesh.volume) - volume) > LIMITS.stl_volume / 2.0 * volume:
        volume, _ = part.sliced
    beyond = np.sort(np.ptp(printed.bounds, axis=0)) - np.sort(np.array(build_volume))
    checks = [
        held("step_schema_ap242", float("AP242" in part.header), "", "==", 1.0),
        held("step_solids", float(part.solid_count), "", "==", 1.0),
        held("step_valid", float(part.valid), "", "==", 1.0),
        held("stl_watertight", float(printed.closed), "", "==", 1.0),
        held("stl_bodies", float(printed.bodies), "", "==", 1.0),
        held("stl_volume", abs(float(printed.mesh.volume) - volume) / volume, "", "<=", LIMITS.stl_volume),
        held("printer_room", float(beyond.max()), "mm", "<=", 0.0),
    ]
    promised = measured(tuple(features), part, printed)
    for _, _, found in promised:
        checks += found
    return {
        "features": list(told_of(promised)),
        "volume_mm3": round(volume, 3),
        "checks": [check.to_json() for check in checks],
        "status": "passed" if all(check.passed for check in checks) else "rejected",
    }
