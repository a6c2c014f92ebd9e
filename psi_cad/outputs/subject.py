"""What an approval is of: hashes of the inputs, the plan and each guide and part that lie in a case's output folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from psi_cad.errors import InputError
from psi_cad.files import sha256_of
from psi_cad.outputs.overrides import of_case
from psi_cad.outputs.software import software_said
from psi_cad.records.base import read_as
from psi_cad.records.bones import AllBones, BoneInReport
from psi_cad.records.check import CheckedGuide, CheckedPart, ToldGuide, ToldPart
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.plan import PlanReport
from psi_cad.records.planned import PlannedSlot
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import CaseSaid, Software

__all__ = [
    "ACCEPTED",
    "NO_PLAN",
    "OVERRIDDEN",
    "PLAIN",
    "PLAN",
    "PLAN_FILE",
    "REPORT_FILE",
    "Subject",
    "bones_of",
    "case_folder",
    "case_folders",
    "disagreement",
    "hash_of",
    "inputs_said",
    "made_from",
    "made_in",
    "not_printed",
    "read_json",
    "read_plan",
    "read_report",
    "section_of",
    "stem",
    "stem_of",
    "subject_of",
    "unfit",
]

Subject = dict[str, dict[str, str]]
"""Section ("plan", or "guide" or "part" and its stem) to what is in it: a label and its SHA-256, or words (`PLAIN`)."""

PLAN: Final = "plan"
PLAN_FILE: Final = "plan.json"
REPORT_FILE: Final = "report.json"
MISSING: Final = "missing"
PRINTED: Final = ("step", "stl", "3mf")  # a picture is drawn anew by every graphics driver, so none is signed
# said of the run, not of the plan: where it was written, by what, what else was proposed, and what was approved of it
OF_THE_RUN: Final = frozenset({"software", "files", "sha256", "notes", "cautions", "optimised", "proposal", "approval", "release", "case", "inputs"})
# said of the run, or signed under a label of their own; `differs` tells of another guide
OF_THE_BUILD: Final = frozenset(
    {"files", "sha256", "notes", "cautions", "accepted", "template_sha256", "differs", "variant_given", "settings", "kept"}
)
ACCEPTED: Final = "accepted cautions"
SOFTWARE: Final = "software"
OVERRIDDEN: Final = "what --set overrides"
NO_PLAN: Final = "no-plan"  # the kind of caution that tells it; that there is a plan is a section of its own, so it is not signed twice
PLAIN: Final = frozenset({ACCEPTED, SOFTWARE, OVERRIDDEN})  # these labels hold words, the others hashes
_OF_PARTS: Final = (BodyPart, CheckedPart, ToldPart)
SAME_KERF: Final = 1e-4  # mm: plan.json rounds to this
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


def read_report(folder: Path) -> BuildReport | None:
    """What the report.json in a case's output folder tells; None where there is none.

    Raises
    ------
    InputError
        Where it is no report, or a key of it is missing or of another type, which it names.
    """
    found = read_json(folder / REPORT_FILE)
    return None if found is None else read_as(BuildReport, found, file=str(folder / REPORT_FILE), again="build again")


def read_plan(folder: Path) -> PlanReport | None:
    """What the plan.json in a case's output folder tells; None where there is none.

    Raises
    ------
    InputError
        As `read_report`.
    """
    found = read_json(folder / PLAN_FILE)
    return None if found is None else read_as(PlanReport, found, file=str(folder / PLAN_FILE), again="plan again")


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


def bones_of(report: BuildReport) -> list[BoneInReport]:
    """The bones of a report of `build`: those under `bones`, or the one under `bone`."""
    return list(report.bones) if report.bones or isinstance(report.bone, AllBones) else [report.bone]


def _surfaces_of(report: BuildReport, *, donor: bool = True, retained: bool = True) -> dict[str, str]:
    """The files of the bones, of a `donor`, and of the bones as the cuts leave them, as they were used, with their hashes."""
    more = {} if report.donor is None or not donor else {report.donor.used: report.donor.used_sha256}
    more |= {one.used: one.used_sha256 for one in report.retained if retained}
    return {**{bone.used: bone.used_sha256 for bone in bones_of(report)}, **more}


def _inputs(report: BuildReport | PlanReport, made: Guide | BodyPart | None = None) -> dict[str, str]:
    """The case file, every file that it names, and what was overridden of it, for one guide where that tells; its parameters stand there."""
    case = report.case
    if isinstance(made, Guide) and made.settings is not None:
        case = case.but(settings=made.settings)
    return _inputs_of(case, report.inputs)


def _inputs_of(case: CaseSaid, inputs: Mapping[str, str]) -> dict[str, str]:
    overridden = of_case(case.settings)
    said = {OVERRIDDEN: ", ".join(overridden)} if overridden else {}
    return {"case file": case.sha256, **inputs, **said}


def inputs_said(case: CaseSaid, inputs: Mapping[str, str], software: Software | None) -> dict[str, str]:
    """What all guides of a build are made from, as far as it is known before anything is built."""
    return {**_inputs_of(case, inputs), "side": case.side, SOFTWARE: software_said(software)}


def made_from(report: BuildReport, made: Guide | BodyPart) -> dict[str, str]:
    """Everything that a guide or part of a report of `build` is made from: the inputs, the side, the software, and the bone as it was used.

    The bone as used also tells of settings (such as other units) that no file's hash tells of.
    """
    used = {"bone as used" + (f": {bone.name}" if bone.name else ""): bone.used_sha256 for bone in bones_of(report)}
    if report.donor is not None and isinstance(made, Guide) and made.graft is not None:
        used["donor as used"] = report.donor.used_sha256
    if isinstance(made, Guide) and made.stems:
        used |= {"bone as the cuts leave it" + (f": {one.bone}" if one.bone else ""): one.used_sha256 for one in report.retained}
    return {**inputs_said(report.case, report.inputs, report.software), **used}


def _plan_section(plan: PlanReport, folder: Path) -> dict[str, str]:
    content = {key: value for key, value in plan.to_json().items() if key not in OF_THE_RUN}
    files = {kind: Path(name).name for kind, name in plan.files.items()}
    signed = [name for kind, name in files.items() if kind.startswith("plan ") and not name.endswith(".png")]
    return {**_inputs(plan), PLAN_FILE: hash_of(content), **{name: _file(folder / name) for name in sorted(signed)}}


def _made_section(report: BuildReport, made: Guide | BodyPart, folder: Path) -> dict[str, str]:
    content = {key: value for key, value in made.to_json().items() if key not in OF_THE_BUILD}
    on_donor = isinstance(made, Guide) and made.graft is not None
    on_rest = isinstance(made, Guide) and bool(made.stems)
    return {
        **_inputs(report, made),
        **{name: _file(folder / name) for name in _surfaces_of(report, donor=on_donor, retained=on_rest)},
        "template file": made.template_sha256 or MISSING,
        SOFTWARE: software_said(report.software),
        f"{REPORT_FILE}: parameters and checks": hash_of(content),
        "cautions": hash_of([one.to_json() for one in (*report.cautions, *made.cautions) if one.id != NO_PLAN]),
        ACCEPTED: ", ".join(made.accepted) or "none",
        **{name: _file(folder / name) for name in _printed(made.files)},
    }


def _printed(files: Mapping[str, str]) -> list[str]:
    """The files of a guide or part that are signed, those of parts beside it last."""
    return [files[kind] for kind in sorted(files, key=lambda kind: "-" in kind) if kind.split("-")[0] in PRINTED]


def stem(name: str, blade: str, variant: str | None) -> str:
    """A guide's file name without its ending; no part of it holds a '_'."""
    return f"{name}_{blade}" + (f"_{variant}" if variant else "")


