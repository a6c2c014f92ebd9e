"""Metal sleeves of a user's own catalogue that are pressed into a guide's slots; none comes with psi-cad."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from psi_cad.case.tools import STRICT, EntryId
from psi_cad.units import Mm

__all__ = ["SlotSleeve"]


class SlotSleeve(BaseModel):
    """A metal sleeve with a slot for a blade, mm: outer `length` along the slot, `width` across it, and `height` along the blade.

    `corner`: radius of its upright edges, from 0 to half its width. `slot_length` and `slot_width`: of the slot, amid it and through all its height.
    """

    model_config = STRICT

    id: EntryId
    length: Annotated[Mm, Field(ge=8.0, le=200.0)]
    width: Annotated[Mm, Field(ge=2.0, le=12.0)]
    height: Annotated[Mm, Field(ge=3.0, le=40.0)]
    corner: Annotated[Mm, Field(ge=0.0, le=6.0)] = 0.0
    slot_length: Annotated[Mm, Field(ge=3.0, le=198.0)]
    slot_width: Annotated[Mm, Field(ge=0.2, le=4.0)]
    nominal: bool = True
    reference: Annotated[str, StringConstraints(min_length=3)]

    @field_validator("corner")
    @classmethod
    def _fits_its_width(cls, corner: Mm, known: ValidationInfo) -> Mm:
        if corner > known.data.get("width", 12.0) / 2.0:
            raise ValueError(f"is {corner:g} mm, more than half the sleeve's width of {known.data['width']:g}; measure the radius of its edges")
        return corner

    @field_validator("slot_length", "slot_width")
    @classmethod
    def _inside(cls, size: Mm, known: ValidationInfo) -> Mm:
        outer = "length" if known.field_name == "slot_length" else "width"
        if size >= known.data.get(outer, 1e9):
            raise ValueError(f"is {size:g} mm, not less than the sleeve's own {outer} of {known.data[outer]:g}; measure both")
        return size
