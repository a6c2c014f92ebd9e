"""Gauges: what a coupon is asked for with, and what its print tells of a printer."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from psi_cad.case.calibration import Closing, calibrated, closing_of_fits, closing_of_sheet
from psi_cad.case.catalogue import catalogue_with, shipped_catalogue
from psi_cad.case.model import Printer
from psi_cad.case.write import write_printer
from psi_cad.errors import InputError
from psi_cad.files import sha256_of
from psi_cad.guides.contract import FreeJob
from psi_cad.guides.params import resolve_params
from psi_cad.guides.registry import load_free
from psi_cad.records.coupon import CouponReport

__all__ = ["SHEET", "calibrated_entry", "free_job", "put_in_place", "refuse_other"]

REPORT: Final = "coupon.json"
SHEET: Final = "measured.csv"  # beside it, to be filled in by hand


def free_job(template: str, *, blade: str, printer: str, settings: Sequence[str], catalogue: Path | None) -> FreeJob:
    """The job of a part that needs no case.

    Raises
    ------
    CaseError, CatalogueError
        For a blade, printer or setting that is not right.
    """
    entries = catalogue_with(catalogue)
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.startswith("params."):
            raise InputError(f"--set {setting}: write params.KEY=value, such as params.step=0.02; 'psi-cad templates {template}' lists the keys.")
        try:
            given[key.removeprefix("params.")] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            given[key.removeprefix("params.")] = text
    params = load_free(template).Params
    resolved = resolve_params(params, given, where="params")
    return FreeJob(
        template,
        resolved.model_dump(),
        entries.blade(blade, where="--blade"),
        entries.printer(printer, where="--printer"),
    )


def put_in_place(made: Path, final: Path) -> None:
    """Move the files of a coupon from `made` to its folder `final`: the report last, and a sheet that is filled in there is not lost."""
    final.mkdir(parents=True, exist_ok=True)
    for name in ("coupon_REJECTED.step", *(f"coupon.{kind}" for kind in ("step", "stl", "3mf", "png"))):
        (final / name).unlink(missing_ok=True)  # never a clean name beside a rejection, nor the other way round
    for path in sorted(made.iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
        if path.name != SHEET or not (final / SHEET).exists():
            path.replace(final / path.name)


def refuse_other(folder: Path, job: FreeJob) -> None:
    """Refuse to replace the coupon in `folder` by another one: a sheet that is filled in would then be of neither.

    Raises
    ------
    InputError
    """
    try:
        before = json.loads((folder / REPORT).read_text("utf-8"))
        same = (before["params"], before["blade_entry"]) == (job.params, job.blade.model_dump())
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise InputError(f"-o {folder.parent}: '{folder.name}' there holds another coupon; give another -o, or take that folder away.")


def calibrated_entry(coupon: Path, out: Path, *, id: str, measured: Path | None, fits: Sequence[str], wire_fits: Sequence[str]) -> dict[str, Any]:
    """See `api.calibrate`.

    Raises
    ------
    InputError
    """
    if not coupon.exists():
        raise InputError(f"{coupon}: there is no such folder; give the one that psi-cad coupon made.")
    path = coupon / REPORT if coupon.is_dir() else coupon
    try:
        report = CouponReport.model_validate(json.loads(path.read_text("utf-8")))
        right = report.template == "coupon" and bool(report.features)
    except (OSError, ValueError):
        right = False
    if not right:
        raise InputError(f"{path}: this is no report of a coupon; give the folder that psi-cad coupon made.")
    if (measured is None) == (not fits and not wire_fits):
        raise InputError("give either --measured with the filled-in sheet, or --fits and --wire-fits.")
    if out.exists():
        raise InputError(f"-o {out}: there is such a file already; name another, and copy the entry over.")
    step, found = float(report.params["step"]), list[Closing]()
    if measured is not None:
        found = closing_of_sheet(measured, report.features)
    else:
        kinds = ((fits, "--fits", "slot"), (wire_fits, "--wire-fits", "hole"))
        each = (closing_of_fits(given, report.features, step=step, option=option, kind=kind) for given, option, kind in kinds)
        found = [one for one in each if one is not None]
    exact = {one.kind: f"spread {one.spread:.3f} mm" if measured is not None else f"to half of {step:g} mm" for one in found}
    said = ", ".join(f"{one.count} {one.kind}{'' if one.count == 1 else 's'}, {exact[one.kind]}" for one in found)
    how = "measured" if measured is not None else "tried"
    if id in shipped_catalogue().printers:
        raise InputError(f"--id {id}: a printer of psi-cad has that id; give yours another.")
    try:
        entry = calibrated(Printer.model_validate(report.printer_entry), found, id=id, reference=f"coupon {how}: {said}")
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--id or the coupon: {'.'.join(str(step) for step in first['loc'])}: {first['msg']}.") from None
    write_printer(out, entry, comment=f"Printer {id}, from a coupon for blade {report.blade_entry['id']} (SHA-256 {sha256_of(path)[:12]})")
    return {
        "printer": entry.model_dump(mode="json"),
        "closings": [
            {
                "kind": one.kind,
                "mean_mm": round(one.mean, 4),
                "spread_mm": round(one.spread, 4),
                "count": one.count,
                "by_orientation_mm": {name: round(value, 4) for name, value in one.by_orientation.items()},
                "orientations_differ": one.orientations_differ,
            }
            for one in found
        ],
        "calibrated": entry.calibrated,
        "file": str(out),
    }
