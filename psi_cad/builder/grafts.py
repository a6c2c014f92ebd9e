"""What is measured of grafts that come beside a guide on a donor's bone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psi_cad.grafting.graft import GRAFT, gap_checks, graft_said
from psi_cad.making.beside import Beside
from psi_cad.parts.grafts import GraftSite
from psi_cad.records.grafts import GraftSaid
from psi_cad.records.guide import MeasuredFiles
from psi_cad.records.shared import CheckSaid

__all__ = ["with_graft"]


def with_graft(measured: MeasuredFiles, graft: GraftSite | None, beside: Sequence[Beside], folder: Path) -> tuple[MeasuredFiles, GraftSaid | None]:
    """What was measured of a guide with that of its grafts in their host, and what a report says of these; None where it sits on no donor."""
    if graft is None:
        return measured, None
    files = {one.part.name: folder / one.written.files["stl"] for one in beside if one.part.name.startswith(GRAFT)}
    said = graft_said(graft, files)
    checks = gap_checks(said, list(files.values()))
    passed = measured.status == "passed" and all(check.passed for check in checks)
    more = [CheckSaid.model_validate(check.to_json()) for check in checks]
    return measured.but(checks=[*measured.checks, *more], status="passed" if passed else "rejected"), said
