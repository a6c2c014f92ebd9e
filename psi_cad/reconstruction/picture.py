"""A stem in the bone that stays, and the cup on it: from the front and the side, and in two sections along the stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import shapely
import trimesh

from psi_cad.frames import across, unit
from psi_cad.report.depth_picture import filled
from psi_cad.report.lettering import Label, Panel, Swatch, save_sheet
from psi_cad.report.views import BONE, GUIDE, PLANE, Body, Colour, Pixels, Studio, View, view_onto
from psi_cad.surface.section import section_parts
from psi_cad.units import Array, Mm

__all__ = ["StemShown", "picture_of_stem"]

SIZE: Final = (700, 600)
FINER: Final = 2
METAL: Final[Colour] = (0.45, 0.47, 0.52)
LEAST: Final[Colour] = (0.8, 0.1, 0.1)
ROOM_MM: Final[Mm] = 25.0  # round a stem in its section


@dataclass(frozen=True)
class StemShown:
    """A hole from `entry` (3,) along `into` (3,), and where least bone lies beside it (3,); the cup's centre, axis and diameter; patient mm."""

    name: str
    entry: Array
    into: Array
    depth: Mm
    diameter: Mm
    least: Mm
    where: Array
    centre: Array
    axis: Array
    cup: Mm

    def cylinder(self) -> trimesh.Trimesh:
        """The hole as a body."""
        return trimesh.creation.cylinder(self.diameter / 2.0, segment=[self.entry, self.entry + self.depth * self.into], sections=48)

    def bowl(self) -> trimesh.Trimesh:
        """The back half of the cup, as a body."""
        ball = trimesh.creation.icosphere(4, self.cup / 2.0)
        half = trimesh.intersections.slice_mesh_plane(ball, np.array([0.0, 0.0, -1.0]), np.zeros(3))
        x = across(self.axis)
        turn = np.eye(4)
        turn[:3, :3] = np.column_stack([x, np.cross(self.axis, x), self.axis])
        turn[:3, 3] = self.centre
        return half.apply_transform(turn)


def picture_of_stem(path: Path, bone: trimesh.Trimesh, stem: StemShown, *, title: str) -> None:
    """A PNG of `stem` in `bone` (patient mm), whole or not at all."""
    studio, whole = Studio(), Body(bone, BONE)
    bodies = [Body(stem.cylinder(), METAL), Body(stem.bowl(), GUIDE, 0.8)]
    points = np.vstack([np.asarray(bone.vertices), *(np.asarray(body.mesh.vertices) for body in bodies)])
    panels = []
    for caption, direction in (("from the front", (0.0, -1.0, 0.0)), ("from the side", (_side(stem), 0.0, 0.0))):
        view = view_onto(points, np.array(direction), size=SIZE)
        panels.append(Panel(view, studio.ghosted(view, bodies, [whole], share=0.5), f"{caption}; the bone of glass"))
    studio.close()
    least = _least_way(stem)
    for caption, sideways in (("where least bone lies beside it", least), ("across that", np.cross(stem.into, least))):
        panels.append(_section(bone, stem, sideways, f"along the stem, {caption}"))
    legend = [
        Swatch(BONE, "bone that stays"),
        Swatch(METAL, f"hole {stem.name}, {stem.diameter:g} mm wide and {stem.depth:g} deep"),
        Swatch(GUIDE, f"back of the cup, {stem.cup:g} mm"),
        Swatch(PLANE, "its axis"),
        Swatch(LEAST, f"least bone beside the hole: {stem.least:.1f} mm"),
    ]
    save_sheet(path, panels, title=title, columns=2, legend=legend)


def _side(stem: StemShown) -> float:
    return 1.0 if float(stem.axis[0]) >= 0.0 else -1.0


def _least_way(stem: StemShown) -> Array:
    """From the stem's axis towards where least bone lies, square to it."""
    off = stem.where - stem.entry
    off = off - float(off @ stem.into) * stem.into
    return unit(off) if float(np.linalg.norm(off)) > 1e-6 else across(stem.into)


def _section(bone: trimesh.Trimesh, stem: StemShown, sideways: Array, caption: str) -> Panel:
    """The plane of the stem's axis and `sideways` (3,)."""
    up = stem.into if stem.into[2] >= 0.0 else -stem.into
    axes = np.stack([sideways, up, np.cross(sideways, up)])
    middle = stem.entry + 0.5 * (stem.depth * stem.into + (stem.centre - stem.entry))
    parts = section_parts(bone, origin=stem.entry, axes=axes)
    half = 0.5 * (stem.depth + float(np.linalg.norm(stem.centre - stem.entry))) + ROOM_MM
    focus = np.array([*((middle - stem.entry) @ axes[:2].T), 0.0])
    view = View(focus, np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), float(half), SIZE)
    flat = [(stem.entry - stem.entry) @ axes[:2].T, (stem.depth * stem.into) @ axes[:2].T]
    hole = shapely.LineString(flat).buffer(stem.diameter / 2.0, cap_style="flat")
    axis = _line((stem.centre - stem.entry) @ axes[:2].T, (stem.centre + stem.cup * stem.axis - stem.entry) @ axes[:2].T)
    lines = [(_ring(hole), METAL), (axis, PLANE), (_line(flat[0] - 15.0 * (flat[1] - flat[0]) / stem.depth, flat[1]), PLANE)]
    turn = np.linspace(0.0, 2.0 * np.pi, 181)
    round_it = stem.centre + stem.cup / 2.0 * (np.cos(turn)[:, None] * axes[0] + np.sin(turn)[:, None] * axes[1])
    back = np.roll(round_it, -int(np.argmax((round_it - stem.centre) @ stem.axis)), axis=0)
    back = back[(back - stem.centre) @ stem.axis <= 0.0]
    flat_back = (back - stem.entry) @ axes[:2].T
    lines.append((np.column_stack([flat_back, np.zeros(len(back))]), GUIDE))
    labels = []
    near = (stem.where - stem.entry) @ axes.T
    if abs(float(near[2])) < 0.5:
        spot = np.array([near[0], near[1], 0.0])
        labels.append(Label(spot + np.array([4.0 + max(stem.least, 0.0), 0.0, 0.0]), f"{stem.least:.1f} mm", LEAST))
    return Panel(view, _filled(parts, hole, view), caption, tuple(lines), tuple(labels), axes=axes, arrows=False)


def _line(one: Array, two: Array) -> Array:
    return np.array([[*one, 0.0], [*two, 0.0]])


def _ring(outline: shapely.Polygon) -> Array:
    points = np.asarray(outline.exterior.coords)
    return np.column_stack([points, np.zeros(len(points))])


def _filled(parts: list[shapely.Polygon], hole: shapely.Polygon, view: View) -> Pixels:
    """The section of the bone, and the hole in it."""
    from PIL import Image, ImageDraw

    fine = View(view.focus, view.direction, view.up, view.half, (FINER * SIZE[0], FINER * SIZE[1]))
    image = Image.new("RGB", fine.size, (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for part, colour in [*((part, BONE) for part in parts), (hole, METAL)]:
        filled(draw, fine, part, tuple(round(255 * v) for v in colour))
    return np.asarray(image.resize(view.size, Image.Resampling.BOX), dtype=np.uint8)
