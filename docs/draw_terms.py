"""Draw docs/pictures/terms.svg: a guide of the phantom cut open and seen from above, with the terms that the pages use.

Usage: python docs/draw_terms.py OUT/phantom-type1   (the output folder of 'psi-cad build cases/phantom-type1 -o OUT')
The outlines are sections of the exported files, not a sketch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import trimesh

HERE = Path(__file__).resolve().parent
ALONG = -21.0  # mm along the slot, from the cut's origin: where the section is taken
SCALE = 15.0  # pixels for a millimetre in the section
PLAN_SCALE = 6.6  # and in the view from above
BONE, GUIDE, INK, PLANE = "#e9dcb8", "#6f9bd1", "#222222", "#c0392b"


def section(mesh: trimesh.Trimesh, origin: np.ndarray, axes: np.ndarray) -> shapely.Geometry:
    """The section of a mesh in the plane of the first two rows of `axes`, in their coordinates."""
    cut = mesh.section(plane_origin=origin, plane_normal=axes[2])
    if cut is None:
        return shapely.Polygon()
    area: shapely.Geometry = shapely.Polygon()
    for ring in cut.discrete:
        area = area.symmetric_difference(shapely.Polygon((ring - origin) @ axes[:2].T).buffer(0))
    return area


def low_of(area: shapely.Geometry, x: float) -> float:
    """The lowest y of an area at `x`."""
    return float(area.intersection(shapely.LineString([(x, -100.0), (x, 100.0)])).bounds[1])


class Sheet:
    """SVG in millimetres: x to the right, y up, from a place on the sheet."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.place(0.0, 0.0, 1.0)

    def place(self, x: float, y: float, scale: float) -> None:
        """Where (0, 0) lies on the sheet, and how large a millimetre is."""
        self.x, self.y, self.scale = x, y, scale

    def at(self, point: Any) -> tuple[float, float]:
        """Sheet coordinates of a point."""
        return self.x + self.scale * float(point[0]), self.y - self.scale * float(point[1])

    def area(self, shape: shapely.Geometry, colour: str, width: float = 1.2) -> None:
        """A filled area with its outline."""
        for part in shapely.get_parts(shape):
            if not isinstance(part, shapely.Polygon):
                continue
            path = ""
            for ring in [part.exterior, *part.interiors]:
                path += "M" + " L".join("{:.1f},{:.1f}".format(*self.at(point)) for point in ring.coords[:-1]) + " Z "
            self.parts.append(f'<path d="{path}" fill="{colour}" fill-rule="evenodd" stroke="{INK}" stroke-width="{width}"/>')

    def line(self, *points: Any, colour: str = INK, width: float = 1.2, dash: str = "", ends: str = "") -> None:
        """A line through points; `ends` "both" gives it arrow heads, "last" one."""
        marks = {"both": ' marker-start="url(#a)" marker-end="url(#a)"', "last": ' marker-end="url(#a)"', "": ""}[ends]
        path = " ".join("{:.1f},{:.1f}".format(*self.at(point)) for point in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}{marks}/>')

    def text(self, point: Any, words: str, *, anchor: str = "start", size: int = 17, bold: bool = False) -> None:
        """Words at a point, one line for each line of them."""
        x, y = self.at(point)
        weight = ' font-weight="bold"' if bold else ""
        for number, row in enumerate(words.split("\n")):
            self.parts.append(f'<text x="{x:.1f}" y="{y + number * size * 1.2:.1f}" font-size="{size}" text-anchor="{anchor}"{weight}>{row}</text>')

    def term(self, point: Any, to: Any, words: str, anchor: str = "start") -> None:
        """Words beside `to`, with a line to `point`."""
        self.line(to, point, width=1.0, ends="last")
        x = to[0] + (5.0 if anchor == "start" else -5.0) / self.scale
        self.text((x, to[1] - 5.0 / self.scale), words, anchor=anchor)

    def measure(self, one: Any, two: Any, words: str, *, to: Any = None, anchor: str = "middle") -> None:
        """A dimension between two points."""
        self.line(one, two, ends="both", width=1.0)
        self.text(to if to is not None else ((one[0] + two[0]) / 2.0, max(one[1], two[1]) + 6.0 / self.scale), words, anchor=anchor)

    def svg(self, width: int, height: int) -> str:
        """The whole file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Arial, sans-serif" fill="{INK}">'
            '<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
            f'<path d="M0,1.5 L9,5 L0,8.5 Z" fill="{INK}"/></marker></defs><rect width="{width}" height="{height}" fill="white"/>'
        )
        return head + "\n".join(self.parts) + "</svg>\n"


def across(sheet: Sheet, guide: trimesh.Trimesh, bone: trimesh.Trimesh, entry: dict[str, Any]) -> None:
    """The guide cut open across its slot."""
    slot, said = entry["plan"]["slots"][0], entry["slots"][0]
    normal, blade = np.array(slot["normal"]), np.array(said["blade_direction"])
    normal /= np.linalg.norm(normal)
    along = np.cross(blade, normal)
    start = np.array(slot["origin"]) + ALONG * along
    axes = np.stack([normal, blade, along])
    body, under = section(guide, start, axes), section(bone, start, axes)
    level = max(y for x, y in shapely.get_coordinates(under) if abs(x) < 1.0)  # of the bone below the slot
    origin = start + level * blade
    frame = shapely.box(-24.0, -21.0, 24.0, 30.0)
    body, under = section(guide, origin, axes).intersection(frame), section(bone, origin, axes).intersection(frame)
    sheet.area(under, BONE)
    sheet.area(body, GUIDE)
    half = said["width_mm"] / 2.0
    points = shapely.get_coordinates(body)
    inner = points[np.abs(np.abs(points[:, 0]) - half) < 0.05]
    top, foot = float(inner[:, 1].max()), float(inner[:, 1].min())
    outer = max(x for x, y in points if top - 2.0 < y < top - 1.0 and x < 6.0)
    sheet.area(under.intersection(shapely.box(-half, -30.0, half, 1.0)), "#ffffff", width=0.6)
    sheet.line((0.0, top + 6.0), (0.0, -20.0), colour=PLANE, width=2.0, dash="9 6")
    sheet.text((0.4, top + 6.4), "cutting plane", anchor="middle")
    sheet.term((-half, -9.0), (-6.0, -6.5), "kerf: what the\nsaw turns to dust", anchor="end")
    sheet.line((-half, top + 0.8), (-half, top + 3.2), width=0.8)
    sheet.line((half, top + 0.8), (half, top + 3.2), width=0.8)
    sheet.line((-5.0, top + 2.4), (-half, top + 2.4), ends="last")
    sheet.line((5.0, top + 2.4), (half, top + 2.4), ends="last")
    sheet.text((5.4, top + 2.1), "slot width = blade thickness\n+ clearance + printer compensation")
    sheet.line((half, top), (10.6, top), width=0.8)
    sheet.line((half, foot), (10.6, foot), width=0.8)
    sheet.measure((10.0, foot), (10.0, top), "height: the blade is\nguided over this length", to=(10.6, foot + 3.4), anchor="start")
    sheet.measure((half, top * 0.55), (outer, top * 0.55), "wall", to=(outer + 1.0, top * 0.55 - 1.2), anchor="start")
    sheet.term((-outer + 0.8, top * 0.75), (-10.0, top * 0.75 + 2.0), "fence", anchor="end")
    sheet.term((-11.0, low_of(body, -11.0) + 1.5), (-14.0, 6.0), "footplate", anchor="end")
    low = float(under.intersection(shapely.box(-9.1, -20.0, -8.9, 30.0)).bounds[3])
    sheet.term((-9.0, low + 0.1), (-17.0, -7.5), "seat: follows the\nbone, the seat\ngap away", anchor="end")
    letters = [point for point in points if outer + 0.2 < point[0] < outer + 1.0 and 2.0 < point[1] < top]
    if letters:
        sheet.term(max(letters, key=lambda point: point[1]), (13.0, top - 2.0), "label (engraved)")
    sheet.text((-8.5, -13.5), "bone that stays (retained)", anchor="middle", size=15)
    sheet.text((7.5, -4.5), "specimen (is removed)", size=15)
    sheet.line((half, -5.0), (7.0, -5.0), colour=PLANE, width=2.0)
    sheet.line((half, -5.0), (7.0, -5.0), width=1.0, ends="last")
    sheet.text((2.2, -6.4), "normal", size=15)
    sheet.line((-22.0, 9.0), (-22.0, 15.0), width=2.0, ends="last")
    sheet.text((-26.0, 16.8), "seating axis: the guide\ncomes off this way", size=15)
    sheet.text((-27.0, 20.5), "Across the slot", bold=True, size=21)


def shadow(mesh: trimesh.Trimesh, low: float) -> shapely.Geometry:
    """What of a mesh (in the guide frame) lies above `low` and looks up, seen along z."""
    up = (mesh.face_normals[:, 2] > 0.02) & (mesh.triangles_center[:, 2] > low)
    return shapely.union_all(shapely.polygons(mesh.triangles[up][:, :, :2]).tolist()).buffer(0.02).buffer(-0.02)


def above(sheet: Sheet, guide: trimesh.Trimesh, entry: dict[str, Any]) -> None:
    """The guide seen along its seating axis."""
    plan, said = entry["plan"], entry["slots"][0]
    slot = plan["slots"][0]
    frame = np.array(plan["axes"])
    flat = guide.copy()
    flat.vertices = (np.asarray(guide.vertices) - np.array(plan["origin"])) @ frame.T
    start = frame @ (np.array(slot["origin"]) - np.array(plan["origin"]))
    sheet.area(shadow(flat, -1e3), GUIDE)
    for wire in plan["wires"]:
        sheet.area(shapely.Point(wire[:2]).buffer(plan["bore"] / 2.0), "white")
    half, y = said["width_mm"] / 2.0, 0.0
    for low, high in said["windows_mm"]:
        sheet.area(shapely.box(start[0] + low, y - half, start[0] + high, y + half), "white")
    low, high = start[0] + slot["chord_low"], start[0] + slot["chord_high"]
    left, right = start[0] + said["windows_mm"][0][0], start[0] + said["windows_mm"][-1][1]
    for x, far in ((low, 29.0), (high, 29.0), (left, 36.0), (right, 36.0)):
        sheet.line((x, 1.0), (x, far), width=0.8)
    sheet.measure((low, 27.0), (high, 27.0), "bone along the slot")
    sheet.measure((left, 34.0), (right, 34.0), "slot length")
    sheet.term((high + (right - high) / 2.0, 0.0), (right + 6.0, 15.0), "run-out: the slot goes\non past the bone")
    sheet.term((right + 1.5, 0.0), (right + 6.0, -6.0), "end wall")
    windows = said["windows_mm"]
    if len(windows) > 1:
        sheet.term((start[0] + (windows[0][1] + windows[1][0]) / 2.0, 0.0), (start[0] + windows[0][1] + 10.0, -26.0), "bridge across a long slot")
    wire = min(plan["wires"], key=lambda one: one[0])
    sheet.term(wire[:2], (wire[0] + 4.0, -26.0), "sleeve for a wire (pin)")
    sheet.term((-36.0, 6.0), (left - 8.0, 17.0), "footplate", anchor="end")
    sheet.text((left - 28.0, 41.0), "Along the seating axis", bold=True, size=21)


def main(folder: Path) -> None:
    """Draw the sheet from an output folder."""
    entry = json.loads((folder / "report.json").read_text("utf-8"))["guides"][0]
    guide, bone = trimesh.load_mesh(folder / entry["files"]["stl"]), trimesh.load_mesh(folder / "bone.stl")
    sheet = Sheet()
    sheet.place(470.0, 360.0, SCALE)
    across(sheet, guide, bone, entry)
    sheet.place(560.0, 1000.0, PLAN_SCALE)
    above(sheet, guide, entry)
    (HERE / "pictures" / "terms.svg").write_text(sheet.svg(1120, 1200), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
