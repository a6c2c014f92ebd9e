"""Units of every number in the program, and the tolerances that have a name and a reason."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["LIMITS", "MM_PER_UNIT", "Array", "Bools", "Deg", "Ints", "Limits", "Mm"]

Mm: TypeAlias = float
"""A length in millimetres."""
Deg: TypeAlias = float
"""An angle in degrees; radians exist only inside a kernel or numpy call."""
Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

MM_PER_UNIT: Final[dict[str, float]] = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}


class Limits:
    """The release limits: what is measured from an exported file is held against these.

    They are the product's promises, so they stand in one place; none is a user setting.
    """

    slot_width: Final[Mm] = 0.005  # exact planes survive STEP to about 1e-7 mm; this leaves room for other readers
    plane_angle: Final[Deg] = 0.01
    plane_offset: Final[Mm] = 0.005
    wall: Final[Mm] = 1.99  # 2 mm walls, less what a measuring ray loses
    height_loss: Final[Mm] = 0.05  # guided height may fall short of the asked one by this
    overlap: Final[Mm] = 0.05  # guide into bone; half an FDM layer is 0.09
    seat_rms: Final[Mm] = 0.05
    seat_max: Final[Mm] = 0.25
    stl_volume: Final[float] = 0.005  # of the STEP volume
    pin_lever: Final[Mm] = 2.0  # least height of the triangle three pins make: below it they act as a line
    contact_area: Final[float] = 80.0  # mm²; below this a guide rocks on a fingertip of bone
    sliding_lock: Final[float] = 0.12  # see planning/sliding.py: shafts have up to 0.06, hips 0.10 to 0.20
    stl_chord: Final[Mm] = 0.02  # absolute deviation of a triangle from its face
    stl_angle: Final[Deg] = 20.0


LIMITS: Final = Limits()
