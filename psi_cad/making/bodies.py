"""Make the parts of bones' bodies that a case asks for: designed, written and measured in the patient frame. Runs in the build process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from psi_cad.brep import checked
from psi_cad.case.model import Case
from psi_cad.errors import EnvironmentProblem, PsiCadError
from psi_cad.findings import by_weight
from psi_cad.guides.registry import load_body, loaded_sha256, told_as_ours
from psi_cad.making.cautions import printed_cautions, saw_cautions
from psi_cad.making.delivered import delivered
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.parts.contract import PartJob, step_of_part
from psi_cad.records.parts import BodyPart
from psi_cad.records.shared import Refused, cautions_said
from psi_cad.stages.workshop import Workshop

__all__ = ["build_bodies"]

Progress = Callable[[str], None]


def build_bodies(parts: Sequence[PartJob], case: Case, folder: Path, *, progress: Progress) -> tuple[list[BodyPart], list[Refused]]:
    """Make every part of a case in `folder`: an entry of the report for each that was made, and why the others were not.

    Where a check of a part, or of one that comes with it, fails, only `…_REJECTED` files are left.
    """
    made, refused = list[BodyPart](), list[Refused]()
    for one in parts:
        try:
            made.append(_built(one, case, folder, progress))
        except EnvironmentProblem:
            raise
        except PsiCadError as error:  # of this part; the others go on
            refused.append(Refused.model_validate({**error.to_json(), "part": one.request.name}))
    return made, refused


def _built(one: PartJob, case: Case, folder: Path, progress: Progress) -> BodyPart:
    request, site = one.request, one.site
    template = load_body(request.template, where=f"part '{request.name}'.template")

    def told(step: str) -> None:
        progress(step_of_part(one, step))

    told("design")
    with told_as_ours(request.template), checked.listening(told):
        design = template.build(site, template.Params(**one.params), Workshop())
    made = delivered(
        design.parts,
        folder,
        stem=one.stem,
        title=f"{case.id} {one.stem}",
        caption=f"{case.id}, {case.side}: part {request.name}, printer {site.printer.id}",
        metadata={"case": case.id, "side": case.side, "printer": site.printer.id, "frame": "patient LPS, mm", "notice": NOT_A_DEVICE},
        build_volume=site.printer.build_volume,
        told=told,
        in_patient=True,
    )
    cautions = by_weight([*one.cautions, *design.cautions, *saw_cautions(site), *printed_cautions(site.printer, design.parts)])
    of_bone: dict[str, Any] = {"bone": site.bone} if len(case.bones) > 1 else {}
    return BodyPart(
        name=request.name,
        job=one.job,
        template=request.template,
        template_sha256=loaded_sha256(request.template),
        printer=site.printer.id,
        **of_bone,
        cuts=list(site.cuts),
        params=one.params,
        printer_entry=site.printer.model_dump(mode="json"),
        files=made.files,
        sha256=made.hashes(folder),
        parts=made.parts,
        checks=made.checks,
        cautions=cautions_said(cautions),
        notes=list(design.notes),
        status=made.status,
    )
