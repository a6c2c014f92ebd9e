"""Directions in which a guide could be approached instead of one that looks across its cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import trimesh

from psi_cad.errors import DesignError, PsiCadError
from psi_cad.frames import unit
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.about import LEAN_MAX
from psi_cad.units import Array, Deg, Mm

__all__ = ["across_refused", "in_planes", "lean_of", "outward", "turned", "typed"]

AROUND_MM: Final[Mm] = 15.0  # of a cut's middle: the bone whose outward direction is taken
FRONT_COS: Final = 0.3  # bone that looks away from the approach is the other side of the bone
TURNS: Final[tuple[Deg, ...]] = (0.0, 90.0, -90.0, 180.0)  # tried one after another: each takes a second or more

Plane = tuple[Array, Array]


def lean_of(direction: Array, normal: Array) -> Deg:
    """Degrees between a direction and a plane of unit `normal`."""
    return float(np.degrees(np.arcsin(min(1.0, abs(float(unit(direction) @ normal))))))


def turned(direction: Array, axis: Array, angle: Deg) -> Array:
    """A direction (3,) turned about a unit axis."""
    a = np.radians(angle)
    return unit(np.cos(a) * direction + np.sin(a) * np.cross(axis, direction) + (1.0 - np.cos(a)) * float(axis @ direction) * axis)


def in_planes(direction: Array, normals: Sequence[Array]) -> Array | None:
    """`direction` laid into the plane of one cut, or of two into their common line; None where nothing of it is left."""
    flat = direction - float(direction @ normals[0]) * normals[0]
    for normal in normals[1:]:
        line = np.cross(normals[0], normal)
        if float(np.linalg.norm(line)) > 0.2:
            flat = float(direction @ unit(line)) * unit(line)
    return unit(flat) if float(np.linalg.norm(flat)) > 0.1 else None


def outward(mesh: trimesh.Trimesh, approach: Array, middle: Array) -> Array | None:
    """The bone's own outward direction round `middle`, on the side that `approach` comes from; None where it has none."""
    normals, areas = np.asarray(mesh.face_normals), np.asarray(mesh.area_faces)
    away = np.linalg.norm(np.asarray(mesh.triangles_center) - middle, axis=1)
    near = (away < max(AROUND_MM, float(away.min()) + AROUND_MM)) & (normals @ approach > FRONT_COS)
    total = (normals * areas[:, None])[near].sum(axis=0)
    return None if float(np.linalg.norm(total)) < 1e-6 else unit(total)


def typed(direction: Array) -> list[float]:
    """A direction as it is written into a case."""
    return [round(float(v), 3) + 0.0 for v in direction]


def across_refused(
    name: str, approach: Array, cuts: Sequence[PlannedCut], mesh: trimesh.Trimesh, finds_seat: Callable[[list[float]], object] | None
) -> DesignError:
    """The refusal of an approach that leans too far out of the plane of one of a guide's cuts, with another that was tried.

    Parameters
    ----------
    finds_seat : callable or None
        Given an approach as it is written into a case; raises a `PsiCadError` where the guide has no seat from there. None tries nothing.
    """
    approach = unit(approach)
    worst = max(cuts, key=lambda cut: abs(float(approach @ cut.normal)))
    lean = lean_of(approach, worst.normal)
    said = f"guide '{name}': its approach leans {lean:.0f}° out of the plane of cut '{worst.name}', so the saw cannot enter"
    wanted = f"give the direction from the bone towards the surgeon, within {LEAN_MAX:.0f}° of every cut plane of the guide"
    way = None if finds_seat is None else next((way for way in _ways(approach, cuts, mesh) if _found(finds_seat, way)), None)
    setting = None if way is None else f"guide.{name}.approach=[{','.join(f'{v:g}' for v in way)}]"
    message = f"{said}; {wanted}" + (
        "." if setting is None else f'; a seat is found with --set "{setting}" (look whether a surgeon can come from there).'
    )
    return DesignError(message, where=worst.origin, remedies=[setting] if setting else [], reason="across")


def _found(finds_seat: Callable[[list[float]], object], way: list[float]) -> bool:
    try:
        finds_seat(way)
    except PsiCadError:
        return False
    return True


def _ways(approach: Array, cuts: Sequence[PlannedCut], mesh: trimesh.Trimesh) -> list[list[float]]:
    """Directions in the cut planes, the bone's own outward one first."""
    normals = [cut.normal for cut in cuts]
    free = outward(mesh, approach, np.mean([cut.origin for cut in cuts], axis=0))
    starts = [start for start in (free, approach, cuts[0].axes[0], cuts[0].axes[1]) if start is not None]
    first = next((found for start in starts if (found := in_planes(start, normals)) is not None), None)
    if first is None:
        return []
    around = [turned(first, normals[0], angle) for angle in TURNS]
    return [typed(way) for way in around if max(lean_of(way, normal) for normal in normals) <= LEAN_MAX]
