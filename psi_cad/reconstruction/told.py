"""What a report says of a stem and its cup, measured from the files, and the checks of that."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.case.implants import Implant
from psi_cad.errors import DesignError, InputError
from psi_cad.findings import Check, Place, place_of
from psi_cad.frames import angle_between
from psi_cad.reconstruction.cup import covered_cup
from psi_cad.reconstruction.retained import Planes, sawn_faces
from psi_cad.reconstruction.site import StemFeature
from psi_cad.reconstruction.stem import StemBone, stem_bone
from psi_cad.records.guide import MeasuredBore, Way
from psi_cad.records.stems import CupSaid, SawnPlane, StemSaid
from psi_cad.surface.mesh_files import read_surface
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.trust import at
from psi_cad.units import LIMITS, Array, Mm

__all__ = ["hole_diameter", "refuse_misfit", "refuse_thin", "said_again", "stem_checks", "stem_said"]

EVERY_MM: Final[Mm] = 5.0  # of the profile in a report
LOOSE_MM: Final[Mm] = 2.0  # that a reamer may be wider than its stem: room for cement
TIGHT_MM: Final[Mm] = 0.5  # ... and narrower: a stem that is driven in
IN_BONE_MM: Final[Mm] = LIMITS.overlap


def hole_diameter(tool: Mm, implant: Implant) -> Mm:
    """How wide the bone is opened: as the wider of reamer and stem."""
    return max(tool, implant.stem_diameter)


def refuse_misfit(name: str, tool: Mm, depth: Mm, implant: Implant) -> None:
    """Refuse a reamer or a depth into which a stem does not go.

    Raises
    ------
    DesignError
    """
    if depth < implant.stem_length:
        raise DesignError(
            f"trajectory '{name}': depth {depth:g} mm is less than the stem of {implant.id} is long, {implant.stem_length:g} mm; ream deeper, or "
            "take a shorter stem."
        )
    if not -TIGHT_MM <= tool - implant.stem_diameter <= LOOSE_MM:
        raise DesignError(
            f"trajectory '{name}': a tool of {tool:g} mm does not fit the stem of {implant.id}, {implant.stem_diameter:g} mm; take a reamer of "
            f"{implant.stem_diameter - TIGHT_MM:g} to {implant.stem_diameter + LOOSE_MM:g} mm."
        )


def refuse_thin(name: str, bone: StemBone, wall: Mm) -> None:
    """Refuse a hole for a stem that leaves less than `wall` mm of bone.

    Raises
    ------
    DesignError
    """
    if bone.least < wall:
        left = f"leaves {bone.least:.1f} mm of bone" if bone.least > 0.0 else f"breaks through the bone by {-bone.least:.1f} mm"
        raise DesignError(
            f"trajectory '{name}': the hole for the stem {left} near {at(bone.where)}, and params.stem_wall is {wall:g} mm; give another entry or "
            "direction, less depth, or a thinner stem.",
            where=bone.where,
            reason="stem",
        )


def stem_said(feature: StemFeature, way: Way, bore: MeasuredBore, planes: Planes, bone: Path, trial: Path | None) -> StemSaid:
    """What is measured of one stem: with the bone that stays in the file `bone`, and the trial in the file `trial`.

    Raises
    ------
    PsiCadError
        If a file cannot be read.
    """
    cup = CupSaid(
        index=feature.cup.index,
        axis=_direction(feature.cup.axis),
        centre=_point(feature.cup.centre),
        inclination_deg=round(feature.cup.inclination, 3),
        anteversion_deg=round(feature.cup.anteversion, 3),
        wanted_inclination_deg=feature.inclination,
        wanted_anteversion_deg=feature.anteversion,
        wanted_axis=_direction(feature.cup.wanted),
        off_deg=0.0,
        off_limit_deg=feature.tolerance,
        covered=0.0,
        in_bone_mm=0.0,
    )
    said = StemSaid(
        trajectory=feature.trajectory,
        implant=feature.implant.model_dump(mode="json"),
        entry=way.entry,
        direction=way.direction,
        hole_diameter_mm=hole_diameter(float(way.tool["diameter"]), feature.implant),
        hole_depth_mm=way.depth_mm,
        wall_mm=0.0,
        wall_wanted_mm=feature.wall,
        wall_at=[0.0, 0.0, 0.0],
        covered=0.0,
        profile=[],
        sawn=[SawnPlane(point=_point(point), normal=_direction(normal)) for point, normal in planes],
        cup=cup,
        trial=feature.trial,
        trial_in_bone_mm=None,
    )
    return said_again(said, bore, bone, trial)


def said_again(said: StemSaid, bore: MeasuredBore, bone: Path, trial: Path | None) -> StemSaid:
    """The same with all that is measured taken from the files once more.

    Raises
    ------
    PsiCadError
    """
    mesh = read_surface(bone, units="mm", coordinates="LPS", key="stems")
    planes: Planes = tuple((np.array(one.point), np.array(one.normal)) for one in said.sawn)
    entry, into, depth = np.array(said.entry), np.array(said.direction), said.hole_depth_mm
    found = stem_bone(entry, into, depth=depth, diameter=said.hole_diameter_mm, bone=mesh, sawn=sawn_faces(mesh, planes))
    if bore.angle_deg is None or bore.entry_offset_mm is None:
        raise InputError(f"stem '{said.trajectory}': the bore of its sleeve was not found, so the hole cannot be measured; build again.")
    astray = bore.entry_offset_mm + depth * float(np.tan(np.radians(bore.angle_deg)))
    step = max(1, round(EVERY_MM / float(found.depths[1])))
    picked = [*range(0, len(found.depths) - 1, step), len(found.depths) - 1]
    centre, axis, diameter = np.array(said.cup.centre), np.array(said.cup.axis), float(said.implant["cup_diameter"])
    off = round(angle_between(axis, np.array(said.cup.wanted_axis)), 3)
    covered = covered_cup(centre, axis, diameter, SignedDistance(mesh))
    return said.but(
        wall_mm=round(found.least - astray, 4),
        wall_at=_point(found.where),
        covered=round(found.covered, 4),
        profile=[[round(float(found.depths[n]), 3), round(float(found.profile[n]), 4)] for n in picked],
        cup=said.cup.but(off_deg=off, covered=round(covered.covered, 4), in_bone_mm=round(covered.deepest, 3)),
        trial_in_bone_mm=None if trial is None else round(_reaches_in(trial, mesh), 4),
    )


def stem_checks(said: StemSaid) -> list[Check]:
    """A stem's values against their limits."""
    name, cup = said.trajectory, said.cup
    place = place_of(np.array(said.wall_at))
    found = [
        _check("stem_wall", name, said.wall_mm, "mm", ">=", said.wall_wanted_mm, "bone between the hole and the outside of the bone", place),
        _check("cup_off", name, cup.off_deg, "deg", "<=", cup.off_limit_deg, "between the cup's axis and that of the wanted angles", None),
    ]
    if said.trial_in_bone_mm is not None:
        found.append(_check("trial_in_bone", name, said.trial_in_bone_mm, "mm", "<=", IN_BONE_MM, "how deep the trial reaches into the bone", None))
    return found


def _check(kind: str, name: str, value: float, unit: str, rule: str, limit: float, note: str, where: Place | None) -> Check:
    passed = value >= limit if rule == ">=" else value <= limit
    return Check(f"{kind}[{name}]", value, unit, rule, limit, passed, note, where=where)


def _reaches_in(path: Path, bone: trimesh.Trimesh) -> Mm:
    """How deep the part in a file reaches into a bone, at its corners and the middles of its triangles."""
    part = read_surface(path, units="mm", coordinates="LPS", key="trial")
    return max(0.0, -float(SignedDistance(bone)(np.concatenate([part.vertices, part.triangles_center])).min()))


def _point(point: Array) -> list[float]:
    return [round(float(v), 4) + 0.0 for v in point]


def _direction(direction: Array) -> list[float]:
    return [round(float(v), 9) + 0.0 for v in direction]
