"""What is measured of stems whose guides sit on the bone that the cuts leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psi_cad.builder.entry import Made
from psi_cad.builder.folder import RETAINED_FILE, retained_file
from psi_cad.errors import DesignError
from psi_cad.files import sha256_of
from psi_cad.intake.prepare import Job
from psi_cad.making.beside import Beside
from psi_cad.reconstruction.told import stem_checks, stem_said
from psi_cad.records.guide import MeasuredFiles, Way
from psi_cad.records.shared import CheckSaid
from psi_cad.records.stems import RetainedSaid, StemSaid

__all__ = ["refuse_stemless", "retained_said", "with_stems"]


def refuse_stemless(made: Made) -> None:
    """Refuse a design that promises no stem for a trajectory of its site.

    Raises
    ------
    DesignError
    """
    wanted = [way.name for way in made.site.ways] if made.site.stems is not None else []
    promised = [stem.trajectory for stem in made.design.stems]
    for name in wanted:
        if promised.count(name) != 1:
            raise DesignError(f"The template '{made.request.template}' promises no stem for trajectory '{name}'; let it return one, or take another.")


def with_stems(measured: MeasuredFiles, made: Made, beside: Sequence[Beside], job: Job, folder: Path) -> tuple[MeasuredFiles, list[StemSaid]]:
    """What was measured of a guide with that of its stems, and what a report says of these; nothing of a guide that is for none."""
    if made.site.stems is None:
        return measured, []
    name = job.loaded.case.bone_of(made.request)
    bone = folder / (retained_file(name) if job.bones.scene.several else RETAINED_FILE)
    trials = {one.part.name: folder / one.written.files["stl"] for one in beside}
    ways = {way["name"]: Way.model_validate(way) for way in made.site.planned_ways()}
    bores = {bore.name: bore for bore in measured.bores}
    said = [
        stem_said(one, ways[one.trajectory], bores[one.trajectory], made.site.stems.sawn, bone, trials.get(one.trial)) for one in made.design.stems
    ]
    checks = [check for one in said for check in stem_checks(one)]
    passed = measured.status == "passed" and all(check.passed for check in checks)
    more = [CheckSaid.model_validate(check.to_json()) for check in checks]
    return measured.but(checks=[*measured.checks, *more], status="passed" if passed else "rejected"), said


def retained_said(job: Job, folder: Path, used: Sequence[str]) -> list[RetainedSaid]:
    """The bones that the cuts leave, in their files `used`, as a report tells of them."""
    several = job.bones.scene.several
    return [
        RetainedSaid(used=name, used_sha256=sha256_of(folder / name), **({"bone": str(body.name)} if several else {}))
        for body, name in zip(job.bones.scene.bodies, used, strict=True)
    ]
