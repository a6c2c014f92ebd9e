"""The one door for scans: DICOM folder, zip or file, NIfTI, NRRD, MetaImage, all to a `Volume` in the patient frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from psi_cad.errors import ImageError
from psi_cad.files import sha256_of, whole_file, write_json
from psi_cad.findings import Caution, by_weight
from psi_cad.imaging.image_files import is_image_file, read_image, stem_of, write_image
from psi_cad.imaging.judge import judge_spacing
from psi_cad.voxels.pyramid import CT_AIR
from psi_cad.voxels.volume import Volume

__all__ = ["read_volume", "sidecar_of", "told_of", "write_volume"]

SCHEMA: Final = 1
WORDS: Final = {"CT": "a CT", "MR": "an MRI"}
KEPT_FACTS: Final = ("modality", "slices", "largest_step_mm", "smallest_step_mm", "tilt_deg", "resampled", "gaps_filled", "gap_mm")


def read_volume(
    path: Path | str,
    *,
    kind: str | None = None,
    series: int | str | None = None,
    fill_gap: bool = False,
    single: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Volume:
    """The scan in `path` as a volume in the patient frame (LPS, mm).

    Parameters
    ----------
    path : path
        A DICOM folder, zip archive or file, or a NIfTI, NRRD or MetaImage file. What `write_volume` left beside an
        image file is taken along.
    kind : {"ct", "mr", None}
        What is wanted; CT is judged for spacing, MRI is not.
    series : int or str, optional
        Of a DICOM folder: the number in the list, or the start of the SeriesInstanceUID.
    fill_gap : bool
        Interpolate one missing DICOM slice.
    single : bool
        Accept a single slice.

    Returns
    -------
    Volume
        int16 where that loses nothing, else float32; `facts["refuse_guide"]` is a sentence where the scan is too coarse for a
        guide, else None.

    Raises
    ------
    ImageError
        If there is no trustworthy volume; one sentence says why.
    """
    path = Path(path)
    if kind not in (None, "ct", "mr"):
        raise ImageError(f"kind '{kind}' is unknown; it is 'ct' or 'mr'.")
    try:
        if is_image_file(path) and not path.is_dir():
            volume = _with_sidecar(read_image(path, kind=kind), path)
            if kind == "mr" and (lowest := float(volume.values.min())) < CT_AIR:
                raise ImageError(f"'{path.name}' holds values down to {lowest:.0f}, as a CT has and no MRI; an MRI is wanted here.")
            if volume.values.shape[0] < 2 and not single:
                raise ImageError(f"'{path.name}' holds one slice, but a volume needs more; give the whole series.")
        else:
            from psi_cad.dicom.volume import read_dicom

            volume = read_dicom(path, kind=kind, series=series, fill_gap=fill_gap, single=single, progress=progress)
    except MemoryError:
        raise ImageError("The scan needs more memory than there is; crop it or close other programs.") from None
    verdict = judge_spacing(volume)
    judged = [Caution(kind, told) for kind, told in (("thick-slices", verdict.warning), ("coarse-scan", verdict.refusal)) if told]
    facts = {**volume.facts, "refuse_guide": verdict.refusal, "forced": volume.facts.get("forced", False)}
    return replace(told_of(volume, judged), facts=facts)


def told_of(volume: Volume, cautions: Iterable[Caution]) -> Volume:
    """`volume` with more cautions, which are notes too; each once."""
    every = tuple(dict.fromkeys((*volume.cautions, *cautions)))
    return replace(volume, notes=tuple(dict.fromkeys((*volume.notes, *(caution.text for caution in every)))), cautions=every)


def sidecar_of(path: Path) -> Path:
    """Where the notes and facts beside an image file stand: `ct.json` for `ct.nii.gz`."""
    return path.with_name(stem_of(path) + ".json")


def write_volume(path: Path, volume: Volume, *, forced: bool = False) -> dict[str, Any]:
    """Write `volume`, and its notes and facts beside it; returns what stands there.

    Parameters
    ----------
    path : Path
        Ends in .nii.gz, .nrrd or .mha.
    forced : bool
        The user insists on building guides on a scan that is too coarse.
    """
    sidecar = sidecar_of(path)
    with whole_file(sidecar) as temporary:  # claimed first: an image never stands without its facts
        temporary.touch()
        write_image(path, volume)
        refusal = volume.facts.get("refuse_guide")
        said = {
            "psi_cad_scan": SCHEMA,
            "sha256": sha256_of(path),
            "size": [int(n) for n in volume.values.shape[::-1]],
            "spacing_mm": [round(float(v), 6) for v in volume.spacing],
            "direction": [[round(float(v), 9) for v in row] for row in volume.direction],
            "origin_mm": [round(float(v), 6) for v in volume.origin],
            "notes": list(volume.notes),
            "cautions": [caution.to_json() for caution in by_weight(volume.cautions)],
            "facts": {key: volume.facts[key] for key in KEPT_FACTS if key in volume.facts},
            "refuse_guide": refusal,
            "forced": bool(forced and refusal is not None),
        }
        write_json(temporary, said)
    return said


def _with_sidecar(volume: Volume, path: Path) -> Volume:
    """`volume` with the facts of its sidecar, where that belongs to this very file.

    Raises
    ------
    ImageError
        Where that tells of another kind of scan than is wanted.
    """
    try:
        said = json.loads(sidecar_of(path).read_text("utf-8"))
        if said["psi_cad_scan"] != SCHEMA or said["sha256"] != sha256_of(path):
            return volume
        facts = {key: said["facts"][key] for key in KEPT_FACTS if key in said["facts"]}
        told, wanted = facts.get("modality"), volume.facts.get("modality")
        if told in WORDS and wanted not in (None, told):
            raise ImageError(f"'{path.name}' is {WORDS[told]}, as '{sidecar_of(path).name}' beside it tells; {WORDS[wanted]} is wanted here.")
        facts["modality"] = told or wanted
        kept = replace(volume, notes=(*said["notes"], *volume.notes), facts={**volume.facts, **facts, "forced": bool(said["forced"])})
        return told_of(kept, [Caution.from_json(one) for one in said.get("cautions", ())])
    except (OSError, ValueError, KeyError, TypeError):
        return volume
