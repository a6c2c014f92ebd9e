"""CT to bones: labels, a refined closed surface for each, what is known of their accuracy, and the files of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trimesh
from scipy.ndimage import find_objects

from psi_cad.bones.accuracy import accuracy_of
from psi_cad.bones.doubts import (
    doubts_of,
    edge_cautions,
    fit_cautions,
    grown_metal,
    jumps_of,
    left_out,
    metal_cautions,
    two_shells,
)
from psi_cad.bones.holes import HOLES, check_close, hole_cautions, write_holes
from psi_cad.bones.parting import PARTS, confirmed, parting_of, refuse_needless, rejected_panels, write_parts
from psi_cad.bones.segmented import DOUBT, REJECTED, Segmentation, SegmentedBone, report_of
from psi_cad.errors import CaseError, ImageError, SegmentationError
from psi_cad.extraction.blur import ScanBlur, scan_blur
from psi_cad.extraction.bone import bone_surface
from psi_cad.extraction.isosurface import MESH_MM, surface_of_part
from psi_cad.extraction.plausible import border_of
from psi_cad.files import sha256_of, write_json
from psi_cad.findings import Caution
from psi_cad.imaging.image_files import write_image
from psi_cad.imaging.judge import judge_spacing
from psi_cad.imaging.metal import Metal, find_metal
from psi_cad.records.segmentation import SegmentationReport
from psi_cad.segmentation.correcting import Corrections, Done, corrected
from psi_cad.segmentation.parting import Division, divided
from psi_cad.segmentation.segment import BoneLabels, bone_labels
from psi_cad.units import Array, Mm
from psi_cad.voxels.labels import INSIDE, LabelMap
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.volume import Volume

__all__ = ["DOUBT", "REJECTED", "Segmentation", "SegmentedBone", "report_of", "segment_bone", "segmentation_of_labels", "write_segmentation"]

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_RESERVED: Final = ("labels", "parts", "report")
_MOST_BEYOND: Final = 0.02  # of a ready mask's surface outside of its scan
# automatic masks of vertebrae and ribs on slices of 3 mm have 0.5 to 0.95, masks of organs and tumours up to 0.35, a bone's mask 20 mm off up to 0.55
_LEAST_ON_BONE: Final = 0.4
_CORTEX_WITHIN_MM: Final[Mm] = 2.0  # of a mask's surface
_SOFTEST_BONE_HU: Final = 150.0
_SURFACE_POINTS: Final = 4000
_AROUND_MM: Final[Mm] = 10.0  # of the scan that is looked at with a bone: more than any profile reaches
_AT_ONCE: Final = 2  # bones whose surfaces are made at the same time; each alone leaves a core idle half of its time
_SEED_OUTSIDE_MM: Final[Mm] = 1.0
"""A click on a bone's outline may miss it by this."""


