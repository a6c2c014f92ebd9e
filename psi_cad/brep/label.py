"""Engraved text: strokes of a single-line font as shallow pockets in a raised pad."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import cadquery as cq
import numpy as np
import shapely
import shapely.affinity
from OCP.BRep import BRep_Builder
from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeEdge
from OCP.TopAbs import TopAbs_FORWARD, TopAbs_REVERSED
from OCP.TopoDS import TopoDS

from psi_cad.brep.checked import say
from psi_cad.brep.floor import vertex
from psi_cad.brep.graph import flat_face, joined, solid_of
from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.readback import faces
from psi_cad.units import Array, Mm

__all__ = ["LINE_PITCH", "NARROWEST", "engraved", "pad", "tag", "text_shape", "text_width"]

STROKE: Final = 0.17  # of the cap height; an FDM bead is about 0.4 mm, so 2.5 mm letters print
LINE_PITCH: Final = 1.65
NARROWEST: Final = 0.75  # letters may be condensed to this where room is short
_RIM: Final[Mm] = 0.1  # of flat face left around the letters
_ALONG: Final = np.linspace(0.0, 1.0, 9)
# of the cap height: strokes, and the outlines of letters, lie this near to the font's; most faces of a guide are walls of letters, and
# fewer make every file and check faster; with more, letters lose their shape
_SIMPLE: Final = 0.06
_PLAIN: Final = 0.05
FOOT: Final = 0.15  # of an l, and each half of the serifs of an I
_MITRE: Final = 1.4  # corners sharper than a right angle are taken off: else the tip of a 1 would stand above its line


@lru_cache(maxsize=1)
def _font() -> Any:
    from HersheyFonts import HersheyFonts

    font = HersheyFonts()
    font.load_default_font("futural")
    font.normalize_rendering(1.0)
    return font


def _strokes(text: str, *, zeros_marked: bool = False) -> list[list[tuple[float, float]]]:
    found, along = list[list[tuple[float, float]]](), 0.0
    for letter in text:
        strokes, advance = _letter(letter, zeros_marked)
        found += [[(x + along, y) for x, y in stroke] for stroke in strokes]
        along += advance
    return found


@lru_cache(maxsize=256)
def _letter(letter: str, zero_marked: bool) -> tuple[list[list[tuple[float, float]]], float]:
    """Strokes of one letter, and how far the next stands from it.

    In the font l and I are the same bar, and hardly another than 1: an l gets a foot, an I serifs. A 0 gets the ends of a slash.
    """
    strokes = [list(stroke) for stroke in _font().strokes_for_text(letter)]
    (bar,), after = _font().strokes_for_text("l"), [list(stroke) for stroke in _font().strokes_for_text(f"{letter}l")]
    (x, top), (_, foot) = bar
    advance = after[-1][0][0] - x
    if letter == "l":
        return [[(x, top), (x, foot), (x + FOOT, foot)]], advance + FOOT
    if letter == "I":
        middle = x + FOOT
        return [[(middle, top), (middle, foot)], *([(x, y), (x + 2.0 * FOOT, y)] for y in (top, foot))], advance + 2.0 * FOOT
    if letter == "0" and zero_marked:
        strokes += [[(0.5, 0.96), (0.63, 1.08)], [(0.21, 0.29), (0.08, 0.17)]]
    return strokes, advance


@lru_cache(maxsize=256)
def text_width(text: str) -> float:
    """Width of one line in cap heights, letters at full width."""
    xs = [x for stroke in _strokes(text) for x, _ in stroke]
    return (max(xs) - min(xs) + STROKE) if xs else 0.0


def text_shape(lines: tuple[str, ...], *, height: Mm, condensed: float = 1.0) -> shapely.Geometry:
    """The grooves of `lines` (mm), centred on the origin, letters `height` tall and `condensed` in width."""
    rows = []
    for number, line in enumerate(lines):
        strokes = [
            shapely.LineString([(x * condensed, y) for x, y in stroke])
            .simplify(_SIMPLE)
            .buffer(STROKE / 2.0, cap_style="square", join_style="mitre", mitre_limit=_MITRE)
            for stroke in _strokes(line, zeros_marked="O" in "".join(lines))
            if len(stroke) > 1
        ]
        row = shapely.union_all(strokes).simplify(_PLAIN)
        x_low, _, x_high, _ = row.bounds
        down = ((len(lines) - 1) / 2.0 - number) * LINE_PITCH
        rows.append(shapely.affinity.translate(row, -(x_low + x_high) / 2.0, down - 0.5))
    return shapely.affinity.scale(shapely.union_all(rows), height, height, origin=(0.0, 0.0))


def pad(frame: Frame, *, width: Mm, height: Mm, thickness: Mm, into: Mm, edge_break: Mm) -> cq.Solid:
    """A block whose top face is the rectangle `width` x `height` about the origin of `frame` (z up), edges broken."""
    w, h, e = width / 2.0, height / 2.0, min(edge_break, thickness * 0.6)

    def ring(grow: Mm, z: Mm) -> Array:
        flat = [(-w - grow, -h - grow), (w + grow, -h - grow), (w + grow, h + grow), (-w - grow, h + grow)]
        return frame.patient(np.array([(x, y, z) for x, y in flat]))

    grow = e * (thickness + into) / thickness  # one frustum down to where it is buried in the wall
    return _stacked([ring(grow, -thickness - into), ring(0.0, 0.0)])


def tag(frame: Frame, *, width: Mm, height: Mm, thickness: Mm, corner: Mm, edge_break: Mm, skirt: Mm = 0.0) -> cq.Solid:
    """A plate whose top face is the rectangle `width` x `height` about the origin of `frame` (z up), all edges of it broken.

    The plate is wider than that face by `edge_break`, and below (-y) by `skirt` more; its corners are taken off by `corner`.
    """

    def ring(grow: Mm, z: Mm) -> Array:
        w, h, c = width / 2.0 + grow, height / 2.0 + grow, corner
        low = h + (skirt if grow > 0.0 else 0.0)
        flat = [(c - w, -low), (w - c, -low), (w, c - low), (w, h - c), (w - c, h), (c - w, h), (-w, h - c), (-w, c - low)]
        return frame.patient(np.array([(x, y, z) for x, y in flat]))

    return _stacked([ring(edge_break, -thickness), ring(edge_break, -edge_break), ring(0.0, 0.0)])


def _stacked(rings: Sequence[Array]) -> cq.Solid:
    """The solid between the first of `rings` (n, 3) and the last, each of which runs against the clock, seen from the next, beside the one below.

    All its sides are planes, where a loft has B-spline surfaces, over which a Boolean takes twice as long.
    """
    corners = [[vertex(point) for point in ring] for ring in rings]
    level = [list(itertools.starmap(_line, _round(row))) for row in corners]
    up = [list(itertools.starmap(_line, zip(low, high, strict=True))) for low, high in itertools.pairwise(corners)]
    faces = []
    for number, (low, high) in enumerate(itertools.pairwise(rings)):
        uprights = list(_round(up[number]))
        for n, (way, rise) in enumerate(zip(np.roll(low, -1, axis=0) - low, high - low, strict=True)):
            edges = [level[number][n], uprights[n][1], level[number + 1][n].Reversed(), uprights[n][0].Reversed()]
            faces.append(flat_face(low[n], np.cross(way, rise), way, [edges]))
    for ring, edges, below in ((rings[0], _back(level[0]), True), (rings[-1], level[-1], False)):
        along, across = ring[1] - ring[0], ring[2] - ring[1]
        out = np.cross(along, across)
        faces.append(flat_face(ring[0], -out if below else out, along, [edges]))
    return solid_of(faces)


def _round(row: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Each with the next, the last with the first."""
    return zip(row, [*row[1:], row[0]], strict=True)


