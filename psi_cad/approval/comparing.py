"""The guides of an output folder side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from psi_cad.approval.acceptance import cautions_told
from psi_cad.approval.approve import lacking
from psi_cad.approval.record import read_record
from psi_cad.approval.release import check_approvals
from psi_cad.files import sha256_of
from psi_cad.outputs.subject import PLAN, PLAN_FILE, REPORT_FILE, case_folders, read_json, section_of, stem_of, subject_of

__all__ = ["compare_folder"]

REACH: Final = "blade_reach"


def compare_folder(path: Path) -> list[dict[str, Any]]:
    """A row for each guide of every case below `path`, as its report tells; nothing is measured, but files are held against their hashes.

    `released`: the report tells of a release of it; `sound`: the record of approvals and every release of its case hold, as `check` finds.

    Raises
    ------
    InputError
    """
    rows = []
    for folder in case_folders(path):
        plan, report = read_json(folder / PLAN_FILE), read_json(folder / REPORT_FILE)
        if report is None:
            continue
        subject, record = subject_of(folder, plan=plan, report=report), read_record(folder)
        case = str(report["case"]["id"])
        (standing,) = check_approvals(folder)
        for guide in report["guides"]:
            section = section_of(guide)
            own = {name: subject[name] for name in (PLAN, section) if name in subject}
            rows.append(
                {
                    "case": case,
                    **_row(folder, report, guide),
                    "approved": record.broken is None and not lacking(record, own, case),
                    "released": section in standing["releases"],
                    "sound": standing["sound"],
                }
            )
    return rows


def _row(folder: Path, report: Mapping[str, Any], guide: Mapping[str, Any]) -> dict[str, Any]:
    slots, seat = guide.get("slots", ()), guide.get("seat") or {}
    spare = [check["value"] - check["limit"] for check in guide.get("checks", ()) if str(check["id"]).startswith(REACH)]
    return {
        "guide": stem_of(guide),
        "name": guide["name"],
        "blade": guide["blade"],
        "variant": guide.get("variant"),
        "status": "changed" if _touched(folder, guide) else guide["status"],
        "clearance_mm": guide.get("params", {}).get("clearance"),
        "slot_width_mm": _each(slots, "width_mm", max),
        "wall_mm": _each(slots, "wall_min_mm", min),
        "contact_mm2": seat.get("contact_area_mm2"),
        "seat_max_mm": seat.get("max_mm"),
        "reach_spare_mm": round(min(spare), 3) if spare else None,
        "volume_mm3": guide.get("volume_mm3"),
        "letters_mm": (guide.get("label") or {}).get("letter_height_mm"),
        "differs": list(guide.get("differs", ())),
        "cautions": [str(caution["id"]) for caution in cautions_told(report, [guide])],
        "accepted": list(guide.get("accepted", ())),
    }


def _touched(folder: Path, guide: Mapping[str, Any]) -> bool:
    """Whether a file of a guide is missing, or not the one that the report tells of."""
    named = guide.get("sha256", {})
    return any(not (folder / name).is_file() or sha256_of(folder / name) != named.get(name) for name in guide["files"].values())


def _each(slots: Any, key: str, of: Any) -> float | None:
    """The greatest or least of a measure over a guide's slots; None where one was not measured."""
    found = [slot.get(key) for slot in slots]
    return None if not found or None in found else float(of(found))
