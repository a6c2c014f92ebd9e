"""Measure the files of one part that has no seat, against what its template promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import trimesh

from psi_cad.errors import KernelError
from psi_cad.findings import Check, place_of
from psi_cad.frames import Frame
from psi_cad.readback.agreement import OFF_MM, off_on_triangles
from psi_cad.readback.part import Part
from psi_cad.readback.printed import Printed
from psi_cad.units import LIMITS, Mm
from psi_cad.verify.features.feature import Feature, measured, told_of
from psi_cad.verify.held import held

__all__ = ["beyond", "measure_alone"]

LEAST_MM3: Final = 1e-3  # a part smaller than that is none
OWN = Frame(origin=np.zeros(3), axes=np.eye(3))


def measure_alone(
    step: Path | None, stl: Path, features: Sequence[Feature], *, build_volume: tuple[Mm, Mm, Mm] | None, part_name: str = "", frame: Frame = OWN
) -> dict[str, Any]:
    """`features` of one part with what was measured of each, all `checks`, the volume and `status`.

    What nobody prints has no `build_volume`. A mesh has no `step`: then everything is measured on its triangles. `part_name` tells its checks from
    those of other parts. `frame`: that of the features; the files and the places of checks lie in the patient frame, or all in the part's own.

    Raises
    ------
    KernelError
        If the STEP cannot be read, or holds no solid.
    InputError
        If the STL cannot be read.
    """
    part, printed = None if step is None else Part(step, frame), Printed(stl, frame)
    volume, exact = float(printed.mesh.volume), list[Check]()
    closed = [
        held("stl_watertight", float(printed.closed), "", "==", 1.0),
        held("stl_bodies", float(printed.bodies), "", "==", 1.0),
    ]
    if part is None:
        closed.append(held("stl_outward", volume if printed.closed else None, "mm³", ">=", LEAST_MM3, "volume of a mesh whose faces look out"))
    else:
        if part.solid_count == 0:
            raise KernelError(f"'{part.path.name}' holds no solid.")
        volume = part.volume
        if abs(float(printed.mesh.volume) - volume) > LIMITS.stl_volume / 2.0 * volume:
            volume, _ = part.sliced
        exact = [
            held("step_schema_ap242", float("AP242" in part.header), "", "==", 1.0),
            held("step_solids", float(part.solid_count), "", "==", 1.0),
            held("step_valid", float(part.valid), "", "==", 1.0),
        ]
        closed.append(held("stl_volume", abs(float(printed.mesh.volume) - volume) / volume, "", "<=", LIMITS.stl_volume))
        off, off_at = off_on_triangles(*part.places, printed) or (0.0, None)  # a part may have no such face
        closed.append(held("stl_faces", off, "mm", "<=", OFF_MM, where=None if off_at is None else place_of(frame.patient(off_at))))
    room = [] if build_volume is None else [held("printer_room", beyond(printed.mesh, build_volume), "mm", "<=", 0.0)]
    checks = [*exact, *closed, *room]
    promised = measured(tuple(features), part, printed)
    for _, _, found in promised:
        checks += found if frame is OWN else [_placed(check, frame) for check in found]
    if part_name:
        checks = [replace(check, id=_of_part(check.id, part_name)) for check in checks]
    return {
        "features": list(told_of(promised)),
        "volume_mm3": round(volume, 3),
        "checks": [check.to_json() for check in checks],
        "status": "passed" if all(check.passed for check in checks) else "rejected",
    }


def beyond(mesh: trimesh.Trimesh, build_volume: tuple[Mm, Mm, Mm]) -> Mm:
    """How far a part exceeds the printer's room, as it lies or turned to its smallest box."""
    room = np.sort(np.array(build_volume))
    lying = float((np.sort(np.ptp(np.asarray(mesh.bounds), axis=0)) - room).max())
    if lying <= 0.0:
        return lying
    _, turned = trimesh.bounds.oriented_bounds(mesh)
    return min(lying, float((np.sort(turned) - room).max()))


def _placed(check: Check, frame: Frame) -> Check:
    """A check whose place is told in the patient frame."""
    return replace(check, where=None if check.where is None else place_of(frame.patient(np.array(check.where))))


def _of_part(check: str, part: str) -> str:
    """A check's id with the part that it is of.

    >>> _of_part("stl_bodies", "lid"), _of_part("bore[vent]", "lid")
    ('stl_bodies[lid]', 'bore[lid vent]')
    """
    stem, bracket, subject = check.partition("[")
    return f"{stem}[{part} {subject}" if bracket else f"{stem}[{part}]"
