"""The bone that the saw turns to dust, taken off the solids that the planned planes leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import shapely
import trimesh

from psi_cad.errors import CaseError
from psi_cad.resection.pieces import CRUMB_MM3, Resection, resect
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.surface.solids import joined, mesh_of, pieces_of
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["prism", "resected", "without_dust"]

HAIR_MM: Final[Mm] = 1e-7  # a slab is thicker than the kerf by this: its faces never coincide with faces that the planes left
AROUND: Final = 2.0  # kerfs beyond the run-out: where two cuts meet sharply, the corner of their kerfs lies past both sections
ON_SECTION_MM: Final[Mm] = 1e-3


def resected(bone: Any, mesh: trimesh.Trimesh, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], run_outs: Mapping[str, Mm]) -> Resection:
    """What the saw leaves of a bone (a Manifold, with its surface `mesh`); one that no cut takes stays whole.

    Raises
    ------
    CaseError
        Where the cuts do not free one piece for each group, or a kerf leaves nothing of it.
    """
    if not cuts:
        return Resection({}, (bone,))
    return without_dust(resect(bone, mesh, cuts), cuts, kerfs, run_outs)


def without_dust(found: Resection, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], run_outs: Mapping[str, Mm]) -> Resection:
    """A resection along the planes with the kerf of every cut taken off what it leaves.

    Each kerf is a slab round the section of bone and the blade's run-out. It ends where the kerf of a neighbour ends, so that
    two faces which meet in an edge meet in an edge still. Bone in the slab that does not touch the section stays.

    Raises
    ------
    CaseError
        Where a kerf leaves nothing of a specimen.
    """
    sawn = [cut for cut in cuts.values() if (kerfs[cut.name].width or 0.0) > 0.0]
    if not sawn:
        return found
    slabs = joined([_slab(cut, cuts, kerfs, run_outs[cut.name]) for cut in sawn])
    dust: list[Any] = []
    crumbs = list(found.crumbs)
    trimmed: dict[int, Any] = {}
    for group, solid in found.specimens.items():
        if id(solid) in trimmed:
            continue
        parts = _trimmed(solid, slabs, sawn, dust)
        large = [part for part in parts if part.volume() >= CRUMB_MM3]
        if not large:
            cut = next(cut for cut in sawn if cut.group == group)
            raise CaseError(f"cut '{cut.name}': its kerf leaves nothing of the specimen near {at(cut.origin)}; move the cut.")
        crumbs += [part for part in parts if part.volume() < CRUMB_MM3]
        trimmed[id(solid)] = joined(large)
    stays = [part for solid in found.retained for part in _trimmed(solid, slabs, sawn, dust)]
    retained = sorted((part for part in stays if part.volume() >= CRUMB_MM3), key=lambda part: -part.volume())
    crumbs += [part for part in stays if part.volume() < CRUMB_MM3]
    return replace(
        found,
        specimens={group: trimmed[id(solid)] for group, solid in found.specimens.items()},
        retained=tuple(retained),
        crumbs=tuple(crumbs),
        dust=tuple(dust),
    )


def _trimmed(solid: Any, slabs: Any, cuts: list[PlannedCut], dust: list[Any]) -> list[Any]:
    """The pieces of a solid that the slabs leave; what they take is added to `dust`."""
    inside, rest = solid.split(slabs)
    stay: list[Any] = []
    for piece in pieces_of(inside):
        (dust if _touches(piece, cuts) else stay).append(piece)
    return pieces_of(joined([rest, *stay]) if stay else rest)


def _touches(piece: Any, cuts: list[PlannedCut]) -> bool:
    """Whether a piece of bone has a corner on the section of a cut: a face that the plane left there has its corners on the rim."""
    vertices = np.asarray(mesh_of(piece).vertices)
    for cut in cuts:
        local = (vertices - cut.origin) @ cut.axes.T
        flat = local[np.abs(local[:, 2]) <= 2.0 * HAIR_MM, :2]
        if len(flat) and bool(shapely.dwithin(cut.section, shapely.points(flat), ON_SECTION_MM).any()):
            return True
    return False


def _slab(cut: PlannedCut, cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], run_out: Mm) -> Any:
    """What the saw removes at one cut, as a solid, patient mm."""
    kerf = kerfs[cut.name]
    width = kerf.width or 0.0
    region = cut.section.buffer(run_out + AROUND * width, quad_segs=16)
    solid = prism(region, cut, kerf.low - HAIR_MM, kerf.high + HAIR_MM)
    for name in cut.neighbours:
        solid = solid.trim_by_plane(*_half_space(cuts[name], kerfs[name].low - HAIR_MM))
    for group in cut.beside:  # the blade stops where the other piece begins
        inside = solid
        for other in cuts.values():
            if other.group == group:
                inside = inside.trim_by_plane(*_half_space(other, kerfs[other.name].high))
        solid = solid - inside
    return solid


def _half_space(cut: PlannedCut, height: Mm) -> tuple[tuple[float, float, float], float]:
    """The normal and offset of a cut's plane moved along its normal, as Manifold takes them."""
    x, y, z = (float(v) for v in cut.normal)
    return (x, y, z), float(cut.normal @ cut.origin) + height


def prism(region: shapely.Geometry, cut: PlannedCut, low: Mm, high: Mm) -> Any:
    """A region of a cut's plane (s, u) drawn out along the normal from `low` to `high` (Manifold), patient mm."""
    import manifold3d

    rings: list[Array] = []
    for part in shapely.get_parts(region):
        rings += [np.asarray(ring.coords)[:-1, :2] for ring in (part.exterior, *part.interiors)]
    outline = manifold3d.CrossSection(rings, manifold3d.FillRule.EvenOdd)
    turned = np.column_stack([cut.axes.T, cut.origin + low * cut.normal])
    return manifold3d.Manifold.extrude(outline, high - low).transform(turned)
