"""Which end of a slot is open, so that the blade can be put in from the side, and what joins the two leaves of its fence then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psi_cad.errors import DesignError
from psi_cad.guides.ground import SiteCut
from psi_cad.guides.site import Site
from psi_cad.siting.sliding import WAYS, side_in_words
from psi_cad.units import Mm

__all__ = ["OPEN_RIM", "SHARE", "joined_to", "open_ends", "refuse_parted"]

OPEN_RIM: Final[Mm] = 2.0  # of a fence past its open slot's guided stretch: over this its edges are broken
SHARE: Final = 0.5  # of `bridge_over`: the longest stretch that is left without a bridge where one end is free
ALONG: Final = 0.5  # cosine: a slot that runs more across a way than along it has no end towards it


def open_ends(site: Site, toward: str) -> list[tuple[bool, bool]]:
    """For each cut of the site, whether its slot is open at its low and at its high end; `toward`: a word of `siting.sliding.WAYS`, or "".

    Raises
    ------
    DesignError
        Where no slot has an end of its own there, or something lies beyond that is not to be sawn.
    """
    if not toward:
        return [(False, False) for _ in site.cuts]
    found, known = [], []
    for cut in site.cuts:
        along = site.frame.patient_direction(cut.along)
        there = float(along @ WAYS[toward])
        found.append((cut.free[0] and there < -ALONG, cut.free[1] and there > ALONG))
        known += [side_in_words(sign * along) for sign, free in zip((-1.0, 1.0), cut.free, strict=True) if free]
        end = -1 if found[-1][0] else 1 if found[-1][1] else 0
        if end in cut.stops:
            raise _nowhere(cut, f"params.open_end = '{toward}': cut '{cut.name}' ends there on another cut, past which nothing is to be sawn")
    if not any(any(ends) for ends in found):
        raise _nowhere(site.cuts[0], f"params.open_end = '{toward}': no slot ends there by itself; they end {', '.join(dict.fromkeys(known))}")
    return found


def refuse_parted(site: Site, opened: Sequence[tuple[bool, bool]], bridged: Sequence[bool]) -> None:
    """Refuse slots whose fence would fall in two: of each that is open, or opens into one that is, some end is closed or bridged.

    Raises
    ------
    DesignError
    """
    for number in range(len(site.cuts)):
        group = joined_to(site.cuts, number)
        if any(any(opened[one]) for one in group) and not any(
            bridged[one] or any(free and not ends for free, ends in zip(site.cuts[one].free, opened[one], strict=True)) for one in group
        ):
            raise _refused(site.cuts[number], f"params.open_end: nothing would join the two leaves of the slot of cut '{site.cuts[number].name}'")


def joined_to(cuts: Sequence[SiteCut], number: int) -> list[int]:
    """The cut `number` and all whose slots it opens into, one by another."""
    found = [number]
    for one in found:
        found += [other for other in cuts[one].joined if other not in found]
    return found


def _nowhere(cut: SiteCut, said: str) -> DesignError:
    """The same of what no other way to sit would mend: where a slot ends lies in its plane."""
    return _refused(cut, said).on_any_seat()


def _refused(cut: SiteCut, said: str) -> DesignError:
    return DesignError(f"{said}; give another open_end, or leave it out.", where=cut.origin)
