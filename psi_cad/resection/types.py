"""Starting planes for resections of the hip bone by type (Enneking and Dunham, J Bone Joint Surg Am 1978; 60: 731–746).

Regions of the hip bone: I the ilium, II the acetabulum and what surrounds it, III pubis and ischium, IV the back of the ilium
beside the sacrum (the part of the sacral ala itself lies on another bone). A type is a set of regions; a plane is needed
wherever a region that goes meets one that stays. Where they lie comes from named landmarks. It is a plan to edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from psi_cad.errors import CaseError
from psi_cad.frames import distance_to_box, unit
from psi_cad.scene.cuts import plane_axes
from psi_cad.surface.repair import Bone
from psi_cad.surface.section import section_parts
from psi_cad.units import Array, Mm

__all__ = ["REGIONS", "StartCut", "regions_of", "start_cuts"]

REGIONS: Final = ("I", "II", "III", "IV")
CUP_MM: Final[Mm] = 26.0  # radius of an adult socket in round numbers, where the case gives no acetabulum-rim
RIM_MM: Final[Mm] = 8.0  # of bone kept or taken round the socket; a round number to start from

# between which regions a plane lies, and the landmarks it is made from
_BORDERS: Final = {
    "supra-acetabular": (("I", "II"), ("greater-sciatic-notch", "aiis", "acetabulum-centre")),
    "superior-ramus": (("II", "III"), ("acetabulum-centre", "pubic-tubercle")),
    "ischium": (("II", "III"), ("acetabulum-centre", "ischial-tuberosity")),
    "sacro-iliac": (("I", "IV"), ("greater-sciatic-notch", "psis", "asis")),
}


NOTCH_BACK_MM: Final[Mm] = 10.0  # how far behind its landmark the notch is looked for
BELOW_NOTCH_MM: Final[Mm] = 8.0  # a cut that reaches deeper saws the ischium as well
FAR_LANDMARK_MM: Final = 40.0  # from the box round the bone; the middle of a socket lies within it


@dataclass(frozen=True)
class StartCut:
    """One starting plane: `normal` (3,) looks towards the specimen, `origin` (3,) lies on the bone, patient mm.

    Regions that go and do not touch are separate pieces, so their cuts have different groups.
    """

    name: str
    origin: Array
    normal: Array
    why: str
    group: str = "1"


def regions_of(kind: str) -> frozenset[str]:
    """The regions of a type written as "I", "I+II", "II/III" or "I+IV".

    Raises
    ------
    CaseError
    """
    parts = [part.strip().upper() for part in kind.replace("/", "+").replace(",", "+").split("+")]
    wrong = [part for part in parts if part not in REGIONS]
    if wrong or not parts:
        raise CaseError(f"--type {kind}: '{wrong[0] if wrong else ''}' is no region; write I, II, III, IV, or several joined, such as I+II.")
    return frozenset(parts)


def start_cuts(kind: str, landmarks: Mapping[str, Array], bone: Bone) -> list[StartCut]:
    """The planes of a type on a bone.

    Raises
    ------
    CaseError
        If a landmark is missing, or the type leaves nothing to cut on a hip bone.
    """
    gone = regions_of(kind)
    _refuse_far(landmarks, bone)
    found = []
    for name, ((upper, lower), needed) in _BORDERS.items():
        if (upper in gone) == (lower in gone):
            continue
        missing = [mark for mark in needed if mark not in landmarks]
        if missing:
            raise CaseError(
                f"landmarks.{missing[0]} is missing, but the {name} plane of type {kind} needs it; add [landmarks] with {', '.join(needed)}."
            )
        try:
            origin, normal, why = _PLANES[name]({mark: np.asarray(point, dtype=np.float64) for mark, point in landmarks.items()})
        except ValueError as error:
            raise CaseError(
                f"landmarks: {', '.join(needed)} lie on one place or on one line, which gives the {name} plane no direction; mark them again."
            ) from error
        if name == "sacro-iliac":
            origin, why = _above_notch(bone, origin, normal, landmarks, why)
        towards_lower = lower in gone
        group = _piece(lower if towards_lower else upper, gone)
        found.append(_on_bone(bone, StartCut(name, origin, normal if towards_lower else -normal, why, group)))
    if not found:
        raise CaseError(f"--type {kind}: this type removes the whole hip bone through its joints, so there is nothing to cut on it.")
    return found


def _refuse_far(landmarks: Mapping[str, Array], bone: Bone) -> None:
    low, high = np.asarray(bone.mesh.bounds)
    for name, point in landmarks.items():
        away = float(distance_to_box(point[None], low, high)[0])
        if away > FAR_LANDMARK_MM:
            raise CaseError(f"landmarks.{name} lies {away:.0f} mm from the bone; mark it on the bone, in patient mm (LPS).")


def _piece(region: str, gone: frozenset[str]) -> str:
    """Which separate piece a region that goes belongs to, counted from the back of the bone."""
    count, inside = 0, False
    for here in ("IV", "I", "II", "III"):
        count += int(here in gone and not inside)
        inside = here in gone
        if here == region:
            break
    return str(count)


def _clear_of_cup(marks: Mapping[str, Array]) -> Mm:
    rim = marks.get("acetabulum-rim")
    cup = float(np.linalg.norm(rim - marks["acetabulum-centre"])) if rim is not None else CUP_MM
    return cup + RIM_MM


def _supra_acetabular(marks: Mapping[str, Array]) -> tuple[Array, Array, str]:
    """Through the sciatic notch and just above the socket towards the lower front spine; the normal looks down at the socket."""
    notch, front, cup = marks["greater-sciatic-notch"], marks["aiis"], marks["acetabulum-centre"]
    back_to_front = unit(front - notch)
    middle = (notch + front) / 2.0
    down = cup - middle
    down = unit(down - float(down @ back_to_front) * back_to_front)
    lift = max(0.0, _clear_of_cup(marks) - float((cup - middle) @ down))
    return middle - lift * down, down, f"through notch and lower front spine, {_clear_of_cup(marks):.0f} mm from the socket's centre"


def _superior_ramus(marks: Mapping[str, Array]) -> tuple[Array, Array, str]:
    """Across the upper ramus just past the socket; the normal looks at the pubis."""
    cup, tubercle = marks["acetabulum-centre"], marks["pubic-tubercle"]
    way = unit(tubercle - cup)
    return cup + _clear_of_cup(marks) * way, way, f"across the ramus, {_clear_of_cup(marks):.0f} mm from the socket's centre"


def _ischium(marks: Mapping[str, Array]) -> tuple[Array, Array, str]:
    """Across the ischium just below the socket; the normal looks at the tuberosity."""
    cup, tuber = marks["acetabulum-centre"], marks["ischial-tuberosity"]
    way = unit(tuber - cup)
    return cup + _clear_of_cup(marks) * way, way, f"across the ischium, {_clear_of_cup(marks):.0f} mm from the socket's centre"


def _sacro_iliac(marks: Mapping[str, Array]) -> tuple[Array, Array, str]:
    """Up from the sciatic notch through the wing, square to the line of the spines; the normal looks back at the sacrum."""
    notch, back, front = marks["greater-sciatic-notch"], marks["psis"], marks["asis"]
    return notch, unit(back - front), "up from the sciatic notch, square to the line of the spines"


def _above_notch(bone: Bone, notch: Array, back: Array, marks: Mapping[str, Array], why: str) -> tuple[Array, str]:
    """The plane moved back through the notch until what it saws lies above: a landmark on the notch's rim may lie before its deepest point."""
    plain = plane_axes(back)
    up = plain[:2] @ ((np.asarray(marks["psis"]) + np.asarray(marks["asis"])) / 2.0 - notch)
    up = up / np.linalg.norm(up)
    for shift in np.arange(0.0, NOTCH_BACK_MM + 0.5):
        origin = notch + shift * back
        parts = section_parts(bone.mesh, origin=origin, axes=plain)
        if not parts:
            break
        wing = max(parts, key=lambda part: float((shapely.get_coordinates(part) @ up).max()))
        if float((shapely.get_coordinates(wing) @ up).min()) >= -BELOW_NOTCH_MM:
            point = np.array(wing.representative_point().coords)
            moved = f", {shift:.0f} mm behind the landmark" if shift > 0.0 else ""
            return np.asarray(origin + (point @ plain[:2])[0]), why + moved
    return notch, f"{why}; it runs on below the notch here, so move it back or mark the notch again"


_PLANES: Final = {
    "supra-acetabular": _supra_acetabular,
    "superior-ramus": _superior_ramus,
    "ischium": _ischium,
    "sacro-iliac": _sacro_iliac,
}


def _on_bone(bone: Bone, cut: StartCut) -> StartCut:
    """`cut` with its origin in the nearest bone of its plane."""
    plain = plane_axes(cut.normal)
    parts = section_parts(bone.mesh, origin=cut.origin, axes=plain)
    if not parts:
        raise CaseError(f"landmarks: the {cut.name} plane meets no bone; check that the landmarks are in patient mm (LPS) and belong to this bone.")
    nearest = min(parts, key=lambda part: float(part.distance(shapely.Point(0.0, 0.0))))
    middle = np.array(nearest.centroid.coords) if nearest.contains(nearest.centroid) else np.array(nearest.representative_point().coords)
    return StartCut(cut.name, np.asarray(cut.origin + (middle @ plain[:2])[0]), cut.normal, cut.why, cut.group)
