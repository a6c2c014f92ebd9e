"""Mould: two halves in which the body that fills the planned cuts is cast.

Purpose
    Cement is cast to the shape of the specimen, a gap short of each sawn face.
Datum
    The patient frame, closed. It opens along the axis of the body in which this locks least; the lower half has the keys.
Limits
    As `spacer`. Where the body would be held by a half when that opens, the cavity is wider, by up to `undercut`; the report says by how
    much. The parting surface runs amid the body, 1.5 mm fine. Heat, shrinkage and release of what is cast are not known here: `shrinkage`
    makes the cavity larger all round, by what the hospital has found for its material.
Files
    `NAME_PRINTER.stl`, the upper half; `-lower.stl`; `.3mf` and `.png` of both. Meshes, without STEP.
Source
    Two-part moulds for cement spacers, as in the series that psi-cad follows; no published dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import shapely
import trimesh

from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import triple
from psi_cad.guides.contract import BodySite, Bore, Flat, FreeDesign, Label, Part, Workshop
from psi_cad.guides.params import Parameters, param
from psi_cad.models import faces
from psi_cad.models.defect import fillers
from psi_cad.models.parting import Halves, drawn_along, held, parted, turned
from psi_cad.models.sawn import RIM, SawnFace, lettered
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.solids import joined, mesh_of, pieces_of, printable
from psi_cad.units import Array, Mm

SITE: Final = "body"
CUTS: Final = True  # it is made of planned cuts
UP: Final = np.array([0.0, 0.0, 1.0])
LOWER: Final = "lower"
APART: Final[Mm] = 20.0  # between vents
WALL: Final[Mm] = 0.01  # from the place of a flat face
LEAST: Final = 30.0  # mm² of it, or it is not looked for
NONE: Final = 0.05  # %: less is rounding
HELD: Final = 2e-3  # share of the body's volume: lips at its outline, less than a tenth of a millimetre thick
FEATHER: Final[Mm] = 0.02  # halves end in feather edges where they meet the body: what is thinner is left off


class Params(Parameters):
    """Parameters of the mould."""

    fit: float = param(0.5, unit="mm", low=0.0, high=3.0, help="gap between each flat face of what is cast and the sawn bone")
    relief: float = param(0.0, unit="mm", low=0.0, high=0.3, help="taken off the bone's own surface")
    shrinkage: float = param(0.0, unit="%", low=0.0, high=8.0, help="by so much the cavity is larger all round, for a material that shrinks")
    undercut: float = param(10.0, unit="%", low=0.0, high=30.0, help="most of the body's volume that may be added so that the halves let go of it")
    wall: float = param(6.0, unit="mm", low=3.0, high=20.0, help="material over and under the body; more where a key stands out further")
    key_diameter: float = param(8.0, unit="mm", low=4.0, high=20.0, help="of the keys that hold the halves in place")
    key_height: float = param(5.0, unit="mm", low=2.0, high=15.0, help="how far a key stands out")
    key_clearance: float = param(0.3, unit="mm", low=0.1, high=1.0, help="added to a key's diameter for its socket")
    pour: float = param(12.0, unit="mm", low=4.0, high=30.0, help="diameter of the opening through which it is filled")
    vents: int = param(3, unit="", low=1, high=8, help="vents wanted, over the highest places of the cavity")
    vent_diameter: float = param(2.0, unit="mm", low=1.0, high=5.0, help="of a vent")


@dataclass
class _Half:
    """One half as it is being made, in the mould's frame."""

    solid: Any
    features: list[Any] = field(default_factory=list)