def stem_of(made: Guide | BodyPart | CheckedGuide | CheckedPart | ToldGuide | ToldPart) -> str:
    """The file name, without its ending, of a report's guide or part."""
    return f"{made.name}_{made.printer}" if isinstance(made, _OF_PARTS) else stem(made.name, made.blade, made.variant)


def section_of(made: Guide | BodyPart | CheckedGuide | CheckedPart | ToldGuide | ToldPart) -> str:
    """The name of a guide's or part's section."""
    return f"{'part' if isinstance(made, _OF_PARTS) else 'guide'} {stem_of(made)}"


def made_in(report: BuildReport | None) -> list[Guide | BodyPart]:
    """Every guide of a report, then every part."""
    return [] if report is None else [*report.guides, *report.parts]


def not_printed(made: Guide | BodyPart) -> list[str]:
    """The files of a guide or part that show what is sawn of bone, and go to no printer."""
    sawn = {part.name for part in made.parts if not part.printed}
    return [name for kind, name in made.files.items() if kind.partition("-")[2] in sawn and "-" in kind]


def subject_of(folder: Path, *, plan: PlanReport | None, report: BuildReport | None) -> Subject:
    """Every section that lies in `folder` now; a file that is gone counts as "missing".

    Parameters
    ----------
    plan, report : record or None
        What plan.json and report.json say, as far as there are such.
    """
    found: Subject = {} if plan is None else {PLAN: _plan_section(plan, folder)}
    if report is not None:
        found |= {section_of(made): _made_section(report, made, folder) for made in made_in(report)}
    return found


