"""How the bone of a scan was parted, for the person in front of it: what was corrected, what has no name, and the picture of all parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.errors import CaseError
from psi_cad.findings import Caution, Place, place_of
from psi_cad.segmentation.correcting import Done, spot_of
from psi_cad.segmentation.parting import Division
from psi_cad.segmentation.segment import BoneLabels
from psi_cad.units import Array, Bools, Mm
from psi_cad.voxels.volume import Volume

if TYPE_CHECKING:
    from psi_cad.report.lettering import Panel

__all__ = ["PARTS", "Parting", "confirmed", "parting_of", "refuse_needless", "rejected_panels", "write_parts"]

PARTS: Final = "parts.png"
_NAMED_WITHIN_MM: Final[Mm] = 9.0  # of a correction's place, as far as it acts
_CONFIRMS_MM: Final[Mm] = 20.0  # how far from the place of a doubt a person may say "two bones touch here"
_BESIDE_MM: Final[Mm] = 3.0  # a surface this close to another bone lies on a contact
_MARGIN_MM: Final[Mm] = 12.0
_CLOSE_MM: Final[Mm] = 35.0  # around the place of a doubt or of a contact
_CONTACT_ROWS: Final = 4  # the largest contacts


@dataclass(frozen=True)
class Parting:
    """All parts for the picture (numbers in `shown`), seeds by name, parts without a name (number, point, mm³), corrections for the report."""

    shown: Volume
    names: dict[int, str]
    seeds: Mapping[str, Array]
    loose: tuple[tuple[int, Place, float], ...]
    corrections: tuple[dict[str, Any], ...] = ()


def parting_of(labels: BoneLabels, division: Division, seeds: Mapping[str, Array], done: tuple[Done, ...]) -> Parting:
    """What a picture and a report tell of the parting."""
    assert labels.parts is not None
    matrix = np.array(division.volume.patient_from_index)
    matrix[:3, 3] = division.patient(np.zeros((1, 3)))[0]
    shown = Volume(labels.parts, matrix)
    return Parting(shown, labels.names, dict(seeds), labels.loose, tuple(_told(one, shown, labels.names) for one in done))


def _told(one: Done, shown: Volume, names: dict[int, str]) -> dict[str, Any]:
    """A correction for the report: what was done, between which parts, and over what area."""
    spot = spot_of(one.at)
    sides = _sides(one.at, shown, names)
    sizes = " and ".join(f"{volume / 1000.0:.1f} cm³" for volume in one.volumes)
    between = " and ".join(sides) or "bone"
    text = {
        "cut-here": f"--cut-here {spot}: bone was cut through {one.area:.0f} mm², between {between} ({sizes}).",
        "confirmed": f"--cut-here {spot}: {between} were parted there already; a person says that two bones touch there.",
        "join": f"--join {spot}: two parts ({sizes}) that meet over {one.area:.0f} mm² were made one, in {between}.",
        "keep-in": f"--keep {one.name}: {one.name} is the bone in the painted mask ({sizes}); it was cut from other bone through {one.area:.0f} mm².",
    }[one.kind]
    return {
        "kind": one.kind, "at_mm": list(one.at), "bones": sides, "area_mm2": round(one.area, 1),
        "volumes_mm3": [round(volume, 0) for volume in one.volumes], "text": text,
    }  # fmt: skip


def _sides(at: Place, shown: Volume, names: dict[int, str]) -> list[str]:
    """What lies around a place, nearest first."""
    steps = np.arange(-_NAMED_WITHIN_MM, _NAMED_WITHIN_MM + 0.5, 1.0)
    offsets = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    away = np.linalg.norm(offsets, axis=1)
    offsets = offsets[np.argsort(away, kind="stable")][: int((away <= _NAMED_WITHIN_MM).sum())]
    found = shown.sampled(np.array(at) + offsets, order=0, outside=0.0).astype(int)
    return [names.get(n, f"part {n}, which has no seed") for n in dict.fromkeys(found.tolist()) if n > 0][:2]


def confirmed(doubts: list[Caution], others: Bools, volume: Volume, done: tuple[Done, ...]) -> tuple[list[Caution], set[int]]:
    """Doubts less those a person has answered: no edge shows where two bones touch, and somebody says that they touch there.

    Also: which of `done` have answered one.
    """
    used: set[int] = set()
    left = []
    for doubt in doubts:
        near = [n for n, one in enumerate(done) if one.kind in ("cut-here", "confirmed") and doubt.where is not None
                and np.linalg.norm(np.subtract(one.at, doubt.where)) <= _CONFIRMS_MM]  # fmt: skip
        if near and doubt.reason == "no-gap" and _beside(np.array(doubt.where), others, volume):
            used.update(near)
            text = doubt.text.removesuffix(".") + ", and a person has said that two bones touch there (--cut-here): look at the picture."
            left.append(Caution("touching-bones", text, doubt.where, doubt.reason))
        else:
            left.append(doubt)
    return left, used


def _beside(place: Array, others: npt.NDArray[Any], volume: Volume) -> bool:
    """Whether another bone lies beside a place."""
    reach = np.ceil(_BESIDE_MM / volume.spacing).astype(int)
    here = np.rint(volume.index(place[None])[0]).astype(int)
    box = tuple(slice(max(a - r, 0), max(a + r + 1, 0)) for a, r in zip(here[::-1], reach[::-1], strict=True))
    return bool(others[box].any())


def refuse_needless(done: tuple[Done, ...], used: set[int]) -> None:
    """Refuse a cut where the bones are apart already and nothing was in doubt.

    Raises
    ------
    CaseError
    """
    for n, one in enumerate(done):
        if one.kind == "confirmed" and n not in used:
            spot = spot_of(one.at)
            raise CaseError(
                f"--cut-here {spot}: bone is parted there already; give a place where two bones are still one, or leave it out.", where=one.at
            )


def _rows_box(mesh: trimesh.Trimesh) -> tuple[Array, Array]:
    return mesh.bounds[0] - _MARGIN_MM, mesh.bounds[1] + _MARGIN_MM


def rejected_panels(scan: Volume, parting: Parting | None, mesh: trimesh.Trimesh, at: Array) -> list[Panel]:
    """All parts in colours around the place of a doubt."""
    from psi_cad.report.parts_picture import Cut, parts_panels

    if parting is None:
        return []
    low, high = _rows_box(mesh)
    row = Cut(np.asarray(at), np.maximum(low, np.asarray(at) - _CLOSE_MM), np.minimum(high, np.asarray(at) + _CLOSE_MM), "all parts here")
    return parts_panels(scan, parting.shown, row)


def write_parts(path: Path, scan: Volume, parting: Parting, bones: Mapping[str, trimesh.Trimesh], cautions: Iterable[Caution]) -> None:
    """The picture of all parts: a row of slices through each bone's first seed, or through its middle; marks for seeds, contacts, unnamed parts."""
    from psi_cad.report.lettering import Mark
    from psi_cad.report.overlay import overlay_planes
    from psi_cad.report.parts_picture import Cut, place_text, write_parts_picture

    rows, marks = [], []
    for name, mesh in bones.items():
        points = parting.seeds.get(name)
        at = overlay_planes(mesh) if points is None else np.asarray(points[0])
        low, high = _rows_box(mesh)
        rows.append(Cut(at, low, high, name))
        for point in () if points is None else points:
            place = place_of(point)
            if place is not None:
                marks.append(Mark(place, f"seed of {name} at {place_text(place)}"))
    for caution in cautions:
        if caution.id == "touching-bones" and caution.where is not None:
            here = np.array(caution.where)
            if len(rows) < len(bones) + _CONTACT_ROWS:
                rows.append(Cut(here, here - _CLOSE_MM, here + _CLOSE_MM, "where two touch"))
            marks.append(Mark(caution.where, f"at {place_text(caution.where)}: {caution.text}"))
    names = dict(parting.names)
    for number, place, size in parting.loose:
        names[number] = f"part {number}, no seed"
        marks.append(Mark(place, f"part {number} ({size / 1000.0:.0f} cm³ of cortex) has no seed; to name it add --bone NAME={place_text(place)}"))
    title = "All bone of the scan, parted: through each seed, and where parts touch"
    write_parts_picture(path, scan, parting.shown, rows, title=title, names=names, marks=marks)
