"""What `look` shows: a case with its cuts and guides, a surface, or a scan, gathered into one scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
import trimesh

from psi_cad.case.load import LoadedCase, load_case
from psi_cad.case.model import Trajectory
from psi_cad.case.named import named_in
from psi_cad.checking.built import built_in
from psi_cad.errors import InputError, PsiCadError
from psi_cad.frames import unit
from psi_cad.intake.prepare import planes_of, planned_cuts
from psi_cad.intake.sources import avoid_source, bone_source, tumour_source
from psi_cad.report.look.page import LookBody, LookLine, LookScene, LookWord, write_page
from psi_cad.report.views import AVOID, BONE, PLANE, TUMOUR, Colour
from psi_cad.scene.bodies import Body, Scene
from psi_cad.scene.cuts import plane_axes
from psi_cad.surface.mesh_files import SUFFIXES, read_surface
from psi_cad.surface.repair import checked_bone
from psi_cad.units import Array, Mm
from psi_cad.voxels.volume import Volume

__all__ = ["look_at"]

Progress = Callable[[str], None]
ABOVE_ENTRY_MM: Final[Mm] = 30.0  # a trajectory is drawn from so far above its entry
PLANE_MM: Final[Mm] = 40.0  # half the side of a plane drawn where no section is known
ARROW_SHARE: Final = 0.12  # an arrow's length as a share of the bone's size
LANDMARK: Final[Colour] = (0.1, 0.1, 0.1)
APPROACH: Final[Colour] = (0.75, 0.3, 0.0)


@dataclass
class _Found:
    bodies: list[LookBody] = field(default_factory=list)
    lines: list[LookLine] = field(default_factory=list)
    words: list[LookWord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_at(
    source: Path,
    page: Path,
    *,
    units: str | None = None,
    coordinates: str = "LPS",
    out: Path | None = None,
    settings: tuple[str, ...] = (),
    series: str | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Write the page of a case, a surface or a scan to `page`; what it shows, for a person and for `--json`.

    Parameters
    ----------
    units, coordinates
        Of a surface file; a case says its own.
    out : Path, optional
        The output folder of a build, whose guides and parts are shown.

    Raises
    ------
    PsiCadError
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {page.name}: the page is HTML; end its name in .html.")
    if not page.parent.is_dir():
        raise InputError(f"-o {page}: the folder '{page.parent}' is not there; make it, or name another.")
    if not source.exists():
        raise InputError(f"{source}: there is no such file or folder; name a case, a surface or a scan.")
    if source.suffix.lower() == ".toml" or (source / "case.toml").is_file():
        scene = _of_case(load_case(source, settings=list(settings), needs=()), out, progress)
    elif source.suffix.lower() in SUFFIXES:
        scene = _of_surface(source, units, coordinates, progress)
    else:
        progress("read the scan")
        volume = _volume(source, series=series, kind=None)
        scene = LookScene("scan: slices in the patient frame", volume=volume, notes=volume.notes)
    progress("write the page")
    notes = write_page(page, scene)
    return {
        "page": str(page),
        "size_bytes": page.stat().st_size,
        "bodies": [{"name": body.name, "triangles": len(body.mesh.faces)} for body in scene.bodies],
        **({"made": [{"name": one.name, "status": one.status} for one in scene.made]} if scene.made else {}),
        "scan": scene.volume is not None,
        "notes": [*scene.notes, *notes],
    }


def _volume(path: Path, *, series: int | str | None, kind: str | None) -> Volume:
    from psi_cad.imaging.scan_files import read_volume

    return read_volume(path, kind=kind, series=series)


def _outward(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """`mesh` with its triangles looking outward, if all of them look inward: a click gives the outward normal."""
    if float(mesh.volume) >= 0.0:
        return mesh
    return trimesh.Trimesh(mesh.vertices, np.asarray(mesh.faces)[:, ::-1], process=False)


def _of_surface(path: Path, units: str | None, coordinates: str, progress: Progress) -> LookScene:
    progress("read the surface")
    mesh = _outward(read_surface(path, units=units, coordinates=coordinates, key="look"))
    joined = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    joined.merge_vertices()
    notes = [f"the surface is {' × '.join(f'{v:.0f}' for v in mesh.extents)} mm large"]
    if not joined.is_watertight:
        notes.append("the surface is not closed; a build needs it closed around the guide")
    return LookScene("surface: the bone in the patient frame", bodies=[LookBody("bone", mesh, BONE)], notes=notes)


def _of_case(loaded: LoadedCase, out: Path | None, progress: Progress) -> LookScene:
    """A case as far as it can be shown: what is wrong with it becomes a note, for one looks in order to mend it."""
    case, found = loaded.case, _Found()
    progress("read the bone")
    bodies = []
    for number, named in enumerate(case.bones):
        source = bone_source(loaded, number, progress=progress)
        mesh, what = _outward(source.mesh), "bone" if len(case.bones) == 1 else f"bone {named.name}"
        try:
            bone = checked_bone(source.mesh, name=source.name, units=source.units)
            mesh = bone.mesh
            bodies.append(Body(named.name, bone))
        except PsiCadError as error:
            found.notes.append(f"the {what} is shown as it is in the file, because it was refused: {_nameless(error, loaded)}")
        found.bodies.append(LookBody(what, mesh, BONE))
    size = float(np.linalg.norm(np.ptp(np.vstack([body.mesh.bounds for body in found.bodies]), axis=0)))
    tumour = tumour_source(loaded, progress=progress)
    if tumour is not None:
        found.bodies.append(LookBody("tumour", _outward(tumour.mesh), TUMOUR, 0.5))
    for number, avoid in enumerate(case.avoid):
        found.bodies.append(LookBody(avoid.name, _outward(avoid_source(loaded, avoid, number=number, progress=progress).mesh), AVOID, 0.7))
    planes = planes_of(loaded)
    sections = {}
    if len(bodies) == len(case.bones) and case.cut:
        progress("plan the cuts")
        try:
            sections = planned_cuts(loaded, Scene(tuple(bodies)))
        except PsiCadError as error:
            found.notes.append(f"the cuts are drawn as plain squares, because they were refused: {_nameless(error, loaded)}")
    for name, (origin, normal) in planes.items():
        cut = sections.get(name)
        _draw_cut(found, name, origin, unit(normal), None if cut is None else (cut.section, cut.axes), size)
    for trajectory in case.trajectory:
        _draw_trajectory(found, trajectory)
    entries = {trajectory.name: np.array(trajectory.entry) for trajectory in case.trajectory}
    for guide in case.guide:
        places = [planes[name][0] for name in guide.cuts if name in planes] + [entries[name] for name in guide.trajectories]
        _draw_approach(found, guide.name, np.array(guide.approach), places, size)
    for name, place in case.landmarks.items():
        found.words.append(LookWord("landmarks", f"• {name}", np.array(place), LANDMARK))
    built = built_in(out, loaded)
    found.bodies += built.bodies
    found.words += built.words
    found.notes = [*built.notes, *found.notes]
    volume = None
    scanned = next((bone for bone in case.bones if bone.ct is not None), None)
    if scanned is not None and scanned.ct is not None:
        progress("read the scan")
        volume = _volume(loaded.resolve(scanned.ct), series=scanned.series, kind="ct")
        found.notes += volume.notes
    return LookScene(f"{case.id}, {case.side}", found.bodies, found.lines, found.words, volume, found.notes, built.made)


def _nameless(error: PsiCadError, loaded: LoadedCase) -> str:
    """What an error says, without the names of files: they may hold a patient's."""
    text = str(error).replace(loaded.path.name, "the case")
    for key, name in named_in(loaded).items():
        text = text.replace(name, key).replace(Path(name).name, key)
    return text


