"""One guide for one blade, on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trimesh

from psi_cad.builder.entry import Made
from psi_cad.guides.site import Site
from psi_cad.making.beside import Beside
from psi_cad.promises.expected import Expected

__all__ = ["Shown", "Task"]

ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Task:
    """One guide for one blade: how often the kernel has stumbled on it; where it sits after its first seat turned out bad, and how often."""

    guide: int
    site: int
    attempt: int = 0
    elsewhere: Site | None = None
    seats: int = 1  # it was made on, this one included
    stands: bool = False  # whatever comes of it

    @property
    def key(self) -> tuple[int, int]:
        """Of the guide and its blade among those of the job."""
        return self.guide, self.site

    @property
    def final(self) -> bool:
        """Whether the kernel is asked no more after this."""
        return self.attempt == ATTEMPTS - 1


@dataclass(frozen=True)
class Shown:
    """A guide whose files are written and are being measured."""

    task: Task
    made: Made
    expected: Expected
    mesh: trimesh.Trimesh  # with the parts beside it, for its picture
    beside: tuple[Beside, ...] = ()