def unfit(folder: Path, *, plan: PlanReport | None, report: BuildReport | None) -> list[str]:
    """Why this cannot be approved, a clause each: what did not pass, what is not what its report says, a guide beside another plan."""
    found = []
    if plan is not None:
        failed = ", ".join(check.id for check in plan.checks if not check.passed)
        if plan.status != "passed" or failed:
            found.append(f"the plan of '{plan.case.id}' did not pass ({failed}), so it cannot be approved; change it and plan again")
        names = [Path(name).name for kind, name in plan.files.items() if kind.startswith("plan ")]
        found += _changed_files(folder, {name: plan.sha256.get(name) for name in names}, f"'{PLAN_FILE}'", "plan")
    if report is None:
        return found
    for made in made_in(report):
        if not _sound(made):
            found.append(_not_sound(made, [other for other in made_in(report) if _sound(other)]))
        else:
            found += _changed_files(folder, {name: made.sha256.get(name) for name in made.files.values()}, f"'{REPORT_FILE}'", "build")
    found += _changed_files(folder, _surfaces_of(report), f"'{REPORT_FILE}'", "build")
    if plan is not None and (other := disagreement(plan, report)):
        found.append(f"the guides were not built from the plan beside them: {other}")
    return found


def _sound(made: Guide | BodyPart) -> bool:
    return made.status == "passed" and all(check.passed for check in made.checks)


def _not_sound(made: Guide | BodyPart, sound: Sequence[Guide | BodyPart]) -> str:
    """Why a guide or part cannot be approved, and the three ways on."""
    what = made.status if made.status != "passed" else "not sound"
    chosen = " ".join(f"--{'part' if isinstance(other, BodyPart) else 'guide'} {stem_of(other)}" for other in sound)
    others = f"approve the others alone with {chosen}, or " if sound else ""
    return f"{section_of(made)} is {what}, so it cannot be approved; {others}drop it with 'psi-cad remove OUT {stem_of(made)}', or build it again"


def _changed_files(folder: Path, wanted: Mapping[str, Any], where: str, verb: str) -> list[str]:
    found = []
    for name, digest in wanted.items():
        if _file(folder / name) != digest:
            what = "is missing" if not (folder / name).is_file() else f"is not the one that {where} tells of"
            found.append(f"'{name}' {what}, so it cannot be approved; {verb} again")
    return found