def engraved(step: str, body: cq.Solid, texts: Sequence[tuple[Frame, shapely.Geometry]], *, depth: Mm) -> cq.Solid:
    """`body` with each text (a shape in the xy of its frame) sunk `depth` into the flat face at z = 0 of its frame.

    A Boolean with a thousand letter faces takes the kernel half a minute next to B-spline faces. Here the flat face
    is exchanged for itself with holes, and the pockets' walls and floors, which share the holes' edges.

    Raises
    ------
    KernelError
        If the body has no flat face there that holds the whole text.
    """
    say(step)
    exchanged: list[cq.Face] = []
    pieces: list[Any] = []
    for frame, shape in texts:
        face = _flat_face(body, frame, shape, step)
        exchanged.append(face)
        pieces += _pockets(step, face, frame, shape, depth)
    kept = [other.wrapped for other in body.Faces() if not any(other.wrapped.IsSame(face.wrapped) for face in exchanged)]
    return solid_of([*kept, *pieces])  # all look outward already


def _pockets(step: str, face: cq.Face, frame: Frame, shape: shapely.Geometry, depth: Mm) -> list[Any]:
    """The kernel faces that replace `face`: itself with holes, the pockets' walls and floors, the insides of letters."""
    if not shape.is_valid:
        raise KernelError(f"The step '{step}' found letters whose strokes cross: {shapely.is_valid_reason(shape)}.")
    outward, pieces, holes = frame.axes[2], list[Any](), list[list[Any]]()
    for part in shapely.get_parts(shapely.orient_polygons(shape)):  # within is to the left of every ring
        rings = [_Ring(np.asarray(ring.coords)[:-1], frame, depth) for ring in (part.exterior, *part.interiors)]
        pieces.append(flat_face(rings[0].low[0], outward, frame.axes[0], [ring.below for ring in rings]))
        pieces += [wall for ring in rings for wall in ring.walls()]
        pieces += [flat_face(ring.high[0], outward, frame.axes[0], [_back(ring.above)]) for ring in rings[1:]]
        holes.append(_back(rings[0].above))
    looks_out = face.wrapped.Oriented(TopAbs_FORWARD)
    flips = face.wrapped.Orientation() == TopAbs_REVERSED
    made = TopoDS.Face_s(looks_out.EmptyCopied())
    BRep_Builder().Add(made, cq.Face(looks_out).outerWire().wrapped)
    for hole in holes:
        BRep_Builder().Add(made, joined(_back(hole) if flips else hole))
    return [*pieces, made.Oriented(face.wrapped.Orientation())]


