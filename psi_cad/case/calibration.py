"""From what was measured of a printed gauge coupon to a printer's entry: what it closes up, and how much that scatters."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.case.model import Printer
from psi_cad.errors import InputError
from psi_cad.units import Mm

__all__ = ["Closing", "calibrated", "closing_of_fits", "closing_of_sheet"]

PLAUSIBLE_MM: Final[Mm] = 0.5  # a printer that is further off than this is no printer for guides, or the sheet is wrong
APART_MM: Final[Mm] = 0.05  # between the means of two orientations: then one number does not do for both
KINDS: Final = {"gap": "slot", "bore": "hole"}


@dataclass(frozen=True)
class Closing:
    """What a printer takes off one kind of opening ("slot" or "hole"): the mean (mm), its scatter (one standard deviation, mm), and of how many.

    `by_orientation`: the mean of each orientation by name.
    """

    kind: str
    mean: Mm
    spread: Mm
    count: int
    by_orientation: Mapping[str, Mm]

    @property
    def orientations_differ(self) -> bool:
        """Whether one number does not do for all orientations."""
        return max(self.by_orientation.values()) - min(self.by_orientation.values()) > APART_MM


def closing_of_sheet(path: Path, coupon: Mapping[str, Any]) -> list[Closing]:
    """From a filled-in sheet: for each kind of opening with at least three widths.

    Raises
    ------
    InputError
        Where the sheet is not of this coupon, has too few widths, or one that cannot be.
    """
    drawn = {(one["kind"], one["name"]): _drawn(one) for one in coupon["features"]}
    found: dict[str, list[tuple[str, Mm]]] = {}
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--measured {path}: this cannot be read as a table of CSV ({error}).") from None
    for number, row in enumerate(rows, start=2):
        said = (row.get("measured_mm") or "").strip().replace(",", ".")
        if not said:
            continue
        key = (str(row.get("kind")), str(row.get("name")))
        where = f"--measured {path.name}, line {number}"
        if key not in drawn:
            raise InputError(f"{where}: the coupon has no '{' '.join(key)}'; fill in the sheet that lies beside it.")
        try:
            width = float(said)
        except ValueError:
            raise InputError(f"{where}: '{said}' is no number of mm.") from None
        if not math.isfinite(width) or abs(drawn[key] - width) > PLAUSIBLE_MM:
            raise InputError(f"{where}: {said} mm was measured where {drawn[key]:g} was drawn; look at that one again.")
        if key[0] in KINDS:
            found.setdefault(KINDS[key[0]], []).append((key[1].split()[0], drawn[key] - width))
    closings = [_closing(kind, values) for kind, values in found.items() if len(values) >= 3]
    if not closings:
        raise InputError(f"--measured {path.name}: at least three slots or three bores have to be filled in.")
    return closings


def closing_of_fits(fits: Sequence[str], coupon: Mapping[str, Any], *, option: str, kind: str) -> Closing | None:
    """From the first opening that a blade (or wire) went into, for each orientation: "upright=0.15"; None where nothing is given.

    The printed opening is then wider than the tool, and the one before it was not: the middle of that step is taken.

    Raises
    ------
    InputError
    """
    if not fits:
        return None
    step = float(coupon["params"]["step"])
    names = {one["name"] for one in coupon["features"] if KINDS.get(one["kind"]) == kind}
    values: list[tuple[str, Mm]] = []
    for fit in fits:
        orientation, _, more = fit.partition("=")
        try:
            name = f"{orientation.strip()} {float(more):.2f}"
        except ValueError:
            name = ""
        if name not in names:
            raise InputError(f"{option} {fit}: write an orientation and a value that stands on the coupon, such as upright=0.15.")
        values.append((orientation.strip(), float(more) - step / 2.0 if float(more) > 0.0 else 0.0))
    means = [value for _, value in values]
    return Closing(kind, float(np.mean(means)), max(float(np.std(means)), step / math.sqrt(12.0)), len(values), dict(values))


def calibrated(printer: Printer, closings: Sequence[Closing], *, id: str, reference: str) -> Printer:
    """The printer's entry with what was measured; what was not stays as it was."""
    values: dict[str, Any] = {"id": id, "calibrated": True, "reference": reference}
    for closing in closings:
        values[f"{closing.kind}_compensation"] = round(closing.mean, 3)
        values[f"{closing.kind}_spread"] = round(closing.spread, 3)
    return Printer.model_validate({**printer.model_dump(), **values})


def _closing(kind: str, values: list[tuple[str, Mm]]) -> Closing:
    every = np.array([value for _, value in values])
    names = dict.fromkeys(name for name, _ in values)
    by = {name: float(np.mean([value for other, value in values if other == name])) for name in names}
    return Closing(kind, float(every.mean()), float(every.std(ddof=1)), len(values), by)


def _drawn(feature: Mapping[str, Any]) -> Mm:
    return float(feature.get("width", feature.get("diameter", feature.get("thickness", math.nan))))
