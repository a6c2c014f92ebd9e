"""What is done when a guide was refused or rejected: a picture of the place, and changes tried in a process of their own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psi_cad.case.load import LoadedCase
from psi_cad.errors import BuildError, InputError, PsiCadError, from_json
from psi_cad.processes.workers import Workers, perform
from psi_cad.records.guide import Remedy, TriedChange
from psi_cad.records.report import BuildReport
from psi_cad.records.shared import Refused
from psi_cad.remedies.mending import base_id
from psi_cad.units import Mm

__all__ = ["PICTURE_FILE", "REFUSED_FILE", "STEM", "TRIED_FILE", "Asked", "Attempt", "explain_refused", "explained", "set_argument", "suggested"]

REFUSED_FILE: Final = "REFUSED.png"
TRIED_FILE: Final = "tried.json"
PICTURE_FILE: Final = "place.png"
SECONDS: Final = 150.0  # a try that hangs is ended; no try is begun after a minute
STEM: Final = "stem"
MOST_GUIDES: Final = 3  # of one build for which changes are tried


@dataclass(frozen=True)
class Asked:
    """How a build was asked for: the case, its catalogue, whether blades were named, and whether changes are wanted."""

    loaded: LoadedCase
    catalogue: Path | None
    blades: tuple[str, ...]
    suggest: bool
    progress: Callable[[str], None] | None
    workers: Workers | None = None  # processes that are there already


@dataclass(frozen=True)
class Attempt:
    """What is to be tried for one guide and blade, and the place of which a picture is wanted.

    `asked`: ids of failed checks, or the reason of a refusal. `given`: whether the blade was named on the command line.
    `needed`: the usable length (mm) that a blade needs, where that is known.
    """

    loaded: LoadedCase
    catalogue: Path | None
    guide: str | None
    blade: str | None
    given: bool
    asked: tuple[str, ...]
    place: tuple[float, ...] | None
    text: str
    needed: Mm = 0.0


def set_argument(setting: str) -> str:
    """A setting as it is pasted after the command.

    >>> set_argument("guide.g.params.run_out=3")
    '--set guide.g.params.run_out=3'
    """
    return f'--set "{setting}"' if "[" in setting else f"--set {setting.replace(chr(34), '')}"


def suggested(asked: Asked, report: BuildReport) -> None:
    """Try changes for the rejected guides of a report; each gains `tried`, and `remedies`: those that pass."""
    rejected = [guide for guide in report.guides if guide.status != "passed"]
    for guide in rejected:
        guide.tried, guide.remedies = [], []
    for guide in rejected[:MOST_GUIDES] if asked.suggest else ():
        failed = [check for check in guide.checks if not check.passed]
        needed = max((check.limit for check in failed if base_id(check.id) == "blade_reach"), default=0.0)
        guide.tried = _attempted(asked, guide.name, guide.blade, [check.id for check in failed], None, "", None, needed=needed)
        guide.remedies = [Remedy(set_=one.set_, passed=one.passed, why=one.why) for one in guide.tried if one.passed]


def explained(asked: Asked, error: PsiCadError, picture: Path) -> PsiCadError:
    """A refusal with what was tried against it; where it has a place, with a picture of that at `picture`."""
    wanted = asked.suggest and bool(error.reason and error.guide)
    if error.where is None and not wanted:
        return error
    guide = error.guide if wanted or error.reason == STEM else None  # nothing is tried of a stem, and its section is drawn
    text = str(error).split("; ")[0].rstrip(".")
    tried = _attempted(asked, guide, error.blade, (error.reason,), error.where, text, picture)
    message = str(error)
    good = [one.set_[0] for one in tried if one.passed]
    if good:
        message += f" This was tried and passes: {' or '.join(set_argument(setting) for setting in good)}."
    elif tried:
        message += f" {len(tried)} changes were tried ({', '.join(one.set_[0].partition('.' + str(guide) + '.')[2] for one in tried)}), none passed."
    if picture.is_file():
        message += f" The place is marked in '{picture}'."
    told = type(error)(message, where=error.where, remedies=good, errors=error.errors, reason=error.reason)
    told.about(error.guide, error.blade)
    return told


def explain_refused(asked: Asked, report: BuildReport, folder: Path) -> None:
    """The same for the guides that a report tells were refused beside others that were made; the places are drawn into `folder`."""
    told = []
    for number, said in enumerate(report.refused):
        error = from_json(said.to_json())
        if said.part:  # a part has no seat that could be changed
            told.append(said)
            continue
        picture = folder / f"{error.guide}_{error.blade}_{REFUSED_FILE}"
        picture.unlink(missing_ok=True)
        mended = explained(asked, error, picture) if number < MOST_GUIDES else error
        told.append(Refused.model_validate(mended.to_json()))
    report.refused = told


def _attempted(
    asked: Asked,
    guide: str | None,
    blade: str,
    failed: Sequence[str],
    place: tuple[float, ...] | None,
    text: str,
    picture: Path | None,
    *,
    needed: Mm = 0.0,
) -> list[TriedChange]:
    """What was tried for one guide; a process that dies takes only what it had not tried yet. The picture is moved to its name."""
    wanted = Attempt(asked.loaded, asked.catalogue, guide, blade or None, bool(asked.blades), tuple(failed), place, text, needed)
    with tempfile.TemporaryDirectory(prefix="psi-cad-try-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with suppress(BuildError, InputError):  # the refusal itself is told in any case
            perform("try", {"folder": name}, payload=lambda: wanted, progress=asked.progress, time_limit=SECONDS, workers=asked.workers)
        if picture is not None and (folder / PICTURE_FILE).is_file():
            picture.parent.mkdir(parents=True, exist_ok=True)
            (folder / PICTURE_FILE).replace(picture)
        try:
            return [TriedChange.model_validate(one) for one in json.loads((folder / TRIED_FILE).read_text("utf-8"))]
        except (OSError, ValueError):
            return []
