"""What the page of `look` says of guides and parts that were built: a picture, measured values, and checks in words."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["STYLE", "LookMade", "section_of_made"]

STYLE: Final = """\
#madebox details { margin-bottom: 8px; }
#madebox summary { cursor: pointer; font-weight: 600; }
#madebox img { display: block; width: 100%; margin: 6px 0; border: 1px solid #ccc; }
#madebox .bad { color: #a01008; }
"""


@dataclass(frozen=True)
class LookMade:
    """One guide or part that was built: what it is called, what became of it, and what was measured; `picture`: a PNG, as it was drawn."""

    name: str
    status: str
    values: Sequence[str]
    passed: int
    failed: Sequence[str]
    cautions: Sequence[str] = ()
    picture: bytes | None = None


def section_of_made(made: Sequence[LookMade]) -> str:
    """A section of the page, as HTML; empty where nothing was built."""
    if not made:
        return ""
    return f'\n<section id="madebox"><h2>Guides and parts</h2>{"".join(map(_entry, made))}</section>'


def _entry(one: LookMade) -> str:
    picture = ""
    if one.picture is not None:
        data = base64.b64encode(one.picture).decode()
        picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(one.name)}, as it was drawn when it was built">'
    checks = [f'<li class="bad">{html.escape(text)}</li>' for text in one.failed] or [f"<li>{_passed(one.passed)}</li>"]
    lines = [*(f"<li>{html.escape(text)}</li>" for text in one.values), *checks, *(f"<li>caution: {html.escape(text)}</li>" for text in one.cautions)]
    status = one.status.upper() if one.status == "stale" else one.status
    bad = "" if one.status == "passed" else ' class="bad"'
    return f"<details><summary{bad}>{html.escape(one.name)}: {html.escape(status)}</summary>{picture}<ul>{''.join(lines)}</ul></details>"


def _passed(count: int) -> str:
    return "1 check passed" if count == 1 else f"{count} checks passed"
