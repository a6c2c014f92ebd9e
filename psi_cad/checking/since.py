"""What has changed since a guide or part was built: the case file, a file that it names, the template's file, the software."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psi_cad.case.load import LoadedCase
from psi_cad.errors import CaseError
from psi_cad.guides.registry import template_sha256
from psi_cad.intake.named import inputs_of
from psi_cad.outputs.overrides import of_case
from psi_cad.outputs.software import build_software
from psi_cad.outputs.subject import OVERRIDDEN, inputs_said
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import CaseSaid, Software

__all__ = ["changed_since", "now_of", "other_settings"]

GONE: Final = "a file that it names, which is not there"


def now_of(loaded: LoadedCase) -> dict[str, str]:
    """What a build of the case would be made from now, as `inputs_said` tells it of a report."""
    said = CaseSaid(id=loaded.case.id, side=loaded.case.side, file=loaded.path.name, sha256=loaded.sha256, settings=list(loaded.settings))
    try:
        inputs = inputs_of(loaded)
    except CaseError:
        inputs = {GONE: ""}
    return inputs_said(said, inputs, Software.model_validate(build_software()))


def changed_since(now: Mapping[str, str], report: BuildReport, made: Guide | BodyPart) -> list[str]:
    """The labels of what is other `now` than when `made` was built, as a build would find it stale; what `--set` overrides is no change."""
    then = inputs_said(report.case, report.inputs, report.software)
    changed = sorted(label for label in then.keys() | now.keys() if label != OVERRIDDEN and then.get(label) != now.get(label))
    same = made.template_sha256 is not None and made.template_sha256 == template_sha256(made.template)
    return [GONE] if GONE in changed else [*changed, *([] if same else ["the template's file"])]


def other_settings(loaded: LoadedCase, report: BuildReport, made: Guide | BodyPart) -> str | None:
    """How `made` was built, and how the case is shown, where `--set` makes the cuts, the bone or the landmarks of the two differ."""
    given = made.settings if isinstance(made, Guide) and made.settings is not None else report.case.settings
    built, shown = of_case(given), of_case(loaded.settings)
    if built == shown:
        return None
    one, two = (f"with --set {', '.join(said)}" if said else "without --set" for said in (built, shown))
    return f"built {one}, and the case is shown {two}"
