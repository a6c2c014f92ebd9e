"""The trajectories of a guide as they lie on the bone, and what a guide without cuts is sited about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import GuideRequest
from psi_cad.drilling.sleeves import refuse_crossing
from psi_cad.errors import CaseError, DesignError
from psi_cad.guides.params import SeatParams, SleeveParams, possible
from psi_cad.guides.site import Avoided, Way
from psi_cad.siting.about import AboutPoints, tilt_of
from psi_cad.surface.rays import RayCaster, SignedDistance, nearest_along
from psi_cad.surface.repair import Bone
from psi_cad.surface.trust import at
from psi_cad.units import Mm

__all__ = ["Drilling", "about_ways", "checked_ways", "drilling_of"]

ON_BONE_MM: Final[Mm] = 1.0  # an entry this near the surface lies on it: a surface is trusted no better
INTO_MM: Final[Mm] = 3.0  # below the entry there has to be bone
LEAVES_MM: Final[Mm] = 1.5  # above the entry a ray has left the bone's own roughness


@dataclass(frozen=True)
class Drilling:
    """One guide that carries sleeves: `ways` are its trajectories in the patient frame."""

    request: GuideRequest
    params: SleeveParams
    ways: tuple[Way, ...]

    @property
    def tool_id(self) -> str:
        """What the guide's files are named by."""
        return self.ways[0].tool.id


def drilling_of(loaded: LoadedCase, request: GuideRequest, params: SeatParams) -> Drilling:
    """A guide of the case that takes trajectories.

    Raises
    ------
    CatalogueError
    """
    assert isinstance(params, SleeveParams)  # the registry has refused any other
    ways = []
    for name in request.trajectories:
        trajectory = loaded.case.trajectory_named(name)
        entry, into = trajectory.line
        tool = loaded.tool(trajectory.tool, where=f"{loaded.path.name}: trajectory '{name}'.tool")
        named = trajectory.implant
        implant = None if named is None else loaded.implant(named, where=f"{loaded.path.name}: trajectory '{name}'.implant")
        ways.append(Way(name, entry, -into, trajectory.depth, tool, implant=implant))
    return Drilling(request, params, tuple(ways))


def checked_ways(drilling: Drilling, bone: Bone, caster: RayCaster, avoid: Sequence[Avoided]) -> tuple[Way, ...]:
    """The trajectories of a guide with what the bone tells of them.

    Refused is one that does not begin on the bone or does not lead into it, one whose tool has to go through other bone first, and one that
    comes too near to a structure or to another, or that its tool is too short for.

    Raises
    ------
    CaseError, DesignError
    """
    distance, params = SignedDistance(bone.mesh), drilling.params
    for way in drilling.ways:
        if way.depth + params.guided > way.tool.usable_length:
            raise DesignError(
                f"trajectory '{way.name}': depth {way.depth:g} and params.guided {params.guided:g} mm are more than the "
                f"{way.tool.usable_length:g} mm of usable length of {way.tool.kind} {way.tool.id}; take a longer tool, or lower one of them.",
                where=way.entry,
            )
    found = []
    for way in drilling.ways:
        off = float(distance(way.entry[None])[0])
        if abs(off) > ON_BONE_MM:
            side = "outside" if off > 0.0 else "inside"
            met, _ = caster.first(caster.frame.local((way.entry + 200.0 * way.out)[None]), -caster.frame.local_direction(way.out))
            line = f"; its line meets the bone first near {at(way.entry + (200.0 - float(met[0])) * way.out)}" if np.isfinite(met[0]) else ""
            raise CaseError(
                f"trajectory '{way.name}': its entry {at(way.entry)} lies {abs(off):.1f} mm {side} the bone{line}; "
                "give a point on the bone's surface, in patient millimetres (LPS).",
                where=way.entry,
            )
        if float(distance((way.entry - INTO_MM * way.out)[None])[0]) >= 0.0:
            turned = float(distance((way.entry + INTO_MM * way.out)[None])[0]) < 0.0
            hint = "turn it round" if turned else "give another direction"
            raise CaseError(f"trajectory '{way.name}': its direction leads past the bone from {at(way.entry)}, not into it; {hint}.", where=way.entry)
        start = way.entry + LEAVES_MM * way.out
        met, _ = caster.first(caster.frame.local(start[None]), caster.frame.local_direction(way.out))
        above = max(way.tool.usable_length - way.depth, 0.0)
        if float(met[0]) + LEAVES_MM < above:
            place = start + float(met[0]) * way.out
            raise DesignError(
                f"trajectory '{way.name}': bone near {at(place)}, {float(met[0]) + LEAVES_MM:.0f} mm above the entry, stands in the way of its tool; "
                "give another direction or entry.",
                where=place,
            )
        _refuse_near(way, params.most_rise(way.tool.diameter), avoid)
        inward = -caster.frame.local_direction(way.out)
        met, faces = caster.first(caster.frame.local((way.entry + INTO_MM * way.out)[None]), inward)
        normal = caster.frame.patient_direction(caster.normals(faces[:1])[0]) if np.isfinite(met[0]) else way.out
        left, _ = caster.first(caster.frame.local((way.entry - INTO_MM * way.out)[None]), inward)
        found.append(replace(way, through=float(left[0]) + INTO_MM, incline=tilt_of(normal, way.out)))
    for one, two in itertools.combinations(found, 2):  # wherever the guide sits, its sleeves reach as far as this
        refuse_crossing((one, two), ((0.0, params.guided), (0.0, params.guided)), params)
    return tuple(found)


def _refuse_near(way: Way, rise: Mm, avoid: Sequence[Avoided]) -> None:
    """Refuse a tool that comes too near to a structure between its sleeve and its planned tip.

    Raises
    ------
    DesignError
    """
    low, high = way.entry - way.depth * way.out, way.entry + rise * way.out
    for structure in avoid:
        least, place = nearest_along(SignedDistance(structure.mesh), low, high)
        away = least - way.tool.diameter / 2.0
        if away < structure.distance:
            what = f"comes within {away:.1f} mm of" if away > 0.0 else "goes into"
            raise DesignError(
                f"trajectory '{way.name}': its tool {what} '{structure.name}' near {at(place)}, and its distance is to be "
                f"{structure.distance:g} mm; move the trajectory, or give less depth.",
                where=place,
            )


def about_ways(drilling: Drilling, bone: Bone) -> AboutPoints:
    """What the guide is sited about."""
    ways, params = drilling.ways, drilling.params
    radii = tuple(params.outer_radius(way.tool.diameter) for way in ways)
    entries = np.array([way.entry for way in ways])
    return AboutPoints(
        names=tuple(way.name for way in ways),
        entries=entries,
        out=np.array([way.out for way in ways]),
        radii=radii,
        rises=tuple(params.most_rise(way.tool.diameter) for way in ways),
        lean_limit=params.lean_limit,
        mend=tuple(possible(params, "raise params.axis_search", "raise params.lean_limit")),
        toward=np.asarray(bone.mesh.triangles_center).mean(axis=0) - entries.mean(axis=0),
    )
