"""Write `docs/schema/*.schema.json` from the models in `psi_cad/records/`; `just schema` calls this."""

import json
from pathlib import Path
from typing import Final

from psi_cad.records.approvals import Approvals
from psi_cad.records.base import Record, schema_of
from psi_cad.records.case_check import CaseCheck
from psi_cad.records.check import CheckedFolder
from psi_cad.records.coupon import CouponReport
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.records.scans import RegistrationReport, TumourReport
from psi_cad.records.segmentation import SegmentationReport
from psi_cad.records.sheet import Sheet

FOLDER: Final = Path(__file__).resolve().parent / "schema"
LATER: Final = "It names each key that psi-cad writes now. Later versions add keys, which it allows, and none goes away."
KINDS: Final[dict[str, tuple[type[Record], str, str]]] = {
    "report": (BuildReport, "report.json", "What build writes into a case's output folder."),
    "plan": (PlanReport, "plan.json", "What plan writes into a case's output folder, or prints with --json."),
    "approvals": (Approvals, "approvals.json", "The chain of approvals of a case."),
    "case-check": (CaseCheck, "check CASE --json", "What check prints of a case with --json."),
    "check": (CheckedFolder, "check --json", "What check prints of an output folder with --json."),
    "coupon": (CouponReport, "coupon.json", "What coupon writes beside the gauge coupon, or prints with --json."),
    "registration": (RegistrationReport, "CT_TO_MRI.json", "What register writes beside the transform, or prints with --json."),
    "segmentation": (SegmentationReport, "report.json of a segmentation", "What segment writes beside the surfaces, or prints with --json."),
    "sheet": (Sheet, "sheet --json", "What sheet prints of one case with --json, in a list."),
    "tumour": (TumourReport, "TUMOUR.json", "What tumour writes beside the surface, or prints with --json."),
}


def written(name: str) -> str:
    """The text of one schema file."""
    kind, title, meaning = KINDS[name]
    return json.dumps(schema_of(kind, title=title, meaning=f"{meaning} {LATER}"), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in KINDS:
        (FOLDER / f"{name}.schema.json").write_text(written(name), "utf-8")
