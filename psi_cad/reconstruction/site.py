"""What a template for a stem is given besides its site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psi_cad.case.implants import Implant
from psi_cad.reconstruction.cup import CupPose
from psi_cad.units import Array, Deg, Mm

__all__ = ["StemFeature", "StemSite"]


@dataclass(frozen=True)
class StemSite:
    """The cup on the stem of each trajectory, by its name, and where the bone was sawn (a point, the normal out of it); patient frame."""

    cups: Mapping[str, CupPose]
    sawn: tuple[tuple[Array, Array], ...]


@dataclass(frozen=True)
class StemFeature:
    """What a stem was designed as: the least `wall` of bone round its hole, and its cup as wanted and as it will lie (patient frame); mm, degrees.

    `tolerance`: how far the cup's axis may lie from that of the wanted angles. `trial`: the name of the part that shows the cup's place; "": none.
    """

    trajectory: str
    implant: Implant
    wall: Mm
    cup: CupPose
    inclination: Deg
    anteversion: Deg
    tolerance: Deg
    trial: str = ""
