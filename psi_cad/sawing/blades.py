"""How long a blade would have to be, and which one of the catalogue is."""

from __future__ import annotations

from collections.abc import Iterable

from psi_cad.case.catalogue import Catalogue
from psi_cad.case.model import Blade
from psi_cad.records.guide import Guide
from psi_cad.units import Mm

__all__ = ["length_said", "long_enough", "tell_lengths"]


def long_enough(catalogue: Catalogue, blade: Blade, needed: Mm) -> Blade | None:
    """The blade of a catalogue with a usable length of `needed` mm that is most like `blade`; None where all are shorter."""
    fits = [one for one in catalogue.blades.values() if one.usable_length >= needed]
    return min(
        fits, key=lambda b: (abs(b.thickness - blade.thickness), abs(b.cutting_width - blade.cutting_width), b.usable_length, b.id), default=None
    )


def length_said(catalogue: Catalogue, blade: Blade, needed: Mm) -> str:
    """What is said of a blade that is too short: the usable length that is needed, and a blade that has it."""
    longer = long_enough(catalogue, blade, needed)
    which = f"'{longer.id}' has {longer.usable_length:g} mm" if longer is not None else "no blade of the catalogue is so long"
    return f"it is too short: at least {needed:.1f} mm of usable length are needed; {which}"


def tell_lengths(guides: Iterable[Guide], catalogue: Catalogue) -> None:
    """Say so in the failed `blade_reach` checks of guides that were just built; their limit is the length that is needed."""
    for guide in guides:
        for check in guide.checks:
            if not check.passed and check.id.startswith("blade_reach"):
                check.note += f"; {length_said(catalogue, Blade.model_validate(guide.blade_entry), check.limit)}"
