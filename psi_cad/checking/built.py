"""What a build left in an output folder, as `look` shows it: bodies of guides and parts, their pictures, values and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh

from psi_cad.case.load import LoadedCase
from psi_cad.checking.since import changed_since, now_of, other_settings
from psi_cad.errors import InputError
from psi_cad.files import sha256_of
from psi_cad.options.told import option_lines
from psi_cad.outputs.subject import REPORT_FILE, made_in, read_report, section_of, stem_of
from psi_cad.records.grafts import GraftSaid
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart, MadePart
from psi_cad.records.report import BuildReport
from psi_cad.registration.rigid import apply
from psi_cad.remedies.mending import sentence
from psi_cad.report.look.made import LookMade
from psi_cad.report.look.page import LookBody, LookWord
from psi_cad.report.views import GUIDE, PART, TUMOUR
from psi_cad.surface.mesh_files import read_surface

__all__ = ["Shown", "built_in"]


@dataclass
class Shown:
    """What is shown of a build; `notes`: what is not, and why."""

    bodies: list[LookBody] = field(default_factory=list)
    made: list[LookMade] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: list[LookWord] = field(default_factory=list)


def built_in(out: Path | None, loaded: LoadedCase) -> Shown:
    """The guides and parts of a case that lie in `out` (by default "out"), by their report, where their files are still its own.

    What the case, a file that it names, its template or the software has changed of since is shown as stale.

    Raises
    ------
    InputError
        Where `out` was named and holds no report of the case.
    """
    found, case = Shown(), loaded.case.id
    given = out if out is not None else Path("out")
    folder = given if given.name == case else given / case  # the case's own folder in it is meant too
    if not (folder / REPORT_FILE).is_file():
        if out is not None:
            raise InputError(f"--out {out}: there is no '{case}/{REPORT_FILE}' in it; build the case with -o {out} first.")
        return found
    report = read_report(folder)
    if report is None:
        return found
    now = now_of(loaded)
    for one in made_in(report):
        what = f"part {one.name}, {one.printer}" if isinstance(one, BodyPart) else f"guide {one.name}, {one.blade}"
        status, state = _standing(found, loaded, report, one, now)
        several = isinstance(one, BodyPart) and len(one.parts) > 1
        for kind, name in one.files.items():
            if kind.partition("-")[0] != "stl" or name.endswith("_REJECTED.stl"):
                continue
            path = _own(found, folder, name, one)
            if path is None:
                continue
            of = kind.partition("-")[2]
            label = f"{what}{f', {of}' if of else ', the part itself' if several else ''} ({state})"
            mesh = read_surface(path, units="mm", coordinates="LPS", key="look")
            # a part may be the bone's own surface: then clicks must go on to the bone
            part = isinstance(one, BodyPart)
            if isinstance(one, Guide) and one.graft is not None:
                mesh, label = _in_host(mesh, one.graft), f"{label}, as it lies in the patient"
            found.bodies.append(LookBody(label, mesh, PART if part else GUIDE, 0.3 if part else 1.0, pick=not part))
            if status == "stale":
                found.words.append(LookWord("STALE", "STALE", np.asarray(mesh.bounds).mean(axis=0), TUMOUR))
        picture = one.files.get("png")
        drawn = None if picture is None else _own(found, folder, picture, one)
        failed = [sentence(check.to_json()).replace("`", "") for check in one.checks if not check.passed]
        found.made.append(
            LookMade(
                f"{'part' if isinstance(one, BodyPart) else 'guide'} {stem_of(one)}",
                status,
                [*_values(one), *(f"{_called(part)}: {_measured(part)}" for part in one.parts)],
                sum(check.passed for check in one.checks),
                failed,
                [caution.text for caution in one.cautions],
                None if drawn is None else drawn.read_bytes(),
            )
        )
    return found


def _standing(found: Shown, loaded: LoadedCase, report: BuildReport, one: Guide | BodyPart, now: Mapping[str, str]) -> tuple[str, str]:
    """The status of a guide or part as the case is now, and in the words of its label; a note says why it is another than in its report."""
    name, changed = section_of(one), changed_since(now, report, one)
    other = other_settings(loaded, report, one)
    if one.status == "passed" and changed:
        found.notes.append(f"STALE: {name}: this has changed since it was built: {', '.join(changed)}; build it again")
        return "stale", "STALE"
    if one.status == "stale":
        found.notes.append(f"STALE: {name}: what it was made from has changed since it was built; build it again")
        return "stale", "STALE"
    if other is not None:
        found.notes.append(f"{name} belongs to another case than the one shown: it was {other}")
        return one.status, f"{one.status}, with other settings"
    return one.status, one.status


def _own(found: Shown, folder: Path, name: str, one: Guide | BodyPart) -> Path | None:
    """A file of a guide or part, if it is there and the one that the report tells of; else a note says why it is not shown."""
    path, digest = folder / name, one.sha256.get(name)
    if digest is None:
        return None
    if not path.is_file():
        found.notes.append(f"'{name}' is missing from the output folder, and is not drawn")
        return None
    if sha256_of(path) != digest:
        kind = "part" if isinstance(one, BodyPart) else "guide"
        found.notes.append(f"'{name}' is not the file that its report tells of, and is not drawn; build the {kind} again")
        return None
    return path


def _in_host(mesh: trimesh.Trimesh, graft: GraftSaid) -> trimesh.Trimesh:
    """What is made on a donor's bone, as it lies in the patient; of a donor of the other side its mirror image."""
    pose = np.array(graft.patient_from_donor)
    faces = np.asarray(mesh.faces)
    mirrored = float(np.linalg.det(pose[:3, :3])) < 0.0
    return trimesh.Trimesh(apply(pose, np.asarray(mesh.vertices)), faces[:, ::-1] if mirrored else faces, process=False)


