"""Measure an output folder again, from its files alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from psi_cad.errors import InputError, PsiCadError
from psi_cad.files import sha256_of
from psi_cad.findings import Check
from psi_cad.grafting.graft import GRAFT, gap_checks
from psi_cad.inspection.inspect import bone_probe
from psi_cad.outputs.subject import bones_of, read_report, stem_of
from psi_cad.parts.again import measured_again
from psi_cad.promises.expected import Expected
from psi_cad.reconstruction.told import said_again, stem_checks
from psi_cad.records.bones import BoneInReport
from psi_cad.records.guide import Guide, MeasuredBore
from psi_cad.records.parts import BodyPart
from psi_cad.records.report import BuildReport
from psi_cad.records.stems import StemSaid
from psi_cad.units import Mm
from psi_cad.verify.checks import measure_files
from psi_cad.verify.features.seat import BoneProbe

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
    results, reports, parts = [], [], []
    for path in find_reports(folder):
        report, here = read_report(path.parent), path.parent
        assert report is not None  # it was found there
        bones = bones_of(report)
        missing = next((bone.used for bone in bones if not (here / bone.used).is_file()), None)
        if missing is not None:
            raise InputError(f"{here.name}: '{missing}' is missing, so the seat cannot be measured; build again.")
        reports.append(_told(report))
        probes = [bone_probe(here / bone.used, bone.name) for bone in bones]
        changed = [bone for bone in bones if sha256_of(here / bone.used) != bone.used_sha256]
        for guide in report.guides:
            progress(f"{report.case.id}: {stem_of(guide)}")
            around, other = probes, changed
            if guide.graft is not None:
                around, other = _donor_in(here, report)
            elif guide.stems:
                around, other = _retained_in(here, report)
            results.append(_again(here, guide, around, other, report))
        for part in report.parts:
            progress(f"{report.case.id}: part {stem_of(part)}")
            parts.append(_part_again(here, part, changed, report.case.id))
    passed = all(result["status"] == "passed" for result in (*results, *parts))
    return {"guides": results, **({"parts": parts} if parts else {}), "reports": reports, "status": "passed" if passed else "failed"}


def _donor_in(here: Path, report: BuildReport) -> tuple[list[BoneProbe], list[BoneInReport]]:
    """The donor's bone, which is alone in its frame, and, where its file is not the one that was used, that one.

    Raises
    ------
    InputError
        Where the file is missing.
    """
    donor = report.donor
    if donor is None or not (here / donor.used).is_file():
        raise InputError(f"{here.name}: the donor's surface is missing, so the guide on it cannot be measured; build again.")
    same = sha256_of(here / donor.used) == donor.used_sha256
    changed = [] if same else [BoneInReport(name=donor.name, file=donor.file, sha256=donor.sha256, used=donor.used, used_sha256=donor.used_sha256)]
    return [bone_probe(here / donor.used, donor.bone)], changed


def _retained_in(here: Path, report: BuildReport) -> tuple[list[BoneProbe], list[BoneInReport]]:
    """The bones as the cuts leave them, and those of which the file is not the one that was used.

    Raises
    ------
    InputError
        Where a file is missing.
    """
    if not report.retained or any(not (here / one.used).is_file() for one in report.retained):
        raise InputError(f"{here.name}: a bone as the cuts leave it is missing, so the guide on it cannot be measured; build again.")
    whole = {bone.name: bone for bone in bones_of(report)}
    alone = next(iter(whole)) if len(whole) == 1 else None
    names = [alone if one.bone is None else one.bone for one in report.retained]
    changed = [
        whole[name].but(used=one.used, used_sha256=one.used_sha256)
        for name, one in zip(names, report.retained, strict=True)
        if sha256_of(here / one.used) != one.used_sha256
    ]
    return [bone_probe(here / one.used, name) for name, one in zip(names, report.retained, strict=True)], changed


def _stems_again(here: Path, guide: Guide, report: BuildReport, bores: Sequence[Any]) -> list[StemSaid]:
    """A guide's stems, measured again on the bone that the cuts leave."""
    files = {one.bone: here / one.used for one in report.retained}
    found = {str(bore["name"]): MeasuredBore.model_validate(bore) for bore in bores}
    trials = [None if not stem.trial else here / guide.files[f"stl-{stem.trial}"] for stem in guide.stems]
    return [said_again(stem, found[stem.trajectory], files[guide.bone], trial) for stem, trial in zip(guide.stems, trials, strict=True)]


