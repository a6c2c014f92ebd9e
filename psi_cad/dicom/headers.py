"""One DICOM header to the facts of its slices: place, size, how its numbers are stored; nothing that names a patient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

__all__ = ["TAGS", "Pixels", "Slice", "slices_of"]

T = TypeVar("T")

MODALITY_OF_CLASS: Final = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
}
"""Storage classes read as scans (DICOM PS3.4, B.5)."""
STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
SCOUTS: Final = {"LOCALIZER", "SCOUT", "TOPOGRAM"}
LARGEST_SIDE: Final = 16_384  # pixels; a whole-slide tile at most, no CT or MRI
MOST_FRAMES: Final = 20_000
TAGS: Final = (
    "TransferSyntaxUID",
    "SOPClassUID",
    "ImageType",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "PatientPosition",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""All that is read of a header: no name, number, date or description of a patient."""


@dataclass(frozen=True)
class Pixels:
    """How the numbers of one file are stored."""

    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    padding: tuple[int, int] | None
    """Stored values from the first to the second, inclusive, are padding."""


@dataclass(frozen=True)
class Slice:
    """One frame of one file; what the header does not state, or states wrongly, is None."""

    name: str
    frame: int
    series: str
    number: int
    modality: str
    scout: bool
    table: bool
    """The numbers go through a lookup table."""
    patient_position: str
    pixels: Pixels | None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, ...] | None = None
    """Between rows, between columns, mm."""
    thickness: float | None = None
    slope: float | None = None
    intercept: float | None = None
    rescale_type: str = ""


def _asked(ask: Callable[[], T], default: T) -> T:
    """What `ask` reads from a data set, or `default` where the value is damaged: as good as absent, and judged as that."""
    try:
        return ask()
    except Exception:  # pydicom decodes values when they are asked for, and on damaged ones raises nearly anything
        return default