def _called(part: MadePart) -> str:
    return f"part {part.name}" if part.name else "the part itself"


def _measured(part: MadePart) -> str:
    """Such as "a solid of 1.2 cm³; web across 6 mm": what was measured of each feature under its name."""
    told = [f"a {part.kind} of {part.volume_mm3 / 1000.0:.1f} cm³"]
    for feature in part.features:
        sizes = [f"{feature[key]:g} mm" for key in ("width", "diameter", "thickness") if isinstance(feature.get(key), int | float)]
        told.append(f"{feature.get('kind', 'feature')} {feature.get('name', '')} {' '.join(sizes)}".strip())
    return "; ".join(told)


def _values(one: Guide | BodyPart) -> list[str]:
    """What was measured, in words."""
    if isinstance(one, BodyPart):
        return []
    told = [
        f"slot {slot.name}: {slot.width_mm:.2f} mm wide, guided over {slot.height_min_mm:.1f} mm"
        for slot in one.slots
        if slot.width_mm is not None and slot.height_min_mm is not None
    ]
    told += option_lines([one for one in one.features if one["kind"] in ("ledge", "liner")])
    told += [
        f"sleeve {bore.name}: bore {bore.diameter_mm:.2f} mm, guided over {bore.guided_mm:.1f} mm"
        for bore in one.bores
        if bore.diameter_mm is not None and bore.guided_mm is not None
    ]
    told += [
        f"graft at {face.cut}: {face.fit_mm:g} mm from the host, over {face.met.covered:.0%} of its face; rims {face.met.step_median_mm:.1f} mm apart"
        for face in (one.graft.faces if one.graft is not None else ())
        if face.met is not None
    ]
    if one.seat is not None and one.seat.contact_area_mm2 is not None:
        told.append(f"seat: {one.seat.contact_area_mm2:.0f} mm² of contact")
    return [*told, f"volume {one.volume_mm3 / 1000.0:.1f} cm³"] if one.volume_mm3 is not None else told