def build(site: BodySite, params: Params, workshop: Workshop) -> FreeDesign:  # noqa: ARG001  (a body is made for one mould only)
    """The two halves, closed."""
    first, *others = fillers(site, params.fit, params.relief)
    if others:
        raise DesignError(f"A mould is for one specimen, and the cuts free {1 + len(others)}; plan a case with the cuts of one group.")
    axes = drawn_along(first.solid)
    body = first.solid.transform(turned(axes))
    middle, larger = np.asarray(mesh_of(body).center_mass), 1.0 + params.shrinkage / 100.0

    def move(point: Array) -> Array:
        return np.asarray(middle + larger * (point - middle))

    if params.shrinkage > 0.0:
        body = body.translate(tuple(-middle)).scale((larger,) * 3).translate(tuple(middle))
    halves = parted(body, wall=max(params.wall, params.key_height + RIM), flange=params.key_diameter + 2.0 * RIM + params.key_clearance)
    added = float(halves.cavity.volume() - body.volume())
    share = 100.0 * added / float(body.volume())
    if share > params.undercut + NONE:
        raise DesignError(
            f"Two halves would hold what is cast: {share:.1f} % of its volume would have to be added, and undercut allows {params.undercut:g} %; "
            "raise undercut, or cast it otherwise."
        )
    if held(halves) > HELD * float(body.volume()):
        raise DesignError("Two halves hold what is cast, whatever undercut allows: its outline is too rugged; cast it otherwise.")
    _refuse_too_large(site, halves)
    lower, upper = _Half(halves.lower), _Half(halves.upper)
    _walled(halves, [(face.cut.name, move(axes @ face.point(np.zeros(2))), axes @ face.into) for face in first.faces], lower, upper)
    _keyed(params, halves, lower, upper, site.printer.hole_compensation)
    less = _opened(params, halves, upper)
    marks, label = _marked(site, halves, upper)
    upper.solid = upper.solid - joined(marks) if marks else upper.solid
    below, own = _marked_below(site, halves)
    lower.solid = lower.solid - joined(below) if below else lower.solid
    less += [f"the {half} half carries no letters: there is no room on it" for half, said in (("upper", label), (LOWER, own)) if not said.lines]
    notes = (f"the cast is {added / 1000.0:.1f} cm³ ({share:.1f} %) larger than the body that fills the defect, so that the halves let go of it",)
    parts = [_part(half, axes, name, said, up) for half, name, said, up in ((upper, "", label, -axes[2]), (lower, LOWER, own, axes[2]))]
    cautions = tuple(Caution("part-less", text) for text in less)
    return FreeDesign(parts[0].shape, parts[0].features, label, (parts[1],), cautions, notes=notes, up=parts[0].up)


def _refuse_too_large(site: BodySite, halves: Halves) -> None:
    """Refuse a half that the printer has no room for in any position along its axes.

    Raises
    ------
    DesignError
    """
    for half in (halves.lower, halves.upper):
        low, high = np.reshape(half.bounding_box(), (2, 3))
        over = np.sort(high - low) - np.sort(site.printer.build_volume)
        if float(over.max()) > 0.0:
            size = " x ".join(f"{value:.0f}" for value in high - low)
            raise DesignError(
                f"A half of {size} mm is {float(over.max()):.0f} mm too large for printer {site.printer.id}; lower key_diameter, wall or key_height, "
                "or name a larger printer."
            )


def _part(half: _Half, axes: Array, name: str, label: Label, up: Array) -> Part:
    """A half in the patient frame, with what is promised of it; it is printed with the cavity up."""
    solid = pieces_of(half.solid.simplify(FEATHER))[0].transform(turned(axes.T))
    return Part(name, _largest(printable(solid)), tuple(_placed(one, axes) for one in half.features), label, up=triple(up))


