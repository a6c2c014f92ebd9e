"""Cautions that a person accepts by name, so that a guide or part may be released in spite of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from psi_cad.errors import InputError
from psi_cad.findings import CAUTIONS, Caution
from psi_cad.outputs.subject import NO_PLAN, made_in
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.plan import PlanReport
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import CautionSaid

__all__ = ["NO_PLAN_SAID", "accept_in", "accepted_ids", "add_plans", "cautions_told", "ordered", "unaccepted", "way_on"]

ORDER: Final = list(CAUTIONS)
NO_PLAN_SAID: Final = "no plan.json lies beside the guides: nothing tells that the cuts free the specimen, or with what margin"


def accepted_ids(accept: Sequence[str]) -> tuple[str, ...]:
    """The kinds of caution that `--accept` names, the most serious first; several may stand in one text, parted by commas.

    Raises
    ------
    InputError
        Where a name is no kind of caution; it tells all such names.
    """
    named = [name.strip() for text in accept for name in text.split(",") if name.strip()]
    unknown = [name for name in dict.fromkeys(named) if name not in CAUTIONS]
    if unknown:
        near = {name: difflib.get_close_matches(name, ORDER, n=1, cutoff=0.4) for name in unknown}
        meant = [f"did you mean '{found[0]}'" + (f" for '{name}'" if len(unknown) > 1 else "") + "? " for name, found in near.items() if found]
        asked = ", ".join(name for name in ORDER if CAUTIONS[name].blocks_release)
        raise InputError(f"--accept {', '.join(unknown)}: there is no caution of that name; {''.join(meant)}those that block a release are {asked}.")
    return ordered(named)


def ordered(ids: Iterable[str]) -> tuple[str, ...]:
    """Kinds of caution, each once, the most serious first."""
    known = set(ids)
    return tuple(sorted((name for name in known if name in CAUTIONS), key=ORDER.index))


def cautions_told(cautions: Sequence[CautionSaid], made: Sequence[Guide | BodyPart]) -> list[CautionSaid]:
    """The cautions of a case and of some of its guides and parts: each once, the most serious first."""
    found = [*cautions, *(caution for one in made for caution in one.cautions)]
    once = {(caution.id, caution.text): caution for caution in found}
    return sorted(once.values(), key=lambda caution: ORDER.index(caution.id) if caution.id in CAUTIONS else -1)


def unaccepted(report: BuildReport, made: Sequence[Guide | BodyPart], *, planned: bool) -> tuple[str, ...]:
    """The kinds of caution that keep some guides and parts of a report from being released: those that block, and are not accepted for them.

    What an entry itself tells of blade, printer and overrides counts, and whether a plan lies beside a guide now (`planned`),
    whatever cautions the report holds.
    """
    found: list[str] = []
    for one in made:
        told = [*(caution.id for caution in cautions_told(report.cautions, [one])), *_told_by_entry(one)]
        told = [name for name in told if name != NO_PLAN] + ([] if planned or not _cuts_bone(one) else [NO_PLAN])
        found += [name for name in told if name in CAUTIONS and CAUTIONS[name].blocks_release and name not in one.accepted]
    return ordered(found)


def _cuts_bone(one: Guide | BodyPart) -> bool:
    """Whether bone is cut through a guide, or a part is made of what cuts leave."""
    return one.cuts_bone if isinstance(one, Guide) else bool(one.cuts)


def _told_by_entry(one: Guide | BodyPart) -> list[str]:
    """The kinds of caution that follow from the values of an entry."""
    told = ["uncalibrated-printer"] if (one.printer_entry or {}).get("calibrated") is False else []
    return told if isinstance(one, BodyPart) else [*told, *_told_by_guide(one)]


def _told_by_guide(guide: Guide) -> list[str]:
    told = ["nominal-blade"] if (guide.blade_entry or {}).get("nominal") else []
    told += ["nominal-tool"] if any(way.tool.get("nominal") for way in guide.trajectories) else []
    told += ["nominal-implant"] if any((way.implant or {}).get("nominal") for way in guide.trajectories) else []
    told += ["clearance-override"] if "clearance" in guide.overrides else []
    return told


def way_on(open_: Iterable[str], accepted: Iterable[str] = ()) -> str:
    """What to do about kinds of caution that are not accepted, given those that are: the whole of the options to paste.

    A plan that is missing is to be made; that it may be accepted instead is not proposed.
    """
    ids = ordered({name for name in open_ if name != NO_PLAN} | set(accepted))
    build = [f"build with {' '.join(f'--accept {name}' for name in ids)}"] if ids else []
    return " and ".join([*(["run 'psi-cad plan CASE -o OUT'"] if NO_PLAN in set(open_) else []), *build])


def add_plans(report: BuildReport, plan: PlanReport | None) -> None:
    """Write into a report that was just made what keeps it from a release and no build can know: that there is no plan, or tumour that stays."""
    if plan is None and not any(_cuts_bone(one) for one in made_in(report)):
        return  # nothing is cut, so there is nothing to plan
    if plan is None:
        report.cautions.append(CautionSaid(**Caution(NO_PLAN, f"{NO_PLAN_SAID}; run 'psi-cad plan CASE -o OUT'").to_json()))
        return
    told = {caution.id for caution in cautions_told(report.cautions, made_in(report))}
    more = [caution for caution in plan.cautions if caution.id not in told]
    report.cautions += [caution for caution in more if (kind := CAUTIONS.get(caution.id)) is not None and kind.blocks_release]


def accept_in(report: BuildReport, accept: Sequence[str]) -> None:
    """Write into a report that was just made what is accepted of its cautions: for each guide and part, for the case, and what still blocks.

    Raises
    ------
    InputError
        Where something is accepted that nobody was told; the report holds the rest by then.
    """
    wanted, made = accepted_ids(accept), made_in(report)
    there = ordered(caution.id for caution in cautions_told(report.cautions, made))
    for one in made:
        own = {caution.id for caution in cautions_told(report.cautions, [one])}
        one.accepted = [name for name in wanted if name in own]
    report.accepted = [name for name in wanted if any(caution.id == name for caution in report.cautions)]
    report.unaccepted = list(unaccepted(report, made, planned=NO_PLAN not in there))
    absent = [name for name in wanted if name not in there]
    if absent:
        what = "that option" if len(absent) == 1 else "those options"
        raise InputError(f"--accept {', '.join(absent)}: this build has no such caution; it has {', '.join(there) or 'none'}; leave {what} out.")
