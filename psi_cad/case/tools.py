"""Catalogue entries as strict, frozen models, and the kinds of value that they and the case file are made of; lengths in mm."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from psi_cad.units import Deg, Mm

__all__ = [
    "STRICT",
    "Blade",
    "CaseSide",
    "Coordinates",
    "CutName",
    "Direction",
    "EntryId",
    "File",
    "Filed",
    "Finite",
    "KerfSide",
    "Name",
    "Positive",
    "Printer",
    "Tool",
    "Triple",
    "Units",
]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")]
CutName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,18}[A-Za-z0-9])?$")]
EntryId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?$")]
Units = Literal["mm", "cm", "m", "in"]
Coordinates = Literal["LPS", "RAS"]
KerfSide = Literal["centre", "specimen", "retained"]
CaseSide = Literal["left", "right", "midline"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Triple = Annotated[tuple[Finite, Finite, Finite], Field(strict=False)]


def _has_direction(value: tuple[float, float, float]) -> tuple[float, float, float]:
    if float(np.linalg.norm(value)) < 1e-6:
        raise ValueError("must not be of zero length")
    return value


Direction = Annotated[Triple, AfterValidator(_has_direction)]


class Filed:
    """Marks a key that names a file or folder, as seen from the case file."""


File = Annotated[str | None, Filed()]


STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)
"""A key that a table does not know is a mistake, and nothing changes it once it is read."""


class _Strict(BaseModel):
    model_config = STRICT


class Blade(_Strict):
    """A saw blade: `thickness`, `cutting_width`, `usable_length`, `kerf` in mm, oscillation to each side in degrees."""

    id: EntryId
    thickness: Annotated[Mm, Field(ge=0.2, le=3.0)]
    cutting_width: Annotated[Mm, Field(ge=3.0, le=60.0)]
    usable_length: Annotated[Mm, Field(ge=10.0, le=250.0)]
    oscillation_half_angle: Annotated[Deg, Field(ge=0.0, le=15.0)] = 5.0
    kerf: Annotated[Mm, Field(gt=0.0, le=6.0)] | None = None
    nominal: bool = True
    reference: Annotated[str, StringConstraints(min_length=3)]

    @field_validator("kerf")
    @classmethod
    def _cuts_its_way(cls, kerf: Mm | None, known: ValidationInfo) -> Mm | None:
        if kerf is not None and kerf < known.data.get("thickness", 0.0):
            raise ValueError(f"is {kerf:g} mm, less than the blade's thickness of {known.data['thickness']:g}; measure the width of a test cut")
        return kerf

    @property
    def room(self) -> Mm:
        """Slot length the swinging blade needs: its width and the sweep of its end, entering from the slot's top.

        The blade turns about the saw's head, about its usable length behind the teeth, so they swing
        usable_length · sin(half angle) to each side.
        """
        return self.cutting_width + 2.0 * self.usable_length * float(np.sin(np.radians(self.oscillation_half_angle)))


class Tool(_Strict):
    """What a sleeve guides: a drill, a wire or a reamer; `diameter` and `usable_length` (as much as can stick out of its chuck) in mm."""

    id: EntryId
    kind: Literal["drill", "wire", "reamer"]
    diameter: Annotated[Mm, Field(ge=0.6, le=20.0)]
    usable_length: Annotated[Mm, Field(ge=10.0, le=500.0)]
    nominal: bool = True
    reference: Annotated[str, StringConstraints(min_length=3)]


Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Processing(_Strict):
    """How a hospital processes what comes from a printer, in its own words; what it has not entered stays open on the sheet."""

    orientation: Words | None = None
    post_processing: Words | None = None
    washing: Words | None = None
    packing: Words | None = None
    sterilisation: Words | None = None


class Printer(_Strict):
    """A printing process: sizes in mm; compensations are added to slot widths and hole diameters.

    A spread is one standard deviation of what a compensation makes up for, as it was measured; 0 where it was not.
    """

    id: EntryId
    process: str
    material: str
    build_volume: Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]
    layer: Positive
    tolerance: Positive
    minimum_wall: Positive
    slot_compensation: Annotated[Mm, Field(ge=-0.5, le=0.5)] = 0.0
    hole_compensation: Annotated[Mm, Field(ge=-0.5, le=0.5)] = 0.0
    slot_spread: Annotated[Mm, Field(ge=0.0, le=0.5)] = 0.0
    hole_spread: Annotated[Mm, Field(ge=0.0, le=0.5)] = 0.0
    calibrated: bool = False
    processing: Processing | None = None
    reference: Annotated[str, StringConstraints(min_length=3)]
