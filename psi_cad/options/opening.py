"""The open end of a slot, through which the blade is put in from the side: whether anything closes it, and whether its two leaves stay joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.findings import Check
from psi_cad.frames import rounded, unit
from psi_cad.readback.hanging import HANGS, hangs
from psi_cad.units import Array, Mm
from psi_cad.verify.features.feature import Triple, kept, place, way
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.promises.expected import Expected
    from psi_cad.readback.faces import Faces
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed
    from psi_cad.verify.features.seat import BoneProbe

__all__ = ["BESIDE_MM", "Opening", "checks", "find", "measure", "measure_on_bone", "said"]

ABOVE_MM: Final[Mm] = 150.0  # above any fence, along the blade
CLEAR_MM: Final[Mm] = 60.0  # above and below the fence's end, the blade's way in is looked at so far
LEVELS: Final = 40
LEVELS_OF_IT: Final = 9  # over the height of what closes a slot
BESIDE_MM: Final[Mm] = 0.5  # inside a slot, before what closes it
NEAR_MM: Final[Mm] = 1.0  # what closes it begins nearer than this
EDGE_MM: Final[Mm] = 1.2  # of a fence's height at its top and foot, where it is not looked at
IN_BLADE: Final = 0.49
INWARD_MM: Final[Mm] = 1e-3
SLACK_MM: Final[Mm] = 0.01


@dataclass(frozen=True)
class Opening:
    """Of the cut `name`, the end of its slot that is open: along the slot at its high (`end` 1) or low end (-1); guide frame, mm.

    `start`: where along the slot the stretch begins that is open; it guides to `opens`. `slot`: its width, `blade` its blade's thickness, `wall` and
    `height` of its fence. `closed`: what joins the leaves, of this slot or of one that it opens into: origin, normal and blade axis of that slot,
    where along it one stands beside it, inside, and which way it lies. `bridge`: how thick one of them has to be.
    """

    name: str
    origin: Triple
    normal: Triple
    out: Triple
    end: int
    start: Mm
    opens: Mm
    slot: Mm
    blade: Mm
    wall: Mm
    height: Mm
    bridge: Mm
    closed: tuple[tuple[float, ...], ...]
    toward: str


@dataclass(frozen=True)
class _Axes:
    """Of one slot."""

    origin: Array
    normal: Array
    blade: Array

    @property
    def along(self) -> Array:
        """The slot's axis."""
        return np.cross(self.blade, self.normal)

    def at(self, s: Mm, u: Array, off: Mm = 0.0) -> Array:
        """Points (n, 3)."""
        return np.asarray(self.origin + s * self.along + np.atleast_1d(u)[:, None] * self.blade + off * self.normal)


def find(opening: Opening, faces: Faces) -> list[tuple[Any]]:
    """None: where it is open there is no face."""
    del opening, faces
    return []


def measure(opening: Opening, part: Part | None, printed: Printed) -> dict[str, Any]:
    """From the STL: lines of the blade, on its way in, that meet material; and how thick the slot is closed where its leaves are joined."""
    del part
    own = _Axes(np.array(opening.origin), unit(np.array(opening.normal)), unit(np.array(opening.out)))
    way_out = opening.end * own.along
    top = _top(printed, own, opening.opens - opening.end * NEAR_MM, opening)
    levels = np.linspace(top - opening.height - CLEAR_MM, top + CLEAR_MM, LEVELS) if np.isfinite(top) else np.zeros(0)
    levels = np.concatenate([levels, top - np.linspace(0.0, opening.height, LEVELS)]) if len(levels) else levels
    begins = opening.start + opening.end * BESIDE_MM
    met, first = 0, None
    for off in (0.0, IN_BLADE * opening.blade, -IN_BLADE * opening.blade):
        starts = own.at(begins, levels, off) if len(levels) else np.zeros((0, 3))
        distance = way(printed, starts, way_out) if len(starts) else np.zeros(0)
        hits = np.flatnonzero(np.isfinite(distance))
        met += len(hits)
        if first is None and len(hits):
            first = starts[hits[0]] + distance[hits[0]] * way_out
    found = [(_closure(printed, row, opening), row) for row in opening.closed]
    (thick, where), _ = max(found, key=lambda one: one[0][0], default=((0.0, own.origin), ()))
    return {
        "closed_lines": met if len(levels) else None,
        "closed_at": None if first is None else rounded(first),
        "joined_mm": thick,
        "joined_at": rounded(where),
        **_hanging(printed, own, opening),
    }


