"""Stored DICOM numbers to HU or MR signal: unpacked, checked against the header, rescaled, padding made air."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.dicom.headers import Pixels, Slice
from psi_cad.errors import ImageError

__all__ = ["AIR", "NATIVE", "Rescaler", "check_pixels", "unpacked"]

AIR: Final = -1024
"""HU that stands for 'not scanned': the lowest value of a 12-bit CT with the usual intercept."""
BELOW_AIR: Final = -1500
"""HU below air by more than noise and edge enhancement reach (vendors pad with -2000, -2048, -3024, -32768)."""
TISSUE_FROM: Final = -990
"""HU; padding that claims a higher value could be tissue, so that only what hangs together with the image corners is padding."""
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN, "1.2.840.10008.1.2.1.99"}
"""Transfer syntaxes whose pixels are not compressed."""
LARGEST_RESCALE: Final = 1e9
COARSEST_ROUNDING: Final = 0.1
"""A smallest rescale slope below this would lose more than half a step by rounding to whole numbers."""


def check_pixels(pixels: Pixels | None) -> Pixels:
    """`pixels` if a scan can be stored so.

    Raises
    ------
    ImageError
        If the header contradicts itself or describes a colour picture.
    """
    if pixels is None:
        raise ImageError("A slice states no usable size of its pixels (Rows, Columns, BitsAllocated); export the series again.")
    if pixels.samples != 1 or pixels.photometric not in {"MONOCHROME2", ""}:
        what = pixels.photometric if pixels.photometric in {"MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL"} else "another"
        raise ImageError(f"PhotometricInterpretation is {what}, but psi-cad reads MONOCHROME2 only; export the original series.")
    if pixels.allocated not in {8, 16, 32} or not 0 < pixels.stored <= pixels.allocated or not pixels.stored - 1 <= pixels.high < pixels.allocated:
        raise ImageError(
            f"BitsAllocated {pixels.allocated}, BitsStored {pixels.stored} and HighBit {pixels.high} do not go together; export the series again."
        )
    return pixels


def unpacked(data: bytes, pixels: Pixels, *, frame: int) -> npt.NDArray[Any]:
    """Stored numbers (rows, columns) of one frame of uncompressed pixel data, as wide as they are allocated.

    Raises
    ------
    ImageError
        If the data are shorter than the header says.
    """
    each = pixels.rows * pixels.columns * (pixels.allocated // 8)
    if len(data) < each * (frame + 1):
        held = len(data) / (each * pixels.frames)
        raise ImageError(f"The pixels of a slice are cut short ({held:.0%} of what the header says); copy or export the series again.")
    order = ">" if pixels.syntax == BIG_ENDIAN else "<"
    kind = f"{order}{'i' if pixels.signed else 'u'}{pixels.allocated // 8}"
    return np.frombuffer(data, kind, pixels.rows * pixels.columns, each * frame).reshape(pixels.rows, pixels.columns)


@dataclass
class Rescaler:
    """Turns stored numbers of one series into values of one type.

    HU are whole numbers to within noise, so CT becomes int16; MR and PET keep fractions as float32 where a slope has any.
    Counts what it does for the notes.
    """

    modality: str
    dtype: npt.DTypeLike
    padded: int = 0
    clipped: int = 0
    kept_padding: int = 0
    lowest: float = field(default=np.inf)

    @classmethod
    def of(cls, slices: list[Slice]) -> Rescaler:
        """A rescaler wide enough for all `slices`."""
        modality = slices[0].modality
        whole, fits = True, True
        for one in slices:
            slope, intercept = one.slope or 1.0, one.intercept or 0.0
            stored = one.pixels.stored if one.pixels is not None else 16
            top = 2.0 ** (stored - 1 if one.pixels is not None and one.pixels.signed else stored) - 1.0
            fits &= abs(slope * top + intercept) <= 32767.0 and abs(intercept) <= 32767.0
            whole &= slope == round(slope) and intercept == round(intercept) if modality != "CT" else abs(slope) >= COARSEST_ROUNDING
        # 16-bit CT rarely uses its upper half: values above 32767 are clipped and told
        return cls(modality, np.int16 if whole and (fits or modality == "CT") else np.float32)

    @property
    def fill(self) -> int:
        """The value of places that were not scanned."""
        return AIR if self.modality == "CT" else 0

    def values(self, stored: npt.NDArray[Any], one: Slice) -> npt.NDArray[Any]:
        """HU or signal (rows, columns) of the stored numbers of `one` slice."""
        pixels = check_pixels(one.pixels)
        slope = 1.0 if one.slope is None else one.slope
        intercept = 0.0 if one.intercept is None else one.intercept
        if slope == 0.0 or abs(slope) > LARGEST_RESCALE or abs(intercept) > LARGEST_RESCALE:
            raise ImageError(
                f"RescaleSlope {slope:g} or RescaleIntercept {intercept:g} of a slice is not a scanner's value; export the series again."
            )
        padding = self._padding(stored, pixels, slope, intercept)
        wide = _stored_bits(stored, pixels)
        if self.dtype == np.int16 and slope == 1.0 and intercept == round(intercept):
            found: npt.NDArray[Any] = wide.astype(np.int32 if wide.itemsize < 4 else np.int64) + int(intercept)
        else:
            found = wide * slope + intercept
        if self.modality == "CT":
            below = found < BELOW_AIR
            padding = below if padding is None else padding | below
        if padding is not None and padding.any():
            self.padded += int(padding.sum())
            if not padding.all():
                self.lowest = min(self.lowest, float(found[~padding].min()))
            found = np.where(padding, self.fill, found)
        else:
            self.lowest = min(self.lowest, float(found.min()))
        if self.dtype != np.int16:
            return found.astype(np.float32)
        over = int((found > 32767).sum()) + int((found < -32768).sum())
        self.clipped += over
        if over:
            found = np.clip(found, -32768, 32767)
        return (np.rint(found) if found.dtype.kind == "f" else found).astype(np.int16)

    def _padding(self, stored: npt.NDArray[Any], pixels: Pixels, slope: float, intercept: float) -> npt.NDArray[np.bool_] | None:
        if pixels.padding is None:
            return None
        low, high = pixels.padding
        bits = pixels.allocated
        if pixels.signed and low >= 1 << (bits - 1):  # written as unsigned: 63536 for -2000
            low, high = low - (1 << bits), high - (1 << bits)
        elif not pixels.signed and low < 0:
            low, high = low + (1 << bits), high + (1 << bits)
        mask = (stored >= low) & (stored <= high) if low != high else stored == low
        if self.modality == "CT" and max(low * slope, high * slope) + intercept < TISSUE_FROM:
            return mask
        return self._from_corners(mask)

    def _from_corners(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
        if not mask.any():
            return None
        from scipy.ndimage import label

        parts, _ = label(mask)
        corners = {int(parts[j, i]) for j in (0, -1) for i in (0, -1)} - {0}
        kept: npt.NDArray[np.bool_] = np.isin(parts, list(corners)) if corners else np.zeros_like(mask)
        self.kept_padding += int(mask.sum() - kept.sum())
        return kept


def _stored_bits(stored: npt.NDArray[Any], pixels: Pixels) -> npt.NDArray[Any]:
    """The numbers without what lies in bits that are not theirs (old overlays), sign extended."""
    if stored.dtype.itemsize * 8 != pixels.allocated or (pixels.stored == pixels.allocated):
        return stored
    native = stored.astype(stored.dtype.newbyteorder("="))
    left = pixels.allocated - 1 - pixels.high
    right = pixels.allocated - pixels.stored
    return np.asarray((native << left) >> right)
