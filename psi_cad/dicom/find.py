"""The series of a DICOM folder or zip: found by their headers, listed by plain facts, and chosen by number or UID."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from psi_cad.dicom.files import DicomFiles, UnreadableFileError, quiet_pydicom
from psi_cad.dicom.headers import TAGS, Slice, slices_of
from psi_cad.errors import ImageError

__all__ = ["Found", "Series", "choose_series", "find_series"]

KIND_NAMES: Final = {"ct": "CT", "mr": "MR", None: "CT, MR or PT"}
STEPS_OF_PROGRESS: Final = 4


@dataclass(frozen=True)
class Series:
    """The slices under one SeriesInstanceUID.

    Attributes
    ----------
    index : int
        From 1; the number that `--series` takes.
    uid : str
        For choosing only: a UID is identity and is never shown.
    problem : str or None
        Why no volume can be made of it.
    """

    index: int
    uid: str
    modality: str
    slices: tuple[Slice, ...]
    problem: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """What the list shows: nothing that was typed by a person."""
        sizes = Counter((s.pixels.columns, s.pixels.rows) for s in self.slices if s.pixels is not None)
        spacings = Counter(s.spacing for s in self.slices if s.spacing is not None)
        size = sizes.most_common(1)[0][0] if sizes else None
        spacing = spacings.most_common(1)[0][0] if spacings else None
        return {
            "series": self.index,
            "modality": self.modality or "other",
            "slices": len(self.slices),
            "columns": size[0] if size else None,
            "rows": size[1] if size else None,
            "pixel_mm": [round(spacing[1], 4), round(spacing[0], 4)] if spacing else None,
            "step_mm": _usual_step(self.slices),
            "usable": self.problem is None,
            "why_not": self.problem,
        }

    @property
    def line(self) -> str:
        """The facts in a line."""
        f = self.facts
        size = f"{f['columns']} x {f['rows']}" if f["columns"] else "no size"
        pixel = f", {f['pixel_mm'][0]:g} x {f['pixel_mm'][1]:g} mm" if f["pixel_mm"] else ""
        step = f", step {f['step_mm']:g} mm" if f["step_mm"] else ""
        return f"{f['modality']}, {f['slices']} slices of {size}{pixel}{step}"


@dataclass(frozen=True)
class Found:
    """All series, and how many files held none."""

    series: tuple[Series, ...]
    others: int


def _usual_step(slices: tuple[Slice, ...]) -> float | None:
    """The median distance of neighbouring slices, mm."""
    placed = [(s.position, s.orientation) for s in slices if s.position is not None and s.orientation is not None]
    if len(placed) < 2:
        return None
    orientation = np.array(placed[0][1])
    along = np.sort(np.array([position for position, _ in placed]) @ np.cross(orientation[:3], orientation[3:]))
    step = float(np.median(np.diff(along)))
    return round(step, 4) if step > 0.0 else None


def find_series(files: DicomFiles, *, progress: Callable[[str], None] | None = None) -> Found:
    """All series in `files`, in the order of their series numbers.

    Reads every header once, and no pixels. Files that are no DICOM images (a DICOMDIR, a report, a text) are counted.
    """
    groups: dict[str, list[Slice]] = defaultdict(list)
    others = 0
    tell_at = {max(1, len(files.names) * step // STEPS_OF_PROGRESS) for step in range(1, STEPS_OF_PROGRESS + 1)}
    with quiet_pydicom():
        for count, name in enumerate(files.names, 1):
            try:
                data = files.dataset(name, stop_before_pixels=True, specific_tags=list(TAGS))
                found = slices_of(data, name)
            except UnreadableFileError:
                found = []
            if found:
                groups[found[0].series].extend(found)
            else:
                others += 1
            if progress is not None and count in tell_at:
                progress(f"headers read of {count} of {len(files.names)} files")
    ordered = sorted(groups.items(), key=lambda item: (min(s.number for s in item[1]), item[0]))
    return Found(tuple(_series(index, uid, slices) for index, (uid, slices) in enumerate(ordered, 1)), others)


def _series(index: int, uid: str, slices: list[Slice]) -> Series:
    # a localiser may share the UID of the scan that was planned on it
    kept = tuple(s for s in slices if not s.scout) or tuple(slices)
    modality = Counter(s.modality for s in kept).most_common(1)[0][0]
    return Series(index, uid, modality, kept, _problem(kept, modality))


def _problem(slices: tuple[Slice, ...], modality: str) -> str | None:
    if slices[0].scout:
        return "a localiser"
    if not modality:
        return "no scan: a report, a picture or a list of contours"
    if not any(s.pixels for s in slices):
        return "no pixels"
    if not any(s.position and s.orientation for s in slices):
        return "no slice states its position and orientation in the patient"
    return None


def choose_series(found: Found, *, kind: str | None, series: int | str | None, single: bool = False) -> Series:
    """The series that was asked for, or the only one that fits `kind`.

    Raises
    ------
    ImageError
        If there is none, or more than one and none was named; the sentence lists them.
    """
    if not found.series:
        raise ImageError(
            "No DICOM image is there; give a folder, zip archive or file that holds one."
            if found.others
            else "The folder or archive holds no files; give the DICOM folder of one study."
        )
    if series is not None and str(series).strip():
        return _named(found, str(series).strip(), kind)
    fitting = [one for one in found.series if one.problem is None and _fits(one, kind)]
    stacks = [one for one in fitting if len(one.slices) > 1]
    if len(stacks) == 1:
        return stacks[0]
    if not stacks and len(fitting) == 1:
        if single:
            return fitting[0]
        raise ImageError(f"There is only one {fitting[0].modality} slice, and a volume needs more; give the folder that holds the whole series.")
    listed = "; ".join(f"{one.index}: {one.line}" + (f" ({one.problem})" if one.problem else "") for one in found.series)
    if not fitting:
        raise ImageError(f"No {KIND_NAMES[kind]} series there can become a volume; found {listed}.")
    raise ImageError(f"More than one series fits; choose one with --series NUMBER of {listed}.")


def _fits(series: Series, kind: str | None) -> bool:
    return kind is None or series.modality == kind.upper()


def _named(found: Found, wanted: str, kind: str | None) -> Series:
    match = [one for one in found.series if wanted.isdigit() and one.index == int(wanted)]
    match = match or [one for one in found.series if "." in wanted and one.uid.startswith(wanted)]
    if len(match) != 1:
        why = "is the start of more than one SeriesInstanceUID" if match else "is no series"
        shown = wanted if wanted.isdigit() and len(wanted) < 6 else "the UID"
        raise ImageError(f"--series: {shown} {why}; there are the numbers 1 to {len(found.series)}, 'import-ct --list' shows them.")
    if match[0].problem is not None:
        raise ImageError(f"Series {match[0].index} cannot be read as a volume: {match[0].problem}.")
    if not _fits(match[0], kind):
        raise ImageError(f"Series {match[0].index} is {match[0].modality}, but this command reads {KIND_NAMES[kind]}; use the other import command.")
    return match[0]
