"""Holds JSON of psi-cad against the models and against the text of their schemas in `docs/`: exactly as this version writes it, or not."""

import json
from typing import Any, Final

from conftest import ROOT
from json_schema import misfits

from psi_cad.errors import InputError
from psi_cad.records.approvals import Approvals
from psi_cad.records.base import Record, faults, read_as
from psi_cad.records.case_check import CaseCheck
from psi_cad.records.check import CheckedFolder
from psi_cad.records.coupon import CouponReport
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.records.scans import RegistrationReport, TumourReport
from psi_cad.records.segmentation import SegmentationReport
from psi_cad.records.sheet import Sheet

KINDS: Final[dict[str, type[Record]]] = {
    "report": BuildReport,
    "plan": PlanReport,
    "approvals": Approvals,
    "check": CheckedFolder,
    "case-check": CaseCheck,
    "coupon": CouponReport,
    "registration": RegistrationReport,
    "segmentation": SegmentationReport,
    "sheet": Sheet,
    "tumour": TumourReport,
}


def strictly(name: str, data: Any) -> list[str]:
    """What is wrong with JSON by the model, and by the text of the schema: both tell, or neither."""
    data = json.loads(json.dumps(data))
    try:
        by_model = list(faults(read_as(KINDS[name], data, file=name, again="again")))
    except InputError as error:
        by_model = [str(error)]
    schema = json.loads((ROOT / "docs" / "schema" / f"{name}.schema.json").read_text("utf-8"))
    closed = without_more(schema)
    by_schema = list(misfits(data, closed, closed))
    assert bool(by_model) == bool(by_schema), (by_model, by_schema)
    return by_model


def without_more(schema: Any) -> Any:
    """A schema that refuses keys which the published one allows, for a later version may add them."""
    if isinstance(schema, dict):
        found = {key: without_more(value) for key, value in schema.items()}
        return {**found, "additionalProperties": False} if "properties" in schema and schema.get("additionalProperties") is True else found
    return [without_more(one) for one in schema] if isinstance(schema, list) else schema
