"""Bone model: the bone 1:1, in the pieces that the planned cuts leave, with pegs, and the tumour in it.

Purpose
    A model in the hand: the team sees the tumour and the cuts, takes the specimen out along its way, and tries the guide on the
    bone before it is sawn. With `cut = false` it is whole, with a line engraved where each cut runs.
Datum
    The patient frame. Pieces part at the planned planes (with `kerf = true` the saw's kerf is missing between them).
Limits
    As right as the bone's surface, and the print. Voids that are shut in the bone are filled. Hollow pieces have walls of at least
    `shell`, and a drain in a cut face. A bone that is taken back by `fit` is smaller by that much all round: a guide with a small
    seat gap then goes on in spite of a rough print. It shows where the plan cuts; it does not show what the saw will do.
Files
    `NAME_PRINTER.stl`, `.3mf` and `.png`; the pieces `-specimen.stl`, `-retained-2.stl`, `-tumour.stl` and `-margin.stl`. Meshes, without
    STEP.
Source
    1:1 models on which the team plans and tries the guide, as in the series that psi-cad follows; no published dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import triple, unit
from psi_cad.guides.contract import BodySite, Bore, FreeDesign, Label, Part, Workshop
from psi_cad.guides.params import Parameters, param
from psi_cad.models import faces, offsets
from psi_cad.models.room import refuse_too_large
from psi_cad.models.sawn import CRUMB_MM3, RIM, SPLINTER_MM3, SUNK, SawnFace, hollow, lettered, one_piece
from psi_cad.resection.dust import prism
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.solids import joined, mesh_of, pieces_of, printable, solid_of
from psi_cad.units import Array, Mm

SITE: Final = "body"
LINE: Final[Mm] = 0.8  # width of a cut line
LEANS: Final = 0.35  # the least share of a peg's way that leads out of its face: a peg along the face holds nothing
BONE, TAKEN, TUMOUR, MARGIN = "#e6dcc3", "#7fb2d9", "#c0392b", "#f2c14e"
THIN: Final[Mm] = 0.2  # of bone under a face, by which a piece is known to have it
SHARE: Final = 0.02  # ... on so much of the face: its rim touches other pieces
RETAINED: Final = "retained"


class Params(Parameters):
    """Parameters of the bone model."""

    cut: bool = param(True, unit="", help="in pieces, as the planned cuts leave them; false: whole, with a line engraved at each cut")
    kerf: bool = param(False, unit="", help="leave out what the saw turns to dust; false: pieces meet at the planned planes")
    fit: float = param(0.0, unit="mm", low=0.0, high=0.3, help="taken off the bone all round, so that a guide goes on in spite of a rough print")
    pegs: int = param(2, unit="", low=0, high=4, help="pegs wanted in each cut face; all pegs of a specimen have one direction, so that it comes out")
    peg_diameter: float = param(4.0, unit="mm", low=2.0, high=10.0, help="of a peg")
    peg_length: float = param(6.0, unit="mm", low=2.0, high=20.0, help="how far a peg goes into either piece")
    peg_clearance: float = param(0.2, unit="mm", low=0.0, high=0.6, help="added to a peg's diameter for its socket")
    shell: float = param(0.0, unit="mm", low=0.0, high=8.0, help="hollow, with at least so much wall; 0: solid")
    drain: float = param(4.0, unit="mm", low=2.0, high=10.0, help="diameter of the drain in a cut face of each hollow piece")
    tumour: bool = param(True, unit="", help="the tumour as a part of its own, taken out of the bone around it")
    window: float = param(0.0, unit="mm", low=0.0, high=60.0, help="diameter of an opening onto the tumour; 0: none, for a clear material")
    margin: float = param(0.0, unit="mm", low=0.0, high=30.0, help="bone within so much of the tumour as a part of its own; 0: none")


@dataclass
class _Piece:
    """One piece of bone as it is being made: its faces by cut, and what is added and taken there."""

    name: str
    solid: Any
    sign: float  # of the side of a cut that it lies on: +1 along the normal
    colour: str
    faces: dict[str, SawnFace] = field(default_factory=dict)
    features: list[Bore] = field(default_factory=list)
    added: list[Any] = field(default_factory=list)
    taken: list[Any] = field(default_factory=list)
    room: Any = None  # what is taken out of the bone for it
    stays: list[Any] = field(default_factory=list)  # not to be hollowed: round pegs and sockets


def build(site: BodySite, params: Params, workshop: Workshop) -> FreeDesign:  # noqa: ARG001  (pieces are made for one model only)
    """The pieces of the bone, the tumour and its margin."""
    bone = offsets.without_voids(offsets.shrunk_by(site.mesh, params.fit))
    pieces = _pieces(site, params, bone)
    if params.cut and params.pegs:
        _pegged(site, params, pieces, bone)
    parts, less = [], _unpegged(site, params, pieces)
    inside = _inside(site, params, less)
    if params.window > 0.0 and not inside:
        less.append("there is no window, for the case has no tumour or tumour = false")
    for piece in pieces:
        body = piece.solid if not piece.added else joined([piece.solid, *piece.added])
        for one in inside:
            body = body - one.room  # margins have one room together
        if params.window > 0.0 and inside:
            body = body - _window(site, params)
        if params.shell > 0.0:
            inner = hollow(body, params.shell, list(piece.faces.values()), drain=params.drain, stays=piece.stays) if params.cut else []
            piece.taken += inner
            if not inner:
                less.append(f"the piece '{piece.name or RETAINED}' is solid: no drain leads to a hollow with walls of {params.shell:g} mm")
        marks, said = _marked(site, params, piece)
        if params.cut and not said.lines:
            less.append(f"the piece '{piece.name or RETAINED}' carries no letters: its cut faces have no room for them")
        for tool in (*piece.taken, *marks):
            body = body - tool
        parts.append(Part(piece.name, printable(_one(body, piece.name, less)), tuple(piece.features), said, piece.colour))
    parts += [Part(one.name, printable(one.solid), (), Label((), 0.0), one.colour) for one in inside]
    ways = [] if params.cut else ["set params.cut = true, which parts it"]
    refuse_too_large(site.printer, parts, *ways, first=RETAINED if params.cut else "bone")
    first, *further = parts
    return FreeDesign(
        first.shape, first.features, first.label, tuple(further), tuple(Caution("part-less", text) for text in less), colour=first.colour
    )


def _pieces(site: BodySite, params: Params, bone: Any) -> list[_Piece]:
    """The bone whole, or what the cuts leave of it: what stays first."""
    if not params.cut:
        return [_Piece("", bone, 0.0, BONE)]
    left = site.left if params.kerf else site.apart
    pieces = [_Piece("" if number == 0 else f"retained-{number + 1}", solid, -1.0, BONE) for number, solid in enumerate(left.retained)]
    for piece in pieces:
        piece.faces = {name: _face(site, params, cut, piece) for name, cut in site.cuts.items() if _has_face(site, params, cut, piece)}
    different: dict[int, _Piece] = {}
    for group, solid in left.specimens.items():
        if id(solid) not in different:
            name = "specimen" if left.pieces == 1 else f"specimen-{group}"
            different[id(solid)] = _Piece(name, solid, 1.0, TAKEN)
        piece = different[id(solid)]
        piece.faces |= {name: _face(site, params, cut, piece) for name, cut in site.cuts.items() if cut.group == group}
    found = [*pieces, *different.values()]
    for piece in found:
        piece.solid = offsets.without_voids(piece.solid)
        if params.fit > 0.0:
            piece.solid = piece.solid ^ bone
    return found


def _face(site: BodySite, params: Params, cut: PlannedCut, piece: _Piece) -> SawnFace:
    """The face of a piece at a cut: where the kerf is missing, at its edge."""
    kerf = site.kerfs[cut.name]
    return SawnFace(cut, (kerf.high if piece.sign > 0.0 else kerf.low) if params.kerf else 0.0, piece.sign)


def _has_face(site: BodySite, params: Params, cut: PlannedCut, piece: _Piece) -> bool:
    """Whether a piece that stays was parted at a cut."""
    at = _face(site, params, cut, piece).at
    return float((prism(cut.section, cut, at - THIN, at) ^ piece.solid).volume()) > SHARE * THIN * float(cut.section.area)


def _unpegged(site: BodySite, params: Params, pieces: list[_Piece]) -> list[str]:
    """The cut faces with fewer pegs than asked for, in words."""
    if not params.cut:
        return []
    made = [bore.name.split(" ")[1] for piece in pieces for bore in piece.features]
    few = {name: made.count(name) for name in site.cuts if made.count(name) < params.pegs}
    return [f"cut {name} has {count} of {params.pegs} pegs: there is no room for more" for name, count in few.items()]


def _pegged(site: BodySite, params: Params, pieces: list[_Piece], bone: Any) -> None:
    """Pegs on each specimen, sockets in what stays: all pegs of a specimen lie along the mean of its cuts' normals."""
    for piece in (one for one in pieces if one.sign > 0.0):
        cuts = [site.cuts[name] for name in piece.faces]
        out = np.sum([cut.normal for cut in cuts], axis=0)
        if float(np.linalg.norm(out)) < LEANS:  # its faces look away from each other: no way leads out of all
            continue
        way = unit(out)
        for cut in cuts:
            if float(way @ cut.normal) < LEANS:
                continue
            rim = params.peg_diameter / 2.0 / float(way @ cut.normal) + RIM
            places = [
                place for place in faces.places_in(cut.section, rim=rim) if _fits(params, cut.patient(place[None])[0], way, bone, pieces, piece)
            ]
            for number, place in enumerate(faces.spread(np.array(places).reshape(-1, 2), wanted=params.pegs, apart=2.0 * rim), start=1):
                middle = cut.patient(place[None])[0]
                if _fits(params, middle, way, bone, pieces, piece):  # among those made by now
                    _peg(site, params, piece, pieces, cut, middle, way, f"{cut.name} {number}")
                    for one in pieces:
                        if cut.name in one.faces:
                            one.faces[cut.name].taken.append((place, rim + RIM))


