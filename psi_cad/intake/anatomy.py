"""What a case says of its bone (`bone.anatomy`) held against the surface, and its cuts against the mesh and the ends of the scan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import shapely
from scipy.spatial import cKDTree

from psi_cad.anatomy.kinds import ANATOMIES, Anatomy, FlatEnd, flat_ends, length_of
from psi_cad.anatomy.side import BONE_NAMES, ShapeVerdict
from psi_cad.case.load import LoadedCase
from psi_cad.case.named import bone_key
from psi_cad.errors import CaseError
from psi_cad.findings import Caution, place_of
from psi_cad.records.bones import AnatomySaid, FlatEndSaid
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.repair import Bone, signed_volume
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["checked_anatomy", "cut_cautions"]

FINE_MM: Final[Mm] = 1.0  # a guide's seat is fitted to 0.25 mm; longer edges hold no detail of that size
SEAT_REACH_MM: Final[Mm] = 20.0  # from a cut: where a guide sits
END_NEAR_MM: Final[Mm] = 20.0  # the same: a guide must not sit on the scan's edge
MET_MM: Final[Mm] = 1.0  # from the outline of a cut: it runs into the place


def checked_anatomy(loaded: LoadedCase, bone: Bone, shape: ShapeVerdict, *, number: int = 0) -> tuple[AnatomySaid | None, tuple[Caution, ...]]:
    """What a report says of a bone's size, and what a person must know; nothing where the case names no anatomy of it.

    Raises
    ------
    CaseError
        Where the bone is another one than the case says, or larger than any of its kind.
    """
    name, where_named = loaded.case.bones[number].anatomy, bone_key(loaded.case, number)
    if name is None:
        return None, ()
    known, key = ANATOMIES[name], f'{loaded.path.name}: {where_named}.anatomy = "{name}"'
    if shape.bone is not None and shape.bone != name:
        where = None if shape.where is None else place_of(shape.where)
        raise CaseError(f"{key}, but the bone looks like a {BONE_NAMES[shape.bone]}: {shape.evidence}; correct anatomy, or the file.", where=where)
    length, volume = length_of(bone.mesh), abs(signed_volume(bone.mesh)) / 1000.0
    ends = [_end_said(end) for end in flat_ends(bone.mesh)]
    said = AnatomySaid(anatomy=name, length_mm=round(length, 1), volume_cm3=round(volume, 1), ends=ends)
    cautions = []
    for what, value, (low, high), unit in (("long", length, known.length, "mm"), ("in volume", volume, known.volume, "cm³")):
        if value > high:
            raise CaseError(
                f"{key}, but the bone is {value:.0f} {unit} {what}, and {_plural(known)} have {low:.0f} to {high:.0f}; "
                f"check {where_named}.units, and that the surface is one bone."
            )
        if value < low:
            text = f"the bone is {value:.0f} {unit} {what}, and whole {_plural(known)} have {low:.0f} to {high:.0f}: is it all there?"
            cautions.append(Caution("anatomy-odd", text))
    return said, tuple(cautions)


def _plural(known: Anatomy) -> str:
    return {"hip bone": "hip bones", "femur": "femora", "sacrum": "sacra"}[known.name]


def _end_said(end: FlatEnd) -> FlatEndSaid:
    return FlatEndSaid(middle=list(place_of(end.middle) or ()), area_mm2=round(end.area, 1))


def cut_cautions(loaded: LoadedCase, bone: Bone, cuts: Iterable[PlannedCut], *, number: int = 0) -> tuple[Caution, ...]:
    """What a person must know of a bone where it is cut: places that are not measured; with an anatomy a coarse mesh and cropped ends too."""
    anatomy = loaded.case.bones[number].anatomy
    ends = [end.points for end in flat_ends(bone.mesh)] if anatomy is not None else []
    found = []
    for cut in cuts:
        outline = _outline(cut)
        tree = cKDTree(outline)
        made_up = [defect for defect in bone.defects if float(tree.query(defect.rim)[0].min()) <= MET_MM]
        for defect in made_up:
            if not defect.is_end:
                text = f"cut {cut.name} goes through a {defect.kind} of the surface near {at(np.array(defect.centre))}; no guide sits there"
                found.append(Caution("surface-mended", text, place_of(defect.centre)))
        if anatomy is not None:
            found += _coarse(bone, cut, tree)
        for points in [*(defect.rim for defect in made_up if defect.is_end), *ends]:
            away, nearest = tree.query(points)
            worst = int(np.argmin(away))
            if away[worst] <= MET_MM:
                how = "runs into the flat end where the scan was cropped"
            elif away[worst] < END_NEAR_MM:
                how = f"comes within {away[worst]:.0f} mm of the flat end where the scan was cropped"
            else:
                continue
            text = f"cut {cut.name} {how}, near {at(points[worst])}: that end is no surface of the bone, and what lies beyond it is not known"
            found.append(Caution("cropped-end-near", text, place_of(outline[int(nearest[worst])])))
            break
    return tuple(found)


def _coarse(bone: Bone, cut: PlannedCut, tree: cKDTree) -> list[Caution]:
    """That the mesh is coarser beside a cut than a guide wants."""
    middles = np.asarray(bone.mesh.vertices)[np.asarray(bone.mesh.edges_unique)].mean(axis=1)
    near = np.asarray(bone.mesh.edges_unique_length)[tree.query(middles, distance_upper_bound=SEAT_REACH_MM)[0] < SEAT_REACH_MM]
    if not len(near) or float(np.median(near)) <= FINE_MM:
        return []
    text = (
        f"the bone's mesh is coarse at cut {cut.name}: half of its edges are longer than {float(np.median(near)):.1f} mm, "
        f"and a guide wants {FINE_MM:g} mm or less"
    )
    return [Caution("coarse-mesh", text, place_of(cut.origin))]


def _outline(cut: PlannedCut) -> Array:
    """Points (n, 3) a millimetre apart along the outline of a cut, patient mm."""
    return cut.patient(shapely.get_coordinates(cut.section.boundary.segmentize(1.0)))