def segment_bone(
    volume: Volume,
    seeds: Mapping[str, Sequence[float] | Array] | None = None,
    *,
    mesh_mm: Mm = MESH_MM,
    known: Division | None = None,
    corrections: Corrections | None = None,
    close_holes: Mm | None = None,
    progress: Callable[[str], None] | None = None,
) -> Segmentation:
    """The bones of a CT, one per seed, each with a closed surface on its cortex.

    Parameters
    ----------
    volume : Volume
        CT in HU.
    seeds : mapping of name to (x, y, z) or to several of them
        A point in each bone, patient mm, wherever in it. Parts that hold points of one name are one bone. Without seeds: the largest
        parts, named bone-1, bone-2, … by size.
    mesh_mm : float
        Grid of the surface.
    known : Division, optional
        Of this volume, where it is divided already: other seeds then cost little.
    corrections : Corrections, optional
        What a person says of the parting: cut here, join here, this bone is what I painted.
    close_holes : float, optional
        Holes through a bone of less than this across, mm, are closed; the surface there is no measured bone.

    Raises
    ------
    SegmentationError
        If there is no bone, or none at a seed, or bone cannot be cut where asked.
    CaseError
        If a seed lies outside the scan or on another's spot, a name cannot be a file's, or a correction makes no sense.
    """
    points = {name: np.atleast_2d(np.asarray(point, dtype=np.float64)) for name, point in (seeds or {}).items()}
    for name in points:
        check_name(name)
    close = check_close(close_holes)
    division = divided(volume, progress=progress) if known is None else known
    levels = division.levels
    done: tuple[Done, ...] = ()
    if corrections:
        for name in corrections.keep:
            check_name(name)
        division, points, done = corrected(division, corrections, points)
    labels = bone_labels(division, points, painted=corrections.keep if corrections else (), progress=progress)
    refuse_far_seeds(labels.values, volume, points)
    parting = parting_of(labels, division, points, done)
    unnamed = np.zeros(labels.values.shape, dtype=bool)  # a neighbour without a seed is none of a bone's either
    blur = None
    if labels.parts is not None:
        unnamed[division.box] = (labels.parts > len(labels.names)) & division.cortex
        blur = scan_blur(volume.values[division.box], labels.parts, spacing=volume.spacing, levels=levels)
    del division  # surfaces need its memory
    metal = find_metal(volume)
    bone = partial(
        _bone, volume=volume, labels=labels, unnamed=unnamed, levels=levels, blur=blur, metal=metal, done=done, mesh_mm=mesh_mm, close=close,
        progress=_one_at_a_time(progress),
    )  # fmt: skip
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [one for one in pool.map(bone, find_objects(labels.values), range(1, len(labels.names) + 1)) if one is not None]
    bones = [one.bone for one in found]
    said_apart: set[int] = set().union(*(one.said_apart for one in found))
    shown = {one.bone.name for one in found if one.shown}
    refuse_needless(done, said_apart)
    of_parting = (*labels.cautions, *_forced(labels, shown))
    notes = [*volume.notes, *(caution.text for caution in of_parting), *(one["text"] for one in parting.corrections)]
    if metal:
        notes.append(f"Metal in the scan: {sum(m.volume for m in metal):.0f} mm³ in {len(metal)} pieces; its streaks move surfaces near it.")
    plain, said = Volume(labels.values, volume.patient_from_index), (*volume.cautions, *of_parting)
    return Segmentation(volume, plain, tuple(bones), levels, metal, tuple(notes), said, labels.touching, parting)


@dataclass(frozen=True)
class _Found:
    """One bone; which of the corrections have answered a doubt of it; whether its surface shows its joints, and nothing speaks against it."""

    bone: SegmentedBone
    said_apart: set[int]
    shown: bool


def _bone(
    spots: tuple[slice, ...] | None,
    number: int,
    *,
    volume: Volume,
    labels: BoneLabels,
    unnamed: npt.NDArray[np.bool_],
    levels: TissueLevels,
    blur: ScanBlur | None,
    metal: tuple[Metal, ...],
    done: tuple[Done, ...],
    mesh_mm: Mm,
    close: Mm,
    progress: Callable[[str], None] | None,
) -> _Found | None:
    """The bone of a label `number`, which lies in the box `spots` of the scan; None where no voxel has the label."""
    if spots is None:
        return None
    name = labels.names[number]
    near, box = volume.around(spots, _AROUND_MM)
    numbers = labels.values[box]
    solid, others = numbers == number, ((numbers != number) & (numbers != 0)) | unnamed[box]
    tell = None if progress is None else (lambda step: progress(f"{name}: {step}"))
    jumps = jumps_of(name, solid, near, levels)
    made = bone_surface(
        near, solid, levels=levels, others=others, mesh_mm=mesh_mm, close_holes=close, coarsest=judge_spacing(volume).largest, scan_blur=blur,
        progress=tell,
    )  # fmt: skip
    mesh, fit = made.mesh, made.fit
    beside_metal = metal_cautions(name, mesh, metal)
    accuracy = accuracy_of(fit, volume, metal_near=bool(beside_metal))
    border = border_of(mesh, near, levels, others)
    doubts = [*doubts_of(name, made, solid, near, border, blur), *left_out(name, made), *jumps, *grown_metal(name, solid, near)]
    shown = border.shown and not any(one.id == DOUBT for one in doubts)
    doubts, used = confirmed(doubts, others, near, done)
    told = (
        *doubts,
        *edge_cautions(volume, labels.values == number, name),
        *fit_cautions(name, mesh, fit),
        *beside_metal,
        *two_shells(name, solid, near, levels),
        *hole_cautions(name, made.holes),
    )
    return _Found(SegmentedBone(name, number, mesh, fit, told, made.holes, made.patch, accuracy), used, shown)


def _one_at_a_time(progress: Callable[[str], None] | None) -> Callable[[str], None] | None:
    """`progress` for several threads: one step is told after the other."""
    if progress is None:
        return None
    alone = Lock()

    def tell(step: str) -> None:
        with alone:
            progress(step)

    return tell