def numbers(data: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """The `count` finite numbers under `keyword`, or None."""

    def ask() -> tuple[float, ...]:
        value: Any = data.get(keyword)
        return () if value is None or value == "" else tuple(float(v) for v in (value if count > 1 else [value]))

    absent: tuple[float, ...] = ()
    found = _asked(ask, absent)
    return found if len(found) == count and all(math.isfinite(v) for v in found) else None


def number(data: Any, keyword: str) -> float | None:
    """The finite number under `keyword`, or None."""
    found = numbers(data, keyword, 1)
    return found[0] if found else None


def text(data: Any, keyword: str) -> str:
    """The text under `keyword`, or ''."""

    def ask() -> str:
        value = data.get(keyword)
        return "" if value is None else str(value).strip().strip("\0")

    return _asked(ask, "")


def _whole(data: Any, keyword: str, default: int) -> int:
    found = number(data, keyword)
    return default if found is None else int(found)


def _item(data: Any, keyword: str) -> Any:
    """The first item of the sequence under `keyword`, or None."""

    def ask() -> Any:
        sequence = data.get(keyword)
        return sequence[0] if sequence is not None and len(sequence) else None

    return _asked(ask, None)


def _pixels(data: Any) -> Pixels | None:
    rows, columns = _whole(data, "Rows", 0), _whole(data, "Columns", 0)
    allocated = _whole(data, "BitsAllocated", 0)
    frames = _whole(data, "NumberOfFrames", 1)
    if not (0 < rows <= LARGEST_SIDE and 0 < columns <= LARGEST_SIDE and 0 < frames <= MOST_FRAMES and 0 < allocated <= 64):
        return None
    stored = _whole(data, "BitsStored", allocated)
    high = _whole(data, "HighBit", stored - 1)
    return Pixels(
        syntax=_syntax(data),
        rows=rows,
        columns=columns,
        frames=frames,
        samples=_whole(data, "SamplesPerPixel", 1),
        photometric=text(data, "PhotometricInterpretation").upper(),
        allocated=allocated,
        stored=stored,
        high=high,
        signed=_whole(data, "PixelRepresentation", 0) == 1,
        padding=_padding(data),
    )


def _syntax(data: Any) -> str:
    stated = text(getattr(data, "file_meta", {}), "TransferSyntaxUID")
    if stated:
        return stated
    implicit, little = _asked(lambda: tuple(data.original_encoding), (None, None))  # no file meta header: what pydicom took it for
    if little is None:
        return ""
    if little is False:
        return "1.2.840.10008.1.2.2"
    return "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"


def _padding(data: Any) -> tuple[int, int] | None:
    first = number(data, "PixelPaddingValue")
    if first is None:
        return None
    last = number(data, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    return int(low), int(high)


def _scout(data: Any) -> bool:
    def ask() -> bool:
        image_type = data.get("ImageType")
        parts = [image_type] if isinstance(image_type, str) else list(image_type or [])
        return bool(SCOUTS & {str(part).strip().upper() for part in parts})

    return _asked(ask, False)


def _modality(data: Any) -> str:
    """CT, MR or PT; '' for everything else, such as pictures of a screen and reports."""
    kind = text(data, "SOPClassUID")
    if kind in MODALITY_OF_CLASS:
        return MODALITY_OF_CLASS[kind]
    if kind.startswith(STORAGE):
        return ""
    stated = text(data, "Modality").upper()  # the class is missing or damaged
    return stated if stated in {"CT", "MR", "PT"} else ""


def slices_of(data: Any, name: str) -> list[Slice]:
    """The slices of a pydicom data set read with `TAGS`: one, or one per frame.

    Enhanced multi-frame objects state place and rescale in functional groups (DICOM PS3.3, C.7.6.16), for all
    frames or each; what a group does not state is looked for in the data set itself.
    """
    pixels = _pixels(data)
    if pixels is None and not text(data, "SOPClassUID") and numbers(data, "ImagePositionPatient", 3) is None:
        return []
    shared = _item(data, "SharedFunctionalGroupsSequence")
    per_frame: list[Any] = _asked(lambda: list(data.get("PerFrameFunctionalGroupsSequence") or []), [])
    frames = pixels.frames if pixels is not None else 1
    bare = Slice(
        name=name,
        frame=0,
        series=text(data, "SeriesInstanceUID"),
        number=_whole(data, "SeriesNumber", 0),
        modality=_modality(data),
        scout=_scout(data),
        table=_item(data, "ModalityLUTSequence") is not None,
        patient_position=text(data, "PatientPosition")[:4],
        pixels=pixels,
    )
    if shared is None and not per_frame:
        return [replace(bare, frame=frame, **_place(data, [])) for frame in range(frames)]
    groups = [[per_frame[frame] if frame < len(per_frame) else None, shared] for frame in range(frames)]
    return [replace(bare, frame=frame, **_place(data, group)) for frame, group in enumerate(groups)]


def _place(data: Any, groups: list[Any]) -> dict[str, Any]:
    """Place and rescale of one frame from its own group, the shared group, the data set: the first that states it."""

    def first(group: str, keyword: str, count: int) -> tuple[float, ...] | None:
        for holder in [*(_item(one, group) for one in groups if one is not None), data]:
            found = numbers(holder, keyword, count) if holder is not None else None
            if found is not None:
                return found
        return None

    def one(group: str, keyword: str) -> float | None:
        found = first(group, keyword, 1)
        return found[0] if found else None

    holders = [*(_item(group, "PixelValueTransformationSequence") for group in groups if group is not None), data]
    kinds = [text(holder, "RescaleType") for holder in holders if holder is not None]
    return {
        "position": first("PlanePositionSequence", "ImagePositionPatient", 3),
        "orientation": first("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        "spacing": first("PixelMeasuresSequence", "PixelSpacing", 2),
        "thickness": one("PixelMeasuresSequence", "SpacingBetweenSlices") or one("PixelMeasuresSequence", "SliceThickness"),
        "slope": one("PixelValueTransformationSequence", "RescaleSlope"),
        "intercept": one("PixelValueTransformationSequence", "RescaleIntercept"),
        "rescale_type": next((kind for kind in kinds if kind), "").upper()[:8],
    }
