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
SAME_MM: Final[Mm] = 0.0006  # a sheet's decimals
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


def closing_of_sheet(path: Path, features: Sequence[Mapping[str, Any]]) -> list[Closing]:
    """From a filled-in sheet of a coupon with these `features`: for each kind of opening with at least three widths.

    Raises
    ------
    InputError
        Where the sheet is not of this coupon, has too few widths, or one that cannot be.
    """
    drawn = {(one["kind"], one["name"]): _drawn(one) for one in features}
    found: dict[str, list[tuple[str, Mm]]] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        rows = list(csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ","))
    except FileNotFoundError:
        raise InputError(f"--measured {path}: there is no such file; the sheet lies beside the coupon.") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputError(f"--measured {path}: this is no table of CSV; fill in the sheet that lies beside the coupon.") from None
    if not rows or not {"kind", "name", "drawn_mm", "measured_mm"} <= rows[0].keys():
        raise InputError(f"--measured {path.name}: this is not the sheet of a coupon, whose columns are kind, name, drawn_mm and measured_mm.")
    for number, row in enumerate(rows, start=2):
        said = (row.get("measured_mm") or "").strip().replace(",", ".")
        if not said:
            continue
        key = (str(row.get("kind")), str(row.get("name")))
        where = f"--measured {path.name}, line {number}"
        if key not in drawn:
            raise InputError(f"{where}: the coupon has no '{' '.join(key)}'; fill in the sheet that lies beside it.")
        if None in row:
            raise InputError(f"{where}: there are more values than columns; write decimals with a point, or separate columns by semicolons.")
        if not _same(row["drawn_mm"], drawn[key]):
            raise InputError(f"{where}: {row['drawn_mm']} mm was drawn there, and {drawn[key]:g} on this coupon; this is the sheet of another one.")
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


def closing_of_fits(fits: Sequence[str], features: Sequence[Mapping[str, Any]], *, step: Mm, option: str, kind: str) -> Closing | None:
    """From the first opening that a blade (or wire) went into, for each orientation: "upright=0.15"; None where nothing is given.

    The printed opening is then wider than the tool, and the one before it was not: the middle of that step is taken. The value may be
    given as it stands on the coupon, in hundredths of a millimetre: "upright=15". Nothing of that tells a spread.

    Raises
    ------
    InputError
        Where the narrowest opening is named: by how much it is too wide, if it is, nothing tells then.
    """
    if not fits:
        return None
    names = {one["name"] for one in features if KINDS.get(one["kind"]) == kind}
    values: list[tuple[str, Mm]] = []
    for fit in fits:
        orientation, _, more = fit.partition("=")
        more = more.strip().replace(",", ".")
        try:
            wider = float(more) / 100.0 if more.isdigit() and len(more) > 1 else float(more)
            name = f"{orientation.strip()} {wider:.2f}"
        except ValueError:
            name, wider = "", 0.0
        if name not in names:
            there = ", ".join(sorted(names))
            raise InputError(f"{option} {fit}: write an orientation and a value of the coupon, such as upright=0.15; it has {there}.")
        if name == min((other for other in names if other.split()[0] == orientation.strip()), key=lambda other: float(other.split()[1])):
            raise InputError(
                f"{option} {fit}: this is the narrowest {kind} of the coupon, so nothing tells how much wider than drawn the printer makes them; "
                "measure them, and give the sheet with --measured."
            )
        values.append((orientation.strip(), wider - step / 2.0))
    return Closing(kind, float(np.mean([value for _, value in values])), 0.0, len(values), dict(values))


def calibrated(printer: Printer, closings: Sequence[Closing], *, id: str, reference: str) -> Printer:
    """The printer's entry with what was measured; what was not stays as it was, and only one that knows both is calibrated."""
    both = {closing.kind for closing in closings} == set(KINDS.values())
    values: dict[str, Any] = {"id": id, "calibrated": both or printer.calibrated, "reference": reference}
    for closing in closings:
        values[f"{closing.kind}_compensation"] = round(closing.mean, 3)
        values[f"{closing.kind}_spread"] = round(closing.spread, 3)
    return Printer.model_validate({**printer.model_dump(), **values})


def _same(said: str | None, drawn: Mm) -> bool:
    try:
        return abs(float((said or "").strip().replace(",", ".")) - drawn) < SAME_MM
    except ValueError:
        return False


def _closing(kind: str, values: list[tuple[str, Mm]]) -> Closing:
    every = np.array([value for _, value in values])
    names = dict.fromkeys(name for name, _ in values)
    by = {name: float(np.mean([value for other, value in values if other == name])) for name in names}
    return Closing(kind, float(every.mean()), float(every.std(ddof=1)), len(values), by)


def _drawn(feature: Mapping[str, Any]) -> Mm:
    return float(feature.get("width", feature.get("diameter", feature.get("thickness", math.nan))))
