"""What is measured of stems whose guides sit on the bone that the cuts leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from psi_cad.errors import DesignError
from psi_cad.files import sha256_of
from psi_cad.findings import Caution
from psi_cad.guides.contract import StemFeature
from psi_cad.guides.site import Site
from psi_cad.making.beside import Beside
from psi_cad.reconstruction.told import stem_checks, stem_said
from psi_cad.records.guide import MeasuredFiles, Way
from psi_cad.records.shared import CheckSaid
from psi_cad.records.stems import RetainedSaid, StemSaid
from psi_cad.scene.bodies import Scene
from psi_cad.units import Mm

__all__ = ["refuse_stemless", "retained_said", "stem_cautions", "with_stems"]

IN_BONE_MM: Final[Mm] = 0.5


def refuse_stemless(template: str, site: Site, stems: Sequence[StemFeature]) -> None:
    """Refuse a design that promises no stem for a trajectory of its site.

    Raises
    ------
    DesignError
    """
    promised = [stem.trajectory for stem in stems]
    for way in site.ways if site.stems is not None else ():
        if promised.count(way.name) != 1:
            raise DesignError(f"The template '{template}' promises no stem for trajectory '{way.name}'; let it return one, or take another.")


def with_stems(
    measured: MeasuredFiles, site: Site, stems: Sequence[StemFeature], beside: Sequence[Beside], folder: Path, bone: str
) -> tuple[MeasuredFiles, list[StemSaid]]:
    """What was measured of a guide with that of its stems, and what a report says of these; nothing of a guide that is for none.

    `bone`: the file, in `folder`, of the bone that stays.
    """
    if site.stems is None:
        return measured, []
    trials = {one.part.name: folder / one.written.files["stl"] for one in beside}
    ways = {way["name"]: Way.model_validate(way) for way in site.planned_ways()}
    bores = {bore.name: bore for bore in measured.bores}
    said = [stem_said(one, ways[one.trajectory], bores[one.trajectory], site.stems.sawn, folder / bone, trials.get(one.trial)) for one in stems]
    checks = [check for one in said for check in stem_checks(one)]
    passed = measured.status == "passed" and all(check.passed for check in checks)
    more = [CheckSaid.model_validate(check.to_json()) for check in checks]
    return measured.but(checks=[*measured.checks, *more], status="passed" if passed else "rejected"), said


def stem_cautions(stems: Sequence[StemSaid]) -> list[Caution]:
    """What a person must know of the cups."""
    return [
        Caution(
            "cup-in-bone",
            f"the cup on stem {one.trajectory} reaches {one.cup.in_bone_mm:.1f} mm into the bone that stays: so much has to be reamed, and the "
            "trial, which is cut away there, does not show it",
        )
        for one in stems
        if one.cup.in_bone_mm > IN_BONE_MM
    ]


def retained_said(scene: Scene, folder: Path, used: Sequence[str]) -> list[RetainedSaid]:
    """The bones that the cuts leave, in their files `used`, as a report tells of them."""
    return [
        RetainedSaid(used=name, used_sha256=sha256_of(folder / name), **({"bone": str(body.name)} if scene.several else {}))
        for body, name in zip(scene.bodies, used, strict=False)
    ]