def _told(report: BuildReport) -> dict[str, Any]:
    """What a report was written with: the cautions of the case, of each guide and each part, and what was not made."""
    guides = [
        {"name": guide.name, "blade": guide.blade, "variant": guide.variant, "cautions": [caution.to_json() for caution in guide.cautions]}
        for guide in report.guides
    ]
    parts = [{"name": part.name, "printer": part.printer, "cautions": [caution.to_json() for caution in part.cautions]} for part in report.parts]
    cautions, refused = [caution.to_json() for caution in report.cautions], [one.to_json() for one in report.refused]
    return {"case": report.case.id, "cautions": cautions, "guides": guides, **({"parts": parts} if parts else {}), "refused": refused}


def _unchanged(here: Path, files: Mapping[str, str], sha256: Mapping[str, str], other_bones: Sequence[BoneInReport]) -> tuple[list[str], list[Any]]:
    """Files that are missing or not those that were built, and the checks that tell of these and of the bones."""
    changed = [name for name in files.values() if not (here / name).is_file() or sha256_of(here / name) != sha256.get(name)]
    unchanged = Check("files_unchanged", float(len(changed)), "", "==", 0.0, not changed, ", ".join(changed))
    bone = Check("bone_unchanged", float(not other_bones), "", "==", 1.0, not other_bones, ", ".join(one.used for one in other_bones if one.name))
    return changed, [unchanged.to_json(), bone.to_json()]


def _part_again(here: Path, part: BodyPart, other_bones: Sequence[BoneInReport], case: str) -> dict[str, Any]:
    """One part of a bone's body measured again."""
    changed, checks = _unchanged(here, part.files, part.sha256, other_bones)
    entry: dict[str, Any] = {"case": case, "name": part.name, "printer": part.printer, "changed_files": changed, "checks": checks}
    if part.status != "passed":
        why = "what it was made from has changed since it was built" if part.status == "stale" else "this part was rejected when it was built"
        return {**entry, "status": part.status, "why": f"{why}: build it again" if part.status == "stale" else why}
    try:
        checks += measured_again(here, part.parts, build_volume=_room(part.printer_entry))
    except PsiCadError as error:
        return {**entry, "status": "failed", "why": str(error)}
    return {**entry, "status": "passed" if all(check["passed"] for check in checks) else "failed"}


def _room(printer: Mapping[str, Any]) -> tuple[Mm, Mm, Mm]:
    """The build volume of a printer's entry.

    Raises
    ------
    InputError
    """
    try:
        x, y, z = (float(value) for value in printer["build_volume"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("report.json: printer_entry: build_volume must be three numbers; build again.") from error
    return x, y, z


def _again(here: Path, guide: Guide, probes: Sequence[BoneProbe], other_bones: Sequence[BoneInReport], report: BuildReport) -> dict[str, Any]:
    """One guide measured again on its bone, among the others; `other_bones`: files that are not the ones it was built with."""
    files = {kind: here / name for kind, name in guide.files.items()}
    changed, checks = _unchanged(here, guide.files, guide.sha256, other_bones)
    entry: dict[str, Any] = {"case": report.case.id, "name": guide.name, "blade": guide.blade, "variant": guide.variant, "changed_files": changed}
    if guide.status != "passed" or "stl" not in files:
        stale = guide.status == "stale"
        why = "what it was made from has changed since it was built: build it again" if stale else "this guide was rejected when it was built"
        entry.update(checks=checks, status="stale" if stale else "rejected", why=why)
        return entry
    missing = [path.name for path in (files["step"], files["stl"]) if not path.is_file()]
    if missing:
        entry.update(checks=checks, status="failed", why=f"missing: {', '.join(missing)}")
        return entry
    own = probes[0] if guide.graft is not None else next((probe for probe in probes if probe.name == guide.bone), None)
    if own is None:
        entry.update(checks=checks, status="failed", why="it was built on another bone than the case now has: build it again")
        return entry
    others = [probe for probe in probes if probe is not own]
    try:
        expected = Expected.from_json(guide.plan.to_json())
        measured = measure_files(files["step"], files["stl"], expected, own, others).to_json()
        room = expected.build_volume
        if guide.graft is not None:
            grafts = [here / name for kind, name in guide.files.items() if kind.startswith(f"stl-{GRAFT}")]
            measured["checks"] += [check.to_json() for check in gap_checks(guide.graft, grafts)]
        measured["checks"] += measured_again(here, guide.parts, build_volume=room, frame=expected.frame)
        stems = _stems_again(here, guide, report, measured.get("bores", ()))
        measured["checks"] += [check.to_json() for stem in stems for check in stem_checks(stem)]
    except PsiCadError as error:
        entry.update(checks=checks, status="failed", why=str(error))
        return entry
    checks += measured["checks"]
    passed = all(check["passed"] for check in checks)
    if stems:
        measured["stems"] = [stem.to_json() for stem in stems]
    more = {key: measured[key] for key in ("slots", "features", "seat", "stems", "other_bones") if key in measured}
    entry.update(**more, checks=checks, status="passed" if passed else "failed")
    return entry
