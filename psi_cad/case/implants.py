"""Implants of the catalogue: a stem for the bone that stays, with the cup that it carries."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints, field_validator

from psi_cad.case.tools import STRICT, EntryId
from psi_cad.units import Deg, Mm

__all__ = ["Implant"]


class Implant(BaseModel):
    """A stem and its cup; lengths in mm, `cup_angle` in degrees.

    `stem_length` counts from the sawn face to the stem's tip. The cup's centre lies `cup_offset` before the sawn face on the stem's axis, and its own
    axis leans `cup_angle` from that. `teeth`: in how many positions a cup with saw-teeth can be put on its stem; 0: in any.
    """

    model_config = STRICT

    id: EntryId
    stem_diameter: Annotated[Mm, Field(ge=4.0, le=20.0)]
    stem_length: Annotated[Mm, Field(ge=10.0, le=150.0)]
    cup_diameter: Annotated[Mm, Field(ge=30.0, le=90.0)]
    cup_offset: Annotated[Mm, Field(ge=0.0, le=100.0)]
    cup_angle: Annotated[Deg, Field(ge=0.0, le=75.0)]
    teeth: Annotated[int, Field(ge=0, le=120)] = 0
    nominal: bool = True
    reference: Annotated[str, StringConstraints(min_length=3)]

    @field_validator("teeth")
    @classmethod
    def _more_than_one(cls, teeth: int) -> int:
        if teeth == 1:
            raise ValueError("is 1, which is no choice of positions; give their number, or 0 where the cup can be turned freely")
        return teeth
