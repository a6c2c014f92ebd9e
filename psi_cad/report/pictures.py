"""Pictures of a guide on its bone, and of a place on a bone where no guide exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import shapely
import trimesh

from psi_cad.frames import Frame
from psi_cad.report.lettering import GAP, Arrow, Label, Mark, Panel, Swatch, save_sheet
from psi_cad.report.lighter import lighter
from psi_cad.report.views import BONE, GUIDE, PLANE, TUMOUR, Body, Colour, Studio, View, view_onto
from psi_cad.scene.cuts import PlannedCut
from psi_cad.units import Array, Mm

__all__ = ["Arrow", "GuidePicture", "Mark", "picture_of_case", "picture_of_place"]

SIZE: Final = (700, 600)
COLUMNS: Final = 3
LABEL_PX: Final = 300
NEARBY_MM: Final[Mm] = 90.0
CLOSE_MM: Final[Mm] = 30.0  # around a marked place
BEFORE_LABEL_MM: Final[Mm] = 0.3
ABOVE_ENTRY_MM: Final[Mm] = 45.0  # a trajectory is drawn so far above its entry
SHOWN_PAST_MM: Final[Mm] = 6.0  # a cut's outline is drawn this far outside the bone, so that one sees it
SPECIMEN: Final = "specimen"


class GuidePicture:
    """A PNG of `guide` on `bone` (patient mm) from six sides; where there are marks, the last but one is a close view of the first.

    What needs no measuring is drawn at once, and `saved` adds the rest: so a guide is drawn while its files are being measured.

    Parameters
    ----------
    frame : Frame
        The guide's: z the seating axis, x along its first slot.
    cuts : sequence of PlannedCut
        Drawn as outlines with their names.
    labels : sequence of (Frame, mm, mm)
        The faces that carry the label, in the guide frame (z out of the face, y up), their widths and heights.
    ways : sequence of (name, tip, entry)
        Trajectories (patient mm), drawn as lines with their names.
    frees : str
        What the cuts free: the specimen, or a graft.
    title : str
        The case's id, its side, the guide and the blade or tool.
    studio : optional
        One that draws other pictures too, and stays open; by default the picture has its own.
    """

    def __init__(
        self,
        guide: trimesh.Trimesh,
        bone: trimesh.Trimesh,
        frame: Frame,
        *,
        tumour: trimesh.Trimesh | None = None,
        cuts: Sequence[PlannedCut] = (),
        labels: Sequence[tuple[Frame, Mm, Mm]] = (),
        ways: Sequence[tuple[str, Array, Array]] = (),
        frees: str = SPECIMEN,
        title: str = "",
        studio: Studio | None = None,
    ) -> None:
        x, y, z = frame.axes
        bone = lighter(bone)
        self._own = studio is None
        self._studio = studio = Studio() if studio is None else studio
        whole, self._guide = Body(bone, BONE), Body(guide, GUIDE, edges=True)
        nearby = _nearby(bone, np.asarray(guide.bounds))
        self._near = near = whole if nearby is bone else Body(nearby, BONE)
        self._tumours = tumours = [] if tumour is None else [Body(tumour, TUMOUR, 0.45)]
        shown, points = self._guide, np.asarray(guide.vertices)
        slot = Body(_glass(cuts), PLANE, 0.25) if cuts else None
        planes = [slot] if slot is not None else []
        self._outlines = outlines = (*_outlines(cuts), *((_way(tip, entry), PLANE) for _, tip, entry in ways))
        names = (*_names(cuts), *(Label(_way(tip, entry)[-1], name, PLANE) for name, tip, entry in ways))
        self._towards = z + 0.4 * _level(z)
        self._title = title
        self._legend = _legend(tumour=tumour is not None, cuts=bool(cuts), guide=True)

        def close(direction: Array, up: Array, room: float = 1.12) -> View:
            return view_onto(points, direction, size=SIZE, up=up, room=room)

        above = close(z, _most_upright(z, (x, y)))
        level = _level(z)
        overview = view_onto(np.vstack([np.asarray(bone.vertices), points]), level, size=SIZE)
        pixels = studio.drawn(overview, [whole, shown, *tumours, *planes])
        self._first = [Panel(overview, pixels, "the whole bone, upright", outlines, names, arrows=False)]
        self._first.append(Panel(above, studio.drawn(above, [near, shown, *tumours]), "along the seating axis, as the surgeon looks", (), names))
        along = close(x if float(x @ level) >= 0.0 else -x, z)
        pixels = studio.ghosted(along, [shown, *tumours], [near])
        caption = (
            ("across the seating axis" if ways else "along the cut")
            + "; the bone of glass"
            + (f"; the {frees} lies where it says so" if cuts else "")
        )
        self._first.append(Panel(along, pixels, caption, outlines, (*names, *_freed(cuts, along, frees)), arrows=False))
        under = close(-z, _most_upright(z, (x, y)))
        self._first.append(Panel(under, studio.drawn(under, [shown]), "the guide alone, from the bone: its seat"))
        oblique = close(z + 1.3 * y - 0.7 * x, _most_upright(z, (y,)))
        self._unmarked = Panel(oblique, studio.drawn(oblique, [near, shown, *tumours]), "from the side", arrows=False)
        other = close(-z - 1.3 * y, _most_upright(z, (y,)))
        pixels = studio.ghosted(other, [shown, *tumours], [near])
        self._last = [Panel(other, pixels, "from the bone's side; the bone of glass", outlines, arrows=False)]
        for number, (face, width, height) in enumerate(labels, 1):
            which = f", part {number}" if len(labels) > 1 else ""
            size = ((COLUMNS * SIZE[0] + (COLUMNS - 1) * GAP - (len(labels) - 1) * GAP) // len(labels), LABEL_PX)
            out, above_it = frame.patient_direction(face.axes[[2, 1]])
            middle = frame.patient(face.origin)
            view = View(middle, out, above_it, 0.54 * max(width * size[1] / size[0], height), size)
            behind = guide.slice_plane(middle + BEFORE_LABEL_MM * out, -out)  # a sleeve before it would hide letters
            pixels = studio.drawn(view, [Body(behind, GUIDE, edges=True)])
            said = f"the label{which}, square onto its face; what stands before it is cut away"
            self._last.append(Panel(view, pixels, said, arrows=False))

    def saved(self, path: Path, *, marks: Sequence[Mark] = (), arrows: Sequence[Arrow] = ()) -> None:
        """Write the picture; `marks` and `arrows` are drawn on top of everything, and their texts stand below."""
        panel = self._marked(np.array(marks[0].place)) if marks else self._unmarked
        if self._own:
            self._studio.close()
        panels = [*self._first, panel, *self._last]
        save_sheet(path, panels, title=self._title, columns=COLUMNS, legend=self._legend, marks=marks, arrows=arrows)

    def _marked(self, spot: Array) -> Panel:
        view = View(spot, self._towards, _most_upright(self._towards, ()), CLOSE_MM, SIZE)
        pixels = self._studio.ghosted(view, [self._near, *self._tumours], [self._guide], share=0.5)
        return Panel(view, pixels, "place 1, close; the guide of glass", self._outlines)


def picture_of_place(
    path: Path,
    bone: trimesh.Trimesh,
    *,
    place: tuple[float, float, float],
    text: str,
    cuts: Sequence[PlannedCut] = (),
    tumour: trimesh.Trimesh | None = None,
    title: str = "",
) -> None:
    """A PNG of a place on `bone` (patient mm), where no guide exists: the whole bone from two sides, and the place close."""
    studio = Studio()
    spot = np.array(place)
    vertices = np.asarray(bone.vertices)
    whole = Body(bone, BONE)
    tumours = [] if tumour is None else [Body(tumour, TUMOUR, 0.45)]
    towards = _clear_way(bone, spot)
    level = _level(towards)
    outlines, names = _outlines(cuts), _names(cuts)
    everything = np.vstack([vertices, spot[None, :]])
    panels = []
    for direction, caption in ((level, "the whole bone, upright"), (np.cross([0.0, 0.0, 1.0], level), "turned by a quarter")):
        view = view_onto(everything, direction, size=SIZE)
        panels.append(Panel(view, studio.ghosted(view, tumours, [whole], share=0.8), caption, outlines, names))
    near = View(spot, towards, _most_upright(towards, ()), CLOSE_MM, SIZE)
    panels.append(Panel(near, studio.ghosted(near, tumours, [whole], share=0.8), "the place, close", outlines, names))
    studio.close()
    legend = _legend(tumour=tumour is not None, cuts=bool(cuts), guide=False)
    save_sheet(path, panels, title=title, columns=COLUMNS, legend=legend, marks=[Mark(place, text)])


def picture_of_case(
    path: Path,
    bone: trimesh.Trimesh,
    *,
    cuts: Sequence[PlannedCut],
    approaches: Mapping[str, Array],
    tumour: trimesh.Trimesh | None = None,
    arrows: Sequence[Arrow] = (),
    title: str = "",
) -> None:
    """A PNG of a case before anything is built: `bone` (patient mm) upright with the planned cuts, from two sides, and each cut close.

    `approaches` (3,) tell by the name of a cut from where its guide is put on, and so from where one looks; `arrows` show them.
    """
    studio = Studio()
    whole = Body(bone, BONE)
    tumours = [] if tumour is None else [Body(tumour, TUMOUR, 0.45)]
    faces = [Body(_glass(cuts), PLANE, 0.35)] if cuts else []
    level = _level(next(iter(approaches.values()), np.array([0.0, -1.0, 0.0])))
    outlines, names = _outlines(cuts), _names(cuts)
    vertices = np.asarray(bone.vertices)
    panels = []
    for direction, caption in ((level, "upright, from the side of the approach"), (np.cross([0.0, 0.0, 1.0], level), "turned by a quarter")):
        view = view_onto(vertices, direction, size=SIZE, room=1.2)
        panels.append(Panel(view, studio.ghosted(view, [*tumours, *faces], [whole], share=0.75), caption, outlines, names))
    for cut in cuts:
        ring = np.vstack(_rings(cut))
        towards = approaches.get(cut.name, cut.axes[1])
        view = view_onto(ring, towards, size=SIZE, room=1.5)
        panels.append(Panel(view, studio.drawn(view, [whole, *tumours, *faces]), f"cut {cut.name}, as the guide is approached", outlines, names))
        end_on = view_onto(ring, np.cross(cut.normal, towards), size=SIZE, room=1.5)
        pixels = studio.ghosted(end_on, [*tumours, *faces], [whole], share=0.75)
        panels.append(
            Panel(end_on, pixels, f"cut {cut.name}, along its plane; the {SPECIMEN} lies where it says so", outlines, _freed([cut], end_on, SPECIMEN))
        )
    studio.close()
    save_sheet(path, panels, title=title, columns=2, legend=_legend(tumour=tumour is not None, cuts=bool(cuts), guide=False), arrows=arrows)


def _legend(*, tumour: bool, cuts: bool, guide: bool) -> list[Swatch]:
    known = [(BONE, "bone", True), (GUIDE, "guide", guide), (TUMOUR, "tumour", tumour), (PLANE, "planned cut", cuts)]
    return [Swatch(colour, text) for colour, text, there in known if there]


def _level(direction: Array) -> Array:
    """`direction` without its vertical part, so that the bone stands upright; from the front where nothing is left."""
    flat = np.array([direction[0], direction[1], 0.0])
    return flat if float(np.linalg.norm(flat)) > 0.3 * float(np.linalg.norm(direction)) else np.array([0.0, -1.0, 0.0])


def _most_upright(direction: Array, axes: Sequence[Array]) -> Array:
    """Of ±`axes`, the one that looks most upwards in the patient; without axes, superior or anterior across `direction`."""
    if axes:
        return max((sign * axis for axis in axes for sign in (1.0, -1.0)), key=lambda axis: float(axis[2]))
    steep = abs(float(direction[2])) > 0.9 * float(np.linalg.norm(direction))
    return np.array([0.0, -1.0, 0.0]) if steep else np.array([0.0, 0.0, 1.0])


def _clear_way(bone: trimesh.Trimesh, spot: Array) -> Array:
    """The direction from which `spot` is seen through the least bone; of equals the one that looks least along the body."""
    ways = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)], dtype=np.float64)
    ways /= np.linalg.norm(ways, axis=1)[:, None]
    _, rays = bone.ray.intersects_id(spot + 0.5 * ways, ways, multiple_hits=True, return_locations=False)
    walls = np.bincount(rays, minlength=len(ways))
    return np.asarray(ways[int(np.argmin(walls + 0.5 * np.abs(ways[:, 2])))])


def _rings(cut: PlannedCut) -> list[Array]:
    region = cut.section.buffer(SHOWN_PAST_MM)
    return [cut.patient(np.asarray(part.exterior.coords)) for part in shapely.get_parts(region) if isinstance(part, shapely.Polygon)]


def _way(tip: Array, entry: Array) -> Array:
    """The line of a trajectory (2, 3), from its tip to well above what stands on its entry."""
    out = (entry - tip) / float(np.linalg.norm(entry - tip))
    return np.stack([tip, entry + ABOVE_ENTRY_MM * out])


def _outlines(cuts: Sequence[PlannedCut]) -> tuple[tuple[Array, Colour], ...]:
    return tuple((ring, PLANE) for cut in cuts for ring in _rings(cut))


def _names(cuts: Sequence[PlannedCut]) -> tuple[Label, ...]:
    labels = []
    for cut in cuts:
        ring = max(_rings(cut), key=len)
        labels.append(Label(ring[int(np.argmax(ring[:, 2]))], f"cut {cut.name}", PLANE))
    return tuple(labels)


def _freed(cuts: Sequence[PlannedCut], view: View, word: str) -> tuple[Label, ...]:
    """The word for what is freed on that side of the first cut, as far from the middle as the view has room."""
    return tuple(Label(np.vstack(_rings(cut)).mean(axis=0) + 0.5 * view.half * cut.normal, word, PLANE) for cut in cuts[:1])


def _glass(cuts: Sequence[PlannedCut]) -> trimesh.Trimesh:
    """The cuts' regions as one open surface."""
    corners = []
    for cut in cuts:
        for triangle in shapely.constrained_delaunay_triangles(cut.section.buffer(SHOWN_PAST_MM)).geoms:
            corners.append(cut.patient(np.asarray(triangle.exterior.coords)[:3]))
    points = np.concatenate(corners)
    return trimesh.Trimesh(points, np.arange(len(points)).reshape(-1, 3), process=False)


def _nearby(bone: trimesh.Trimesh, bounds: Array, margin: Mm = NEARBY_MM) -> trimesh.Trimesh:
    """The bone around `bounds` (2, 3): enough to know where one looks."""
    low, high = bounds + np.array([[-margin], [margin]])
    centres = np.asarray(bone.triangles_center)
    keep = ((centres > low) & (centres < high)).all(axis=1)
    return bone if keep.all() else trimesh.Trimesh(bone.vertices, np.asarray(bone.faces)[keep], process=False)
