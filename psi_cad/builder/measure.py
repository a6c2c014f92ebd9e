"""Measure an output folder again, from its files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psi_cad.builder.inspect import bone_probe
from psi_cad.errors import InputError, PsiCadError
from psi_cad.files import sha256_of
from psi_cad.findings import Check
from psi_cad.outputs.subject import stem_of
from psi_cad.verify.checks import measure_files
from psi_cad.verify.expected import Expected
from psi_cad.verify.seat import BoneProbe

__all__ = ["find_reports", "measure_folder"]


def find_reports(folder: Path) -> list[Path]:
    """The report of an output folder, or of each case below it.

    Raises
    ------
    InputError
    """
    found = [folder / "report.json"] if (folder / "report.json").is_file() else sorted(folder.glob("*/report.json"))
    if not found:
        raise InputError(f"{folder}: there is no report.json here or one folder below; name the output folder of a build, or a case file.")
    return found


def measure_folder(folder: Path, *, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure every guide of every report below `folder` as if for the first time.

    A file that is missing, or is not the one the report was written for, fails; so does every limit that the file
    itself does not meet.

    Raises
    ------
    InputError
        If a report or a file cannot be read.
    """
    results, reports = [], []
    for path in find_reports(folder):
        report = _read(path)
        here = path.parent
        bone_file = here / str(report["bone"]["used"])
        if not bone_file.is_file():
            raise InputError(f"{here.name}: '{bone_file.name}' is missing, so the seat cannot be measured; build again.")
        reports.append(_told(report))
        probe = bone_probe(bone_file)
        same_bone = sha256_of(bone_file) == report["bone"]["used_sha256"]
        for guide in report["guides"]:
            progress(f"{report['case']['id']}: {stem_of(guide)}")
            results.append(_again(here, guide, probe, same_bone, str(report["case"]["id"])))
    passed = all(result["status"] == "passed" for result in results)
    return {"guides": results, "reports": reports, "status": "passed" if passed else "failed"}


def _told(report: dict[str, Any]) -> dict[str, Any]:
    """What a report was written with: the cautions of the case and of each guide, and the guides that were not made."""
    guides = [
        {"name": guide["name"], "blade": guide["blade"], "variant": guide.get("variant"), "cautions": guide.get("cautions", [])}
        for guide in report["guides"]
    ]
    return {"case": str(report["case"]["id"]), "cautions": report.get("cautions", []), "guides": guides, "refused": report.get("refused", [])}


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text("utf-8"))
        if report["schema"] != 1 or not isinstance(report["guides"], list):
            raise KeyError("schema")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: this is no report of psi-cad (schema 1); build again.") from error
    return dict(report)


def _again(here: Path, guide: dict[str, Any], probe: BoneProbe, same_bone: bool, case: str) -> dict[str, Any]:
    files = {kind: here / name for kind, name in guide["files"].items()}
    changed = [path.name for path in files.values() if not path.is_file() or sha256_of(path) != guide["sha256"].get(path.name)]
    entry: dict[str, Any] = {"case": case, "name": guide["name"], "blade": guide["blade"], "variant": guide.get("variant"), "changed_files": changed}
    unchanged = Check("files_unchanged", float(len(changed)), "", "==", 0.0, not changed, ", ".join(changed))
    bone = Check("bone_unchanged", float(same_bone), "", "==", 1.0, same_bone)
    checks: list[dict[str, Any]] = [unchanged.to_json(), bone.to_json()]
    if guide["status"] != "passed" or "stl" not in files:
        stale = guide["status"] == "stale"
        why = "what it was made from has changed since it was built: build it again" if stale else "this guide was rejected when it was built"
        entry.update(checks=checks, status="stale" if stale else "rejected", why=why)
        return entry
    missing = [path.name for path in (files["step"], files["stl"]) if not path.is_file()]
    if missing:
        entry.update(checks=checks, status="failed", why=f"missing: {', '.join(missing)}")
        return entry
    try:
        measured = measure_files(files["step"], files["stl"], Expected.from_json(guide["plan"]), probe).to_json()
    except PsiCadError as error:
        entry.update(checks=checks, status="failed", why=str(error))
        return entry
    checks += measured["checks"]
    passed = all(check["passed"] for check in checks)
    entry.update(slots=measured["slots"], seat=measured["seat"], checks=checks, status="passed" if passed else "failed")
    return entry
