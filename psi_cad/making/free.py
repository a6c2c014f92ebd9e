"""Make a part that sits on no bone: design, files, measured from the files. Runs in the build process."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psi_cad.brep import checked
from psi_cad.files import sha256_of, whole_file, write_json
from psi_cad.findings import by_weight
from psi_cad.gauges.jobs import SHEET
from psi_cad.guides.contract import FreeJob, FreeSite, Workshop
from psi_cad.guides.registry import load_free, loaded_sha256
from psi_cad.making.delivered import delivered
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.outputs.software import build_software
from psi_cad.parts.contract import Part
from psi_cad.records.coupon import CouponLabel, CouponReport, FreePart
from psi_cad.records.parts import MadePart
from psi_cad.records.shared import Software, cautions_said

__all__ = ["build_free"]

Progress = Callable[[str], None]


def build_free(job: FreeJob, folder: Path, *, progress: Progress) -> CouponReport:
    """Make the part in `folder` (its files are called as its template), and return the report, which lies there too.

    Where a check of any part fails, only `…_REJECTED.step` of each is left; of one that is a mesh, `…_REJECTED.stl`.

    Raises
    ------
    PsiCadError
    """
    folder.mkdir(parents=True, exist_ok=True)
    name, template = job.template, load_free(job.template)
    progress(f"{name}: design")
    site = FreeSite(job.blade, job.printer, (job.blade.id, job.printer.id))
    with checked.listening(lambda step: progress(f"{name}: {step}")):
        design = template.build(site, template.Params(**job.params), Workshop())
    made = delivered(
        design.parts,
        folder,
        stem=name,
        title=f"{name} {job.blade.id} {job.printer.id}",
        caption=f"{name}: blade {job.blade.id}, printer {job.printer.id}",
        metadata={"blade": job.blade.id, "printer": job.printer.id, "frame": "as printed, mm", "notice": NOT_A_DEVICE},
        build_volume=job.printer.build_volume,
        told=lambda step: progress(f"{name}: {step}"),
    )
    first, files = made.measured[0], made.files
    if made.passed:
        _write_sheet(folder / SHEET, first["features"])
        files = {**files, "sheet": SHEET}
    report = CouponReport(
        schema_=1,
        software=Software.model_validate(build_software()),
        notice=NOT_A_DEVICE,
        template=name,
        template_sha256=loaded_sha256(name),
        params=template.Params(**job.params).model_dump(),
        blade_entry=job.blade.model_dump(),
        printer_entry=job.printer.model_dump(mode="json"),
        label=CouponLabel(lines=list(design.label.lines), letter_height_mm=design.label.letter_height),
        features=first["features"],
        volume_mm3=first["volume_mm3"],
        checks=made.checks,
        status=made.status,
        parts=[_named(part, said) for part, said in zip(design.parts, made.parts, strict=True)],
        files=files,
        sha256={file: sha256_of(folder / file) for file in files.values()},
    )
    if design.cautions:
        report.cautions = cautions_said(by_weight(design.cautions))
    write_json(folder / f"{name}.json", report.to_json())
    return report


def _named(part: Part, said: MadePart) -> FreePart:
    """A part with the names of its features alone, which are told of elsewhere."""
    return FreePart.model_validate({**said.to_json(), "features": [feature.name for feature in part.features]})


def _write_sheet(path: Path, features: list[dict[str, Any]]) -> None:
    """A table of what was drawn, with a column for what a caliper says of the print."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["kind", "name", "drawn_mm", "measured_mm"])
        for one in features:
            drawn = one.get("width") or one.get("diameter") or one["thickness"]
            rows.writerow([one["kind"], one["name"], f"{drawn:.4g}", ""])
