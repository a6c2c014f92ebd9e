"""Where a saw guide carries its label: on a fence's own sides, on raised walls of it, or on a tag; and the solids of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import shapely

from psi_cad.brep import bodies, label
from psi_cad.errors import DesignError
from psi_cad.frames import Frame
from psi_cad.guides.contract import Label, Workshop
from psi_cad.guides.site import Site
from psi_cad.labelling import raising
from psi_cad.labelling.fence import LEAST, LabelPatch, Side, Words, place_label, reserved, sides_of
from psi_cad.labelling.scaling import Scale, place_marks, place_order
from psi_cad.labelling.tagging import BELOW_FACE, BREAK, CORNER, THICK, place_tag
from psi_cad.options.mark import Mark
from psi_cad.options.order import Order
from psi_cad.resection.depth import slot_depth
from psi_cad.sawing.plan import SlotPlan
from psi_cad.siting.spline import HeightSpline
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["ENGRAVED", "PAD", "Labels", "Pad", "TagShape", "label_solids", "labelled"]

PAD: Final[Mm] = 0.6  # how far the label's pad stands proud; letters are cut less deep, so the wall behind keeps its thickness
ENGRAVED: Final[Mm] = 0.5
Pad: TypeAlias = tuple[Frame, Mm, Mm, bool]  # flat face of a label's pad, its width and height, and whether it is a wall raised to carry it
TagShape: TypeAlias = tuple[
    Frame, Mm, Mm, shapely.Polygon, tuple[shapely.Polygon, ...]
]  # flat face of a tag, its width and height, its foot, where that stands
SPARE: Final[Mm] = 0.5  # of the blade's length, which differs a little on the files
RAISED_ATTEMPTS: Final = 1  # where the kernel stumbled so often, the label stands on a tag, and not on raised walls
TAG_ATTEMPTS: Final = 2  # ... and after that on neither: small letters, and a caution


@dataclass(frozen=True)
class Labels:
    """Where the label is: on pads of a fence's sides, or on a tag; and numbers of a depth scale or of the order, whose pads are among them."""

    pads: tuple[Pad, ...]
    tag: TagShape | None
    patches: tuple[LabelPatch, ...]
    numbers: tuple[LabelPatch, ...] = ()
    marks: tuple[Mark | Order, ...] = ()

    @property
    def engraved(self) -> tuple[LabelPatch, ...]:
        """Every face that has letters or digits."""
        return (*self.patches, *self.numbers)

    def told(self) -> Label:
        """As the design tells it."""
        lines = tuple(line for patch in self.patches for line in patch.lines)
        on = "tag" if self.tag is not None else "fence" if self.pads else ""
        faces = tuple((patch.frame, patch.width, patch.height) for patch in self.patches)
        return Label(lines, self.patches[0].letter_height if self.patches else 0.0, faces, on)


def labelled(
    site: Site,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    *,
    heights: list[Mm],
    sleeves: list[tuple[Array, Mm]],
    uprights: Sequence[tuple[Mm, Mm]],
    plate_thickness: Mm,
    edge_break: Mm,
    may_raise: bool = True,
    one_side: int = 0,
    scale: Scale | None = None,
    order: Sequence[int] = (),
    workshop: Workshop,
) -> Labels:
    """The label on a fence's own sides where its letters are high enough there, else on raised walls of it, else on a tag.

    Where none of that holds it, its letters are as large as the fence lets them be.

    Parameters
    ----------
    heights
        Of each fence.
    sleeves
        Foot and top (2, 3) of each, and its radius.
    may_raise
        Whether a wall may stand above its fence: not where the saw stops on it.
    scale
        The numbers that stand beside the label, where there are some.
    order
        For each cut the number that its fence is to carry; none where none is.
    one_side
        On which side of a fence there is a wall: 1 the specimen's, -1 the other; 0: on both.
    uprights
        Where the tag keeps off, as upright sleeves: x and y of each.
    """
    sides = workshop.made(
        _label_sides, site.seat.patch, plans, plates, sleeves, heights=heights, plate_thickness=plate_thickness, edge_break=edge_break
    )
    sides = [side for side in sides if one_side in (0, side.sign)]
    found = _label(site, plans, plates, sides, sleeves, uprights, plate_thickness=plate_thickness, may_raise=may_raise)
    if scale is None and not order:
        return found
    try:
        numbers, marks = _numbers(found, sides, plans, scale, order)
    except DesignError:  # a label on a tag leaves them the fence
        found = _label(site, plans, plates, [], sleeves, uprights, plate_thickness=plate_thickness, may_raise=may_raise)
        if found.tag is None:
            raise
        numbers, marks = _numbers(found, sides, plans, scale, order)
    return replace(found, pads=(*found.pads, *_pads(numbers, raised=False)), numbers=tuple(numbers), marks=tuple(marks))


