"""The verbs for gauges in Python: a coupon to print, and a printer's entry from what was measured on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from psi_cad.files import staged
from psi_cad.processes.workers import DEFAULT_LIMIT, perform

__all__ = ["calibrate", "coupon"]

Progress = Callable[[str], None]


def coupon(
    out: Path | str,
    *,
    blade: str,
    printer: str,
    settings: Sequence[str] = (),
    catalogue: Path | str | None = None,
    progress: Progress | None = None,
    time_limit: float = DEFAULT_LIMIT,
) -> dict[str, Any]:
    """Make the gauge coupon for a blade and a printer in `out`/coupon_<blade>_<printer>/, and return its report.

    Parameters
    ----------
    settings : sequence of str
        "params.step=0.02" and the like.

    Raises
    ------
    PsiCadError
        Nothing is written then.
    """
    from psi_cad.gauges.jobs import free_job, put_in_place, refuse_other

    job = free_job("coupon", blade=blade, printer=printer, settings=settings, catalogue=_own(catalogue))
    out = Path(out)
    name = f"coupon_{blade}_{printer}"
    refuse_other(out / name, job)
    with staged(out) as staging:
        made = staging / name
        report: dict[str, Any] = perform("free", {"folder": str(made.resolve())}, payload=lambda: job, progress=progress, time_limit=time_limit)
        put_in_place(made, out / name)
    return {**report, "folder": str(out / name)}


def calibrate(
    coupon: Path | str,
    out: Path | str,
    *,
    id: str,
    measured: Path | str | None = None,
    fits: Sequence[str] = (),
    wire_fits: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a printer's entry with what was measured of a printed coupon to the catalogue file `out`, and return what was found.

    Parameters
    ----------
    coupon : path
        The coupon's report (coupon.json), or its folder.
    id : str
        The id of the new entry.
    measured : path, optional
        The sheet beside the coupon, filled in.
    fits, wire_fits : sequence of str
        Where no sheet is given: the first slot that the blade went into, and the first bore that the wire did, for each
        orientation, such as "upright=0.15".

    Raises
    ------
    InputError
    """
    from psi_cad.gauges.jobs import calibrated_entry

    return calibrated_entry(Path(coupon), Path(out), id=id, measured=_own(measured), fits=fits, wire_fits=wire_fits)


def _own(path: Path | str | None) -> Path | None:
    return Path(path) if path is not None else None
