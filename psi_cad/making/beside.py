"""Parts that a template delivers beside its guide: their files, what is measured of them, and what the guide's entry says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import trimesh

from psi_cad.export.parts import Written, rejected, write_parts
from psi_cad.frames import Frame
from psi_cad.making.placing import in_patient
from psi_cad.making.told import SOFTWARE, measured_part, told_of_part
from psi_cad.parts.contract import Part, named_apart
from psi_cad.records.guide import MeasuredFiles
from psi_cad.records.parts import MadePart
from psi_cad.records.shared import CheckSaid
from psi_cad.report.part_picture import picture_of_part
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["Beside", "kept_beside", "parts_beside", "with_beside"]


@dataclass(frozen=True)
class Beside:
    """One such part as written: what was promised of it, its files and triangles (patient frame), and what was measured of them."""

    part: Part
    written: Written
    measured: dict[str, Any]
    label: tuple[Array, Array] | None = None  # the way out of the face with its letters, and what is up on it, patient frame

    @property
    def stem(self) -> str:
        """Its file name without the ending."""
        return Path(self.written.files["stl"]).stem


def parts_beside(
    further: tuple[Part, ...], frame: Frame, folder: Path, *, stem: str, case: str, metadata: Mapping[str, str], build_volume: tuple[Mm, Mm, Mm]
) -> tuple[Beside, ...]:
    """Write each part, given in the guide `frame`, as `stem`-NAME.step, .stl and .3mf (a mesh without STEP), and measure it.

    Raises
    ------
    DesignError
        Where a part has no name of its own.
    KernelError
        If a file cannot be made, or not be read back.
    """
    found = []
    for part in named_apart(further):
        own = f"{stem}-{part.name}"
        shape, up = [("", _in_patient(part.shape, frame))], None if part.up is None else frame.patient_direction(np.array(part.up))
        ups = [up] if part.printed else None
        (written,) = write_parts(folder, own, shape, title=f"{case} {own}", software=SOFTWARE, metadata=metadata, units="mm SPACE=LPS", ups=ups)
        measured = measured_part(part, written, folder, build_volume=build_volume, part_name=part.name, frame=frame)
        face = next((frame.patient_direction(face.axes) for face, _, _ in part.label.faces), None)
        found.append(Beside(replace(part, shape=written.mesh), written, measured, None if face is None else (face[2], face[1])))
    return tuple(found)


def _in_patient(shape: cq.Solid | trimesh.Trimesh, frame: Frame) -> cq.Solid | trimesh.Trimesh:
    if isinstance(shape, trimesh.Trimesh):
        return trimesh.Trimesh(frame.patient(np.asarray(shape.vertices)), shape.faces, process=False)
    return in_patient(shape, frame)


def with_beside(measured: MeasuredFiles, beside: Sequence[Beside]) -> MeasuredFiles:
    """What was measured of a guide together with the parts beside it: where one fails, all fail."""
    checks = [*measured.checks, *(CheckSaid.model_validate(check) for one in beside for check in one.measured["checks"])]
    passed = measured.status == "passed" and all(one.measured["status"] == "passed" for one in beside)
    return measured.but(checks=checks, status="passed" if passed else "rejected")


def kept_beside(beside: Sequence[Beside], folder: Path, *, passed: bool, pictured: str = "") -> tuple[dict[str, str], list[MadePart]]:
    """The files of the parts as a report calls them, and what it says of each part; of a guide that failed only files whose names say so.

    `pictured`: the title of the guide, where a picture of each part that is printed is to be drawn, in the patient frame.
    """
    files, told = dict[str, str](), list[MadePart]()
    for one in beside:
        own = {**one.written.files, "3mf": f"{one.stem}.3mf"} if passed else rejected(folder, one.stem, [one.written])
        if passed and pictured and one.part.printed:
            own["png"] = f"{one.stem}.png"
            said = f", label: {' / '.join(one.part.label.lines)}" if one.part.label.lines else ""
            shown, title = [(one.written.mesh, one.part.colour)], f"{one.part.name} of {pictured}{said}"
            picture_of_part(folder / own["png"], shown, title=title, in_patient=True, label=one.label)
        files |= {f"{kind}-{one.part.name}": name for kind, name in own.items()}
        told.append(told_of_part(one.part, one.written, one.measured, [name for kind, name in own.items() if kind not in ("3mf", "png")]))
    return files, told