def segmentation_of_labels(labels: LabelMap, wanted: Mapping[str, int | str], *, scan: Volume) -> Segmentation:
    """Ready masks as bones: each segment's smooth closed surface, as the mask has it.

    Parameters
    ----------
    wanted : mapping of bone name to label number or segment name
    scan : Volume
        The scan the masks belong to, for the pictures; the masks keep their own grid.

    Raises
    ------
    CaseError, SegmentationError, ImageError
        If a name cannot be a file's; if a label is not there, or the masks lie beside the scan.
    """
    values = np.zeros(labels.shape, dtype=np.uint8)
    bones, metal = [], find_metal(scan)
    for number, (name, label) in enumerate(wanted.items(), start=1):
        check_name(name)
        occupied = labels.occupancy(label).values
        values[occupied >= INSIDE] = number
        mesh = surface_of_part(occupied, patient_from_index=labels.patient_from_index)
        _lies_in(scan, mesh, name)
        _lies_on_bone(scan, mesh, name)
        told = Caution("ready-mask", f"{name} is the surface of a ready mask, not moved to the cortex.")
        bones.append(SegmentedBone(name, number, mesh, None, (told, *metal_cautions(name, mesh, metal))))
    plain = Volume(values, labels.patient_from_index)
    return Segmentation(scan, plain, tuple(bones), None, metal, (*scan.notes, *labels.notes), scan.cautions)


def refuse_far_seeds(labels: npt.NDArray[Any], volume: Volume, seeds: Mapping[str, Array]) -> None:
    """Refuse seeds that lie further than about a millimetre outside of the bone they name; label 1 is the first seed's.

    Raises
    ------
    CaseError
    """
    reach = _SEED_OUTSIDE_MM + 0.5 * float(np.linalg.norm(volume.spacing))
    for number, (name, seed) in enumerate(seeds.items(), start=1):
        for point in np.atleast_2d(seed):
            if _has_near(labels, number, volume, point, reach):
                continue
            places = volume.patient(np.argwhere(labels == number)[:, ::-1].astype(np.float64))
            away = np.linalg.norm(places - point, axis=1)
            nearest = int(np.argmin(away))
            near = ", ".join(f"{v:.1f}" for v in places[nearest])
            at = ", ".join(f"{v:g}" for v in point)
            raise CaseError(
                f"The seed of {name} at ({at}) mm lies {away[nearest]:.1f} mm outside the bone that was found from it; put it inside the bone: "
                f"the nearest of it is at ({near}).",
                where=tuple(places[nearest]),
            )


def _has_near(labels: npt.NDArray[Any], number: int, volume: Volume, point: Array, reach: Mm) -> bool:
    """Whether a voxel with this number lies within `reach` mm of a patient point (3,)."""
    at = volume.index(point[None])[0][::-1]
    steps = reach / volume.spacing[::-1]
    low = np.clip(np.floor(at - steps), 0, labels.shape).astype(int)
    high = np.clip(np.ceil(at + steps) + 1, 0, labels.shape).astype(int)
    found = np.argwhere(labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == number) + low
    return bool((np.linalg.norm((found - at) * volume.spacing[::-1], axis=1) <= reach).any())


def _forced(labels: BoneLabels, shown: set[str]) -> list[Caution]:
    """Cuts that only seeds ask for: a doubt, unless the surfaces of both bones show the joint."""
    told = []
    for one, other, area in labels.forced:
        text = f"{one} was cut off at {area:.0f} mm² towards {other} because seeds ask for it, "
        if {one, other} <= shown:
            told.append(Caution("touching-bones", text + "and the joint shows along the surfaces: look at it in the pictures."))
        else:
            told.append(Caution(DOUBT, text + "though the scan shows no joint there.", None, "forced-cut"))
    return told


def _lies_in(scan: Volume, mesh: trimesh.Trimesh, name: str) -> None:
    index = scan.index(np.asarray(mesh.vertices))
    beyond = ((index < -1.0) | (index > np.array(scan.values.shape[::-1]))).any(axis=1)
    if beyond.mean() > _MOST_BEYOND:
        raise ImageError(f"{100.0 * beyond.mean():.0f} % of the mask of {name} lies outside the scan; are both of the same scan, in the same frame?")


