"""Make a part that sits on no bone: design, files, measured from the files. Runs in the build process."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from psi_cad.brep import checked
from psi_cad.builder.export import SOFTWARE
from psi_cad.errors import BuildError
from psi_cad.export.meshes import triangulated, write_3mf, write_stl
from psi_cad.export.step import write_step
from psi_cad.files import sha256_of, whole_file, write_json
from psi_cad.gauges.jobs import SHEET
from psi_cad.gauges.measured import measure_free
from psi_cad.guides.contract import FreeJob, FreeSite, Workshop
from psi_cad.guides.registry import load_free, loaded_sha256
from psi_cad.intake.prepare import Progress
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.outputs.software import build_software
from psi_cad.report.part_picture import picture_of_part

__all__ = ["build_free"]


def build_free(job: FreeJob, folder: Path, *, progress: Progress) -> dict[str, Any]:
    """Make the part in `folder` (its files are called as its template), and return the report, which lies there too.

    A part that fails a check leaves only `…_REJECTED.step`.

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
    step, stl = folder / f"{name}.step", folder / f"{name}.stl"
    progress(f"{name}: write the files")
    title = f"{name} {job.blade.id} {job.printer.id}"
    write_step(step, design.solid, product=title.replace(" ", "_"), faces={}, software=SOFTWARE)
    mesh = triangulated(design.solid)
    write_stl(stl, mesh, header=f"{title} mm")
    facts = {"blade": job.blade.id, "printer": job.printer.id, "frame": "as printed, mm", "notice": NOT_A_DEVICE}
    write_3mf(folder / f"{name}.3mf", mesh, title=title, software=SOFTWARE, metadata=facts)
    progress(f"{name}: measure the files")
    measured = measure_free(step, stl, design.features, build_volume=job.printer.build_volume)
    if measured["status"] == "passed":
        progress(f"{name}: draw the picture")
        picture_of_part(folder / f"{name}.png", mesh, title=f"{name}: blade {job.blade.id}, printer {job.printer.id}")
        if not (folder / f"{name}.png").is_file():
            raise BuildError(f"The picture '{name}.png' could not be drawn; off-screen OpenGL is missing or broken.")
        _write_sheet(folder / SHEET, measured["features"])
        files = {kind: f"{name}.{kind}" for kind in ("step", "stl", "3mf", "png")} | {"sheet": SHEET}
    else:
        step.replace(folder / f"{name}_REJECTED.step")
        for kind in ("stl", "3mf"):
            (folder / f"{name}.{kind}").unlink()
        files = {"step": f"{name}_REJECTED.step"}
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
