"""What a template is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from psi_cad.findings import Caution
from psi_cad.guides.params import Parameters, SeatParams
from psi_cad.guides.site import Site
from psi_cad.parts.contract import BodySite, FreeDesign, FreeJob, FreeSite, Label, Part
from psi_cad.reconstruction.site import StemFeature, StemSite
from psi_cad.siting.pins import UP
from psi_cad.stages.workshop import Workshop
from psi_cad.units import Array, Mm
from psi_cad.verify.features.bore import Bore
from psi_cad.verify.features.feature import Feature, Triple
from psi_cad.verify.features.flat import Flat
from psi_cad.verify.features.gap import Gap
from psi_cad.verify.features.web import Web

if TYPE_CHECKING:
    import cadquery as cq

__all__ = [
    "BODY",
    "FREE",
    "SEAT",
    "BodySite",
    "BodyTemplate",
    "Bore",
    "Design",
    "Feature",
    "Flat",
    "FreeDesign",
    "FreeJob",
    "FreeSite",
    "FreeTemplate",
    "Gap",
    "Label",
    "Needs",
    "Part",
    "PinFeature",
    "SiteKind",
    "SleeveFeature",
    "SlotFeature",
    "StemFeature",
    "StemSite",
    "Template",
    "Web",
    "Wires",
    "Workshop",
]

SiteKind: TypeAlias = Literal["seat", "body", "free"]
SEAT: Final = "seat"  # on a seat that is fitted to bone
BODY: Final = "body"  # about a bone as a whole, without a seat
FREE: Final = "free"  # on nothing


@dataclass(frozen=True)
class Needs:
    """How many cuts and trajectories a guide takes, each (least, most): a template's constant `NEEDS`. One that takes cuts takes a saw blade.

    `donor`: it sits on the donor's bone of the case, and its site has a `graft`.
    `stem`: it sits on the bone that the cuts leave, its trajectories carry implants, and its site has `stems`.
    `holes`: its wires may be given by the holes of a plate, and its site has them.
    `slot_sleeve`: its slots may take a metal sleeve, and its site has that.
    """

    cuts: tuple[int, int] = (1, 6)
    trajectories: tuple[int, int] = (0, 0)
    donor: bool = False
    stem: bool = False
    holes: bool = False
    slot_sleeve: bool = False

    @property
    def blade(self) -> bool:
        """Whether it takes a saw blade."""
        return self.cuts[1] > 0

    def to_json(self) -> dict[str, Any]:
        """As `psi-cad templates` tells it."""
        return {
            "cuts": list(self.cuts),
            "trajectories": list(self.trajectories),
            **({"donor": True} if self.donor else {}),
            **({"stem": True} if self.stem else {}),
            **({"holes": True} if self.holes else {}),
            **({"slot_sleeve": True} if self.slot_sleeve else {}),
        }


@dataclass(frozen=True)
class SleeveFeature:
    """What a sleeve was designed as. Guide frame, mm.

    `low`, `high`: the stretch along its axis, above the entry, over which the tool is guided; `high` is the stop face. `stop`: from that
    face to the planned tip.
    """

    trajectory: str
    diameter: Mm
    wall: Mm
    guided: Mm
    low: Mm
    high: Mm
    stop: Mm


@dataclass(frozen=True)
class SlotFeature:
    """What a slot was designed as, to be found again in the exported file. Guide frame, mm.

    `windows`: (low, high) along the slot from the cut's origin; more than one where a bridge crosses. `clearance`: what of the width was added to
    the blade's thickness. `bridge`: the least width of a bridge. `opens`: ends (-1 low, 1 high) that are open, and how far along the slot it guides.
    `ledge`: 0, or the side of the one wall that there is: 1 where the specimen is, -1 where bone stays; what a slot would have on the other is open.
    `lined`: the metal sleeve that guides the blade, and not the slot itself, by its id, what its pocket is larger by, and the least
    wall at its ends; it lies amid `windows`.
    """

    cut: str
    width: Mm
    height: Mm
    wall: Mm
    windows: tuple[tuple[Mm, Mm], ...]
    joined: tuple[str, ...] = ()
    opens: tuple[tuple[int, Mm], ...] = ()
    ledge: int = 0
    lined: tuple[str, Mm, Mm] | None = None
    clearance: Mm = field(kw_only=True)
    bridge: Mm = field(kw_only=True)


@dataclass(frozen=True)
class PinFeature:
    """A hole for a wire: where its axis meets the seat (`centre`, x and y in the guide frame), its `depth` along it below the seat, mm.

    `out`: its direction out of the bone, along the seating axis unless it leans.
    """

    name: str
    centre: tuple[Mm, Mm]
    diameter: Mm
    wire: Mm
    depth: Mm
    out: Triple = UP


@dataclass(frozen=True)
class Wires:
    """What all wires of a guide share, mm: how deep one may go below the seat, how high its sleeve stands, how far it keeps from any cut plane.

    `metal`: how much of its sleeve, from the top, is a metal one, whose play nobody knows.
    """

    depth: Mm
    top: Mm
    clearance: Mm
    metal: Mm = 0.0


@dataclass(frozen=True)
class Design:
    """What a template returns: one solid in the guide frame, its features, and what a reviewer should know.

    `solid` is dropped (None) once it is written to its file. `features`: what else was promised of it, guide frame. `edge_break`: how far outer
    edges are taken down. `further`: parts that are delivered beside the guide, each with a name, in the guide frame. `stems`: one for each implant.
    """

    solid: cq.Solid | None
    slots: tuple[SlotFeature, ...]
    pins: tuple[PinFeature, ...]
    label: Label
    outlines: tuple[Array, ...] = ()
    notes: tuple[str, ...] = ()
    cautions: tuple[Caution, ...] = ()
    overrides: tuple[str, ...] = field(default=())
    sleeves: tuple[SleeveFeature, ...] = ()
    features: tuple[Feature, ...] = ()
    further: tuple[Part, ...] = ()
    stems: tuple[StemFeature, ...] = ()
    wires: Wires = field(kw_only=True)
    edge_break: Mm = field(kw_only=True)


class FreeTemplate(Protocol):
    """A module in templates/ with `SITE = "free"`: it needs no bone, no cut and no seat."""

    __doc__: str | None
    Params: type[Parameters]
    SITE: SiteKind

    def build(self, site: FreeSite, params: Any, workshop: Workshop) -> FreeDesign:
        """The part."""
        ...


class BodyTemplate(Protocol):
    """A module in templates/ with `SITE = "body"`: it is about a bone as a whole, and sits nowhere.

    With `CUTS = True` it is made of planned cuts, and refused on a bone that has none.
    """

    __doc__: str | None
    Params: type[Parameters]
    SITE: SiteKind

    def build(self, site: BodySite, params: Any, workshop: Workshop) -> FreeDesign:
        """The part or parts, in the patient frame."""
        ...


class Template(Protocol):
    """A module in templates/: a docstring (purpose, datum, limits, source), `Params`, and `build`.

    It may have `NEEDS`, where it takes trajectories instead of cuts: then its `Params` are `SleeveParams`. It may also have
    `lay_out(site, params)` or `lay_out(site, params, workshop)`, which makes no solid: it raises what `build` would where there is
    no room, and returns the cautions known by then. `psi-cad check` calls it.
    """

    __doc__: str | None
    Params: type[SeatParams]

    def build(self, site: Site, params: Any, workshop: Workshop) -> Design:
        """The guide for `site`; the `where` of what it raises is in the guide frame, as all that a template knows."""
        ...