def _draw_cut(found: _Found, name: str, origin: Array, normal: Array, section: tuple[shapely.Geometry, Array] | None, size: Mm) -> None:
    axes = plane_axes(normal) if section is None else section[1]
    region = shapely.box(-PLANE_MM, -PLANE_MM, PLANE_MM, PLANE_MM) if section is None else section[0]
    group, pieces = f"cut {name}", []
    for part in shapely.get_parts(region):
        if isinstance(part, shapely.Polygon):
            for ring in (part.exterior, *part.interiors):
                pieces.append(_pairs(origin + np.asarray(ring.coords) @ axes[:2]))
    tip = origin + ARROW_SHARE * size * normal
    found.lines.append(LookLine(group, np.vstack([*pieces, *_arrow(origin, tip)]), PLANE))
    found.words.append(LookWord(group, f"{name}: to the specimen", tip + 0.02 * size * normal, PLANE))
    corners = [np.asarray(t.exterior.coords)[:3] for t in shapely.constrained_delaunay_triangles(region).geoms]
    points = origin + np.concatenate(corners) @ axes[:2]
    face = trimesh.Trimesh(points, np.arange(len(points)).reshape(-1, 3), process=False)
    found.bodies.append(LookBody(f"face of cut {name}", face, PLANE, 0.4, pick=False))


def _draw_trajectory(found: _Found, trajectory: Trajectory) -> None:
    """From above its entry, where an arrow begins, to the planned tip."""
    entry, into = trajectory.line
    group = f"trajectory {trajectory.name}"
    start = entry - ABOVE_ENTRY_MM * into
    found.lines.append(LookLine(group, np.vstack(_arrow(start, entry + trajectory.depth * into)), PLANE))
    found.words.append(LookWord(group, trajectory.name, start, PLANE))


def _pairs(ring: Array) -> Array:
    """The points of a line (n, 3) as the two ends of each of its pieces."""
    return np.stack([ring[:-1], ring[1:]], axis=1).reshape(-1, 3)


def _arrow(start: Array, tip: Array) -> list[Array]:
    """A shaft and four barbs, as pairs of points."""
    run = tip - start
    across = plane_axes(unit(run))[:2] * 0.08 * float(np.linalg.norm(run))
    barbs = [np.stack([tip, tip - 0.2 * run + sign * side]) for side in across for sign in (1.0, -1.0)]
    return [np.stack([start, tip]), *barbs]


def _draw_approach(found: _Found, name: str, approach: Array, origins: list[Array], size: Mm) -> None:
    if not origins:
        return
    start = np.mean(origins, axis=0)
    tip = start + 2.0 * ARROW_SHARE * size * unit(approach)
    group = f"approach of {name}"
    found.lines.append(LookLine(group, np.vstack(_arrow(start, tip)), APPROACH))
    found.words.append(LookWord(group, f"approach of {name}", tip, APPROACH))
