"""What a template is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from psi_cad.findings import Caution
from psi_cad.frames import Frame
from psi_cad.guides.params import GuideParams
from psi_cad.guides.sharing import Workshop
from psi_cad.guides.site import Site
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["Design", "Label", "PinFeature", "SlotFeature", "Template", "Workshop"]


@dataclass(frozen=True)
class SlotFeature:
    """What a slot was designed as, to be found again in the exported file. Guide frame, mm.

    `windows`: (low, high) along the slot from the cut's origin; more than one where a bridge crosses.
    """

    cut: str
    width: Mm
    height: Mm
    wall: Mm
    windows: tuple[tuple[Mm, Mm], ...]
    joined: tuple[str, ...] = ()


@dataclass(frozen=True)
class PinFeature:
    """A hole for a wire along the seating axis; `centre` (x, y) in the guide frame, `depth` below the seat, mm."""

    name: str
    centre: tuple[Mm, Mm]
    diameter: Mm
    wire: Mm
    depth: Mm


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

    `solid` is dropped (None) once it is written to its file.
    """

    solid: cq.Solid | None
    slots: tuple[SlotFeature, ...]
    pins: tuple[PinFeature, ...]
    label: Label
    outlines: tuple[Array, ...] = ()
    notes: tuple[str, ...] = ()
    cautions: tuple[Caution, ...] = ()
    overrides: tuple[str, ...] = field(default=())


class Template(Protocol):
    """A module in templates/: a docstring (purpose, datum, limits, source), `Params`, and `build`.

    It may also have `lay_out(site, params)`, which makes no solid: it raises what `build` would where there is no room, and
    returns the cautions known by then. `psi-cad check` calls it.
    """

    __doc__: str | None
    Params: type[GuideParams]

    def build(self, site: Site, params: Any, workshop: Workshop) -> Design:
        """The guide for `site`; the `where` of what it raises is in the guide frame, as all that a template knows."""
        ...