def _largest(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A surface without crumbs that its corners' rounding has parted from it."""
    parts = mesh.split(only_watertight=False) if mesh.body_count > 1 else [mesh]
    return max(parts, key=lambda part: float(part.volume))


def _placed(feature: Bore | Flat, axes: Array) -> Bore | Flat:
    """A feature of the mould's frame in that of the patient."""
    point = triple(np.array(feature.point) @ axes)
    if isinstance(feature, Bore):
        return Bore(feature.name, point, triple(np.array(feature.direction) @ axes), feature.diameter)
    return Flat(feature.name, point, triple(np.array(feature.normal) @ axes), feature.area)


def _walled(halves: Halves, walls: list[tuple[str, Array, Array]], lower: _Half, upper: _Half) -> None:
    """Promise the flat faces of the cavity, as far as each half has them: (cut, a point, the way into the body) of each."""
    for half, solid in ((lower, halves.lower), (upper, halves.upper)):
        mesh = mesh_of(solid)
        for cut, point, into in walls:
            away = np.abs((np.asarray(mesh.triangles_center) - point) @ into)
            there = (away < WALL) & (np.asarray(mesh.face_normals) @ into > 0.9999)
            area = float(np.asarray(mesh.area_faces)[there].sum())
            if area > LEAST:
                half.features.append(Flat(f"cavity {cut}", triple(point), triple(into), round(area, 1)))


def _keyed(params: Params, halves: Halves, lower: _Half, upper: _Half, compensation: Mm) -> None:
    """Keys in three corners of the lower half: the halves go together in one way only."""
    low, high = _bounds(halves)
    rim = params.key_diameter / 2.0 + RIM
    x_low, y_low, x_high, y_high = low[0] + rim, low[1] + rim, high[0] - rim, high[1] - rim
    wide, radius = params.key_diameter + params.key_clearance + compensation, params.key_diameter / 2.0
    for number, place in enumerate(((x_low, y_low), (x_high, y_low), (x_low, y_high)), start=1):
        at = np.array(place)
        around = [halves.height_at(at + rim * np.array(side)) for side in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
        foot = np.array([*place, 0.0])
        key = faces.cylinder(foot, UP, min(around) - 1.0, max(around) + params.key_height, 2.0 * radius)
        socket = faces.cylinder(foot, UP, min(around) - 1.0, max(around) + params.key_height + 0.5, wide)
        lower.solid, upper.solid = joined([lower.solid, key]), upper.solid - socket
        upper.features.append(Bore(f"socket {number}", (place[0], place[1], max(around) + params.key_height / 2.0), triple(UP), wide))


def _bounds(halves: Halves) -> Array:
    """Least and greatest corner (2, 3) of both halves."""
    boxes = np.array([half.bounding_box() for half in (halves.lower, halves.upper)]).reshape(2, 2, 3)
    return np.array([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def _opened(params: Params, halves: Halves, upper: _Half) -> list[str]:
    """The opening over the thickest place, and vents over the highest; how many were wanted and not had, in words."""
    mesh = mesh_of(halves.cavity)
    vertices, top = np.asarray(mesh.vertices), float(_bounds(halves)[1, 2])
    outline = shapely.Polygon(max(halves.cavity.project().to_polygons(), key=lambda ring: shapely.Polygon(ring).area)).buffer(0)
    middle = np.array(shapely.maximum_inscribed_circle(outline, tolerance=0.5).coords[0])
    near = vertices[np.linalg.norm(vertices[:, :2] - middle, axis=1) < params.pour]
    made = [(middle, params.pour / 2.0)]
    _through(upper, "pour", middle, float(near[:, 2].max()) if len(near) else top, top, params.pour)
    highest = vertices[np.argsort(-vertices[:, 2], kind="stable")]
    inside = highest[shapely.contains_xy(outline.buffer(-params.vent_diameter), highest[:, 0], highest[:, 1])]
    count = 0
    for point in inside:
        if count == params.vents:
            break
        if all(float(np.linalg.norm(point[:2] - place)) > radius + APART for place, radius in made):
            count += 1
            made.append((point[:2], params.vent_diameter / 2.0))
            _through(upper, f"vent {count}", point[:2], float(point[2]), top, params.vent_diameter)
    return [] if count == params.vents else [f"the mould has {count} of {params.vents} vents: there is no room for more"]


def _through(upper: _Half, name: str, place: Array, ceiling: Mm, top: Mm, diameter: Mm) -> None:
    """A hole from the cavity, whose ceiling lies there, to the top."""
    foot = np.array([place[0], place[1], 0.0])
    upper.solid = upper.solid - faces.cylinder(foot, UP, ceiling - diameter - 1.0, top + 1.0, diameter)
    upper.features.append(Bore(name, (float(place[0]), float(place[1]), top - (top - ceiling) / 4.0), triple(UP), diameter))


def _marked(site: BodySite, halves: Halves, upper: _Half) -> tuple[list[Any], Label]:
    """Letters on the top of the upper half."""
    low, high = _bounds(halves)
    box = shapely.box(*low[:2], *high[:2])
    top = PlannedCut("top", np.array([0.0, 0.0, high[2]]), UP, np.eye(3), box, box, ())
    taken = [
        (np.array(one.point[:2]), one.diameter / 2.0 + RIM) for one in upper.features if isinstance(one, Bore) and not one.name.startswith("socket")
    ]
    upper.features.append(Flat("top", triple(np.array([*(low[:2] + high[:2]) / 2.0, high[2]])), triple(UP), round(float(box.area), 1)))
    return lettered([SawnFace(top, 0.0, -1.0, taken)], list(site.label[:-1]))


def _marked_below(site: BodySite, halves: Halves) -> tuple[list[Any], Label]:
    """Letters on the underside of the lower half, to be read from there."""
    low, high = _bounds(halves)
    box = shapely.box(*low[:2], *high[:2])
    bottom = PlannedCut("bottom", np.array([0.0, 0.0, low[2]]), UP, np.eye(3), box, box, ())
    return lettered([SawnFace(bottom, 0.0, 1.0)], [*site.label[:-1], LOWER])
