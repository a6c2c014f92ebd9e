"""Make the parts of bones' bodies that a case asks for: designed, written and measured in the patient frame. Runs in the build process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import trimesh

from psi_cad.brep import checked
from psi_cad.case.model import Case
from psi_cad.errors import BuildError, EnvironmentProblem, PsiCadError
from psi_cad.export.parts import rejected, write_parts
from psi_cad.files import sha256_of
from psi_cad.guides.registry import load_body, loaded_sha256, told_as_ours
from psi_cad.guides.sharing import Workshop
from psi_cad.making.told import SOFTWARE, measured_part, told_of_part
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.parts.contract import PartJob, step_of_part
from psi_cad.report.part_picture import picture_of_part

__all__ = ["build_bodies"]

Progress = Callable[[str], None]
PICTURE_STEP: Final = "draw the picture"


def build_bodies(parts: Sequence[PartJob], case: Case, folder: Path, *, progress: Progress) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make every part of a case in `folder`: an entry of the report for each that was made, and the errors of those that were not.

    Where a check of a part, or of one that comes with it, fails, only `…_REJECTED` files are left.
    """
    made, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    for one in parts:
        try:
            made.append(_built(one, case, folder, progress))
        except EnvironmentProblem:
            raise
        except PsiCadError as error:  # of this part; the others go on
            refused.append({**error.to_json(), "part": one.request.name})
    return made, refused


def _built(one: PartJob, case: Case, folder: Path, progress: Progress) -> dict[str, Any]:
    request, site = one.request, one.site
    template = load_body(request.template, where=f"part '{request.name}'.template")

    def told(step: str) -> None:
        progress(step_of_part(one, step))

    told("design")
    with told_as_ours(request.template), checked.listening(told):
        design = template.build(site, template.Params(**one.params), Workshop())
    parts = design.parts
    told("write the files")
    facts = {"case": case.id, "side": case.side, "printer": site.printer.id, "frame": "patient LPS, mm", "notice": NOT_A_DEVICE}
    written = write_parts(
        folder,
        one.stem,
        [(part.name, part.shape) for part in parts],
        title=f"{case.id} {one.stem}",
        software=SOFTWARE,
        metadata=facts,
        units="mm SPACE=LPS",
    )
    told("measure the files")
    measured = [
        measured_part(part, file, folder, build_volume=site.printer.build_volume, part_name=part.name)
        for part, file in zip(parts, written, strict=True)
    ]
    passed = all(found["status"] == "passed" for found in measured)
    if passed:
        told(PICTURE_STEP)
        whole = trimesh.util.concatenate([file.mesh for file in written]) if len(written) > 1 else written[0].mesh
        title = f"{case.id}, {case.side}: part {request.name}, printer {site.printer.id}"
        picture_of_part(folder / f"{one.stem}.png", whole, title=title, in_patient=True)
        if not (folder / f"{one.stem}.png").is_file():
            raise BuildError(f"The picture '{one.stem}.png' could not be drawn; off-screen OpenGL is missing or broken.")
        files = {file.key(kind): name for file in written for kind, name in file.files.items()}
        files |= {kind: f"{one.stem}.{kind}" for kind in ("3mf", "png")}
    else:
        files = rejected(folder, one.stem, written)
    return {
        "name": request.name,
        "template": request.template,
        "template_sha256": loaded_sha256(request.template),
        "printer": site.printer.id,
        **({"bone": site.bone} if len(case.bones) > 1 else {}),
        "cuts": list(site.cuts),
        "params": one.params,
        "printer_entry": site.printer.model_dump(mode="json"),
        "files": files,
        "sha256": {name: sha256_of(folder / name) for name in files.values()},
        "parts": [
            {
                **told_of_part(part, file, found, [files[key] for key in (file.key("step"), file.key("stl")) if key in files]),
                "features": found["features"],
                "status": found["status"],
            }
            for part, file, found in zip(parts, written, measured, strict=True)
        ],
        "checks": [check for found in measured for check in found["checks"]],
        "status": "passed" if passed else "rejected",
    }
