"""What goes onto and into the flat faces of sawn bone: pegs and sockets, drains, letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely
import shapely.affinity

from psi_cad.brep import label
from psi_cad.frames import across
from psi_cad.scene.cuts import PlannedCut
from psi_cad.units import Array, Mm

__all__ = ["cylinder", "letters_on", "places_in", "spread"]

GRID: Final = 24  # places looked at across a face for letters
PLACES: Final = 14  # ... for pegs and drains
ROUND: Final = 48  # sides of a cylinder
WIDE: Final[Mm] = 20.0  # ... of one that is wider, twice as many
TURNS: Final = (0.0, 90.0, 45.0, 135.0, 22.5, 67.5, 112.5, 157.5)
HEIGHTS: Final = (6.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0)  # of letters, the largest first


def cylinder(middle: Array, way: Array, low: Mm, high: Mm, diameter: Mm) -> Any:
    """A round rod about the line through `middle` along the unit `way`, from `low` to `high` along it (Manifold).

    Its corners lie on the circle; amid its flats it is narrower by 0.2 % of the diameter.
    """
    import manifold3d

    x = across(way)
    radius = diameter / 2.0
    rod = manifold3d.Manifold.cylinder(high - low, radius, radius, ROUND if diameter <= WIDE else 2 * ROUND)
    return rod.transform(np.column_stack([x, np.cross(way, x), way, middle + low * way]))


def places_in(section: shapely.Geometry, *, rim: Mm, off: Sequence[tuple[Array, Mm]] = ()) -> Array:
    """Places (n, 2) all over a section, at least `rim` from its edge and off circles (place, radius); those deepest in it first."""
    room = section.buffer(-rim)
    if room.is_empty:
        return np.zeros((0, 2))
    x_low, y_low, x_high, y_high = room.bounds
    xs, ys = np.meshgrid(np.linspace(x_low, x_high, PLACES), np.linspace(y_low, y_high, PLACES))
    deepest = [shapely.maximum_inscribed_circle(part, tolerance=0.1).coords[0] for part in shapely.get_parts(room)]
    flat = np.vstack([np.array(deepest)[:, :2], np.column_stack([xs.ravel(), ys.ravel()])])
    flat = flat[shapely.intersects_xy(room, flat[:, 0], flat[:, 1])]
    for place, radius in off:
        flat = flat[np.linalg.norm(flat - place, axis=1) > radius]
    return np.asarray(flat[np.argsort(-shapely.distance(shapely.points(flat), section.boundary), kind="stable")])


def spread(places: Array, *, wanted: int, apart: Mm) -> list[Array]:
    """At most `wanted` of the places (n, 2), as far from each other as they can be, and at least `apart`; a single one: the first."""
    if wanted < 2 or len(places) < 2:
        return list(places[:wanted])
    away = np.linalg.norm(places[:, None] - places[None], axis=2)
    found = [int(n) for n in np.unravel_index(int(np.argmax(away)), away.shape)]
    if away[found[0], found[1]] < apart:
        return [places[0]]
    while len(found) < wanted:
        least = away[found].min(axis=0)
        if float(least.max()) < apart:
            break
        found.append(int(np.argmax(least)))
    return [places[n] for n in found]


def letters_on(cut: PlannedCut, lines: Sequence[str], *, mirrored: bool, off: Sequence[tuple[Array, Mm]], rim: Mm = 1.5) -> tuple[Any, Mm] | None:
    """The letters of `lines` where they fit on a cut's face, as a region of its plane (s, u), and their height; None where they fit nowhere.

    `mirrored`: the face looks against the cut's normal. `off`: circles (place, radius) that are taken.
    """
    room = cut.section.buffer(-rim)
    for place, radius in off:
        room = room.difference(shapely.Point(*place).buffer(radius))
    if room.is_empty:
        return None
    x_low, y_low, x_high, y_high = room.bounds
    xs, ys = np.meshgrid(np.linspace(x_low, x_high, GRID), np.linspace(y_low, y_high, GRID))
    spots = np.column_stack([xs.ravel(), ys.ravel()])
    spots = spots[shapely.contains_xy(room, spots[:, 0], spots[:, 1])]
    spots = spots[np.argsort(-shapely.distance(shapely.points(spots), room.boundary), kind="stable")]
    shapely.prepare(room)
    for height in HEIGHTS:
        shape = label.text_shape(tuple(lines), height=height)
        if mirrored:
            shape = shapely.affinity.scale(shape, -1.0, 1.0, origin=(0.0, 0.0))
        box = shapely.box(*shape.bounds)
        for turn in TURNS:
            turned = shapely.affinity.rotate(box, turn, origin=(0.0, 0.0))
            for x, y in spots:
                if room.contains(shapely.affinity.translate(turned, x, y)):
                    return shapely.affinity.translate(shapely.affinity.rotate(shape, turn, origin=(0.0, 0.0)), x, y), height
    return None
