"""What a person must know of a printed part, whatever it is: its printer, its letters, how the case was run, and the saw that it counts on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from psi_cad.case.model import Printer
from psi_cad.findings import Caution, place_of
from psi_cad.parts.contract import BodySite, Label, Part
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.units import Mm

__all__ = ["letters_caution", "overrides_said", "printed_cautions", "printer_caution", "saw_cautions", "sawn_cautions"]

PRINTED_LETTERS_MM: Final[Mm] = 2.5  # an FDM bead is about 0.4 mm wide; smaller letters run together


def printer_caution(printer: Printer) -> Caution | None:
    """That nobody has measured what a printer makes of slots and holes."""
    if printer.calibrated:
        return None
    text = f"printer {printer.id} is uncalibrated: print a gauge on it and measure its slots and holes"
    return Caution("uncalibrated-printer", text)


def letters_caution(label: Label) -> Caution | None:
    """That a label's letters are too small for most printers."""
    if label.letter_height >= PRINTED_LETTERS_MM:
        return None
    text = f"the label's letters are {label.letter_height:.2f} mm high; few processes print letters below {PRINTED_LETTERS_MM:g} mm"
    return Caution("small-letters", text)


def printed_cautions(printer: Printer, parts: Iterable[Part]) -> list[Caution]:
    """What a person must know of parts that come from a printer, each thing once; a part may do without a label."""
    letters = [letters_caution(part.label) for part in parts if part.label.lines]
    return list(dict.fromkeys(one for one in (printer_caution(printer), *letters) if one is not None))


def overrides_said(settings: Iterable[str]) -> tuple[Caution, ...]:
    """That these arguments of `--set` changed the case file for this run."""
    return tuple(Caution("case-overridden", f"--set {setting} overrides the case file") for setting in settings)


def saw_cautions(site: BodySite) -> tuple[Caution, ...]:
    """The cuts of which no saw is known, or another than `--blade` names, though a part was made of what the saw leaves; none where it was not."""
    return sawn_cautions(site.cuts, site.kerfs, site.other_blades, what="part") if site.sawn else ()


def sawn_cautions(
    cuts: Mapping[str, PlannedCut], kerfs: Mapping[str, Kerf], other_blades: Sequence[str], *, what: str = "guide"
) -> tuple[Caution, ...]:
    """What a person must know of the saw where something (`what`) is made for the bone that it leaves; `other_blades`: see `BodySite`."""
    found = []
    for name, cut in cuts.items():
        if kerfs[name].width is None:
            text = f"no guide takes cut {name}, so the {what} is made as if the saw removed nothing there"
            found.append(Caution("kerf-unknown", text, place_of(cut.origin)))
        elif name in other_blades:
            text = f"the {what} is made for the kerf of the case's own blade at cut {name}, and --blade names one of another kerf"
            found.append(Caution("part-other-blade", text, place_of(cut.origin)))
    return tuple(found)
