"""The anterior pelvic plane, and the angles of a cup to it.

Inclination and anteversion are radiographic (Murray, J Bone Joint Surg 75-B:228, 1993): the anteversion is the angle between the cup's axis and the
plane, the inclination that between the pelvis' long axis and the cup's axis as projected onto the plane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.errors import CaseError
from psi_cad.frames import unit
from psi_cad.units import Array, Deg, Mm

__all__ = ["PelvicFrame", "cup_angles", "cup_direction", "pelvic_frame"]

LEAST_MM: Final[Mm] = 30.0  # between landmarks that span a plane: nearer ones tell no direction
FACING: Final = 0.5  # cosine between the plane's normal and the patient's front: more than 60 degrees off, a landmark is another point
TUBERCLES: Final = ("pubic-tubercle", "pubic-tubercle-other-side")
FRONT: Final = np.array([0.0, -1.0, 0.0])  # of the patient, LPS


@dataclass(frozen=True)
class PelvicFrame:
    """Three unit directions (3,) of the anterior pelvic plane: towards the side of the cup, the front, and up; right-handed on no side."""

    lateral: Array
    anterior: Array
    superior: Array

    def parts(self, direction: Array) -> tuple[float, float, float]:
        """The components of a direction: lateral, anterior, superior."""
        return float(direction @ self.lateral), float(direction @ self.anterior), float(direction @ self.superior)


def pelvic_frame(landmarks: Mapping[str, Sequence[float]], *, where: str) -> PelvicFrame:
    """The frame of the anterior pelvic plane through both spines and the pubis; landmarks in patient mm (LPS).

    Raises
    ------
    CaseError
        Where a landmark is missing, or they do not lie as those of a pelvis do.
    """
    pubis = TUBERCLES if all(name in landmarks for name in TUBERCLES) else ("pubic-symphysis",)
    wanted = ("asis", "asis-other-side", *pubis)
    missing = [name for name in wanted if name not in landmarks]
    if missing:
        raise CaseError(
            f"landmarks: {where} needs the anterior pelvic plane, and '{missing[0]}' is missing; give asis, asis-other-side, and either "
            f"pubic-symphysis or {' and '.join(TUBERCLES)} (patient mm, LPS)."
        )
    own, other = (np.asarray(landmarks[name], dtype=np.float64) for name in wanted[:2])
    low = np.mean([np.asarray(landmarks[name], dtype=np.float64) for name in pubis], axis=0)
    across, up = own - other, (own + other) / 2.0 - low
    if min(np.linalg.norm(across), np.linalg.norm(up)) < LEAST_MM:
        raise CaseError(f"landmarks: asis, asis-other-side and the pubis lie within {LEAST_MM:g} mm, so they span no plane; check them.")
    lateral = unit(across)
    superior = unit(up - (up @ lateral) * lateral)
    anterior = np.cross(superior, lateral)
    anterior = anterior if float(anterior @ FRONT) > 0.0 else -anterior
    if float(anterior @ FRONT) < FACING or superior[2] < FACING:
        raise CaseError(
            "landmarks: the plane through asis, asis-other-side and the pubis does not face the patient's front with the pubis below; check them."
        )
    return PelvicFrame(lateral, anterior, superior)


def cup_angles(axis: Array, pelvis: PelvicFrame) -> tuple[Deg, Deg]:
    """Radiographic (inclination, anteversion) of a cup whose axis (3,) points out of its opening."""
    side, front, up = pelvis.parts(unit(axis))
    return float(np.degrees(np.arctan2(side, -up))), float(np.degrees(np.arcsin(np.clip(front, -1.0, 1.0))))


def cup_direction(inclination: Deg, anteversion: Deg, pelvis: PelvicFrame) -> Array:
    """The axis (3,) of a cup with these radiographic angles, out of its opening.

    >>> pelvis = PelvicFrame(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([0, 0, 1.0]))
    >>> [round(angle, 9) for angle in cup_angles(cup_direction(40.0, 15.0, pelvis), pelvis)]
    [40.0, 15.0]
    """
    inclined, turned = np.radians(inclination), np.radians(anteversion)
    side, front, up = np.cos(turned) * np.sin(inclined), np.sin(turned), -np.cos(turned) * np.cos(inclined)
    return np.asarray(side * pelvis.lateral + front * pelvis.anterior + up * pelvis.superior)
