"""What the house requires of every instrument of a kind, whatever its template says: features that it must have, and limits of what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.promises.expected import Expected, ExpectedBore, ExpectedSlot
from psi_cad.units import Mm

__all__ = ["CLEARANCE", "DRILL_GUIDE", "SAW_GUIDE", "Limit", "Requirement", "refuse_lacking", "refuse_missing"]

SERIES: Final = "the series of pelvic resections with printed guides that psi-cad follows"
EPS: Final = 1e-9


@dataclass(frozen=True)
class Limit:
    """The least and the most of a promised number, mm."""

    what: str
    least: Mm
    most: Mm
    reference: str

    def holds(self, value: Mm) -> bool:
        """Whether a value lies within; one that is not a number does not."""
        return self.least - EPS <= value <= self.most + EPS


@dataclass(frozen=True)
class Requirement:
    """Of one kind of instrument: how many wires at least (none at all where `may_lack_wires`), and limits of what each feature promises, by name."""

    kind: str
    pins: int
    may_lack_wires: bool
    each: tuple[tuple[str, Limit], ...]  # of every slot or sleeve: the promise's name
    whole: tuple[tuple[str, Limit], ...]  # of the guide


WHOLE: Final = (
    ("edge_break", Limit("broken edge", 0.0, 1.0, "walls are measured below the broken edge")),
    ("pin_clearance", Limit("distance of a wire from a cut plane", 1.0, np.inf, "the range of pin_clearance")),
)
CLEARANCE: Final = Limit("clearance over the blade", 0.10, 0.20, SERIES)
SAW_GUIDE: Final = Requirement(
    kind="saw guide",
    pins=3,
    may_lack_wires=False,
    each=(
        ("height", Limit("guided height", 10.0, np.inf, SERIES)),
        ("wall", Limit("wall beside the slot", 2.0, np.inf, SERIES)),
        ("clearance", CLEARANCE),
    ),
    whole=WHOLE,
)
DRILL_GUIDE: Final = Requirement(
    kind="drill guide",
    pins=3,
    may_lack_wires=True,
    each=(
        ("guided", Limit("guided length", 10.0, np.inf, "the range of guided")),
        ("wall", Limit("wall of the sleeve", 2.0, np.inf, "the range of sleeve_wall")),
        ("clearance", Limit("clearance over the tool", 0.05, 0.4, "the range of bore_clearance")),
    ),
    whole=WHOLE,
)


def refuse_missing(template: str, *, kind: str, asked: Sequence[str], promised: Sequence[str]) -> None:
    """Refuse a design that lacks a slot or sleeve (`kind`) for something it was asked for, or has one that nobody asked for.

    Raises
    ------
    DesignError
    """
    of = {"slot": "cut", "plated": "hole"}.get(kind, "trajectory")
    for name in asked:
        if promised.count(name) != 1:
            many = "no" if name not in promised else f"{promised.count(name)} of the features"
            raise DesignError(
                f"The template '{template}' promises {many} '{kind}' for {of} '{name}', and every {of} of a guide needs one; "
                f"let its Design name a {kind.capitalize()}Feature for each {of}."
            )
    strange = next((name for name in promised if name not in asked), None)
    if strange is not None:
        raise DesignError(f"The template '{template}' promises a {kind} for {of} '{strange}', which the guide does not have; leave it out.")


def refuse_lacking(template: str, expected: Expected, *, override_asked: bool) -> None:
    """Refuse a guide whose template promises less than the house requires, or leaves out what every guide of its kind has.

    `override_asked`: whether the guide's own parameters allow a clearance outside its limits, which the report then shows.

    Raises
    ------
    DesignError
    """
    wanted = SAW_GUIDE if expected.slots else DRILL_GUIDE
    if not any(len(ring) > 2 for ring in expected.outlines):
        raise DesignError(
            f"The template '{template}' promises no footplate, so its seat could not be measured; let its Design give the outlines of all footplates."
        )
    if expected.pins < wanted.pins and not (wanted.may_lack_wires and expected.pins == 0):
        raise DesignError(
            f"The template '{template}' promises {expected.pins} holes for wires, and a {wanted.kind} needs at least {wanted.pins}; "
            "let its Design name a PinFeature for each."
        )
    features: list[ExpectedSlot | ExpectedBore] = [*expected.slots, *expected.bores]
    for feature in features:
        for name, limit in wanted.each:
            if name == "clearance" and isinstance(feature, ExpectedSlot) and feature.ledge:
                continue  # it lies on one wall
            overridden = name == "clearance" and expected.clearance_overridden and override_asked
            if not overridden:
                _refuse(template, f"of '{feature.name}'", limit, float(getattr(feature, name)))
    for name, limit in wanted.whole:
        _refuse(template, "of the guide", limit, float(getattr(expected, name)))


def _refuse(template: str, whose: str, limit: Limit, value: Mm) -> None:
    if not limit.holds(value):
        span = f"{limit.least:g} to {limit.most:g} mm" if np.isfinite(limit.most) else f"at least {limit.least:g} mm"
        raise DesignError(
            f"The template '{template}' promises a {limit.what} {whose} of {value:g} mm, and psi-cad requires {span} ({limit.reference}); "
            "no template may change that."
        )
