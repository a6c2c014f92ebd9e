"""Engraved text: strokes of a single-line font as shallow pockets in a raised pad."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import cadquery as cq
import numpy as np
import shapely
import shapely.affinity
from OCP.BRepPrimAPI import BRepPrimAPI_MakePrism
from OCP.gp import gp_Vec

from psi_cad.brep.checked import say
from psi_cad.brep.graph import solid_of
from psi_cad.brep.patch import vector
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
_SIMPLE: Final = 0.06  # of the cap height; fewer letter faces make every file and check faster


@lru_cache(maxsize=1)
def _font() -> Any:
    from HersheyFonts import HersheyFonts

    font = HersheyFonts()
    font.load_default_font("futural")
    font.normalize_rendering(1.0)
    return font


def _strokes(text: str) -> list[list[tuple[float, float]]]:
    return [list(stroke) for stroke in _font().strokes_for_text(text)]


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
            .buffer(STROKE / 2.0, cap_style="square", join_style="mitre", mitre_limit=1.4)
            for stroke in _strokes(line)
            if len(stroke) > 1
        ]
        row = shapely.union_all(strokes).simplify(_SIMPLE / 2.0)
        x_low, _, x_high, _ = row.bounds
        down = ((len(lines) - 1) / 2.0 - number) * LINE_PITCH
        rows.append(shapely.affinity.translate(row, -(x_low + x_high) / 2.0, down - 0.5))
    return shapely.affinity.scale(shapely.union_all(rows), height, height, origin=(0.0, 0.0))


def pad(frame: Frame, *, width: Mm, height: Mm, thickness: Mm, into: Mm, edge_break: Mm) -> cq.Solid:
    """A block whose top face is the rectangle `width` x `height` about the origin of `frame` (z up), edges broken."""
    w, h, e = width / 2.0, height / 2.0, min(edge_break, thickness * 0.6)

    def ring(grow: Mm, z: Mm) -> cq.Wire:
        flat = [(-w - grow, -h - grow), (w + grow, -h - grow), (w + grow, h + grow), (-w - grow, h + grow)]
        return cq.Wire.makePolygon([vector(point) for point in frame.patient(np.array([(x, y, z) for x, y in flat]))], close=True)

    grow = e * (thickness + into) / thickness  # one frustum down to where it is buried in the wall
    return cq.Solid.makeLoft([ring(grow, -thickness - into), ring(0.0, 0.0)], True)


def tag(frame: Frame, *, width: Mm, height: Mm, thickness: Mm, corner: Mm, edge_break: Mm, skirt: Mm = 0.0) -> cq.Solid:
    """A plate whose top face is the rectangle `width` x `height` about the origin of `frame` (z up), all edges of it broken.

    The plate is wider than that face by `edge_break`, and below (-y) by `skirt` more; its corners are taken off by `corner`.
    """

    def ring(grow: Mm, z: Mm) -> cq.Wire:
        w, h, c = width / 2.0 + grow, height / 2.0 + grow, corner
        low = h + (skirt if grow > 0.0 else 0.0)
        flat = [(c - w, -low), (w - c, -low), (w, c - low), (w, h - c), (w - c, h), (c - w, h), (-w, h - c), (-w, c - low)]
        return cq.Wire.makePolygon([vector(point) for point in frame.patient(np.array([(x, y, z) for x, y in flat]))], close=True)

    return cq.Solid.makeLoft([ring(edge_break, -thickness), ring(edge_break, -edge_break), ring(0.0, 0.0)], True)


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
    outward = frame.axes[2]
    down = gp_Vec(*(float(value) for value in -depth * outward))
    holes: list[cq.Wire] = []
    pieces: list[Any] = []
    sunk = 0.0
    for part in shapely.get_parts(shape):
        lid = cq.Face.makeFromWires(_wire(part.exterior, frame), [_wire(ring, frame) for ring in part.interiors])
        block = cq.Solid(BRepPrimAPI_MakePrism(lid.wrapped, down).Shape())
        volume = float(block.Volume())
        sunk += abs(volume)
        for wall in block.Faces():  # the walls of a pocket look the other way than those of a block
            if not wall.wrapped.IsSame(lid.wrapped):
                pieces.append(wall.wrapped.Reversed() if volume > 0.0 else wall.wrapped)
        holes.append(lid.outerWire())
        pieces += [_facing(cq.Face.makeFromWires(inner, []), outward) for inner in lid.innerWires()]
    if abs(sunk - shape.area * depth) > 1e-3 * shape.area * depth:
        raise KernelError(f"The step '{step}' sank {sunk:.2f} mm³ where {shape.area * depth:.2f} belong to the letters.")
    pieces.append(_facing(cq.Face.makeFromWires(face.outerWire(), holes), outward))
    return pieces


def _facing(face: cq.Face, outward: Array) -> Any:
    """The kernel's face, turned to look along `outward`."""
    looks = float(np.dot(np.array(face.normalAt().toTuple()), outward))
    return face.wrapped if looks > 0.0 else face.wrapped.Reversed()


def _wire(ring: Any, frame: Frame) -> cq.Wire:
    flat = np.asarray(ring.coords)[:-1]
    points = frame.patient(np.column_stack([flat, np.zeros(len(flat))]))
    return cq.Wire.makePolygon([vector(point) for point in points], close=True)


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
