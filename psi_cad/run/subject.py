"""What an approval is of: hashes of the inputs, the plan and each guide that lie in a case's output folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.errors import ApprovalError, InputError
from psi_cad.export.safely import sha256_of

__all__ = [
    "PLAN",
    "PLAN_FILE",
    "REPORT_FILE",
    "Subject",
    "case_folder",
    "case_folders",
    "disagreement",
    "hash_of",
    "made_from",
    "read_json",
    "section_of",
    "subject_of",
    "unfit",
]

Subject = dict[str, dict[str, str]]
"""Section ("plan", or "guide" and its stem) to what is in it: a label and its SHA-256."""

PLAN: Final = "plan"
PLAN_FILE: Final = "plan.json"
REPORT_FILE: Final = "report.json"
MISSING: Final = "missing"
PRINTED: Final = ("step", "stl", "3mf")  # a picture is drawn anew by every graphics driver, so none is signed
# said of the run, not of the plan: where it was written, by what, what else was proposed, and what was approved of it
OF_THE_RUN: Final = frozenset({"software", "files", "sha256", "notes", "optimised", "proposal", "approval", "release", "case", "inputs"})
OF_THE_BUILD: Final = frozenset({"files", "sha256", "notes", "cautions"})
SAME_PLANE: Final = 1e-5  # mm of origin, and of the unit normal: plan.json rounds more finely, and nobody moves a plane by less


def hash_of(data: Any) -> str:
    """SHA-256 of JSON data in one canonical spelling: sorted keys, no spaces, UTF-8.

    >>> hash_of({"b": 1, "a": 2}) == hash_of({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """A report of psi-cad (schema 1), or None where there is no such file.

    Raises
    ------
    InputError
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["schema"] != 1 or not isinstance(found["case"]["id"], str):
            raise KeyError("schema")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: this is no report of psi-cad (schema 1); plan or build again.") from error
    return dict(found)


def case_folders(path: Path) -> list[Path]:
    """`path` itself where it is the folder of one case, or every such folder in it.

    Raises
    ------
    InputError
    """
    names = (PLAN_FILE, REPORT_FILE)
    if any((path / name).is_file() for name in names):
        return [path]
    below = sorted({found.parent for name in names for found in path.glob(f"*/{name}")})
    if not below:
        raise InputError(f"{path}: there is no plan.json or report.json here or one folder below; name the output folder of 'plan -o' or 'build'.")
    return below


def case_folder(path: Path) -> Path:
    """The folder of one case: `path` itself, or the only such folder in it.

    Raises
    ------
    InputError
    """
    below = case_folders(path)
    if len(below) > 1:
        raise InputError(f"{path}: there are several cases below ({', '.join(found.name for found in below)}); name the folder of one.")
    return below[0]


def _file(path: Path) -> str:
    return sha256_of(path) if path.is_file() else MISSING


def _inputs(report: Mapping[str, Any]) -> dict[str, str]:
    """The case file, every file that it names, and what was overridden of it; a guide's own parameters stand in the guide."""
    overridden = [str(setting) for setting in report["case"].get("settings", []) if not str(setting).startswith(("params.", "guide."))]
    said = {"what --set overrides": ", ".join(sorted(overridden))} if overridden else {}
    return {"case file": str(report["case"]["sha256"]), **{str(key): str(value) for key, value in report.get("inputs", {}).items()}, **said}


def made_from(report: Mapping[str, Any]) -> dict[str, str]:
    """Everything that all guides of a report of `build` are made from: the inputs, the side, and the bone as it was used.

    The bone as used also tells of settings (such as other units) that no file's hash tells of.
    """
    return {**_inputs(report), "side": str(report["case"]["side"]), "bone as used": str(report["bone"]["used_sha256"])}


def _plan_section(plan: Mapping[str, Any], folder: Path) -> dict[str, str]:
    content = {key: value for key, value in plan.items() if key not in OF_THE_RUN}
    files = {kind: Path(name).name for kind, name in plan.get("files", {}).items()}
    signed = [name for kind, name in files.items() if kind.startswith("plan ") and not name.endswith(".png")]
    return {**_inputs(plan), PLAN_FILE: hash_of(content), **{name: _file(folder / name) for name in sorted(signed)}}


def _guide_section(report: Mapping[str, Any], guide: Mapping[str, Any], folder: Path) -> dict[str, str]:
    content = {key: value for key, value in guide.items() if key not in OF_THE_BUILD}
    names = [guide["files"][kind] for kind in PRINTED if kind in guide["files"]]
    bone = str(report["bone"]["used"])
    return {
        **_inputs(report),
        bone: _file(folder / bone),
        f"{REPORT_FILE}: parameters and checks": hash_of(content),
        **{name: _file(folder / name) for name in names},
    }


def section_of(guide: Mapping[str, Any]) -> str:
    """The name of a guide's section."""
    return f"guide {guide['name']}_{guide['blade']}"


def subject_of(folder: Path, *, plan: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> Subject:
    """Every section that lies in `folder` now; a file that is gone counts as "missing".

    Parameters
    ----------
    plan, report : mapping or None
        What plan.json and report.json say, as far as there are such.

    Raises
    ------
    InputError
        Where a report lacks what every report has.
    """
    try:
        found: Subject = {} if plan is None else {PLAN: _plan_section(plan, folder)}
        for guide in report["guides"] if report is not None else ():
            found[section_of(guide)] = _guide_section(report or {}, guide, folder)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder.name}: plan.json or report.json is not as psi-cad writes it ({error}); plan or build again.") from error
    return found


def unfit(folder: Path, *, plan: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> None:
    """Refuse to have approved what did not pass, what is not what its report says, or a guide beside another plan.

    Raises
    ------
    ApprovalError
        With the first reason.
    """
    if plan is not None:
        if plan["status"] != "passed":
            failed = ", ".join(check["id"] for check in plan["checks"] if not check["passed"])
            raise ApprovalError(f"the plan of '{plan['case']['id']}' did not pass ({failed}), so it cannot be approved; change it and plan again.")
        names = [Path(name).name for kind, name in plan["files"].items() if kind.startswith("plan ")]
        _same_files(folder, {name: plan["sha256"].get(name) for name in names}, f"'{PLAN_FILE}'", "plan")
    if report is None:
        return
    for guide in report["guides"]:
        stem = section_of(guide)
        if guide["status"] != "passed" or not all(check["passed"] for check in guide["checks"]):
            raise ApprovalError(
                f"{stem} is {guide['status'] if guide['status'] != 'passed' else 'not sound'}, so it cannot be approved; build it again."
            )
        _same_files(folder, {name: guide["sha256"].get(name) for name in guide["files"].values()}, f"'{REPORT_FILE}'", "build")
    _same_files(folder, {str(report["bone"]["used"]): report["bone"]["used_sha256"]}, f"'{REPORT_FILE}'", "build")
    if plan is not None:
        other = disagreement(plan, report)
        if other:
            raise ApprovalError(f"the guides were not built from the plan beside them: {other}; run 'plan -o' and 'build' on the same case again.")


def _same_files(folder: Path, wanted: Mapping[str, Any], where: str, verb: str) -> None:
    for name, digest in wanted.items():
        if _file(folder / name) != digest:
            what = "is missing" if not (folder / name).is_file() else f"is not the one that {where} tells of"
            raise ApprovalError(f"'{name}' {what}, so it cannot be approved; {verb} again.")


def disagreement(plan: Mapping[str, Any], report: Mapping[str, Any]) -> str | None:
    """In what a plan and the guides beside it differ: the case, an input, a plane, a blade, or how it is guided."""
    one, two = _inputs(plan), _inputs(report)
    for label in sorted(one.keys() | two.keys()):
        if one.get(label) != two.get(label):
            return f"{label} has changed"
    planes = {cut["name"]: (cut["origin"], cut["normal"]) for cut in plan["cuts"]}
    planned = {(slot["guide"], slot["cut"]): slot for slot in plan["slots"]}
    for guide in report["guides"]:
        for slot in guide["plan"]["slots"]:
            if slot["name"] not in planes or not _same_plane(planes[slot["name"]], (slot["origin"], slot["normal"])):
                return f"the plane of cut '{slot['name']}' differs"
            other = _other_blade(planned.get((guide["name"], slot["name"]), {}), guide, slot)
            if other:
                return other
    return None


def _other_blade(planned: Mapping[str, Any], guide: Mapping[str, Any], slot: Mapping[str, Any]) -> str | None:
    """In what a slot of a guide is sawn otherwise than the plan measured its depth for."""
    where = f"cut '{slot['name']}' of guide '{guide['name']}'"
    if planned.get("blade") != guide["blade"]:
        return f"{where} is planned for blade {planned.get('blade', 'none')} and built for {guide['blade']}"
    if planned.get("blade_entry") != guide["blade_entry"]:
        return f"the measures of blade {guide['blade']} for {where} differ"
    if planned.get("height_mm") != slot["height"]:
        return f"{where} is planned with the blade guided over {planned.get('height_mm')} mm and built with {slot['height']}"
    return None


def _same_plane(one: Sequence[Any], two: Sequence[Any]) -> bool:
    return all(
        bool(np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).max() <= SAME_PLANE) for a, b in zip(one, two, strict=True)
    )