def _fits(params: Params, middle: Array, way: Array, bone: Any, pieces: list[_Piece], own: _Piece) -> bool:
    """Whether a peg has bone all round on both sides of the cut, and keeps off other pegs and other specimens."""
    long = params.peg_length + RIM
    around = faces.cylinder(middle, way, -long, long, params.peg_diameter + 2.0 * RIM)
    return float((around - bone).volume()) <= 0.0 and not _meets(around, pieces, own)


def _meets(around: Any, pieces: list[_Piece], own: _Piece) -> bool:
    """Whether a peg would come near another, or lead into a second specimen."""
    others = [one.solid for one in pieces if one.sign > 0.0 and one is not own] + [rod for one in pieces for rod in one.stays]
    return any(float((around ^ other).volume()) > 0.0 for other in others)


def _peg(site: BodySite, params: Params, piece: _Piece, pieces: list[_Piece], cut: PlannedCut, middle: Array, way: Array, name: str) -> None:
    """One peg, and its socket in whatever piece it leads into."""
    long, wide = params.peg_length, params.peg_diameter + params.peg_clearance + site.printer.hole_compensation
    deep = long + 0.5  # a socket is a little deeper than its peg is long
    lean = params.peg_diameter / 2.0 * float(np.tan(np.arccos(min(float(way @ cut.normal), 1.0))))
    above = lean + 1.0 + piece.faces[cut.name].at / float(way @ cut.normal)  # well into the specimen, whatever the saw takes
    piece.added.append(faces.cylinder(middle, way, -long, above, params.peg_diameter))
    socket = faces.cylinder(middle, way, -deep, lean + 1.0, wide)
    around = faces.cylinder(middle, way, -deep - RIM, long + RIM, params.peg_diameter + 2.0 * RIM)
    shallow = lean - (site.kerfs[cut.name].low if params.kerf else 0.0) / float(way @ cut.normal)
    point = middle - (shallow + deep) / 2.0 * way
    for one in pieces:
        one.stays.append(around)
        if one.sign < 0.0 and float((one.solid ^ socket).volume()) > 0.0:
            one.taken.append(socket)
            one.features.append(Bore(f"socket {name}", triple(point), triple(way), wide))


