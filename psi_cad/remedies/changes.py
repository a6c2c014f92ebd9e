"""Changes of a guide that are worth trying, each with its reason, and the refusals for which they are tried: data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "ALONG",
    "FEWER_PINS",
    "FINER",
    "FOLLOW_LESS",
    "GRAFT",
    "KERNEL",
    "LARGER",
    "LEAST_REACH",
    "LEAST_RUN_OUT",
    "LESS_END_WALL",
    "LESS_REACH",
    "LESS_RUN_OUT",
    "LESS_SLOPE",
    "LONGER",
    "MORE_GAP",
    "MORE_REACH",
    "MORE_RUN_OUT",
    "MORE_SLOPE",
    "MOST_SLOPE",
    "MUCH_LESS_REACH",
    "MUCH_MORE_REACH",
    "NARROWER",
    "OTHER_EDGES",
    "OUTWARD",
    "REFUSALS",
    "SHALLOWER",
    "SLIDES",
    "THICKER",
    "THINNER_WIRE",
    "TURNED",
    "TURNED_BACK",
    "WIDER_BRIDGE_OVER",
    "Change",
    "Mending",
]

Choice = Literal["outward", "along", "in-plane", "turned", "turned-back", "reversed", "longer", "narrower", "larger", "finer", "thicker"]


@dataclass(frozen=True)
class Change:
    """One change of a guide to try.

    `key`: below the guide, such as "params.run_out" or "blade". `way`: a number is added to the value that stands there
    (kept in the parameter's range); a word is looked for: see `remedies.chosen`; a bool is set.
    """

    key: str
    way: float | bool | Choice
    why: str


@dataclass(frozen=True)
class Mending:
    """What a failure means, as a sentence with {value} and {limit}; what usually mends it; what psi-cad tries, in order.

    No change moves a cut plane, and none lowers a limit, a wall, a guided height or a distance that the case asks for.
    """

    said: str
    usual: str
    changes: tuple[Change, ...] = ()


LESS_REACH = Change("params.footplate_reach", -2.0, "a shorter footplate leaves out bone that the seat cannot follow")
MUCH_LESS_REACH = Change("params.footplate_reach", -4.0, "a shorter footplate leaves out bone that the seat cannot follow")
LEAST_REACH = Change("params.footplate_reach", -8.0, "a much shorter footplate leaves out bone that the seat cannot follow")
MORE_REACH = Change("params.footplate_reach", 4.0, "a longer footplate finds more bone")
MUCH_MORE_REACH = Change("params.footplate_reach", 10.0, "a much longer footplate finds more bone")
LESS_SLOPE = Change("params.slope_limit", -5.0, "steep bone is left out of the contact")
MUCH_LESS_SLOPE = Change("params.slope_limit", -12.0, "steep bone is left out of the contact")
MORE_SLOPE = Change("params.slope_limit", 5.0, "steeper bone counts as contact")
MOST_SLOPE = Change("params.slope_limit", 10.0, "steeper bone counts as contact")
LESS_RUN_OUT = Change("params.run_out", -2.0, "a shorter slot's fence stays off the bone beside the cut")
LEAST_RUN_OUT = Change("params.run_out", -4.0, "a shorter slot's fence stays off the bone beside the cut")
MORE_RUN_OUT = Change("params.run_out", 1.0, "another length of the fence gives the kernel other edges")
LESS_END_WALL = Change("params.end_wall", -1.0, "a thinner wall at the slot's end lets the slot reach past the cut")
MORE_GAP = Change("params.seat_gap", 0.1, "a wider gap keeps the guide out of bone that stands up between its points")
WIDER_SEARCH = Change("params.axis_search", 10.0, "the seating axis is searched in a wider cone")
OUTWARD = Change("approach", "outward", "the approach follows the bone's own outward direction beside the cut")
IN_PLANE = Change("approach", "in-plane", "the approach lies in the plane of the cut")
TURNED = Change("approach", "turned", "the approach is turned by 15° about the cut's normal")
TURNED_BACK = Change("approach", "turned-back", "the approach is turned by 15° the other way about the cut's normal")
ALONG = Change("approach", "along", "the approach lies along the trajectories")
REVERSED = Change("approach", "reversed", "the approach comes from the other side of the bone")
LONGER = Change("blade", "longer", "a longer blade of the catalogue reaches the deepest bone")
NARROWER = Change("blade", "narrower", "a narrower blade of the catalogue needs less room to swing")
FINER = Change("printer", "finer", "a printer of the catalogue that prints walls so thin")
LARGER = Change("printer", "larger", "a printer of the catalogue with a larger build volume")
THICKER = Change("params.wall", "thicker", "walls as thick as the printer needs")
FEWER_PINS = Change("params.pins", -1, "fewer wires find room; three are always placed")
THINNER_WIRE = Change("params.wire_diameter", -0.4, "a thinner wire finds room")
SHALLOWER = Change("params.wire_depth", -15.0, "a wire that goes less deep stays on its side of the cut")
WIDER_BRIDGE_OVER = Change("params.bridge_over", 40.0, "a longer slot is left without a bridge, so the blade has room")
SLIDES = Change("params.allow_sliding", True, "the guide is allowed to slide, which the report carries as a weakness")

OTHER_EDGES = (MORE_RUN_OUT, LESS_REACH, LESS_SLOPE, MUCH_LESS_REACH, MUCH_LESS_SLOPE)
FOLLOW_LESS = (LESS_REACH, LESS_SLOPE, MUCH_LESS_REACH, MUCH_LESS_SLOPE, OUTWARD, LEAST_REACH, WIDER_SEARCH)
GRAFT = "the graft's file is not the one that was built, or the donor's surface is not sound at the cut: repair it, or move the cut"
KERNEL = "the geometry kernel stumbled: another footplate_reach, slope_limit or run_out gives it other edges"

REFUSALS: Final[Mapping[str, Mending]] = {
    "contact": Mending(
        "too little bone beside the cut can carry a guide",
        "more footplate_reach or slope_limit; an approach that looks straight onto the bone beside the cut",
        (MORE_REACH, MORE_SLOPE, OUTWARD, MUCH_MORE_REACH, MOST_SLOPE, IN_PLANE, TURNED, TURNED_BACK, REVERSED),
    ),
    "across": Mending("the approach looks across the cut", "an approach in the plane of the cut", (OUTWARD, IN_PLANE, TURNED, TURNED_BACK)),
    "lean": Mending("a trajectory leans too far from the seating axis", "an approach along the trajectories", (ALONG, OUTWARD)),
    "sleeve-in-way": Mending(
        "bone stands where a sleeve has to stand",
        "an approach that looks past that bone, or a lower or thinner sleeve",
        (ALONG, OUTWARD, MUCH_LESS_REACH, LESS_SLOPE, WIDER_SEARCH),
    ),
    "bone-in-way": Mending(
        "bone stands where the fence has to stand",
        "an approach that looks past that bone",
        (OUTWARD, IN_PLANE, TURNED, TURNED_BACK, LESS_SLOPE, MUCH_LESS_REACH, WIDER_SEARCH, NARROWER),
    ),
    "beside-end": Mending(
        "bone stands up beside the end of the cut",
        "a smaller end_wall or run_out, or another approach",
        (LESS_END_WALL, LEAST_RUN_OUT, OUTWARD, TURNED, TURNED_BACK, NARROWER, LESS_SLOPE),
    ),
    "off-seat": Mending(
        "the fence leaves the seat", "an approach closer to the cut's plane", (IN_PLANE, OUTWARD, LESS_RUN_OUT, NARROWER, TURNED, TURNED_BACK)
    ),
    "blade-room": Mending("the blade has no room to swing", "a narrower blade", (NARROWER, OUTWARD, LESS_END_WALL)),
    "seat": Mending(
        "the seat cannot follow the bone", "a smaller footplate_reach or slope_limit", (*FOLLOW_LESS, TURNED, TURNED_BACK, LEAST_RUN_OUT)
    ),
    "pins": Mending("three wires find no room", "more footplate_reach", (MORE_REACH, MUCH_MORE_REACH, MOST_SLOPE, SHALLOWER, THINNER_WIRE, OUTWARD)),
    "steep": Mending(
        "the bone is a cliff there",
        "another approach, a smaller slope_limit or run_out",
        (LESS_SLOPE, LEAST_RUN_OUT, OUTWARD, MUCH_LESS_REACH, MUCH_LESS_SLOPE, NARROWER, TURNED, TURNED_BACK),
    ),
    "trust": Mending("the surface cannot be trusted where the guide would sit", "mend the surface", (MUCH_LESS_REACH, LEAST_REACH, OUTWARD)),
    "kernel": Mending("the geometry kernel failed", KERNEL, OTHER_EDGES),
    "stem": Mending("a stem or its cup has no room", "another entry, direction, depth or implant: only the plan can tell which"),
}
"""Every reason (`PsiCadError.reason`) for which changes are tried."""
