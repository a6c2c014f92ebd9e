"""The case's side held against the bone's shape, and against the patient's midline where there is a scan."""

from __future__ import annotations

from typing import Final, Literal

import trimesh

from psi_cad.anatomy.side import BONE_NAMES, ShapeVerdict, Side, verdict_of
from psi_cad.case.load import LoadedCase
from psi_cad.errors import CaseError
from psi_cad.findings import Caution, place_of
from psi_cad.phantom.femur import references
from psi_cad.records.bones import ScannedBody, SideCheck

__all__ = ["checked_side"]

REMEDIES: Final = {
    "mirrored": "export it again as it is in the patient, in LPS, and check bone.coordinates",
    "against": "correct side; if you are certain of it, write side_confirmed = true",
}
_BESIDE: Final = 0.1  # of the body's width: the middle of a hip bone or femur lies twice as far from the midline


def checked_side(
    loaded: LoadedCase, mesh: trimesh.Trimesh, *, number: int = 0, scan: ScannedBody | None = None
) -> tuple[ShapeVerdict, SideCheck, tuple[Caution, ...]]:
    """What the bone's shape says, what a report says of the side, and what a person must know of it.

    Parameters
    ----------
    mesh : Trimesh
        The checked bone, patient mm.
    number : int
        Which of the case's bones it is.
    scan : ScannedBody, optional
        The body in the bone's scan.

    Raises
    ------
    CaseError
        Where the bone is clearly of another side and the case does not insist, or its surface or scan is mirrored.
    """
    shape, side = verdict_of(mesh, references()), loaded.case.side_of(loaded.case.bones[number])
    beside, scan_side = _beside_midline(mesh, scan)
    against = _contradiction(shape, side, scan_side)
    verdict = against[0] if against is not None else "agrees" if shape.side == side or (side == "midline" and shape.symmetric) else "not verified"
    where = None if shape.where is None else place_of(shape.where)
    said = SideCheck(
        verdict=verdict,
        bone=shape.bone,
        side=shape.side,
        hand=shape.hand,
        looks_to=shape.place,
        turned_deg=None if shape.turned is None else round(shape.turned, 1),
        margin=round(shape.margin, 3),
        symmetric=shape.symmetric,
        evidence=shape.evidence,
        where=None if where is None else list(where),
        scan=beside,
        confirmed=loaded.case.side_confirmed,
    )
    if against is not None:
        # of a mirrored bone nobody can be certain: a guide on it fits no bone, or that of the other side
        if not loaded.case.side_confirmed or verdict == "mirrored":
            raise CaseError(f"{loaded.path.name}: {against[1]}; {REMEDIES[verdict]}.", where=where)
        return shape, said, (Caution("side-against-shape", f"{against[1]}; the case insists (side_confirmed = true)", where),)
    if verdict == "agrees":
        return shape, said, ()
    return shape, said, (Caution("side-not-verified", f"side not verified: {_doubt(shape, side, scan_side)}", where),)


def _contradiction(shape: ShapeVerdict, side: str, scan_side: Side | None) -> tuple[Literal["mirrored", "against"], str] | None:
    """("mirrored" or "against", what contradicts the side of the case), or None."""
    given = f'side = "{side}"'
    name = BONE_NAMES[shape.bone] if shape.bone else "bone"
    if shape.mirrored:
        return "mirrored", (
            f"the surface is mirrored, or turned by half (RAS read as LPS): its shape is that of a {shape.hand} {name}, yet it looks "
            f"to the patient's {shape.place} ({shape.evidence})"
        )
    if shape.hand is not None and scan_side is not None and shape.hand != scan_side:
        return "mirrored", (
            f"the scan or the bone is mirrored: its shape is that of a {shape.hand} {name}, yet it lies {scan_side} of the body's middle in the scan"
            f" ({shape.evidence})"
        )
    if shape.hand is not None and shape.hand != side:
        if shape.place is not None:
            return "against", f"{given}, but this is a {shape.hand} {name}: {shape.evidence}"
        return "against", (
            f"{given}, but the bone lies turned by {shape.turned:.0f}° from upright and its shape is that of a {shape.hand} {name} "
            f"({shape.evidence}): it is of the other side, or mirrored"
        )
    if shape.hand is None and shape.place is not None and shape.place != side:
        return "against", f"{given}, but this {name} looks like a {shape.place} one: {shape.evidence}"
    if scan_side is not None and side != "midline" and scan_side != side:
        return "against", f"{given}, but the bone lies {scan_side} of the body's middle in the scan"
    return None


def _doubt(shape: ShapeVerdict, side: str, scan_side: Side | None) -> str:
    """Why the side is not verified."""
    if shape.bone is None:
        why = f"the bone's shape does not tell it ({shape.evidence})"
    elif shape.hand is None:
        why = f"the {BONE_NAMES[shape.bone]} does not tell clearly which hand it is of ({shape.evidence})"
    else:
        why = (
            f"the bone lies turned by {shape.turned:.0f}° from upright; its shape is that of a {shape.hand} {BONE_NAMES[shape.bone]}, or of a "
            f"mirrored one of the other side ({shape.evidence})"
        )
    if scan_side == side:
        why += f"; it lies {side} of the body's middle in the scan"
    return why


def _beside_midline(mesh: trimesh.Trimesh, scan: ScannedBody | None) -> tuple[ScannedBody | None, Side | None]:
    """What is said of the bone's place in the scanned body, and the side it lies on."""
    if scan is None:
        return None, None
    bone = float((mesh.triangles_center[:, 0] * mesh.area_faces).sum() / mesh.area)
    said = scan.more(ScannedBody, bone_x_mm=round(bone, 1), side=None)
    if scan.middle_x_mm is None or scan.width_mm is None:
        return said, None
    away = bone - scan.middle_x_mm
    if abs(away) < _BESIDE * scan.width_mm:
        return said, None
    side: Side = "left" if away > 0.0 else "right"
    return said.but(side=side), side
