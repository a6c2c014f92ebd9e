"""Structures a cut must keep from: vessels, nerves, the roof of the acetabulum; how near the faces and the blade come."""

from __future__ import annotations

from dataclasses import dataclass

from psi_cad.resection.depth import SlotDepth, beyond
from psi_cad.resection.sides import sawn_distance
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.scene.nearest import Nearest, Surface, nearest
from psi_cad.units import Mm

__all__ = ["Structure", "face_distance", "over_travel_distance"]


@dataclass(frozen=True)
class Structure:
    """A structure to avoid: its surface (patient mm) and the `distance` (mm) that cuts keep from it."""

    name: str
    surface: Surface
    distance: Mm


def face_distance(cut: PlannedCut, structure: Structure, *, run_out: Mm, kerf: Kerf | None = None, face: PlannedCut | None = None) -> Nearest:
    """How near the saw comes to a structure where it cuts: the section of bone and the run-out round it, over the width of the kerf.

    `kerf`, `face`: what the saw removes, and the cut as the face it leaves on the specimen; without them the saw is taken as a plane.
    """
    return sawn_distance(cut, structure.surface, run_out=run_out, kerf=kerf or Kerf(), face=face or cut)


def over_travel_distance(cut: PlannedCut, profile: SlotDepth, structure: Structure, *, reach: Mm, run_out: Mm) -> Nearest | None:
    """How near a blade that is pushed to its full length comes to a structure where it leaves bone; None where it stays in bone."""
    region = beyond(cut, profile, reach=reach, run_out=run_out)
    return None if region is None else nearest(structure.surface, region)
