"""Where the surfaces of a case come from: files, label maps, or the scans themselves, through stages kept in `work/`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trimesh

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Avoid, BoneSource, Segment, Tumour
from psi_cad.case.named import BONE, bone_key, refuse_changed, stamps_of, there
from psi_cad.errors import CaseError, ImageError, PsiCadError, SegmentationError, SurfaceError
from psi_cad.files import sha256_of
from psi_cad.findings import Caution, by_weight
from psi_cad.intake.work import Stage, Work, digest_of
from psi_cad.surface.mesh_files import read_surface
from psi_cad.units import Array

if TYPE_CHECKING:
    from psi_cad.voxels.volume import Volume

__all__ = ["Found", "avoid_source", "bone_source", "surface_source", "tumour_source"]

Progress = Callable[[str], None]
SCAN_FILE: Final = "scan.mha"
READY: Final = "The surface of a ready mask, not moved to the cortex."


@dataclass(frozen=True)
class Found:
    """A surface in patient mm: its `name` for messages, its `units` as stated, and what a report says of its source."""

    mesh: trimesh.Trimesh
    name: str
    units: str | None
    said: dict[str, Any]


def surface_source(loaded: LoadedCase, source: Any, *, key: str) -> Found:
    """A surface file of the case.

    Raises
    ------
    SurfaceError
    """
    path = loaded.resolve(source.surface)
    mesh = read_surface(path, units=source.units, coordinates=source.coordinates, key=f"{key}.surface")
    digest = sha256_of(path)
    return Found(mesh, path.name, source.units, {"file": path.name, "sha256": digest, **_segmented(path, digest, key=key)})


def _segmented(path: Path, digest: str, *, key: str) -> dict[str, Any]:
    """What the report of `psi-cad segment` beside a surface says of it, where it is the very file that the report tells of.

    Raises
    ------
    SurfaceError
        If it is another file, but psi-cad had closed holes in the one that it wrote there: they can no longer be told from measured bone.
    """
    try:
        report = json.loads((path.parent / "report.json").read_text("utf-8"))
        if report["psi_cad_segmentation"] != 1:
            return {}
        (bone,) = [one for one in report["bones"] if f"{one['name']}.stl" == path.name]
        same, patched = report["files"][path.name] == digest, int(bone.get("patched_faces", 0))
        told = [*report.get("cautions", ()), *bone.get("cautions", ())]
        said = {
            "uncertainty_mm": bone["uncertainty_mm"],
            "within_mm": bone.get("within_mm"),
            "cautions": [Caution.from_json(one).to_json() for one in told],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if not same and patched:
        raise SurfaceError(
            f"{key}.surface: psi-cad segment closed holes in '{path.name}', and the file was changed since, so nothing marks them any more; "
            "segment again, or remove report.json beside it if this is another surface."
        )
    return {"segmentation": said} if same else {}


def bone_source(loaded: LoadedCase, number: int = 0, *, progress: Progress) -> Found:
    """A bone of a case, from whatever it names.

    Raises
    ------
    PsiCadError
    """
    source, key = loaded.case.bones[number], bone_key(loaded.case, number)
    if source.surface is not None:
        return surface_source(loaded, source, key=key)
    work, name = _work(loaded, progress), BONE if len(loaded.case.bones) == 1 else f"{BONE}-{source.name}"
    if source.ct is not None:
        return _made(_bone_of_scan(loaded, source, work, name=name, key=key), f"{BONE}.stl", key=key)
    return _made(_labelled(loaded, source, work, name=name, key=key), f"{name}.stl", key=key)


def tumour_source(loaded: LoadedCase, *, progress: Progress) -> Found | None:
    """The tumour of a case in the bone's frame, from whatever it names; None where there is none.

    Raises
    ------
    PsiCadError
    """
    source = loaded.case.tumour
    if source is None:
        return None
    if source.surface is not None:
        return surface_source(loaded, source, key="tumour")
    stage = _tumour_of_labels(loaded, source, _work(loaded, progress))
    return _made(stage, "tumour.stl", key="tumour")


def avoid_source(loaded: LoadedCase, source: Avoid, *, number: int, progress: Progress) -> Found:
    """The surface of the structure `[[avoid]]` `number`, from a file or a label map.

    Raises
    ------
    PsiCadError
    """
    key = f"avoid[{number}]"
    if source.surface is not None:
        return surface_source(loaded, source, key=key)
    name = f"avoid-{source.name}"
    stage = _labelled(loaded, source, _work(loaded, progress), name=name, key=key)
    return _made(stage, f"{name}.stl", key=key)


def _made(stage: Stage, name: str, *, key: str) -> Found:
    """A surface that a stage has made."""
    mesh = stage.read(name, lambda file: read_surface(file, units="mm", coordinates="LPS", key=key))
    return Found(mesh, name, "mm", stage.said)


def _work(loaded: LoadedCase, progress: Progress) -> Work:
    stamps = stamps_of(loaded)
    folder = loaded.path.parent / "work" / loaded.case.id  # case files of one folder do not share it
    return Work(folder, progress, lambda: refuse_changed(loaded, stamps))


def _with_key(error: PsiCadError, loaded: LoadedCase, key: str) -> PsiCadError:
    """The same error, with the place in the case file that led to it."""
    return type(error)(f"{loaded.path.name}: {key}: {error}", where=error.where, remedies=error.remedies)


def _scan(loaded: LoadedCase, work: Work, relative: str, *, name: str, kind: str, series: int | str | None, key: str) -> Stage:
    """A scan read into the patient frame."""
    from psi_cad.imaging.scan_files import read_volume, write_volume

    path = there(loaded, relative, key=key)

    def make(folder: Path) -> dict[str, Any]:
        volume = read_volume(path, kind=kind, series=series, progress=lambda step: work.progress(f"{name}: {step}"))
        forced = bool(volume.facts.get("forced", False))
        write_volume(folder / SCAN_FILE, volume, forced=forced)
        return {
            "spacing_mm": [round(float(v), 4) for v in volume.spacing],
            "notes": list(volume.notes),
            "cautions": [caution.to_json() for caution in by_weight(volume.cautions)],
            "refuse_guide": volume.facts.get("refuse_guide"),
            "forced": forced,
        }

    try:
        return work.stage(name, {"kind": kind, "series": series, "source": digest_of(path)}, make)
    except ImageError as error:
        raise _with_key(error, loaded, key) from error


def _volume(scan: Stage, *, kind: str) -> Volume:
    """A scan that a stage has read."""
    from psi_cad.imaging.scan_files import read_volume

    return scan.read(SCAN_FILE, lambda file: read_volume(file, kind=kind))


def _bone_of_scan(loaded: LoadedCase, source: BoneSource, work: Work, *, name: str, key: str) -> Stage:
    """The bone segmented from a CT; refused where the scan is too coarse and nobody insisted.

    Of several bones of the CT, the seeds of the others part it from them.
    """
    from psi_cad.bones.segment import segment_bone, write_segmentation
    from psi_cad.imaging.midline import body_middle
    from psi_cad.segmentation.correcting import Corrections

    assert source.ct is not None and source.segment is not None
    scan = _scan(loaded, work, source.ct, name="ct", kind="ct", series=source.series, key=f"{key}.ct")
    forced = bool(source.force_spacing or scan.said["forced"])
    if scan.said["refuse_guide"] and not forced:
        insist = f"To insist set {key}.force_spacing = true; the report will show it."
        raise CaseError(f"{loaded.path.name}: {key}.ct: {scan.said['refuse_guide']} {insist}")
    beside = {bone.name: bone.segment.seed for bone in loaded.case.bones if bone is not source and bone.name and bone.segment is not None}
    seeds = {BONE: source.segment.seed, **beside, **source.segment.others}
    asked, masks = _corrections(loaded, source.segment, key=key)
    close = source.segment.close_holes
    wanted = {**asked, "close_holes": close} if close is not None else asked

    def make(folder: Path) -> dict[str, Any]:
        volume = _volume(scan, kind="ct")
        corrections = Corrections(tuple(source.segment.cut_here), tuple(source.segment.join), masks(volume)) if source.segment and asked else None
        found = segment_bone(volume, seeds, corrections=corrections, close_holes=close, progress=lambda step: work.progress(f"segment {step}"))
        if found.doubts:
            first = found.doubts[0]
            raise SegmentationError(
                f"{first.text} Run psi-cad segment with these seeds, look at its pictures, and correct the seeds, or add cut_here, join or keep_in.",
                where=first.where,
            )
        low, high = next(bone.mesh for bone in found.bones if bone.name == BONE).bounds[:, 2]
        middle = body_middle(volume, low=float(low), high=float(high))
        report = write_segmentation(folder, dataclasses.replace(found, bones=tuple(bone for bone in found.bones if bone.name == BONE)))
        (bone,) = report.bones
        parted = [
            Caution("touching-bones", f"the bone touches {_other(pair)}; psi-cad parted the two: look at the pictures in work/")
            for pair in found.touching
            if BONE in pair
        ]
        return {
            "uncertainty_mm": bone.uncertainty_mm,
            "within_mm": bone.within_mm,
            "levels_hu": report.levels_hu,
            "corrections": [one.to_json() for one in report.corrections],
            "holes": [hole.to_json() for hole in bone.holes],
            "body": {"middle_x_mm": _rounded(middle.x), "width_mm": _rounded(middle.width), "why": middle.why},
            "notes": [*report.notes, *bone.notes],
            "cautions": [*(caution.to_json() for caution in bone.cautions), *(caution.to_json() for caution in parted)],
        }  # fmt: skip

    try:
        bone = work.stage(name, {"scan": scan.key, "seeds": {name: list(seed) for name, seed in seeds.items()}, **wanted}, make)
    except PsiCadError as error:
        raise _with_key(error, loaded, f"{key}.segment") from error
    said = {
        "file": "ct",
        "sha256": scan.key,
        "scan": scan.said,
        "forced_spacing": bool(forced and scan.said["refuse_guide"]),
        "segmentation": bone.said,
    }
    return Stage(bone.folder, said, bone.key)


def _corrections(loaded: LoadedCase, segment: Segment, *, key: str) -> tuple[dict[str, Any], Callable[[Volume], dict[str, Volume]]]:
    """What the case file corrects, as the key of a stage (empty: nothing), and what reads the painted masks for a scan."""
    asked: dict[str, Any] = {}
    if segment.cut_here:
        asked["cut_here"] = [list(at) for at in segment.cut_here]
    if segment.join:
        asked["join"] = [list(at) for at in segment.join]
    if segment.keep_in is None or segment.keep is None:
        return asked, lambda _: {}
    path, label = there(loaded, segment.keep_in, key=f"{key}.segment.keep_in"), segment.keep
    asked["keep_in"] = {"sha256": digest_of(path), "label": label}

    def masks(scan: Volume) -> dict[str, Volume]:
        from psi_cad.imaging.label_files import read_labels

        return {BONE: read_labels(path, reference=scan).occupancy(label)}

    return asked, masks


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _other(pair: tuple[str, str]) -> str:
    """The bone that the wanted bone touches."""
    return pair[1] if pair[0] == BONE else pair[0]


def _labelled(loaded: LoadedCase, source: BoneSource | Avoid, work: Work, *, name: str, key: str) -> Stage:
    """The surface of one label of a ready mask."""
    from psi_cad.export.surfaces import write_stl
    from psi_cad.extraction.isosurface import surface_of_part
    from psi_cad.imaging.judge import judge_spacing
    from psi_cad.imaging.label_files import read_labels

    assert source.labels is not None and source.label is not None
    path, label = there(loaded, source.labels, key=f"{key}.labels"), source.label

    def make(folder: Path) -> dict[str, Any]:
        work.progress(f"{name}: surface of the mask")
        part = read_labels(path).occupancy(label)
        verdict = judge_spacing(part)
        kinds = (("thick-slices", verdict.warning), ("coarse-scan", verdict.refusal), ("ready-mask", READY))
        mesh = surface_of_part(part.values, patient_from_index=part.patient_from_index)
        write_stl(folder / f"{name}.stl", mesh, header=f"psi-cad {name}, mm, SPACE=LPS")
        return {
            "spacing_mm": [round(float(v), 4) for v in part.spacing],
            "notes": [*part.notes, READY],
            "cautions": [Caution(kind, f"{key}.labels: {told}").to_json() for kind, told in kinds if told],
        }

    digest = digest_of(path)
    try:
        stage = work.stage(name, {"labels": digest, "label": label}, make)
    except PsiCadError as error:
        raise _with_key(error, loaded, f"{key}.labels") from error
    return Stage(stage.folder, {"file": "labels", "sha256": digest, "label": label, "mask": stage.said}, stage.key)


def _tumour_of_labels(loaded: LoadedCase, source: Tumour, work: Work) -> Stage:
    """The tumour's surface from a mask on the MRI or the CT, brought into the bone's frame."""
    from psi_cad.export.surfaces import write_stl
    from psi_cad.extraction.tumour import diameters, tumour_surface
    from psi_cad.imaging.label_files import read_labels
    from psi_cad.imaging.tumour import shape_interpolated
    from psi_cad.registration.rigid import inverse

    assert source.labels is not None and source.label is not None
    path, label = there(loaded, source.labels, key="tumour.labels"), source.label
    transform, way, said = _transform(loaded, source, work)

    def make(folder: Path) -> dict[str, Any]:
        work.progress("tumour: surface of the mask")
        field = shape_interpolated(read_labels(path).mask(label))
        found = tumour_surface(field, fixed_from_moving=None if transform is None else inverse(transform()))
        write_stl(folder / "tumour.stl", found.mesh, header="psi-cad tumour, mm, SPACE=LPS")
        return {
            "volume_cm3": round(found.volume_mm3 / 1000.0, 3),
            "mask_volume_cm3": round(found.mask_volume_mm3 / 1000.0, 3),
            "diameters_mm": [round(float(v), 2) for v in diameters(found.mesh)[0]],
        }

    digest = digest_of(path)
    try:
        stage = work.stage("tumour", {"labels": digest, "label": label, "transform": way}, make)
    except PsiCadError as error:
        raise _with_key(error, loaded, "tumour.labels") from error
    return Stage(stage.folder, {"file": "labels", "sha256": digest, "label": label, **stage.said, "registration": said}, stage.key)


def _transform(loaded: LoadedCase, source: Tumour, work: Work) -> tuple[Callable[[], Array] | None, str | None, dict[str, Any] | None]:
    """What reads the transform from CT points to the mask's, what it depends on, and what is said of it; None where the frames are one."""
    from psi_cad.registration.rigid import read_transform

    if source.transform is not None:
        path = there(loaded, source.transform, key="tumour.transform")
        return lambda: read_transform(path), sha256_of(path), {"file": path.name, "sha256": sha256_of(path)}
    if source.mri is None:
        return None, None, None
    number, bone = next((number, bone) for number, bone in enumerate(loaded.case.bones) if bone.ct is not None)  # several come from one CT
    assert bone.ct is not None  # the case's model has refused anything else
    ct = _scan(loaded, work, bone.ct, name="ct", kind="ct", series=bone.series, key=f"{bone_key(loaded.case, number)}.ct")
    mri = _scan(loaded, work, source.mri, name="mri", kind="mr", series=source.series, key="tumour.mri")

    def make(folder: Path) -> dict[str, Any]:
        from psi_cad.registration.register import register
        from psi_cad.registration.rigid import write_transform
        from psi_cad.report.fused import FUSED_TITLE, write_fused

        fixed, moving = _volume(ct, kind="ct"), _volume(mri, kind="mr")
        found = register(fixed, moving, progress=lambda step: work.progress(f"register: {step}"))
        write_fused(folder / "ct_to_mri.png", fixed, moving, moving_from_fixed=found.moving_from_fixed, box=found.box, title=FUSED_TITLE)
        write_transform(folder / "ct_to_mri.tfm", found.moving_from_fixed, centre=found.centre)
        return found.report().to_json()

    try:
        stage = work.stage("registration", {"ct": ct.key, "mri": mri.key}, make)
    except PsiCadError as error:
        raise _with_key(error, loaded, "tumour.mri") from error
    return lambda: stage.read("ct_to_mri.tfm", read_transform), stage.key, stage.said