def _lies_on_bone(scan: Volume, mesh: trimesh.Trimesh, name: str) -> None:
    """Refuse a mask whose surface meets no cortex: that of an organ or a tumour, or one that was drawn on another scan."""
    some = np.random.default_rng(1).choice(len(mesh.vertices), min(len(mesh.vertices), _SURFACE_POINTS), replace=False)
    places, normals = np.asarray(mesh.vertices)[some], np.asarray(mesh.vertex_normals)[some]
    near = np.linspace(-_CORTEX_WITHIN_MM, _CORTEX_WITHIN_MM, 9)
    densest = np.max([scan.sampled(places + away * normals, outside=-1000.0) for away in near], axis=0)
    share = float((densest >= _SOFTEST_BONE_HU).mean())
    if share < _LEAST_ON_BONE:
        raise ImageError(
            f"{100.0 * share:.0f} % of the surface of the mask of {name} lies on bone of the scan, and a bone's does nearly all over; "
            "is it the mask of a bone, and are both of the same scan, in the same frame?"
        )


def check_name(name: str) -> None:
    """Raise unless `name` can be a bone's and a file's.

    Raises
    ------
    CaseError
    """
    if not NAME.fullmatch(name) or name in _RESERVED:
        raise CaseError(f"Bone name '{name}' must be lower-case letters, digits and '-', at most 41, and not {' or '.join(_RESERVED)}.")


def write_segmentation(folder: Path, found: Segmentation, *, progress: Callable[[str], None] | None = None) -> SegmentationReport:
    """Write labels.nii.gz, NAME.stl, NAME.png and NAME_holes.png per bone, and last report.json, which names the files with their hashes.

    A bone with doubts is NAME_REJECTED.stl and NAME_REJECTED.png, whose planes go through the place of the first doubt. A clean file of
    that name, from an earlier run, is removed.
    """
    if not found.bones:
        raise SegmentationError("No bone was found; nothing is written.")
    (folder / "report.json").unlink(missing_ok=True)  # an old report never stands beside new files

    def labels() -> dict[str, str]:
        path = folder / "labels.nii.gz"
        write_image(path, found.labels)
        return {path.name: sha256_of(path)}

    tell = _one_at_a_time(progress)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        beside = pool.submit(labels)
        done = list(pool.map(lambda bone: _write_bone(folder, found, bone, progress=tell), found.bones))
    done += [_write_parts(folder, found), beside.result()]  # the picture of all parts reads every bone's surface
    files = {name: sha for some in done for name, sha in some.items()}
    report = report_of(found, files)
    write_json(folder / "report.json", report.to_json())
    return report


def _write_bone(folder: Path, found: Segmentation, bone: SegmentedBone, *, progress: Callable[[str], None] | None) -> dict[str, str]:
    """Surface and pictures of one bone; the hash of each file by its name."""
    from psi_cad.export.surfaces import write_stl
    from psi_cad.report.overlay import overlay_planes, write_overlay

    if progress:
        progress(f"{bone.name}: write")
    doubts = [caution for caution in bone.cautions if caution.id == DOUBT]
    for old in (f"{bone.name}{end}{suffix}" for end in ("", REJECTED) for suffix in (".stl", ".png", HOLES)):
        (folder / old).unlink(missing_ok=True)
    stem = f"{bone.name}{REJECTED if doubts else ''}"
    stl, png = folder / f"{stem}.stl", folder / f"{stem}.png"
    write_stl(stl, bone.mesh, header=f"psi-cad {stem}, mm, SPACE=LPS", patch=bone.patch)
    spots = [caution.where for caution in doubts if caution.where is not None]
    at = np.array(spots[0]) if spots else overlay_planes(bone.mesh)
    title = f"{bone.name}, REJECTED: {doubts[0].text}" if doubts else f"{bone.name}: its surface on the scan"
    write_overlay(png, found.scan, bone.mesh, at=at, title=title, below=rejected_panels(found.scan, found.parting, bone.mesh, at) if doubts else ())
    written = [stl, png]
    if bone.holes:
        written.append(folder / f"{stem}{HOLES}")
        write_holes(written[-1], found.scan, bone.name, bone.mesh, bone.holes)
    return {path.name: sha256_of(path) for path in written}


def _write_parts(folder: Path, found: Segmentation) -> dict[str, str]:
    """The picture of all parts, where bone was parted; its hash by its name."""
    path = folder / PARTS
    path.unlink(missing_ok=True)
    if found.parting is None:
        return {}
    write_parts(path, found.scan, found.parting, {bone.name: bone.mesh for bone in found.bones}, found.cautions)
    return {path.name: sha256_of(path)}
