"""What a person must know of a case and its bone, whatever the guide: how it was run, and what it was made from."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import Final

import numpy as np

from psi_cad.case.load import LoadedCase
from psi_cad.findings import Caution, Place, place_of
from psi_cad.guides.params import SeatParams, range_of
from psi_cad.guides.seating import REACH_FAR, Seating
from psi_cad.guides.site import Site
from psi_cad.intake.bones import BonesRead
from psi_cad.making.cautions import overrides_said, printer_caution
from psi_cad.records.bones import Bone
from psi_cad.sawing.kerfs import clearance_of, kerf_caution
from psi_cad.surface.trust import at

__all__ = ["case_cautions", "guide_cautions", "source_cautions"]

SKIDS_DEG: Final = 45.0  # as for a fixation wire
TURNED_DEG: Final = 0.5  # past the cone that was to be searched, for rounding
PROPOSAL: Final = "_PROPOSAL"  # how 'psi-cad tumour' ends the name of an outline that no person has drawn yet
_MENDED: Final = {"filled hole": "filled", "closed flat end": "closed flat", "closed hole": "closed on request, where no bone was measured"}


def case_cautions(loaded: LoadedCase, bones: BonesRead) -> tuple[Caution, ...]:
    """What a person must know of how a case was run, and of its bones."""
    told = [*overrides_said(loaded.settings)]
    tumour = loaded.case.tumour
    if tumour is not None and tumour.labels is not None and PurePath(tumour.labels).name.split(".")[0].endswith(PROPOSAL):
        text = f"the tumour's outline is a proposal of the software: correct '{PurePath(tumour.labels).name}', and give it another name"
        told.append(Caution("tumour-proposed", text))
    for body, said in zip(bones.scene.bodies, bones.said, strict=True):
        told += [dataclasses.replace(one, text=bones.of(body.name, one.text)) for one in source_cautions(said)]
    return (*told, *bones.cautions)


def source_cautions(said: Bone) -> tuple[Caution, ...]:
    """What a person must know of a bone's scan, segmentation or mask, and of what was mended in its surface."""
    parts = (said, said.scan, said.segmentation, said.mask)  # the first: of its shape: side, anatomy
    told = [Caution.from_json(one.to_json()) for part in parts if part is not None for one in part.cautions]
    for kind, how in _MENDED.items():
        found = [repair for repair in said.repairs if repair.kind == kind]
        if not found or (kind == "closed hole" and any(one.id == "surface-mended" for one in told)):  # the segmentation has told of them
            continue
        largest = max(found, key=lambda repair: repair.size_mm)
        where: Place | None = None if largest.where is None else place_of(largest.where)
        holes = f"{len(found)} openings of the bone's surface were" if len(found) > 1 else "an opening of the bone's surface was"
        size, near = f"{largest.size_mm:.1f} mm across", "" if where is None else f" near {at(np.array(where))}"
        which = f", the largest {size}" if len(found) > 1 else f", {size}"
        told.append(Caution("surface-mended", f"{holes} {how}{which}{near}; no guide sits there", where))
    return tuple(told)


def _of_ways(site: Site) -> list[Caution]:
    """What a person must know of the trajectories of a guide and their tools."""
    tools = dict.fromkeys(f"{way.tool.kind} {way.tool.id}" for way in site.ways if way.tool.nominal)
    told = [Caution("nominal-tool", f"{tool} is a nominal catalogue entry: measure your tool") for tool in tools]
    implants = dict.fromkeys(way.implant.id for way in site.ways if way.implant is not None and way.implant.nominal)
    told += [Caution("nominal-implant", f"implant {one} is a nominal catalogue entry: enter the sizes that its maker gives") for one in implants]
    for way in site.ways:
        if way.depth > way.through:
            tip = place_of(site.frame.patient(way.entry - way.depth * way.out))
            text = f"the planned tip of {way.name} lies {way.depth - way.through:.1f} mm past the far side of the bone, which it leaves there"
            told.append(Caution("tip-past-bone", text, tip))
        if way.incline > SKIDS_DEG:
            entry = place_of(site.frame.patient(way.entry))
            text = f"{way.name} meets the bone {way.incline:.0f}° from its outward direction: the tool may skid before it bites"
            told.append(Caution("may-skid", text, entry))
    return told


def guide_cautions(params: SeatParams, site: Site) -> list[Caution]:
    """What a person must know of one guide before its shape is known: overrides, blade, printer, seat."""
    told = []
    for name, allowed_by in params.override_key().items():
        value, (low, high) = float(getattr(params, name)), range_of(type(params), name)
        if low is not None and high is not None and not low <= value <= high:
            text = f"the slot's {name} is {value:g} mm, outside {low:.2f}–{high:.2f}, because {allowed_by} is set"
            told.append(Caution("clearance-override", text))
    if site.saw is not None and site.saw.nominal:
        told.append(Caution("nominal-blade", f"blade {site.saw.id} is a nominal catalogue entry: measure your blade"))
    if site.slot_sleeve is not None and site.slot_sleeve.nominal:
        told.append(Caution("nominal-tool", f"slot sleeve {site.slot_sleeve.id} is a nominal catalogue entry: measure its outside and its slot"))
    told += _of_ways(site)
    uncalibrated = printer_caution(site.printer)
    told += [uncalibrated] if uncalibrated is not None else []
    unmeasured = None if site.saw is None else kerf_caution(site.saw, clearance_of(params))
    told += [unmeasured] if unmeasured is not None else []
    told += _of_seating(site.seating, params)
    if site.seat.gap > params.seat_gap:
        text = f"seat_gap is {site.seat.gap:g} mm instead of {params.seat_gap:g}: with less, bone would reach into the guide"
        told.append(Caution("seat-gap-raised", text))
    return told


def _of_seating(seating: Seating, params: SeatParams) -> list[Caution]:
    """What a person should know of how a guide sits, beside what was asked for."""
    told = []
    if seating.axis.tilt > params.axis_search + TURNED_DEG:
        text = f"the guide comes off {seating.axis.tilt:.0f}° away from the approach that was asked for: no nearer seat was found"
        told.append(Caution("seat-turned", text))
    if seating.reach > max(REACH_FAR, params.footplate_reach):
        text = f"its footplates reach {seating.reach:g} mm: so much bone has to be laid bare, for with less the guide slides"
        told.append(Caution("seat-far", text))
    if (seating.reach, seating.slope_limit) != (params.footplate_reach, params.slope_limit):
        nearer = seating.reach < params.footplate_reach or seating.slope_limit < params.slope_limit
        more = [f"reach {seating.reach:g} mm instead of {params.footplate_reach:g}"] if seating.reach != params.footplate_reach else []
        if seating.slope_limit != params.slope_limit:
            more.append(f"rest on bone up to {seating.slope_limit:g}° steep instead of {params.slope_limit:g}°")
        if nearer:
            told.append(Caution("seat-nearer", f"as asked the guide cannot sit there, so its footplates {' and '.join(more)}"))
        else:
            told.append(Caution("seat-widened", f"to stop the guide from sliding, its footplates {' and '.join(more)}"))
    return told
