"""`[donor]` of a case: the bone that an allograft is cut from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, model_validator

from psi_cad.case.tables import Apart, bones_in
from psi_cad.case.tools import STRICT, CaseSide, Coordinates, Filed, Name, Triple, Units

__all__ = ["LEAST_LANDMARKS", "Donor", "donor_apart"]

LEAST_LANDMARKS: Final = 3


class Donor(BaseModel):
    """The donor's bone: its `name` at the bone bank, its surface in a frame of its own, and the `side` that it is of.

    `bone`: which of several bones of the patient it replaces. `landmarks`: some of the case's landmarks on the donor's bone, mm in the donor's frame
    (LPS).
    """

    model_config = STRICT

    name: Name
    surface: Annotated[str, Filed()]
    units: Units | None = None
    coordinates: Coordinates
    side: CaseSide
    bone: Name | None = None
    landmarks: dict[str, Triple] = {}

    @model_validator(mode="after")
    def _enough(self) -> Donor:
        if 0 < len(self.landmarks) < LEAST_LANDMARKS:
            raise ValueError(f"names {len(self.landmarks)} landmarks, and {LEAST_LANDMARKS} fix a pose; name more, or none")
        return self


def donor_apart(data: Mapping[str, Any], known: Sequence[str]) -> list[Apart]:
    """What of a donor does not fit the rest of a case file as read: its bone, and its landmarks."""
    donor = data.get("donor")
    if not isinstance(donor, dict):
        return []
    found: list[Apart] = []
    names = [table.get("name") for _, _, table in bones_in(data)]
    if donor.get("bone") is None and len(names) > 1:
        text = f"donor.bone is missing: name the bone that the donor replaces, one of {', '.join(map(str, names))}"
        found.append(("donor.bone", ("donor", "bone"), text))
    elif donor.get("bone") is not None and donor["bone"] not in names:
        there = ", ".join(str(name) for name in names if name) or "without a name"
        found.append(("donor.bone", ("donor", "bone"), f"donor.bone names '{donor['bone']}', but the case's bone is {there}"))
    marks, own = donor.get("landmarks"), data.get("landmarks")
    for name in marks if isinstance(marks, dict) else ():
        key, place = f"donor.landmarks.{name}", ("donor", "landmarks", name)
        if name not in known:
            found.append((key, place, f"donor.landmarks: '{name}' is no known landmark; they are {', '.join(known)}"))
        elif not isinstance(own, dict) or name not in own:
            found.append((key, place, f"donor.landmarks names '{name}', which [landmarks] of the case does not; give both, or neither"))
    return found
