"""Where the numbers of a depth scale, and of the order of cuts, stand on the sides of a fence, beside the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.brep import label
from psi_cad.errors import DesignError
from psi_cad.frames import Frame, triple
from psi_cad.labelling.fence import LEAST, MARGIN, LabelPatch, Side
from psi_cad.options.mark import Mark
from psi_cad.options.order import Order
from psi_cad.sawing.plan import SlotPlan
from psi_cad.units import Array, Mm

__all__ = ["Scale", "place_marks", "place_order"]

BESIDE_MM: Final[Mm] = 1.0  # between two faces on one side
OFF_FENCE_MM: Final[Mm] = 1.2  # from another fence, whose own pads are 0.6 mm proud
SAME_SIDE_MM: Final[Mm] = 3.0
LEAST_MARKS: Final = 2  # of a cut
ROUNDED_MM: Final[Mm] = 0.4  # to a whole number: a fence's top as built may be off by 0.3 mm more, and 0.75 in all is the most
RAISED_MM: Final[Mm] = 10.0  # a raised wall keeps both sides of its fence
ORDER_MM: Final[tuple[Mm, ...]] = (5.0, 4.0, 3.2, LEAST)  # letter heights of an order's digits: the largest that has room


@dataclass(frozen=True)
class Scale:
    """A depth scale: `step` between its numbers; for each cut the top of its fence (s, u) and the far side of the bone (s, u); the wall; mm."""

    step: Mm
    tops: tuple[tuple[Array, Array], ...]
    far: tuple[tuple[tuple[Mm, Mm], ...], ...]
    wall: Mm


def place_marks(
    sides: Sequence[Side], plans: Sequence[SlotPlan], scale: Scale, taken: Sequence[LabelPatch], *, raised: bool, pad: Mm
) -> tuple[list[LabelPatch], list[Mark]]:
    """A number about every `step` along each fence, on whichever side has room for it there.

    Raises
    ------
    DesignError
        If a fence has room for less than two.
    """
    patches: list[LabelPatch] = []
    marks: list[Mark] = []
    for plan, top, far in zip(plans, scale.tops, scale.far, strict=True):
        own, others = [side for side in sides if np.array_equal(side.slab.frame.origin, plan.cut.origin)], [one for one in plans if one is not plan]
        lines = np.asarray(far, dtype=float)
        count = 0
        for wanted in np.arange(lines[0, 0] + scale.step / 2.0, lines[-1, 0], scale.step):
            found = _place(own, top, lines, float(wanted), scale.step, [*taken, *patches], pad, RAISED_MM if raised else SAME_SIDE_MM, others)
            if found is None:
                continue
            count += 1
            patch, s, deep = found
            marks.append(_mark(f"{plan.cut.name} {count}", plan, patch, s, deep, scale.wall))
            patches.append(patch)
        if count < LEAST_MARKS:
            raise DesignError(
                f"params.depth_scale = {scale.step:g}: the fence of cut '{plan.cut.name}' has room for {count} numbers beside its label, and "
                f"{LEAST_MARKS} are the least; lower depth_scale or footplate_thickness, or raise height.",
                where=plan.cut.origin,
            )
    return patches, marks


def place_order(
    sides: Sequence[Side], plans: Sequence[SlotPlan], numbers: Sequence[int], taken: Sequence[LabelPatch], *, raised: bool, pad: Mm
) -> tuple[list[LabelPatch], list[Order]]:
    """The number of each cut on its fence, as large as it has room, and then as near to the middle of its slot.

    Raises
    ------
    DesignError
        If a fence has no room.
    """
    patches: list[LabelPatch] = []
    orders: list[Order] = []
    near = RAISED_MM if raised else SAME_SIDE_MM
    for plan, number in zip(plans, numbers, strict=True):
        own, others = [side for side in sides if np.array_equal(side.slab.frame.origin, plan.cut.origin)], [one for one in plans if one is not plan]
        found = next((patch for size in ORDER_MM if (patch := _digit(own, plan, str(number), size, [*taken, *patches], pad, near, others))), None)
        if found is None:
            raise DesignError(
                f"params.cut_order: the fence of cut '{plan.cut.name}' has no room for its number beside what else stands on it; "
                "leave cut_order or depth_scale out, lower footplate_thickness, or raise height.",
                where=plan.cut.origin,
            )
        patches.append(found)
        x, y, _ = (triple(axis) for axis in found.frame.axes)
        size, slot = (found.width, found.height, found.letter_height, found.condensed), (triple(plan.cut.origin), triple(plan.cut.normal))
        orders.append(Order(plan.cut.name, str(number), triple(found.frame.origin), x, y, *size, *slot, plan.half_width + pad))
    return patches, orders


def _digit(
    sides: Sequence[Side], plan: SlotPlan, text: str, letters: Mm, taken: Sequence[LabelPatch], pad: Mm, near: Mm, others: Sequence[SlotPlan]
) -> LabelPatch | None:
    """A number of this height on a fence, nearest to the middle of its slot; None where there is no room."""
    width, tall = label.text_width(text) * letters + 2.0 * MARGIN, 1.2 * letters + 1.2 * MARGIN
    middle, best = (plan.cut.low + plan.cut.high) / 2.0, None
    for side in sides:
        for length, height, s, u, slope in side.windows[np.argsort(np.abs(side.windows[:, 2] - middle))] if len(side.windows) else ():
            if best is not None and abs(s - middle) >= best[0]:
                break
            if length < width or height < tall:
                continue
            frame = side.face(float(s), float(u), float(slope), pad)
            if _covered(frame, width, tall, others) or any(_overlaps(frame.local(one.frame.origin), one, width, near) for one in taken):
                continue
            best = abs(float(s) - middle), LabelPatch(frame, (text,), letters, 1.0, width, tall)
            break
    return None if best is None else best[1]


def _place(
    sides: Sequence[Side],
    top: tuple[Array, Array],
    far: Array,
    wanted: Mm,
    step: Mm,
    taken: Sequence[LabelPatch],
    pad: Mm,
    near: Mm,
    others: Sequence[SlotPlan],
) -> tuple[LabelPatch, Mm, Mm] | None:
    """A number near `wanted` along a fence, where along it the number stands, and the far side there; None where there is no room."""
    best: tuple[Mm, LabelPatch, Mm, Mm] | None = None
    for side in sides:
        if len(side.windows) == 0:
            continue
        order = np.argsort(np.abs(side.windows[:, 2] - wanted))
        for length, height, s, u, slope in side.windows[order]:
            if abs(s - wanted) > step / 2.0 - 1.0 or (best is not None and abs(s - wanted) >= best[0]):
                break
            if _topped(side, float(s), float(np.interp(s, *top)), others):
                continue
            deep = float(np.interp(s, far[:, 0], far[:, 1]))
            reach = float(np.interp(s, *top)) - deep
            if abs(reach - round(reach)) > ROUNDED_MM:
                continue
            text = f"{reach:.0f}"
            width, tall = label.text_width(text) * LEAST + 2.0 * MARGIN, 1.2 * LEAST + 1.2 * MARGIN
            if length < width or height < tall:
                continue
            frame = side.face(float(s), float(u), float(slope), pad)
            if _covered(frame, width, tall, others):
                continue
            if any(_overlaps(frame.local(other.frame.origin), other, width, near) for other in taken):
                continue
            best = abs(float(s) - wanted), LabelPatch(frame, (text,), LEAST, 1.0, width, tall), float(s), deep
            break
    return None if best is None else (best[1], best[2], best[3])


def _covered(frame: Frame, width: Mm, height: Mm, others: Sequence[SlotPlan]) -> bool:
    """Whether the fence of another cut comes through a face, or so near that its pad would not be whole."""
    xs, ys = np.linspace(-width / 2.0 - BESIDE_MM, width / 2.0 + BESIDE_MM, 7), np.linspace(-height / 2.0 - BESIDE_MM, height / 2.0 + BESIDE_MM, 5)
    points = frame.patient(np.array([(x, y, z) for x in xs for y in ys for z in (-0.5, 0.5)]))
    return any(plan.covers(points, OFF_FENCE_MM).any() for plan in others)


def _topped(side: Side, s: Mm, top: Mm, others: Sequence[SlotPlan]) -> bool:
    """Whether the fence of another cut takes over the top of a fence at `s`, on either side of the slot; a number is measured from there."""
    across = np.linspace(-side.slab.half_width, side.slab.half_width, 7)
    points = side.slab.frame.patient(np.array([(d, s + along, top) for d in across for along in (-BESIDE_MM, 0.0, BESIDE_MM)]))
    return any(plan.covers(points, BESIDE_MM).any() for plan in others)


def _overlaps(there: Array, other: LabelPatch, width: Mm, near: Mm) -> bool:
    """Whether another face, whose middle lies at `there`, comes too near; with a larger `near` also one on the other side."""
    return bool(abs(there[0]) < (width + other.width) / 2.0 + BESIDE_MM and abs(there[2]) < near)


def _mark(name: str, plan: SlotPlan, patch: LabelPatch, s: Mm, far: Mm, wall: Mm) -> Mark:
    x, y, _ = (triple(axis) for axis in patch.frame.axes)
    cut, at = plan.cut, triple(patch.frame.origin)
    axes = triple(cut.origin), triple(cut.normal), triple(cut.blade)
    return Mark(name, patch.lines[0], at, x, y, patch.width, patch.height, patch.letter_height, patch.condensed, *axes, plan.width, wall, s, far)