def _hanging(printed: Printed, own: _Axes, opening: Opening) -> dict[str, Any]:
    """How far from the open end inward a leaf is nothing but its wall; the worse of both."""
    axes, end = (own.origin, own.normal, own.along, own.blade), (opening.opens, opening.start)
    sides = [hangs(printed, axes, face=sign * opening.slot / 2.0, wall=opening.wall, end=end) for sign in (1.0, -1.0)]
    long, where = max(sides, key=lambda one: one[0])
    return {"hangs_mm": long, "hangs_at": rounded(where)}


def measure_on_bone(opening: Opening, printed: Printed, expected: Expected, probe: BoneProbe) -> dict[str, Any]:
    """How many wires hold the leaf that has fewer."""
    del printed, probe
    normal = unit(np.array(opening.normal))
    sides = [
        float((np.array([x, y, 0.0]) - np.array(opening.origin)) @ (normal - normal[2] / opening.out[2] * np.array(opening.out)))
        for x, y, _ in expected.wires
    ]
    return {"leaf_wires": min(sum(side > 0.0 for side in sides), sum(side < 0.0 for side in sides))}


def _top(printed: Printed, axes: _Axes, s: Mm, opening: Opening) -> Mm:
    """How high a fence stands beside its slot at `s`: the lower of both sides."""
    off = opening.slot / 2.0 + opening.wall / 2.0
    starts = np.vstack([axes.at(s, np.array([ABOVE_MM]), sign * off) for sign in (1.0, -1.0)])
    return ABOVE_MM - float(way(printed, starts, -axes.blade).max())


def _closure(printed: Printed, row: Sequence[float], opening: Opening) -> tuple[Mm, Array]:
    """How thick what closes a slot is over half the fence's height at least, and where that is; 0 where nothing does.

    A steep seat may take the foot of it away.
    """
    numbers = np.array(row[:9]).reshape(3, 3)
    axes = _Axes(numbers[0], unit(numbers[1]), unit(numbers[2]))
    s, end = float(row[9]), float(row[10])
    top = _top(printed, axes, s, opening)
    if not np.isfinite(top):
        return 0.0, axes.at(s, np.zeros(1))[0]
    starts = axes.at(s, top - np.linspace(EDGE_MM, opening.height - EDGE_MM, LEVELS_OF_IT))
    ahead = end * axes.along
    first = way(printed, starts, ahead)
    within = np.where(first <= NEAR_MM, first, 0.0)
    through = way(printed, starts + (within[:, None] + INWARD_MM) * ahead, ahead) + INWARD_MM
    thick = np.where((first <= NEAR_MM) & np.isfinite(through), through, 0.0)
    least = int(np.argsort(thick)[(LEVELS_OF_IT - 1) // 2])
    return float(thick[least]), starts[least] + (within[least] + thick[least] / 2.0) * ahead


def checks(opening: Opening, values: dict[str, Any]) -> list[Check]:
    """Whether the end is open, and the leaves joined."""
    at, origin = f"[{opening.name}]", place(opening.origin)
    closed, joined = (place(values.get(key) or origin) for key in ("closed_at", "joined_at"))
    alone = f"stretch at the open end over which a leaf is only its wall; {HANGS:g} times its thickness is the most"
    note = "material that joins the two leaves of the slot, over half the fence's height at least"
    return [
        kept(f"opening_free{at}", values.get("closed_lines"), "", "==", 0.0, closed),
        held(f"opening_hangs{at}", values.get("hangs_mm"), "mm", "<=", HANGS * opening.wall, alone, where=place(values.get("hangs_at") or origin)),
        held(f"opening_pinned{at}", values.get("leaf_wires"), "", ">=", 1.0, "wires of the leaf that has fewer", where=origin),
        held(f"opening_joined{at}", values.get("joined_mm"), "mm", ">=", opening.bridge - SLACK_MM, note, where=joined),
    ]


def said(found: Sequence[dict[str, Any]]) -> list[str]:
    """For the terminal."""
    return [
        f"slot {one['name']}: open towards {one['toward']}, over {abs(one['opens'] - one['start']):.0f} mm"
        + ("" if one.get("joined_mm") is None else f"; its leaves are joined by {one['joined_mm']:.1f} mm")
        for one in found
    ]
