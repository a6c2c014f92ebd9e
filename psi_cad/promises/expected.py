"""What a file is measured against: the plan and the promises of one guide, as written in report.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from psi_cad.case.model import KerfSide
from psi_cad.errors import InputError
from psi_cad.frames import Frame
from psi_cad.units import Array, Deg, Mm

__all__ = ["Expected", "ExpectedAvoid", "ExpectedBore", "ExpectedSlot"]


@dataclass(frozen=True)
class ExpectedSlot:
    """One slot: the planned plane (patient mm) and what was promised of it.

    `blade_length`: how much of the blade can go into the slot. `depth`: the deepest bone below the slot, along the blade.
    `far`: lines across the cut, (s along the slot, far side of the bone along the blade) from the origin; `blade_width`: of the blade.
    `kerf`: how wide the blade cuts. `shift`: how far the slot's middle is to lie from the planned plane, along its normal, so that
    the kerf lies on the side of the plane that the case says. `opens`: ends (-1 low, 1 high) that are open, and how far along the slot
    it guides there. `ledge`: 0, or the side of the one wall that there is instead of a slot's two: 1 where the specimen is, -1 where bone stays.
    `lined`: the metal sleeve whose slot guides the blade; what was printed then only holds the sleeve.
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
    blade_width: Mm
    far: tuple[tuple[Mm, Mm], ...]
    kerf: Mm | None = None
    shift: Mm = 0.0
    stops: tuple[int, ...] = ()
    opens: tuple[tuple[int, Mm], ...] = ()
    ledge: int = 0
    lined: str = ""

    @property
    def printed(self) -> bool:
        """Whether a slot of the print guides the blade, and is measured as one."""
        return not self.ledge and not self.lined

    @property
    def kerf_side(self) -> KerfSide:
        """On which side of the planned plane the kerf lies."""
        return "centre" if self.shift == 0.0 else "specimen" if self.shift > 0.0 else "retained"

    @property
    def width(self) -> Mm:
        """The slot width that was promised; of a ledge, twice what its face lies from the middle of the blade that lies on it."""
        return self.thickness + (0.0 if self.ledge else self.clearance) + (0.0 if self.lined else self.compensation)


@dataclass(frozen=True)
class ExpectedBore:
    """One sleeve: the planned trajectory (entry at the bone, unit direction out of it; patient mm), its tool, and what was promised.

    `tool_length`: how much of the tool can stick out of its chuck. `guided`: least length of bore that is whole all round. `stop`: from the
    sleeve's stop face to the planned tip, which lies `depth` below the entry.
    """

    name: str
    entry: tuple[float, float, float]
    out: tuple[float, float, float]
    depth: Mm
    tool: str
    tool_diameter: Mm
    tool_length: Mm
    clearance: Mm
    compensation: Mm
    wall: Mm
    guided: Mm
    stop: Mm

    @property
    def diameter(self) -> Mm:
        """The bore's diameter that was promised."""
        return self.tool_diameter + self.clearance + self.compensation


@dataclass(frozen=True)
class ExpectedAvoid:
    """A structure that tools keep `distance` mm from: its surface (STL, patient mm) in a file beside the guide's, and that file's hash."""

    name: str
    distance: Mm
    file: str
    sha256: str


@dataclass(frozen=True)
class Expected:
    """One guide as planned; lengths mm, angles degrees, `origin` and `axes` of the guide frame in the patient frame.

    `planes`: every cut of the case where its blade runs (origin, normal; patient). `wires`: (x, y, depth) in the guide frame.
    `voids`: where the footplates within `outlines` span bone that falls away, and do not rest. `bores`: of a guide with sleeves, whose tools keep
    `tool_clearance` from each other and from wires, and clear of what is to `avoid`. `features`: what else the template promised (see
    `verify.features.feature.told`), guide frame.
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
    allow_sliding: bool
    voids: tuple[tuple[tuple[float, float], ...], ...] = ()
    bores: tuple[ExpectedBore, ...] = ()
    avoid: tuple[ExpectedAvoid, ...] = ()
    tool_clearance: Mm = 0.0
    features: tuple[dict[str, Any], ...] = ()

    @property
    def frame(self) -> Frame:
        """The guide frame."""
        return Frame(origin=np.array(self.origin), axes=np.array(self.axes))

    @property
    def relieved(self) -> list[Any]:
        """Where footplates are to keep further off the bone than the seat does: polygons, each as its outline and its holes (guide xy)."""
        return [rings for one in self.features if one["kind"] == "relief" for rings in one["zones"]]

    def plane_of(self, slot: ExpectedSlot) -> tuple[Array, Array]:
        """(origin, unit normal) of the plane in which the blade of a slot runs, in the guide frame."""
        frame = self.frame
        normal = frame.local_direction(np.array(slot.normal))
        origin = np.array(slot.origin)
        if slot.shift:
            origin = origin + slot.shift * np.array(slot.normal)
        return frame.local(origin), normal / np.linalg.norm(normal)

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is about sleeves, or about other features, only where there are some."""
        said = asdict(self)
        for key in (
            *(() if self.bores else ("bores", "tool_clearance")),
            *(() if self.bores or self.avoid else ("avoid",)),
            *(() if self.features else ("features",)),
        ):
            del said[key]
        for slot in said["slots"]:
            for key in ("stops", "opens", "ledge", "lined"):
                if not slot[key]:
                    del slot[key]
        return said

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
            values["slots"] = tuple(
                ExpectedSlot(
                    **{
                        **slot,
                        "joined": tuple(slot["joined"]),
                        "far": tuple((s, far) for s, far in slot["far"]),
                        "stops": tuple(slot.get("stops", ())),
                        "opens": tuple((int(end), float(s)) for end, s in slot.get("opens", ())),
                    }
                )
                for slot in data["slots"]
            )
            values["bores"] = tuple(ExpectedBore(**{**one, "entry": tuple(one["entry"]), "out": tuple(one["out"])}) for one in data.get("bores", ()))
            values["avoid"] = tuple(ExpectedAvoid(**one) for one in data.get("avoid", ()))
            values["features"] = tuple(dict(one) for one in data.get("features", ()))
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise InputError("report.json: plan: this is not what this version of psi-cad measures against; build again.") from error
