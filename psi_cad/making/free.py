"""Make a part that sits on no bone: design, files, measured from the files. Runs in the build process."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trimesh

from psi_cad.brep import checked
from psi_cad.errors import BuildError
from psi_cad.export.parts import rejected, write_parts
from psi_cad.files import sha256_of, whole_file, write_json
from psi_cad.gauges.jobs import SHEET
from psi_cad.guides.contract import FreeJob, FreeSite, Workshop
from psi_cad.guides.registry import load_free, loaded_sha256
from psi_cad.making.told import SOFTWARE, measured_part, told_of_part
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.outputs.software import build_software
from psi_cad.report.part_picture import picture_of_part

__all__ = ["build_free"]

Progress = Callable[[str], None]


def build_free(job: FreeJob, folder: Path, *, progress: Progress) -> dict[str, Any]:
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
    parts = design.parts
    progress(f"{name}: write the files")
    title = f"{name} {job.blade.id} {job.printer.id}"
    facts = {"blade": job.blade.id, "printer": job.printer.id, "frame": "as printed, mm", "notice": NOT_A_DEVICE}
    written = write_parts(folder, name, [(part.name, part.shape) for part in parts], title=title, software=SOFTWARE, metadata=facts)
    progress(f"{name}: measure the files")
    told = [
        measured_part(part, one, folder, build_volume=job.printer.build_volume, part_name=part.name) for part, one in zip(parts, written, strict=True)
    ]
    measured = {
        **told[0],
        "checks": [check for one in told for check in one["checks"]],
        "status": "passed" if all(one["status"] == "passed" for one in told) else "rejected",
    }
    if measured["status"] == "passed":
        progress(f"{name}: draw the picture")
        whole = trimesh.util.concatenate([one.mesh for one in written]) if len(written) > 1 else written[0].mesh
        picture_of_part(folder / f"{name}.png", whole, title=f"{name}: blade {job.blade.id}, printer {job.printer.id}")
        if not (folder / f"{name}.png").is_file():
            raise BuildError(f"The picture '{name}.png' could not be drawn; off-screen OpenGL is missing or broken.")
        _write_sheet(folder / SHEET, measured["features"])
        files = {one.key(kind): file for one in written for kind, file in one.files.items()}
        files |= {kind: f"{name}.{kind}" for kind in ("3mf", "png")} | {"sheet": SHEET}
    else:
        files = rejected(folder, name, written)
    report = {
        "schema": 1,
        "software": build_software(),
        "notice": NOT_A_DEVICE,
        "template": name,
        "template_sha256": loaded_sha256(name),
        "params": template.Params(**job.params).model_dump(),
        "blade_entry": job.blade.model_dump(),
        "printer_entry": job.printer.model_dump(mode="json"),
        "label": {"lines": list(design.label.lines), "letter_height_mm": design.label.letter_height},
        **measured,
        "parts": [
            {
                **told_of_part(part, one, found, [file for kind, file in files.items() if kind in (one.key("step"), one.key("stl"))]),
                "features": [feature.name for feature in part.features],
                "status": found["status"],
            }
            for part, one, found in zip(parts, written, told, strict=True)
        ],
        "files": files,
        "sha256": {file: sha256_of(folder / file) for file in files.values()},
    }
    write_json(folder / f"{name}.json", report)
    return report


def _write_sheet(path: Path, features: list[dict[str, Any]]) -> None:
    """A table of what was drawn, with a column for what a caliper says of the print."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["kind", "name", "drawn_mm", "measured_mm"])
        for one in features:
            drawn = one.get("width") or one.get("diameter") or one["thickness"]
            rows.writerow([one["kind"], one["name"], f"{drawn:.4g}", ""])
