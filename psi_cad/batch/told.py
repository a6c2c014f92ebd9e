"""What a batch says of its jobs: `batch.json` and `batch.csv`."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from psi_cad import __version__
from psi_cad.batch.expand import Task
from psi_cad.batch.store import Result
from psi_cad.files import whole_file, write_json
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.remedies.mending import sentence

__all__ = ["BATCH", "STATUSES", "counts_of", "refusals_in", "row_of", "write_rows"]

BATCH: Final = "batch.json"
TABLE: Final = "batch.csv"
SCHEMA: Final = 1
STATUSES: Final = ("done", "rejected", "refused", "failed", "waiting")
COLUMNS: Final = ("case", "guide", "blade", "printer", "settings", "status", "reason", "seconds", "files", "job")


def row_of(task: Task, result: Result | None, *, status: str, seconds: float, fresh: bool) -> dict[str, Any]:
    """What is said of one job; `files` are relative to the output folder."""
    guide = result.made if result is not None else None
    error = result.error if result is not None else None
    failed = [sentence(check) for check in guide["checks"] if not check["passed"]] if guide is not None else []
    files, sums = (guide["files"], guide["sha256"]) if guide is not None else ({}, {})
    unprinted = {part["name"] for part in guide.get("parts", ()) if part.get("printed") is False} if guide is not None else set()
    sawn = [kind for kind in files if kind.partition("-")[2] in unprinted]
    if status == "refused" and result is not None:
        files, sums = dict(zip(("png",), result.sha256, strict=False)), result.sha256
    return {
        "case": task.case_id,
        "guide": task.guide,
        **({"part": task.part} if task.part else {}),
        "blade": task.blade,
        "printer": task.printer,
        "settings": list(task.settings),
        "status": status,
        "reason": str(error["message"]) if error is not None else "; ".join(failed),
        "seconds": seconds,
        "files": {kind: f"{task.folder}/{name}" for kind, name in files.items()},
        **({"not_printed": sawn} if sawn else {}),
        "job": task.job,
        "sha256": {f"{task.folder}/{name}": digest for name, digest in sums.items()},
        "variant": guide.get("variant") if guide is not None else None,
        "fresh": fresh,
        **({"error": error} if error is not None else {}),
    }


def counts_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many jobs there are of each status."""
    found = Counter(str(row["status"]) for row in rows)
    return {"tasks": len(rows), **{status: found[status] for status in STATUSES}}


def write_rows(out: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write both files, and return what the first holds."""
    made_by = {"psi-cad": __version__}
    said = {"schema": SCHEMA, "software": made_by, "notice": NOT_A_DEVICE, "counts": counts_of(rows), "tasks": [dict(row) for row in rows]}
    write_json(out / BATCH, said)
    with whole_file(out / TABLE) as path, path.open("w", encoding="utf-8", newline="") as stream:
        table, parts = csv.writer(stream), any("part" in row for row in rows)
        table.writerow([*COLUMNS, *(["part"] if parts else [])])
        for row in rows:
            table.writerow([*(row[key] for key in COLUMNS[:4]), " ".join(row["settings"]), *(row[key] for key in COLUMNS[5:8]),
                            " ".join(row["files"].values()), row["job"], *([row.get("part", "")] if parts else [])])  # fmt: skip
    return said


def refusals_in(out: Path, tasks: Sequence[Task]) -> dict[tuple[str, str], Result]:
    """The refusals that an earlier batch wrote down, by folder and job: nothing that they rest on has changed, nor have their pictures."""
    found: dict[tuple[str, str], Result] = {}
    try:
        rows = {str(row["job"]): row for row in json.loads((out / BATCH).read_text("utf-8"))["tasks"] if row["status"] == "refused"}
        for task in tasks:
            if task.job in rows:
                sums = {str(name).rpartition("/")[2]: str(digest) for name, digest in rows[task.job]["sha256"].items()}
                result = Result(None, out / task.folder, sums, error=dict(rows[task.job]["error"]))
                if result.sound:
                    found[task.folder, task.job] = result
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found
