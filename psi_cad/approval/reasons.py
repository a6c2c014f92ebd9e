"""Everything that stands in the way of an approval or a release, told in one refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from psi_cad.errors import PsiCadError

__all__ = ["refusal"]

Kind = TypeVar("Kind", bound=PsiCadError)


def refusal(kind: type[Kind], head: str, reasons: Sequence[str], *, besides: str = "") -> Kind:
    """The error that tells one or more reasons (without a full stop), a line each where there are several; `besides`: a sentence that is none.

    >>> str(refusal(PsiCadError, "'c' is not released", ["the surgeon approved nothing"]))
    "'c' is not released: the surgeon approved nothing."
    """
    told = list(dict.fromkeys(reasons))
    if len(told) == 1:
        return kind(" ".join(part for part in (f"{head}:" if head else "", f"{told[0]}.", besides) if part))
    lines = "\n".join([*(f"- {reason}." for reason in told), *([besides] if besides else [])])
    return kind(f"{head or 'refused'}, for {len(told)} reasons:\n{lines}", errors=[{"key": "", "message": f"{reason}."} for reason in told])