def _inside(site: BodySite, params: Params, less: list[str]) -> list[_Piece]:
    """The tumour, and what lies within the margin of it, as far as they are bone or reach out of it."""
    tumour = site.tumour_body
    if tumour is None:
        return []
    found = [_Piece("tumour", tumour, 0.0, TUMOUR, room=tumour)] if params.tumour else []
    if params.margin > 0.0:
        bone = solid_of(site.mesh, name="the bone", key="bone")
        around = offsets.grown(tumour, params.margin)
        shell = around ^ bone
        pieces = pieces_of(shell - tumour if params.tumour else shell)
        large = [piece for piece in pieces if piece.volume() > SPLINTER_MM3]
        found += [_Piece(f"margin-{n}" if n > 1 else "margin", piece, 0.0, MARGIN, room=around) for n, piece in enumerate(large, start=1)]
        lost = sum(float(piece.volume()) for piece in pieces) - sum(float(piece.volume()) for piece in large)
        if lost > CRUMB_MM3:
            less.append(f"the margin is without splinters of {lost:.0f} mm³ that hang on nothing")
    return found


def _window(site: BodySite, params: Params) -> Any:
    """A round opening from the middle of the tumour to where the bone's surface is nearest to it."""
    middle = np.asarray(mesh_of(site.tumour_body).center_mass)
    vertices = np.asarray(site.mesh.vertices)
    away = vertices - middle
    nearest = away[int(np.argmin(np.linalg.norm(away, axis=1)))]
    length = float(np.linalg.norm(nearest))
    way = nearest / length if length > 0.0 else np.array([0.0, 0.0, 1.0])
    return faces.cylinder(middle, way, 0.0, length + params.window, params.window)


def _marked(site: BodySite, params: Params, piece: _Piece) -> tuple[list[Any], Label]:
    """Letters in the largest cut face that holds them; on a whole bone a line along every cut."""
    if not params.cut:
        core = offsets.hollow_of(piece.solid, SUNK)
        lines = [prism(cut.section.buffer(2.0), cut, -LINE / 2.0, LINE / 2.0) for cut in site.cuts.values()]
        return [line - core if core is not None else line for line in lines], Label((), 0.0)
    return lettered(list(piece.faces.values()), [*site.label[:-1], piece.name or RETAINED])


def _one(body: Any, name: str, less: list[str]) -> Any:
    """The only piece of a body that is more than a splinter; splinters are left out, and told.

    Raises
    ------
    DesignError
    """
    first, large, lost = one_piece(body)
    if large:
        raise DesignError(
            f"The piece '{name or RETAINED}' falls into {len(large) + 1} parts; set tumour = false, or lower margin, window, fit or shell.",
            where=triple(mesh_of(large[0]).centroid),
        )
    if lost:
        less.append(f"the piece '{name or RETAINED}' is without splinters of {lost:.0f} mm³ that hang on nothing")
    return first
