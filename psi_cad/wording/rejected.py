"""What is said of a rejected guide: which check failed where, and what would pass."""

from __future__ import annotations

from collections.abc import Iterable

from psi_cad.builder.suggest import set_argument
from psi_cad.records.guide import Guide
from psi_cad.remedies.mending import CHECKS, REFUSALS, base_id, sentence

__all__ = ["rejection_lines", "told_of_tries"]


def told_of_tries(failed: Iterable[str]) -> str:
    """Whether a build tries changes against these ids of failed checks and reasons of refusals, as a clause.

    >>> told_of_tries(["stem", ""])
    'no change of a guide is known that mends this, so change the case'
    """
    known = {**CHECKS, **REFUSALS}
    if any(known[base_id(one)].changes for one in failed if base_id(one) in known):
        return "`psi-cad build` tries changes and tells those that pass"
    return "no change of a guide is known that mends this, so change the case"


def rejection_lines(guide: Guide) -> list[str]:
    """Sentences on a rejected guide of a report; none on one that passed."""
    if guide.status != "rejected":
        return []
    failed = [check for check in guide.checks if not check.passed]
    lines = [f"psi-cad: {guide.name} for {guide.blade} is rejected."]
    lines += [f"  {sentence(check.to_json())}." for check in failed]
    if "png" in guide.files:
        lines.append(f"  The places are marked in {guide.files['png']}.")
    passing = [set_argument(setting) for one in guide.remedies for setting in one.set_]
    if passing:
        return [*lines, f"  This was tried and passes: {' or '.join(passing)}"]
    usual = dict.fromkeys(CHECKS[base_id(check.id)].usual for check in failed if base_id(check.id) in CHECKS)
    tried = [one.set_[0].split(".", 2)[2] for one in guide.tried]
    if tried:
        lines.append(f"  {len(tried)} changes were tried ({', '.join(tried)}), none passed.")
    return [*lines, f"  What usually mends it: {'; '.join(usual)}."]
