"""A guide that stands on one side of its cuts only: how far it reaches past the far walls of its slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import rounded, unit
from psi_cad.options.in_cut import SIDES
from psi_cad.units import Array, Mm
from psi_cad.verify.features.feature import Triple, place
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.readback.faces import Faces
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed

__all__ = ["Standing", "checks", "find", "measure", "said"]

SLACK_MM: Final[Mm] = 0.05


@dataclass(frozen=True)
class Standing:
    """On which side of its cuts a guide stands: 1 where the specimen is, -1 where bone stays; guide frame, mm.

    `planes`: of the cuts, where their blades run (origin, normal towards the specimen). `past`: how far the guide may go past them.
    """

    name: str
    side: int
    planes: tuple[tuple[float, ...], ...]
    past: Mm


def past(standing: Standing, points: Array) -> Array:
    """How far (n,) points lie past the cuts, on the side that the guide does not stand on; the piece lies on the specimen's side of every plane."""
    off = np.array([(points - np.array(row[:3])) @ unit(np.array(row[3:])) for row in standing.planes])
    return np.asarray((-off).max(axis=0) if standing.side > 0 else off.min(axis=0))


def find(standing: Standing, faces: Faces) -> list[tuple[Any]]:
    """None: it is about where there is nothing."""
    del standing, faces
    return []


def measure(standing: Standing, part: Part | None, printed: Printed) -> dict[str, Any]:
    """The farthest corner of the STL past the cuts."""
    del part
    corners = np.asarray(printed.mesh.vertices)
    far = past(standing, corners)
    most = int(np.argmax(far))
    return {"past_mm": float(far[most]), "past_at": rounded(corners[most])}


def checks(standing: Standing, values: dict[str, Any]) -> list[Check]:
    """Whether nothing but the far walls of the slots lies past the cuts."""
    first: Triple = (standing.planes[0][0], standing.planes[0][1], standing.planes[0][2])
    where = place(values.get("past_at") or first)
    note = f"past the cuts; it is to stand on {SIDES[standing.side]} only, and the far walls of its slots are so wide"
    return [held("standing_past", values.get("past_mm"), "mm", "<=", standing.past + SLACK_MM, note, where=where)]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    return [f"it stands on {SIDES[int(found[0]['side'])]} only"]
