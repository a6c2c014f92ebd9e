"""Parts without a seat as they are delivered: files, what is measured of them, a picture, and what the report says of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from psi_cad.errors import BuildError
from psi_cad.export.parts import rejected, write_parts
from psi_cad.files import sha256_of
from psi_cad.making.told import SOFTWARE, measured_part, told_of_part
from psi_cad.parts.contract import Part
from psi_cad.records.parts import MadePart
from psi_cad.records.shared import CheckSaid
from psi_cad.report.part_picture import picture_of_part
from psi_cad.units import Mm

__all__ = ["PICTURE_STEP", "Delivered", "delivered"]

PICTURE_STEP: Final = "draw the picture"


@dataclass(frozen=True)
class Delivered:
    """What became of parts: of each what was measured and what a report says, the files as a report calls them, and whether every check passed."""

    measured: tuple[dict[str, Any], ...]
    parts: list[MadePart]
    files: dict[str, str]
    passed: bool

    @property
    def checks(self) -> list[CheckSaid]:
        """Those of every part."""
        return [CheckSaid.model_validate(check) for one in self.measured for check in one["checks"]]

    @property
    def status(self) -> Literal["passed", "rejected"]:
        """As a report says it."""
        return "passed" if self.passed else "rejected"

    def hashes(self, folder: Path) -> dict[str, str]:
        """The SHA-256 of every file, by name."""
        return {name: sha256_of(folder / name) for name in self.files.values()}


def delivered(
    parts: Sequence[Part],
    folder: Path,
    *,
    stem: str,
    title: str,
    caption: str,
    metadata: Mapping[str, str],
    build_volume: tuple[Mm, Mm, Mm],
    told: Callable[[str], None],
    in_patient: bool = False,
) -> Delivered:
    """Write `parts` as `stem`.*, measure the files, and draw the picture (`caption` over it) where all passed; else only `…_REJECTED` files are left.

    `in_patient`: they lie in the patient frame, not as printed.

    Raises
    ------
    KernelError
        If a file cannot be made, or not be read back.
    BuildError
        If the picture cannot be drawn.
    """
    told("write the files")
    units = "mm SPACE=LPS" if in_patient else "mm"
    shapes = [(part.name, part.shape) for part in parts]
    colours, ups = [part.colour for part in parts], [None if part.up is None else np.array(part.up) for part in parts]
    written = write_parts(
        folder, stem, shapes, title=title, software=SOFTWARE, metadata=metadata, units=units, colours=colours, ups=ups if in_patient else None
    )
    told("measure the files")
    measured = tuple(
        measured_part(part, one, folder, build_volume=build_volume, part_name=part.name) for part, one in zip(parts, written, strict=True)
    )
    passed = all(one["status"] == "passed" for one in measured)
    if passed:
        told(PICTURE_STEP)
        shown = [(one.mesh, part.colour) for part, one in zip(parts, written, strict=True)]
        picture_of_part(folder / f"{stem}.png", shown, title=caption, in_patient=in_patient)
        if not (folder / f"{stem}.png").is_file():
            raise BuildError(f"The picture '{stem}.png' could not be drawn; off-screen OpenGL is missing or broken.")
        files = {one.key(kind): name for one in written for kind, name in one.files.items()}
        files |= {kind: f"{stem}.{kind}" for kind in ("3mf", "png")}
    else:
        files = rejected(folder, stem, written)
    said = []
    for part, one, found in zip(parts, written, measured, strict=True):
        own = [files[key] for key in (one.key("step"), one.key("stl")) if key in files]
        said.append(told_of_part(part, one, found, own))
    return Delivered(measured, said, files, passed)
