"""What a file is measured against: the plan and the promises of one guide, as written in report.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from psi_cad.errors import InputError
from psi_cad.frames import Frame
from psi_cad.units import Array, Deg, Mm

__all__ = ["Expected", "ExpectedSlot"]


@dataclass(frozen=True)
class ExpectedSlot:
    """One slot: the planned plane (patient mm) and what was promised of it.

    `blade_length`: how much of the blade can go into the slot. `depth`: the deepest bone below the slot, along the blade;
    `deepest`: where that is (patient mm).
    """

    name: str
    origin: tuple[float, float, float]
    normal: tuple[float, float, float]
    thickness: Mm
    clearance: Mm
    compensation: Mm
    height: Mm
    wall: Mm
    chord_low: Mm
    chord_high: Mm
    run_out: Mm
    joined: tuple[str, ...]
    free_low: bool
    free_high: bool
    room: Mm
    bridge: Mm
    blade_length: Mm
    depth: Mm
    deepest: tuple[float, float, float] | None = None

    @property
    def width(self) -> Mm:
        """The slot width that was promised."""
        return self.thickness + self.clearance + self.compensation


@dataclass(frozen=True)
class Expected:
    """One guide as planned; lengths mm, angles degrees, `origin` and `axes` of the guide frame in the patient frame.

    `planes`: every cut of the case (origin, normal; patient). `wires`: (x, y, depth) in the guide frame.
    """

    origin: tuple[float, float, float]
    axes: tuple[tuple[float, float, float], ...]
    slots: tuple[ExpectedSlot, ...]
    planes: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
    outlines: tuple[tuple[tuple[float, float], ...], ...]
    gap: Mm
    wire: Mm
    bore: Mm
    wire_depth: Mm
    wires: tuple[tuple[Mm, Mm, Mm], ...]
    wire_top: Mm
    pins: int
    pin_clearance: Mm
    edge_break: Mm
    build_volume: tuple[float, float, float]
    minimum_wall: Mm
    slope_limit: Deg
    clearance_overridden: bool

    @property
    def frame(self) -> Frame:
        """The guide frame."""
        return Frame(origin=np.array(self.origin), axes=np.array(self.axes))

    def reach(self, slot: ExpectedSlot) -> Mm:
        """How deep below the bone's surface the blade of a slot can come: its length less the guided height and the gap."""
        return slot.blade_length - slot.height - self.gap

    def plane_of(self, slot: ExpectedSlot) -> tuple[Array, Array]:
        """(origin, unit normal) of a slot's planned plane, in the guide frame."""
        frame = self.frame
        normal = frame.local_direction(np.array(slot.normal))
        return frame.local(np.array(slot.origin)), normal / np.linalg.norm(normal)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Expected:
        """From what `to_json` gave, after a trip through a file.

        Raises
        ------
        InputError
            Where something is missing that an earlier version did not write.
        """
        try:
            values = dict(data)
            values["slots"] = tuple(ExpectedSlot(**{**slot, "joined": tuple(slot["joined"])}) for slot in data["slots"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise InputError("report.json: plan: this is not what this version of psi-cad measures against; build again.") from error