def disagreement(plan: PlanReport, report: BuildReport) -> str | None:
    """In what a plan and the guides beside it differ (the case, an input, a plane, a blade, how it is guided), and what mends it."""
    again = "run 'psi-cad plan CASE -o OUT' and 'psi-cad build CASE -o OUT' on the same case again"
    planned_from = _inputs(plan)
    for made in made_in(report):
        built_from = _inputs(report, made)
        for label in sorted(planned_from.keys() | built_from.keys()):
            if planned_from.get(label) == built_from.get(label):
                continue
            if label == OVERRIDDEN:
                one, two = (f"with --set {said[label]}" if label in said else "without --set" for said in (planned_from, built_from))
                return f"{label} has changed: the plan was made {one}, and {section_of(made)} {two}; {again}, or into another folder"
            return f"{label} has changed; {again}"
    cuts = {cut.name: cut for cut in plan.cuts}
    planned = {(slot.guide, slot.cut, slot.blade): slot for slot in plan.slots}
    for guide in report.guides:
        for face in () if guide.graft is None else guide.graft.faces:
            cut = cuts.get(face.cut)
            if cut is None or not _same_plane((cut.origin, cut.normal), (face.origin, face.normal)):
                return f"the plane of cut '{face.cut}' differs; {again}"
            kerfs = [slot.kerf_mm for slot in plan.slots if (slot.cut, slot.blade) == (face.cut, face.patient_blade)]
            if cut.kerf_side != face.kerf_side or all(kerf is None or abs(kerf - face.patient_kerf_mm) > SAME_KERF for kerf in kerfs):
                return f"the graft of guide '{guide.name}' is made for a kerf of {face.patient_kerf_mm} mm at cut '{face.cut}'; {again}"
        for slot in () if guide.graft is not None else guide.plan.slots:
            where = f"cut '{slot.name}' of guide '{guide.name}'"
            cut = cuts.get(slot.name)
            if cut is None or not _same_plane((cut.origin, cut.normal), (slot.origin, slot.normal)):
                return f"the plane of cut '{slot.name}' differs; {again}"
            if cut.kerf_side != _kerf_side(slot):
                return f"the kerf of {where} is planned on another side of its plane; {again}"
            found = planned.get((guide.name, slot.name, guide.blade))
            if found is None:
                return f"{where} is planned for {_blades_planned(plan, guide, slot)}, not for blade {guide.blade}; {_plan_for(report)}"
            if found.blade_entry != guide.blade_entry:
                return f"the measures of blade {guide.blade} for {where} differ; {again}"
            if found.height_mm != slot.height:
                height = f"planned with the blade guided over {found.height_mm} mm and built with {slot.height}"
                return f"{where} is {height}; run 'psi-cad plan CASE -o OUT' with the --set of that build"
            kerf, built = found.kerf_mm, slot.kerf
            if kerf is None or built is None or abs(kerf - built) > SAME_KERF:
                return f"{where} is planned with a kerf of {kerf} mm and built with {built}; {again}"
    return None


def _blades_planned(plan: PlanReport, guide: Guide, slot: PlannedSlot) -> str:
    found = [entry.blade for entry in plan.slots if (entry.guide, entry.cut) == (guide.name, slot.name)]
    return f"blade {' and '.join(found)}" if found else "no blade"


def _plan_for(report: BuildReport) -> str:
    """The plan that serves every guide of a report, written into the same folder."""
    blades = dict.fromkeys(guide.blade for guide in report.guides)
    return f"run 'psi-cad plan CASE -o OUT {' '.join(f'--blade {blade}' for blade in blades)}' into the same folder"


def _kerf_side(slot: PlannedSlot) -> str:
    """On which side of its plane a slot of a guide lets its blade run."""
    return "centre" if slot.shift == 0.0 else "specimen" if slot.shift > 0.0 else "retained"


def _same_plane(one: tuple[list[float], list[float]], two: tuple[list[float], list[float]]) -> bool:
    return all(bool(np.abs(np.array(a) - np.array(b)).max() <= SAME_PLANE) for a, b in zip(one, two, strict=True))
