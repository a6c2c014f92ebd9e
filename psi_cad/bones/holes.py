"""Holes through a bone, for the person in front of it: how many, where, how large, what was closed, and a picture of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.errors import CaseError
from psi_cad.extraction.holes import THIN_MM, Hole
from psi_cad.findings import Caution
from psi_cad.records.segmentation import SegmentedSaid
from psi_cad.units import Mm
from psi_cad.voxels.volume import Volume

__all__ = ["HOLES", "MOST_CLOSED_MM", "check_close", "hole_cautions", "hole_lines", "write_holes"]

HOLES: Final = "_holes.png"
MOST_CLOSED_MM: Final[Mm] = 20.0
"""Across; holes that large are no tears of a thin blade, but foramina."""
_AROUND_MM: Final[Mm] = 25.0  # of a hole that its picture shows
_ROWS: Final = 6  # holes with pictures of their own
_LINES: Final = 8


def check_close(close: Mm | None) -> Mm:
    """The greatest size of holes that are to be closed, mm; 0 where none are.

    Raises
    ------
    CaseError
    """
    if close is None:
        return 0.0
    if not 0.0 < close <= MOST_CLOSED_MM:
        raise CaseError(
            f"--close-holes {close:g} must be above 0 and at most {MOST_CLOSED_MM:g} mm: larger holes are foramina, no tears of thin bone."
        )
    return close


def size_of(hole: Hole) -> str:
    """A hole's size, place and surroundings in words."""
    around = "bone too thin to measure" if hole.bone_around is None else f"bone {hole.bone_around:.1f} mm thick"
    return f"{hole.diameter:.1f} × {hole.width:.1f} mm at ({', '.join(f'{v:.1f}' for v in hole.centre)}), in {around}"


def hole_cautions(name: str, holes: Sequence[Hole]) -> list[Caution]:
    """What a person must know of a bone's holes: those in thin bone, which the scan may have torn, and those that were closed."""
    told = []
    torn = [hole for hole in holes if hole.thin and not hole.closed]
    if torn:
        largest = torn[0]
        many = f"{len(torn)} holes in bone" if len(torn) > 1 else "a hole in bone"
        small = [hole.diameter for hole in torn if hole.diameter < MOST_CLOSED_MM - 1.0]
        closing = (
            f"--close-holes {np.ceil(small[0] + 0.1):.0f} closes {'those of less than that' if len(torn) > 1 else 'it'}"
            if small
            else "it is too large to close"
        )
        text = (
            f"{name} has {many} thinner than {THIN_MM:g} mm{', the largest' if len(torn) > 1 else ':'} {size_of(largest)}: "
            f"a foramen, or bone too thin for this scan; look at {name}{HOLES}; {closing}."
        )
        told.append(Caution("thin-bone-hole", text, largest.centre))
    shut = [hole for hole in holes if hole.closed]
    if shut:
        many = f"{len(shut)} holes of {name} were" if len(shut) > 1 else f"a hole of {name} was"
        which = "the largest " if len(shut) > 1 else ""
        text = f"{many} closed on request, {which}{size_of(shut[0])}; no bone was measured there, and no guide sits there."
        told.append(Caution("surface-mended", text[0].upper() + text[1:], shut[0].centre))
    return told


def hole_lines(bone: SegmentedSaid) -> list[str]:
    """The holes of a bone of a report, one a line."""
    lines = []
    for hole in bone.holes[:_LINES]:
        around = "too thin to measure" if hole.bone_around_mm is None else f"{hole.bone_around_mm:.1f} mm thick"
        place = ", ".join(f"{v:.1f}" for v in hole.centre_mm)
        state = "closed; no measured bone" if hole.closed else "open"
        lines.append(f"hole {hole.number}: {hole.diameter_mm:.1f} × {hole.width_mm:.1f} mm at ({place}), bone around it {around}; {state}")
    if len(bone.holes) > _LINES:
        lines.append(f"and {len(bone.holes) - _LINES} more: see report.json")
    return lines


def write_holes(path: Path, scan: Volume, name: str, mesh: trimesh.Trimesh, holes: Sequence[Hole]) -> None:
    """A PNG with the scan and the bone's outline through its holes: those in thin bone first, largest first."""
    from psi_cad.report.lettering import Mark
    from psi_cad.report.overlay import write_rows

    shown = sorted(holes, key=lambda hole: not hole.thin)[:_ROWS]
    rows = [(np.array(hole.centre), f"hole {hole.number}") for hole in shown]
    # with the number that the report and the marks of the STL give it: the rows are in another order
    marks = [Mark(hole.centre, f"hole of {size_of(hole)}{', closed: no measured bone' if hole.closed else ''}", hole.number) for hole in shown]
    more = f"; {len(holes) - len(shown)} more in report.json" if len(holes) > len(shown) else ""
    write_rows(path, scan, mesh, rows, around=_AROUND_MM, title=f"{name}: {_count(holes)}{more}", marks=marks)


def _count(holes: Iterable[Hole]) -> str:
    count = len(list(holes))
    return "a hole through the bone" if count == 1 else f"{count} holes through the bone"
