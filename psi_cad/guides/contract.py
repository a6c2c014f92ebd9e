"""What a template is given and what it returns."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from psi_cad.case.model import Blade, Printer
from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import Frame
from psi_cad.guides.params import Parameters, SeatParams
from psi_cad.guides.sharing import Workshop
from psi_cad.guides.site import Site
from psi_cad.units import Array, Mm
from psi_cad.verify.features.bore import Bore
from psi_cad.verify.features.feature import Feature
from psi_cad.verify.features.gap import Gap
from psi_cad.verify.features.web import Web

if TYPE_CHECKING:
    import cadquery as cq
    import trimesh

__all__ = [
    "FREE",
    "SEAT",
    "Bore",
    "Design",
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
    "Template",
    "Web",
    "Wires",
    "Workshop",
]

PART_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
SiteKind: TypeAlias = Literal["seat", "free"]
SEAT: Final = "seat"  # on a seat that is fitted to bone
FREE: Final = "free"  # on nothing


@dataclass(frozen=True)
class Needs:
    """How many cuts and trajectories a guide takes, each (least, most): a template's constant `NEEDS`. One that takes cuts takes a saw blade."""

    cuts: tuple[int, int] = (1, 6)
    trajectories: tuple[int, int] = (0, 0)

    @property
    def blade(self) -> bool:
        """Whether it takes a saw blade."""
        return self.cuts[1] > 0

    def to_json(self) -> dict[str, list[int]]:
        """As `psi-cad templates` tells it."""
        return {"cuts": list(self.cuts), "trajectories": list(self.trajectories)}


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
    the blade's thickness. `bridge`: the least width of a bridge.
    """

    cut: str
    width: Mm
    height: Mm
    wall: Mm
    windows: tuple[tuple[Mm, Mm], ...]
    joined: tuple[str, ...] = ()
    clearance: Mm = field(kw_only=True)
    bridge: Mm = field(kw_only=True)


@dataclass(frozen=True)
class PinFeature:
    """A hole for a wire along the seating axis; `centre` (x, y) in the guide frame, `depth` below the seat, mm."""

    name: str
    centre: tuple[Mm, Mm]
    diameter: Mm
    wire: Mm
    depth: Mm


@dataclass(frozen=True)
class Wires:
    """What all wires of a guide share, mm: how deep one may go below the seat, how high its sleeve stands, how far it keeps from any cut plane."""

    depth: Mm
    top: Mm
    clearance: Mm


@dataclass(frozen=True)
class Label:
    """Engraved lines and the height of their letters (mm).

    `faces`: where they stand, for the picture: a frame (guide frame; z out of the face, y up), the face's width and height, mm.
    `on`: what they stand on: "fence", "tag", or "" where there are none.
    """

    lines: tuple[str, ...]
    letter_height: Mm
    faces: tuple[tuple[Frame, Mm, Mm], ...] = ()
    on: str = ""


@dataclass(frozen=True)
class Design:
    """What a template returns: one solid in the guide frame, its features, and what a reviewer should know.

    `solid` is dropped (None) once it is written to its file. `features`: what else was promised of it, guide frame. `edge_break`: how far outer
    edges are taken down.
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
    wires: Wires = field(kw_only=True)
    edge_break: Mm = field(kw_only=True)


@dataclass(frozen=True)
class FreeSite:
    """What a template without a bone is given: the tools it is about, and what stands on it."""

    blade: Blade
    printer: Printer
    label: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One part of several: a solid, or a mesh where its shape comes from a scan; what was promised of it, in its own frame."""

    name: str  # lower-case letters, digits and '-': its files end with it; "" for the first
    shape: cq.Solid | trimesh.Trimesh
    features: tuple[Feature, ...] = ()
    label: Label = field(default=Label((), 0.0))


@dataclass(frozen=True)
class FreeDesign:
    """What a template without a seat returns: its first or only part, and what was promised of that; `further` parts, each with a name.

    A part without a bone stands on z = 0 as it is to be printed.
    """

    solid: cq.Solid | trimesh.Trimesh
    features: tuple[Feature, ...] = ()
    label: Label = field(default=Label((), 0.0))
    further: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part; the first has no name.

        Raises
        ------
        DesignError
            Where a further part has no name that a file can have, or one that another has.
        """
        names = [part.name for part in self.further]
        for name in names:
            if not PART_NAME.fullmatch(name) or names.count(name) > 1:
                raise DesignError(f"The part '{name}' needs a name of its own, of lower-case letters, digits and '-'; give it one in its template.")
        return (Part("", self.solid, self.features, self.label), *self.further)


@dataclass(frozen=True)
class FreeJob:
    """One part to make: its template, that one's parameters (by name), and the tools it is about."""

    template: str
    params: dict[str, Any]
    blade: Blade
    printer: Printer


class FreeTemplate(Protocol):
    """A module in templates/ with `SITE = "free"`: it needs no bone, no cut and no seat."""

    __doc__: str | None
    Params: type[Parameters]
    SITE: SiteKind

    def build(self, site: FreeSite, params: Any, workshop: Workshop) -> FreeDesign:
        """The part."""
        ...


class Template(Protocol):
    """A module in templates/: a docstring (purpose, datum, limits, source), `Params`, and `build`.

    It may have `NEEDS`, where it takes trajectories instead of cuts: then its `Params` are `SleeveParams`. It may also have
    `lay_out(site, params)`, which makes no solid: it raises what `build` would where there is no room, and returns the cautions known by
    then. `psi-cad check` calls it.
    """

    __doc__: str | None
    Params: type[SeatParams]

    def build(self, site: Site, params: Any, workshop: Workshop) -> Design:
        """The guide for `site`; the `where` of what it raises is in the guide frame, as all that a template knows."""
        ...
