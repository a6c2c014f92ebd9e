"""What the saw takes out of a bone, as one body for each piece, and the way in which such a body goes in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.frames import all_round, ring, unit
from psi_cad.models import offsets
from psi_cad.models.sawn import SPLINTER_MM3, SawnFace, one_piece
from psi_cad.parts.contract import BodySite
from psi_cad.resection.dust import prism, resected
from psi_cad.scene.kerf import Kerf, moved_cuts
from psi_cad.surface.solids import joined, mesh_of, pieces_of
from psi_cad.units import Array, Mm

__all__ = ["Filler", "area_of", "fillers", "halves", "way_out"]

THIN: Final[Mm] = 0.2  # of material under a face, by which a body is known to have it
SHARE: Final = 0.02  # ... on so much of the face
STEP_MM: Final[Mm] = 2.0  # of the way in which a body is moved out
CLEAR_MM: Final[Mm] = 60.0  # ... as far as that
MET_MM3: Final = 1.0  # of bone in the way: rounding
BACK: Final = -1e-6  # cosine: a way along a face leads out of it
TURNS: Final = 16  # ways that are looked at along a face
PLANES: Final = 64  # directions of a plane that parts a body in two


@dataclass
class Filler:
    """A body that fills one defect, as a solid (Manifold), patient mm; its flat faces lie a gap from the bone that stays."""

    solid: Any
    faces: list[SawnFace]


def fillers(site: BodySite, fit: Mm, relief: Mm) -> list[Filler]:
    """A body for each piece that the cuts remove, the largest first: bone where bone was, less a gap at each sawn face.

    Parameters
    ----------
    fit : float
        From each sawn face of the bone that stays, mm; what the saw turns to dust is filled, too.
    relief : float
        Taken off the bone's own surface, mm.

    Raises
    ------
    DesignError
        Where nothing is left of one, or it falls apart.
    CaseError
        Where the cuts do not free a specimen.
    """
    away = {name: low + fit for name, low in site.faces_left.items()}
    cuts = moved_cuts(site, site.cuts, away)
    taken = resected(site.solid, site.mesh, cuts, {name: Kerf() for name in cuts}, site.run_outs)
    outside = offsets.without_voids(offsets.shrunk_by(site.mesh, relief)) if relief > 0.0 else None
    found: dict[int, Filler] = {}
    for solid in taken.specimens.values():
        if id(solid) in found:
            continue
        whole = offsets.without_voids(solid)
        body, large, _ = one_piece(whole if outside is None else whole ^ outside)
        if large:
            raise DesignError(f"What fills the defect falls into {len(large) + 1} pieces; lower relief.")
        if body.volume() < SPLINTER_MM3:
            raise DesignError("Nothing of the defect is left to fill; lower fit or relief.")
        sawn = [SawnFace(site.cuts[name], away[name], 1.0) for name in cuts]
        found[id(solid)] = Filler(body, [face for face in sawn if _has(body, face)])
    return sorted(found.values(), key=lambda one: -float(one.solid.volume()))


def _has(solid: Any, face: SawnFace) -> bool:
    """Whether a body has a flat face there."""
    under = prism(face.cut.section, face.cut, face.at, face.at + THIN)
    return float((under ^ solid).volume()) > SHARE * THIN * float(face.cut.section.area)


def area_of(solid: Any, face: SawnFace) -> float:
    """The area of a flat face of a body, mm²."""
    mesh = mesh_of(solid)
    away = (np.asarray(mesh.triangles_center) - face.point(np.zeros(2))) @ face.into
    flat = (np.asarray(mesh.face_normals) @ face.into < -0.999) & (np.abs(away) < THIN / 10.0)
    return float(np.asarray(mesh.area_faces)[flat].sum())


def way_out(solid: Any, normals: Sequence[Array], around: Sequence[Any]) -> Array | None:
    """A direction (3,) in which a body is free to be moved out; None where there is none.

    Parameters
    ----------
    normals : sequence of (3,)
        Of the faces beside it, from what stays into the body.
    around : sequence of Manifold
        What must not be met on the way.
    """
    obstacle = joined(list(around)) if around else None
    for way in _ways(normals):
        if obstacle is None or not _blocked(solid, way, obstacle):
            return way
    return None


def _ways(normals: Sequence[Array]) -> list[Array]:
    """Directions that lead out of every face, the one that leads out of all most clearly first.

    The directions that do are a cone, and its edges are crossings of two faces: where none of these leads out, no direction does.
    """
    if not normals:
        return list(np.vstack([np.eye(3), -np.eye(3)]))
    edges = [sign * np.cross(one, other) for one, other in itertools.combinations(normals, 2) for sign in (1.0, -1.0)]
    inner = [*normals, *(one + other for one, other in itertools.combinations(normals, 2)), np.sum(normals, axis=0)]
    along = [way for normal in normals for way in ring(normal, TURNS)]  # of two faces that look at each other there are no crossings
    ways = [unit(way) for way in (*inner, *edges, *along) if float(np.linalg.norm(way)) > 1e-6]
    free = [way for way in ways if min(float(way @ normal) for normal in normals) >= BACK]
    mean = np.sum(free, axis=0) if free else np.zeros(3)
    if float(np.linalg.norm(mean)) > 1e-6 and min(float(unit(mean) @ normal) for normal in normals) >= BACK:
        free.append(unit(mean))
    return sorted(free, key=lambda way: -min(float(way @ normal) for normal in normals))


def _blocked(solid: Any, way: Array, obstacle: Any) -> bool:
    """Whether a body meets an obstacle on its way out."""
    for away in np.arange(STEP_MM, CLEAR_MM, STEP_MM):
        moved = solid.translate(tuple(float(v) for v in away * way))
        if float((moved ^ obstacle).volume()) > MET_MM3:
            return True
    return False


def halves(solid: Any, faces: Sequence[SawnFace], around: Sequence[Any], gap: Mm) -> list[tuple[Filler, Array]] | None:
    """A body parted in two that go in one after the other, each with its way out; in the order in which they go in. None where no plane does that.

    `gap`: between the two, mm.
    """
    middle = np.asarray(mesh_of(solid).center_mass)
    for here in all_round(2 * PLANES):
        parts = [_side(solid, middle, here, gap), _side(solid, middle, -here, gap)]
        if any(len(pieces_of(part)) != 1 or part.volume() < SPLINTER_MM3 for part in parts):
            continue
        first, second = (Filler(part, [face for face in faces if _has(part, face)]) for part in parts)
        out = way_out(first.solid, [face.into for face in first.faces], around)
        then = way_out(second.solid, [*(face.into for face in second.faces), -here], [*around, first.solid])
        if out is not None and then is not None:
            return [(first, out), (second, then)]
    return None


def _side(solid: Any, middle: Array, normal: Array, gap: Mm) -> Any:
    """What of a body lies on the side of a plane to which `normal` looks, half a gap away from it."""
    x, y, z = (float(v) for v in normal)
    return solid.trim_by_plane((x, y, z), float(normal @ middle) + gap / 2.0)
