"""Every error psi-cad raises on purpose: one tree, one sentence each.

PsiCadError
├── InputError            what the user gave is wrong            (exit 2)
│   ├── CaseError         the case file or a key in it
│   ├── CatalogueError    a blade or printer entry
│   ├── ImageError        a scan or label map that cannot be read, or cannot be trusted
│   └── SurfaceError      a bone or tumour surface that cannot be trusted
├── BuildError            the input is sound, the guide was not made  (exit 1)
│   ├── RegistrationError two scans were not brought into one frame with certainty
│   ├── SegmentationError no bone or tumour was found where it was looked for
│   ├── DesignError       no guide fits this bone, cut and blade
│   ├── SeatError         the seat does not follow the bone closely enough
│   ├── ApprovalError     what was to be approved or released is not fit for it, or its record is broken
│   ├── KernelError       a geometry operation failed, hung or crashed
│   └── EnvironmentProblem  something the machine lacks
└── Stopped               somebody stopped it; it says what is written all the same  (exit 130)
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

__all__ = [
    "ApprovalError",
    "BuildError",
    "CaseError",
    "CatalogueError",
    "DesignError",
    "EnvironmentProblem",
    "ImageError",
    "InputError",
    "KernelError",
    "PsiCadError",
    "RegistrationError",
    "SeatError",
    "SegmentationError",
    "Stopped",
    "SurfaceError",
    "by_name",
    "either",
    "from_json",
    "refused_by_system",
    "unexpected",
]


def either(ways: Sequence[str]) -> str:
    """Ways on, as a sentence ends with them.

    >>> either(["give another approach", "raise slope_limit", "make a guide for each"])
    'give another approach, raise slope_limit, or make a guide for each'
    >>> either(["give another approach", "raise slope_limit"])
    'give another approach, or raise slope_limit'
    """
    return ", or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)


class PsiCadError(Exception):
    """Base of all deliberate errors; ``str(error)`` is one sentence for the user.

    Parameters
    ----------
    where : (3,), optional
        The place it is about, patient mm.
    remedies : sequence of str, optional
        Arguments of `--set` that were tried and mend it.
    errors : sequence of mappings, optional
        Where it tells of several mistakes, a line each: `key` and `message` of each.
    reason : str, optional
        What kind of refusal it is, where changes can be tried for it: a key of `run.mending.REFUSALS`.

    `guide` and `blade` name the guide it is about, once that is known.
    """

    exit_code = 1

    def __init__(
        self,
        message: str = "",
        *,
        where: Iterable[float] | None = None,
        remedies: Sequence[str] = (),
        errors: Sequence[Mapping[str, str]] = (),
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.errors: tuple[dict[str, str], ...] = tuple(dict(one) for one in errors)
        self.where: tuple[float, ...] | None = None if where is None else tuple(round(float(v), 2) for v in where)
        self.remedies: tuple[str, ...] = tuple(remedies)
        self.reason, self.guide, self.blade = reason, "", ""

    def about(self, guide: str, blade: str) -> None:
        """Say which guide and blade it is about, unless that is known."""
        self.guide, self.blade = self.guide or guide, self.blade or blade

    def to_json(self) -> dict[str, Any]:
        """As it crosses from one process to another, and as a machine is told."""
        said = {"error": type(self).__name__, "message": str(self), "where": self.where, "remedies": list(self.remedies)}
        return {**said, "errors": list(self.errors), "reason": self.reason, "guide": self.guide, "blade": self.blade}


class InputError(PsiCadError):
    """What the user gave is wrong."""

    exit_code = 2


class CaseError(InputError):
    """The case file, or a key in it, is wrong."""


class CatalogueError(InputError):
    """A blade or printer entry is wrong or unknown."""


class ImageError(InputError):
    """A scan or label map cannot be read, or cannot be trusted."""


class SurfaceError(InputError):
    """A surface cannot be read, or cannot be trusted."""


class BuildError(PsiCadError):
    """The input is sound but the guide was not made."""


class RegistrationError(BuildError):
    """Two scans were not brought into one frame with certainty."""


class SegmentationError(BuildError):
    """No bone or tumour was found where it was looked for."""


class DesignError(BuildError):
    """No guide of this template fits this bone, cut and blade; `anywhere`: however it would sit."""

    anywhere: bool = False

    def on_any_seat(self) -> DesignError:
        """The same of what no other seat would mend, so that none is looked for."""
        self.anywhere = True
        return self


class SeatError(BuildError):
    """The seat does not follow the bone within its limits; `spots` (n, 2) are the places, in the guide's xy."""

    spots: Any = ()


class ApprovalError(BuildError):
    """Something cannot be approved or released as it is, or the record of approvals is broken."""


class Stopped(PsiCadError):
    """Somebody stopped it; it says what is written all the same."""


class KernelError(BuildError):
    """A geometry operation failed, ran out of time, or crashed; `step` is what was being done when a process ended."""

    step: str = ""


class EnvironmentProblem(BuildError):
    """The machine lacks something psi-cad needs."""


def from_json(data: Mapping[str, Any]) -> PsiCadError:
    """The error that `to_json` told of in another process."""
    error = by_name(str(data["error"]))(
        str(data["message"]),
        where=data.get("where"),
        remedies=data.get("remedies") or (),
        errors=data.get("errors") or (),
        reason=str(data.get("reason") or ""),
    )
    error.about(str(data.get("guide") or ""), str(data.get("blade") or ""))
    return error


def by_name(name: str) -> type[PsiCadError]:
    """The error class called `name`; `PsiCadError` where there is none.

    Errors cross from the build process to its caller by name and sentence.
    """
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, PsiCadError):
        return found
    return PsiCadError


def refused_by_system(error: OSError, where: object) -> BuildError:
    """What a refusal of the system (a full disk, no right to write) is told as; `where`: the file or folder, if it does not say."""
    return BuildError(f"The system refused '{error.filename or where}': {error.strerror or error}.")


def unexpected(error: Exception) -> tuple[str, str]:
    """What a last door tells of a mistake of psi-cad's own: its kind and the place it came from, and what it says, a line of it."""
    place, said = traceback.extract_tb(error.__traceback__)[-1], str(error).splitlines()
    return f"unexpected {type(error).__name__} in {PurePath(place.filename).name}, line {place.lineno}", said[0] if said else "no message"
