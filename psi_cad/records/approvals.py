"""`approvals.json`: the chain of approvals of a case."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from psi_cad.records.base import Count, Flag, Record, lately
from psi_cad.records.shared import Role

__all__ = ["Approval", "Approvals"]


class Approval(Record):
    """One approval: who approved exactly what."""

    sequence: Count = Field(description="its number, from 1")
    case: str = Field(description="the case's id")
    role: Role = Field(description="who approved")
    name_code: str = Field(description="a pseudonymous code of the person")
    same_person: Flag = lately("one person approved in both roles, and said so", False)
    note: str = Field(description="one line; may be empty")
    time: str = Field(description="when, UTC")
    what: dict[str, dict[str, str]] = Field(
        description="what was approved: a section (plan, guide NAME_BLADE, part NAME_PRINTER) to its labels and their hashes or words"
    )
    previous: str = Field(description="hash of the entry before it; 64 zeros for the first")
    hash: str = Field(description="SHA-256 of this entry without this key, as JSON with sorted keys and no spaces")


class Approvals(Record):
    """The approvals of a case, oldest first."""

    schema_: Literal[1] = lately("rises if the meaning of a key changes", 1)
    count: Count = Field(description="how many entries there are")
    last: str = Field(description="hash of the last entry")
    entries: list[Approval] = Field(description="oldest first")
