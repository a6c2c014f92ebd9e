"""Spacer: a body that fills what the planned cuts take out, as a trial or to be worked on.

Purpose
    A trial of the reconstruction, or a spacer for the time until it: the specimen's shape, a gap short of each sawn face, so that it goes in.
Datum
    The patient frame. Its flat faces lie `fit` from the faces that the saw leaves on the bone that stays; its outside is the bone's, less `relief`.
Limits
    As right as the bone's surface, the cuts as they were sawn, and the print. What the tumour has done to the bone's outside is in it. It
    bears no load by design, and nothing is said of its material. Where no way leads in as one piece it is parted in two, which go in one
    after the other; where that does not help it is refused.
Files
    `NAME_PRINTER.stl`, `.3mf` and `.png`; `-half-2.stl` where it goes in as two, `-piece-2.stl` of a second specimen. Meshes, without STEP.
Source
    Spacers of the shape of the resected bone, as in the series that psi-cad follows; no published dimensions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import triple
from psi_cad.guides.contract import BodySite, Bore, Feature, Flat, FreeDesign, Part, Workshop
from psi_cad.guides.params import Parameters, param
from psi_cad.models import faces
from psi_cad.models.defect import Filler, area_of, fillers, halves, way_out
from psi_cad.models.room import refuse_too_large
from psi_cad.models.sawn import RIM, hollow, lettered
from psi_cad.siting.sliding import side_in_words
from psi_cad.surface.solids import printable
from psi_cad.units import Array, Mm

SITE: Final = "body"
CUTS: Final = True  # it is made of planned cuts
FIRST: Final = "spacer"  # what the letters call the first of several


class Params(Parameters):
    """Parameters of the spacer."""

    fit: float = param(0.5, unit="mm", low=0.0, high=3.0, help="gap between each flat face and the sawn bone")
    relief: float = param(0.0, unit="mm", low=0.0, high=0.3, help="taken off the bone's own surface")
    shell: float = param(0.0, unit="mm", low=0.0, high=8.0, help="hollow, with at least so much wall; 0: solid")
    drain: float = param(4.0, unit="mm", low=2.0, high=10.0, help="diameter of the drain of a hollow spacer")
    holes: int = param(0, unit="", low=0, high=4, help="fixation holes wanted in each flat face, square to it")
    hole_diameter: float = param(3.5, unit="mm", low=1.0, high=10.0, help="of a fixation hole; the printer's compensation for holes is added")
    hole_depth: float = param(15.0, unit="mm", low=3.0, high=60.0, help="of a fixation hole")
    split: bool = param(True, unit="", help="part it in two where it does not go in as one piece; false: then it is refused")


def build(site: BodySite, params: Params, workshop: Workshop) -> FreeDesign:  # noqa: ARG001  (bodies are made for one spacer only)
    """The spacer of each specimen, in one part or two."""
    parts, less, notes = list[Part](), list[str](), list[str]()
    for number, filler in enumerate(fillers(site, params.fit, params.relief), start=1):
        name = "" if number == 1 else f"piece-{number}"
        for suffix, one, way in _in_one_or_two(site, params, filler):
            called = "-".join(word for word in (name, suffix) if word)
            parts.append(_part(site, params, one, called, less))
            notes += [_where(site, params, face.cut.name, called or FIRST) for face in one.faces]
            notes.append(f"{called or FIRST} goes in {side_in_words(-way)}, along {tuple(round(float(v), 3) + 0.0 for v in -way)} LPS")
    refuse_too_large(site.printer, parts, first=FIRST)
    first, *further = parts
    cautions = tuple(Caution("part-less", text) for text in less)
    return FreeDesign(first.shape, first.features, first.label, tuple(further), cautions, notes=tuple(notes))


def _where(site: BodySite, params: Params, cut: str, called: str) -> str:
    """Where a flat face lies, in words."""
    kerf, left = site.kerfs[cut], site.faces_left[cut]
    saw = "no kerf known" if kerf.width is None else f"kerf {kerf.width:.2f} mm, {kerf.side}"
    return (
        f"face {cut} of {called} lies {params.fit:.2f} mm from the sawn bone; towards the specimen from the planned plane: sawn bone "
        f"{left:+.2f} mm ({saw}), face {left + params.fit:+.2f} mm"
    )


def _in_one_or_two(site: BodySite, params: Params, filler: Filler) -> list[tuple[str, Filler, Array]]:
    """The pieces of one spacer in the order in which they go in: what ends their name, and the way in which each comes out.

    Raises
    ------
    DesignError
        Where no way leads in.
    """
    around = list(site.left.retained)
    way = way_out(filler.solid, [face.into for face in filler.faces], around)
    if way is not None:
        return [("", filler, way)]
    parted = halves(filler.solid, filler.faces, around, max(params.fit, 0.1)) if params.split else None
    if parted is None:
        asked = "nor in two" if params.split else "and split = false"
        raise DesignError(
            f"The spacer does not go in as one piece, {asked}: bone that stays is in every way; raise fit, or part the cuts.",
            where=triple(np.asarray(filler.solid.bounding_box()).reshape(2, 3).mean(axis=0)),
        )
    return [("" if number == 1 else "half-2", one, out) for number, (one, out) in enumerate(parted, start=1)]


def _part(site: BodySite, params: Params, filler: Filler, name: str, less: list[str]) -> Part:
    """One piece with its holes, hollow and letters, and what is promised of it."""
    body, called = filler.solid, name or FIRST
    features: list[Feature] = [
        Flat(f"face {face.cut.name}", triple(face.point(np.zeros(2))), triple(-face.into), round(area_of(body, face), 1)) for face in filler.faces
    ]
    bores, taken, stays = _holes(params, filler, site.printer.hole_compensation)
    few = {face.cut.name: sum(bore.name.startswith(f"hole {face.cut.name} ") for bore in bores) for face in filler.faces}
    less += [f"face {cut} of {called} has {count} of {params.holes} holes: no room for more" for cut, count in few.items() if count < params.holes]
    if params.shell > 0.0:
        inner = hollow(body, params.shell, filler.faces, drain=params.drain, stays=stays)
        taken += inner
        if not inner:
            less.append(f"{called} is solid: no drain leads to a hollow with walls of {params.shell:g} mm")
    marks, label = lettered(filler.faces, [*site.label[:-1], *([name] if name else [])])
    if not label.lines:
        less.append(f"{called} carries no letters: its flat faces have no room for them")
    for tool in (*taken, *marks):
        body = body - tool
    return Part(name, printable(body), (*features, *bores), label)


def _holes(params: Params, filler: Filler, compensation: Mm) -> tuple[list[Bore], list[Any], list[Any]]:
    """The fixation holes: what is promised, what is taken out, and what round them is not to be hollowed."""
    bores, taken, stays = list[Bore](), list[Any](), list[Any]()
    wide = params.hole_diameter + compensation
    rim = wide / 2.0 + RIM
    for face in filler.faces:
        good = [place for place in faces.places_in(face.cut.section, rim=rim) if _has_room(params, filler, face.point(place), face.into, stays)]
        for place in faces.spread(np.array(good).reshape(-1, 2), wanted=params.holes, apart=2.0 * rim):
            start = face.point(place)
            if not _has_room(params, filler, start, face.into, stays):  # among those made by now
                continue
            name = f"hole {face.cut.name} {sum(bore.name.startswith(f'hole {face.cut.name} ') for bore in bores) + 1}"
            bores.append(Bore(name, triple(start + params.hole_depth / 2.0 * face.into), triple(face.into), wide))
            taken.append(faces.cylinder(start, face.into, -1.0, params.hole_depth, wide))
            stays.append(_around(params, start, face.into))
            face.taken.append((place, rim))
    return bores, taken, stays


def _around(params: Params, start: Array, into: Array, low: Mm = 0.0) -> Any:
    """A hole and what must stay round it."""
    return faces.cylinder(start, into, low, params.hole_depth + RIM, params.hole_diameter + 2.0 * RIM)


def _has_room(params: Params, filler: Filler, start: Array, into: Array, others: list[Any]) -> bool:
    """Whether a hole has material all round, and keeps off others."""
    around = _around(params, start, into, low=0.01)
    return float((around - filler.solid).volume()) <= 0.0 and not any(float((around ^ other).volume()) > 0.0 for other in others)
