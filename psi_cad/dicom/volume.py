"""A DICOM series to a volume: slices decoded once each, put onto the grid of their positions, with notes on all that was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.dicom.decoder import Decoder
from psi_cad.dicom.files import DicomFiles, quiet_pydicom
from psi_cad.dicom.find import Found, Series, choose_series, find_series
from psi_cad.dicom.geometry import Grid, plan_grid
from psi_cad.dicom.headers import Slice
from psi_cad.dicom.pixels import NATIVE, Rescaler, check_pixels, unpacked
from psi_cad.errors import ImageError
from psi_cad.findings import Caution
from psi_cad.voxels.volume import Volume

__all__ = ["list_series", "read_dicom"]

LARGEST_VOLUME: Final = 2 << 30
"""Bytes of voxels; 512 x 512 x 400 has 0.2 GiB."""
LEAST_SHIFT: Final = 1e-3
"""Pixels; a smaller sideways shift is not worth an interpolation."""
LOWEST_OF_HU: Final = -200
"""A CT in HU has air or at least fat below this somewhere."""
PERCENT_OF_PROGRESS: Final = 25
Tell = Callable[[str], None] | None


def list_series(path: Path, *, progress: Tell = None) -> Found:
    """All series of a DICOM folder, zip archive or file."""
    with DicomFiles(path) as files:
        return find_series(files, progress=progress)


def read_dicom(
    path: Path,
    *,
    kind: str | None = None,
    series: int | str | None = None,
    fill_gap: bool = False,
    single: bool = False,
    progress: Tell = None,
) -> Volume:
    """The volume of one series of a DICOM folder, zip archive or multi-frame file.

    Parameters
    ----------
    kind : {"ct", "mr", None}
        What is looked for; None takes CT, MR and PT.
    series : int or str, optional
        Number in the list of series, or the start of a SeriesInstanceUID.
    fill_gap : bool
        Interpolate one missing slice instead of refusing.
    single : bool
        Accept a single slice.

    Raises
    ------
    ImageError
        If no trustworthy volume can be made; the sentence says why.
    """
    with ExitStack() as stack:
        files = stack.enter_context(DicomFiles(path))
        found = find_series(files, progress=progress)
        chosen = choose_series(found, kind=kind, series=series, single=single)
        slices, grid = _planned(chosen, fill_gap)
        rescaler = Rescaler.of(slices)
        if np.prod(np.array(grid.size, dtype=np.float64)) * np.dtype(rescaler.dtype).itemsize > LARGEST_VOLUME:
            raise ImageError(
                f"The volume would have {grid.size[0]} x {grid.size[1]} x {grid.size[2]} voxels, more than psi-cad reads; crop the series."
            )
        stack.enter_context(quiet_pydicom())
        stored = _stored_frames(files, slices, stack)
        values = _stacked(slices, stored, grid, rescaler, progress)
        if grid.resampled:
            values = _evenly_spaced(values, grid)
    cautions = (*_cautions_of_geometry(grid), *_cautions_of_values(slices, rescaler))
    notes = [*_notes_of_choice(found, chosen), *_notes_of_geometry(grid), *_notes_of_values(slices, rescaler), *(c.text for c in cautions)]
    return Volume(values, grid.patient_from_index, tuple(notes), _facts(chosen, slices, grid, rescaler), cautions)


def _planned(chosen: Series, fill_gap: bool) -> tuple[list[Slice], Grid]:
    """The slices along the normal, and their grid; nothing is allocated before the headers agree."""
    slices = list(chosen.slices)
    lost = [s for s in slices if s.position is None or s.orientation is None or s.spacing is None]
    if lost:
        what = "PixelSpacing" if all(s.position and s.orientation for s in lost) else "position or orientation (ImagePositionPatient)"
        raise ImageError(f"{len(lost)} of {len(slices)} slices state no {what}, so their place in the patient is unknown; export the series again.")
    for one in slices:
        check_pixels(one.pixels)
        if one.table:
            raise ImageError("The values go through a lookup table (ModalityLUTSequence) and not RescaleSlope; export the series in HU.")
    if len({s.patient_position for s in slices if s.patient_position}) > 1:
        raise ImageError("The slices were scanned in more than one patient position (PatientPosition); choose one stack with --series.")
    grid = plan_grid(
        np.array([s.position for s in slices], dtype=np.float64),
        orientations=np.array([s.orientation for s in slices], dtype=np.float64),
        spacings=np.array([s.spacing for s in slices], dtype=np.float64),
        sizes=np.array([(s.pixels.rows, s.pixels.columns) for s in slices if s.pixels is not None]),
        fill_gap=fill_gap,
        thickness=abs(slices[0].thickness) if slices[0].thickness else None,
    )
    return [slices[n] for n in grid.order], grid


def _stored_frames(files: DicomFiles, slices: list[Slice], stack: ExitStack) -> Iterator[npt.NDArray[Any]]:
    """Stored numbers of each slice in turn; a file with many frames is read once."""
    decoder: Decoder | None = None
    held_name: str | None = None
    held = b""
    for one in slices:
        pixels = check_pixels(one.pixels)
        if pixels.syntax not in NATIVE:
            decoder = decoder or stack.enter_context(Decoder(files.path))
            yield decoder.frame(one.name, one.frame, rows=pixels.rows, columns=pixels.columns)
            continue
        if one.name != held_name:
            held_name, held = one.name, _pixel_bytes(files, one.name)
        yield unpacked(held, pixels, frame=one.frame)


def _pixel_bytes(files: DicomFiles, name: str) -> bytes:
    try:
        data = files.dataset(name, specific_tags=["PixelData"])
        element = data.get_item("PixelData")
        value = element.value if element is not None else None
        if getattr(element, "length", 0) == 0xFFFFFFFF:
            raise ImageError("The pixels of a slice are compressed and its header says they are not (TransferSyntaxUID); export the series again.")
    except ImageError:
        raise
    except Exception:  # pydicom raises nearly anything on damaged data; what is told is below
        value = None
    if not isinstance(value, bytes | bytearray):
        raise ImageError("A slice has no pixels (PixelData); copy or export the series again.")
    return bytes(value)


def _stacked(slices: list[Slice], stored: Iterator[npt.NDArray[Any]], grid: Grid, rescaler: Rescaler, progress: Tell) -> npt.NDArray[Any]:
    """All slices (n, nj, ni), shifted sideways onto the grid where the gantry was tilted."""
    values: npt.NDArray[Any] | None = None
    told = 0
    for k, one in enumerate(slices):
        # `next` and not zip: the place of a failing slice belongs into the sentence
        try:
            plane = rescaler.values(next(stored), one)
        except ImageError as error:
            raise ImageError(f"{str(error).rstrip('.')} (slice {k + 1} of {len(slices)} along the stack).") from None
        if values is None:  # after the first slice was decoded: a damaged header allocates nothing
            values = np.full((len(slices), grid.size[1], grid.size[0]), rescaler.fill, dtype=rescaler.dtype)
        _place(values[k], plane, grid.shift[k], rescaler.fill)
        percent = 100 * (k + 1) // len(slices)
        if progress is not None and percent >= told + PERCENT_OF_PROGRESS:
            told = percent - percent % PERCENT_OF_PROGRESS
            progress(f"slices read {k + 1} of {len(slices)}")
    assert values is not None
    return values


def _place(target: npt.NDArray[Any], plane: npt.NDArray[Any], shift: npt.NDArray[np.float64], fill: int) -> None:
    """Write `plane` into `target` moved by `shift` (i, j) pixels, interpolated by cubic splines between pixels."""
    whole = np.floor(shift + LEAST_SHIFT).astype(int)
    part = shift - whole
    i, j = int(whole[0]), int(whole[1])
    rows, columns = plane.shape
    if np.abs(part).max() <= LEAST_SHIFT:
        target[j : j + rows, i : i + columns] = plane
        return
    from scipy.ndimage import shift as shifted

    tall, wide = min(rows + 1, target.shape[0] - j), min(columns + 1, target.shape[1] - i)
    # the edge goes on and not the fill: a spline rings beside a cliff
    padded = np.pad(plane, ((0, tall - rows), (0, wide - columns)), mode="edge").astype(np.float32)
    moved = shifted(padded, (part[1], part[0]), order=3, mode="nearest")
    np.clip(moved, plane.min(), plane.max(), out=moved)  # a spline overshoots at edges
    empty = np.ones((tall, wide), dtype=bool)
    empty[(1 if part[1] > LEAST_SHIFT else 0) : rows, (1 if part[0] > LEAST_SHIFT else 0) : columns] = False
    moved[empty] = fill  # pixels that lie partly outside the scanned field
    target[j : j + tall, i : i + wide] = np.rint(moved) if target.dtype.kind == "i" else moved


def _evenly_spaced(values: npt.NDArray[Any], grid: Grid) -> npt.NDArray[Any]:
    """Slices (nk, nj, ni) at even steps, interpolated linearly between the given ones at their true places."""
    wanted = np.clip(np.arange(grid.size[2]) * grid.step, 0.0, grid.along[-1])
    low = np.clip(np.searchsorted(grid.along, wanted, side="right") - 1, 0, len(grid.along) - 2)
    weight = (wanted - grid.along[low]) / (grid.along[low + 1] - grid.along[low])
    found = np.empty((len(wanted), *values.shape[1:]), dtype=values.dtype)
    for k, (n, w) in enumerate(zip(low, weight, strict=True)):
        if min(w, 1.0 - w) < 1e-3:
            found[k] = values[n + round(float(w))]
            continue
        mixed = values[n] * np.float32(1.0 - w) + values[n + 1] * np.float32(w)
        found[k] = np.rint(mixed) if found.dtype.kind == "i" else mixed
    return found


def _notes_of_choice(found: Found, chosen: Series) -> list[str]:
    notes = []
    if len(found.series) > 1:
        notes.append(f"Series {chosen.index} of {len(found.series)} was read.")
    if found.others:
        notes.append(f"{found.others} other file{'s' if found.others > 1 else ''} held no readable DICOM image.")
    return notes


def _notes_of_geometry(grid: Grid) -> list[str]:
    notes = []
    if grid.tilt > 0.0:
        notes.append(f"Slices are stacked {grid.tilt:.2f}° off their normal (gantry tilt); each was moved within its plane onto a straight grid.")
    elif grid.shift.any():
        notes.append("Slices lie sideways of each other; each was moved within its plane onto a straight grid.")
    if grid.resampled and not grid.filled:
        notes.append(f"Slice steps vary from {grid.steps[0]:.3f} to {grid.steps[1]:.3f} mm; resampled to {grid.step:.3f} mm from the true positions.")
    return notes


def _cautions_of_geometry(grid: Grid) -> list[Caution]:
    if not grid.filled:
        return []
    a, b = grid.filled[0]
    return [Caution("scan-values", f"One missing slice was interpolated between {a:g} and {b:g} mm, as asked: bone and tumour there are a guess.")]


def _notes_of_values(slices: list[Slice], rescaler: Rescaler) -> list[str]:
    notes = []
    if rescaler.padded:
        notes.append(f"{rescaler.padded} padding pixels were set to {rescaler.fill}.")
    if rescaler.kept_padding:
        notes.append(f"{rescaler.kept_padding} pixels have the padding value inside the picture and were kept.")
    if rescaler.clipped:
        notes.append(f"{rescaler.clipped} values beyond 16 bits were clipped.")
    if rescaler.modality == "CT" and len({(s.slope, s.intercept) for s in slices}) > 1:
        notes.append("RescaleSlope or RescaleIntercept differ between slices; each slice was rescaled by its own.")
    return notes


def _cautions_of_values(slices: list[Slice], rescaler: Rescaler) -> list[Caution]:
    """Where the values of a CT may not be HU.

    Raises
    ------
    ImageError
        If they are surely not.
    """
    if rescaler.modality != "CT":
        return []
    told = []
    if any(s.intercept is None for s in slices):
        if rescaler.lowest >= LOWEST_OF_HU:
            raise ImageError("RescaleIntercept is missing and no value looks like air, so the values are not in HU; export the original series.")
        told.append("RescaleIntercept is missing in some slices; their stored values were taken as HU.")
    if {s.rescale_type for s in slices} - {"", "HU", "US", "HU_MOD"}:
        told.append("RescaleType is not HU; thresholds in HU may not hold.")
    if rescaler.lowest >= LOWEST_OF_HU:
        told.append(f"No value lies below {LOWEST_OF_HU}; the values may not be HU.")
    return [Caution("scan-values", text) for text in told]


def _facts(chosen: Series, slices: list[Slice], grid: Grid, rescaler: Rescaler) -> dict[str, Any]:
    """Numbers for a report; no identity."""
    facts: dict[str, Any] = {
        "modality": chosen.modality,
        "series": chosen.index,
        "slices": len(slices),
        "largest_step_mm": round(grid.steps[1], 5),
        "smallest_step_mm": round(grid.steps[0], 5),
        "tilt_deg": round(grid.tilt, 4),
        "resampled": bool(grid.resampled or grid.shift.any()),
        "gaps_filled": len(grid.filled),
        "padding_pixels": rescaler.padded,
        "patient_position": slices[0].patient_position if slices[0].patient_position in _POSITIONS else None,
    }
    if grid.filled:
        facts["gap_mm"] = [round(v, 4) for v in grid.filled[0]]
    if grid.shift.any() and not grid.resampled:
        size = (slices[0].pixels.columns, slices[0].pixels.rows) if slices[0].pixels is not None else (0, 0)
        # where each slice was really scanned: i from, to, j from, to
        last = grid.shift + np.array(size) - 1
        facts["scanned_px"] = np.stack([grid.shift[:, 0], last[:, 0], grid.shift[:, 1], last[:, 1]], axis=1).round(2).tolist()
    return facts


_POSITIONS: Final = {"HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"}