class _Ring:
    """One outline of a pocket, drawn: its corners and edges on the flat face and on the floor; what is sunk is to its left."""

    def __init__(self, flat: Array, frame: Frame, depth: Mm) -> None:
        self.out = frame.axes[2]
        self.high = frame.patient(np.column_stack([flat, np.zeros(len(flat))]))
        self.low = self.high - depth * self.out
        above, below = ([vertex(point) for point in points] for points in (self.high, self.low))
        self.above, self.below = (list(itertools.starmap(_line, _round(row))) for row in (above, below))
        self.upright = list(itertools.starmap(_line, zip(below, above, strict=True)))

    def walls(self) -> Iterator[Any]:
        """The walls over its sides, which look to the left."""
        ways = np.roll(self.high, -1, axis=0) - self.high
        for n, (way, next_up) in enumerate(zip(ways, [*self.upright[1:], self.upright[0]], strict=True)):
            edges = [self.upright[n], self.above[n], next_up.Reversed(), self.below[n].Reversed()]
            yield flat_face(self.low[n], np.cross(self.out, way), way, [edges])


def _line(a: Any, b: Any) -> Any:
    return BRepBuilderAPI_MakeEdge(a, b).Edge()


def _back(edges: Sequence[Any]) -> list[Any]:
    """The same loop, the other way round."""
    return [edge.Reversed() for edge in reversed(edges)]


def _flat_face(body: cq.Solid, frame: Frame, shape: shapely.Geometry, step: str) -> cq.Face:
    """The face at z = 0 of `frame` that holds the whole text; another feature may have cut a corner off its pad."""
    for face in body.Faces():
        if face.geomType() != "PLANE" or frame.local_direction(faces.outward(face))[2] < 0.99 or face.innerWires():
            continue
        corners = frame.local(np.array([vertex.toTuple() for vertex in face.Vertices()]))
        if np.abs(corners[:, 2]).max() > 1e-6:
            continue
        sides = [frame.local(np.array([edge.positionAt(t).toTuple() for t in _ALONG]))[:, :2] for edge in face.outerWire().Edges()]
        outline = shapely.get_parts(shapely.polygonize([shapely.LineString(np.round(side, 6)) for side in sides]))
        if len(outline) == 1 and outline[0].buffer(-_RIM).contains(shape):
            return face
    raise KernelError(
        f"The step '{step}' found no flat face for the label, because another feature covers its pad; another end_wall, footplate_reach or approach "
        "gives it other room."
    )