def _numbers(
    found: Labels, sides: list[Side], plans: list[SlotPlan], scale: Scale | None, order: Sequence[int]
) -> tuple[list[LabelPatch], list[Mark | Order]]:
    """The order's numbers, then those of a depth scale, which has other places to choose from."""
    on_fence, raised = found.patches if found.tag is None else (), any(pad[3] for pad in found.pads)
    patches, marks = list[LabelPatch](), list[Mark | Order]()
    if order:
        numbers, orders = place_order(sides, plans, order, on_fence, raised=raised, pad=PAD)
        patches, marks = [*patches, *numbers], [*marks, *orders]
    if scale is not None:
        numbers, told = place_marks(sides, plans, scale, [*on_fence, *patches], raised=raised, pad=PAD)
        patches, marks = [*patches, *numbers], [*marks, *told]
    return patches, marks


def _label(
    site: Site,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    sides: list[Side],
    sleeves: list[tuple[Array, Mm]],
    uprights: Sequence[tuple[Mm, Mm]],
    *,
    plate_thickness: Mm,
    may_raise: bool,
) -> Labels:
    seat = site.seat.patch
    words = Words.of(site.label)
    reserve = Words.of(reserved(site.label, site.blade.id))
    patches = place_label(sides, words, reserve=reserve, pad=PAD)
    if patches and patches[0].letter_height >= LEAST:
        return Labels(_pads(patches, raised=False), None, tuple(patches))
    if sides and may_raise and site.attempt < RAISED_ATTEMPTS:
        most = min(raising.RISE, *(_spare(site, plan, sides) for plan in plans))
        feet = [(ends.mean(axis=0), radius) for ends, radius in sleeves]
        high = raising.place_raised(sides, words, reserve=reserve, pad=PAD, most=most, sleeves=feet)
        if high:
            return Labels(_pads(high, raised=True), None, tuple(high))
    if site.attempt < TAG_ATTEMPTS:
        tag = place_tag(
            site.around,
            seat,
            plates,
            [(cut.origin, cut.normal) for cut in site.cuts],
            words,
            reserve=reserve,
            along=plans[0].cut.along,
            plate_thickness=plate_thickness,
            off_plane=plans[0].half_width,
            sleeves=uprights,
            sleeve_radius=max(radius for _, radius in sleeves),
        )
        if tag is not None:
            return Labels((), (tag.patch.frame, tag.patch.width, tag.patch.height, tag.foot, tag.stands), (tag.patch,))
    return Labels(_pads(patches, raised=False), None, tuple(patches))


def _pads(patches: list[LabelPatch], *, raised: bool) -> tuple[Pad, ...]:
    return tuple((patch.frame, patch.width, patch.height, raised) for patch in patches)


def _spare(site: Site, plan: SlotPlan, sides: list[Side]) -> Mm:
    """How much higher the saw's hub may stop on a fence before its blade is too short for the cut."""
    sawn = next(cut for cut in site.sawn if cut.name == plan.cut.name)
    highest = max((float(side.top.max()) for side in sides if np.array_equal(side.slab.frame.origin, plan.cut.origin)), default=0.0)
    return site.blade.usable_length - (highest - float(slot_depth(sawn, site.axis.direction).far.min())) - SPARE


def _label_sides(
    seat: HeightSpline,
    plans: list[SlotPlan],
    plates: list[shapely.Polygon],
    sleeves: list[tuple[Array, Mm]],
    *,
    heights: list[Mm],
    plate_thickness: Mm,
    edge_break: Mm,
) -> list[Side]:
    whole = shapely.union_all(plates)
    return [
        side
        for plan, above in zip(plans, heights, strict=True)
        for side in sides_of(
            seat,
            plan.slab(corner=0.0),
            plate=whole,
            plate_thickness=plate_thickness,
            height=above,
            edge_break=edge_break,
            pad=PAD,
            span=plan.label_span(),
            bridges=plan.bridges(),
            sleeves=sleeves,
        )
    ]


def label_solids(pads: tuple[Pad, ...], tag: TagShape | None, *, wall: Mm, low: Mm) -> list[cq.Solid]:
    """What carries the label, down to `low`: pads on a fence's sides, or its wall raised to one, or a tag."""
    return [*(_pad_solid(pad, wall) for pad in pads), *(_tag_solids(tag, low) if tag is not None else [])]


def _pad_solid(pad: Pad, wall: Mm) -> cq.Solid:
    """A pad on a fence's side, or the wall of the fence raised to it."""
    frame, width, height, raised = pad
    if not raised:
        return label.pad(frame, width=width, height=height, thickness=PAD, into=0.7, edge_break=0.3)
    thickness = PAD + wall + raising.BEHIND
    return label.tag(frame, width=width, height=height, thickness=thickness, corner=raising.CORNER, edge_break=raising.BREAK, skirt=raising.SKIRT)


def _tag_solids(tag: TagShape, low: Mm) -> list[cq.Solid]:
    """The tag's plate, the foot it lies on, and what the foot stands on, down to `low`; the seat cuts that to the bone."""
    frame, width, height, foot, stands = tag
    plate = label.tag(frame, width=width, height=height, thickness=THICK, corner=CORNER, edge_break=BREAK)
    arm = bodies.leaning(foot, frame, top=-BELOW_FACE, thickness=THICK - BELOW_FACE - 0.2)
    # a leg ends inside the arm, below the least of its upper face
    legs = [bodies.leaning(leg, frame, top=-THICK / 2.0, bottom=low) for leg in stands]
    return [plate, arm, *legs]
