"""What a template without a seat is given, and the parts that any template may return."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from psi_cad.case.model import Blade, PartRequest, Printer
from psi_cad.errors import DesignError
from psi_cad.findings import Caution
from psi_cad.frames import Frame
from psi_cad.resection.dust import resected
from psi_cad.resection.pieces import Resection
from psi_cad.scene.cuts import PlannedCut
from psi_cad.scene.kerf import Kerf
from psi_cad.surface.solids import closed_surface, printable, solid_of
from psi_cad.units import Mm

if TYPE_CHECKING:
    import cadquery as cq
    import trimesh

    from psi_cad.verify.features.feature import Feature

__all__ = ["BodySite", "FreeDesign", "FreeJob", "FreeSite", "Label", "Part", "PartJob", "named_apart", "step_of_part"]

PART_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True)
class Label:
    """Engraved lines and the height of their letters (mm).

    `faces`: where they stand, for the picture: a frame (guide frame; z out of the face, y up), the face's width and height, mm.
    `on`: what they stand on: "fence", "tag", or "" where there are none.
    """

    lines: tuple[str, ...]
    letter_height: Mm
    faces: tuple[tuple[Frame, Mm, Mm], ...] = ()
    on: str = ""


@dataclass(frozen=True)
class Part:
    """One part of several: a solid, or a mesh where its shape comes from a scan; what was promised of it, in its own frame.

    That of a part beside a guide is the guide frame, that of a part of a bone's body the patient frame.
    """

    name: str  # lower-case letters, digits and '-': its files end with it; "" for the first
    shape: cq.Solid | trimesh.Trimesh
    features: tuple[Feature, ...] = ()
    label: Label = field(default=Label((), 0.0))
    colour: str = ""  # in the 3MF, as "#rrggbb"; "": as the printer has it
    printed: bool = True  # false of what is sawn of bone: no printer has to hold it
    up: tuple[float, float, float] | None = None  # in which it is printed, in its own frame; None: the one in which least of it hangs over


def named_apart(further: tuple[Part, ...]) -> tuple[Part, ...]:
    """These parts, if each has a name of its own.

    Raises
    ------
    DesignError
        Where one has no name that a file can have, or one that another has.
    """
    names = [part.name for part in further]
    for name in names:
        if not PART_NAME.fullmatch(name) or names.count(name) > 1:
            raise DesignError(f"The part '{name}' needs a name of its own, of lower-case letters, digits and '-'; give it one in its template.")
    return further


@dataclass(frozen=True)
class FreeDesign:
    """What a template without a seat returns: its first or only part, and what was promised of that; `further` parts, each with a name.

    A part without a bone stands on z = 0 as it is to be printed; one of a bone's body lies in the patient frame.
    """

    solid: cq.Solid | trimesh.Trimesh
    features: tuple[Feature, ...] = ()
    label: Label = field(default=Label((), 0.0))
    further: tuple[Part, ...] = ()
    cautions: tuple[Caution, ...] = ()  # what a person must know of it
    colour: str = ""  # of the first part in the 3MF
    notes: tuple[str, ...] = ()  # what else there is to say of it, a sentence each
    up: tuple[float, float, float] | None = None  # as of a `Part`; of one without a bone it counts for nothing

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part; the first has no name.

        Raises
        ------
        DesignError
            Where a further part has no name that a file can have, or one that another has.
        """
        return (Part("", self.solid, self.features, self.label, self.colour, up=self.up), *named_apart(self.further))


@dataclass(frozen=True)
class FreeSite:
    """What a template without a bone is given: the tools it is about, and what stands on it."""

    blade: Blade
    printer: Printer
    label: tuple[str, ...]


@dataclass(frozen=True)
class FreeJob:
    """One part to make: its template, that one's parameters (by name), and the tools it is about."""

    template: str
    params: dict[str, Any]
    blade: Blade
    printer: Printer


@dataclass(frozen=True)
class BodySite:
    """What a template about a bone's body is given: the whole bone, and what the planned cuts leave of it. Patient frame, mm.

    Attributes
    ----------
    bone : str or None
        Its name; None where the case has one bone without a name.
    mesh : trimesh.Trimesh
        Its closed surface.
    cuts : mapping of name to PlannedCut
        Every planned cut on it.
    kerfs, run_outs : mapping
        How wide the saw cuts at each, and how far past the bone it runs.
    label : tuple of str
        What the house writes on an instrument.
    tumour : trimesh.Trimesh or None
        Its surface as it was given, where the case has one.
    other_blades : tuple of str
        Cuts that a guide of this build takes with a blade of another kerf than `kerfs` has.
    """

    bone: str | None
    mesh: trimesh.Trimesh
    cuts: Mapping[str, PlannedCut]
    kerfs: Mapping[str, Kerf]
    run_outs: Mapping[str, Mm]
    printer: Printer
    label: tuple[str, ...]
    tumour: trimesh.Trimesh | None = None
    other_blades: tuple[str, ...] = ()

    @cached_property
    def tumour_body(self) -> Any | None:
        """The tumour as a solid (Manifold); None where the case has none.

        Raises
        ------
        SurfaceError
            Where its surface is not closed.
        """
        if self.tumour is None:
            return None
        named = {"name": "the tumour", "key": "tumour"}
        return solid_of(closed_surface(self.tumour, **named), **named)

    @cached_property
    def apart(self) -> Resection:
        """The same with the saw taken as a plane: nothing turns to dust, and pieces meet where they part.

        Raises
        ------
        CaseError
        """
        return resected(self.solid, self.mesh, self.cuts, {name: Kerf() for name in self.cuts}, self.run_outs)

    @property
    def solid(self) -> Any:
        """The whole bone as a solid (Manifold)."""
        return solid_of(self.mesh, name=self.bone or "the bone", key="bone")

    @cached_property
    def left(self) -> Resection:
        """What the saw leaves of the bone, as solids (Manifold), its kerf taken off; made when it is first asked for.

        Raises
        ------
        CaseError
            Where the cuts do not free a specimen.
        """
        return resected(self.solid, self.mesh, self.cuts, self.kerfs, self.run_outs)

    @cached_property
    def faces_left(self) -> dict[str, Mm]:
        """How far along each cut's normal from its plane the face of the bone that stays lies."""
        return {name: kerf.low for name, kerf in self.kerfs.items()}

    @property
    def sawn(self) -> bool:
        """Whether somebody has asked what the saw leaves."""
        return not vars(self).keys().isdisjoint({"left", "faces_left"})

    @property
    def specimens(self) -> dict[str, trimesh.Trimesh]:
        """The closed surface of each piece that is removed, by its group of cuts; a piece that several groups free stands under the first."""
        found: dict[str, trimesh.Trimesh] = {}
        seen: set[int] = set()
        for group, solid in self.left.specimens.items():
            if id(solid) not in seen:
                seen.add(id(solid))
                found[group] = printable(solid)
        return found

    @property
    def retained(self) -> tuple[trimesh.Trimesh, ...]:
        """The closed surface of each piece that stays, the largest first."""
        return tuple(printable(solid) for solid in self.left.retained)


@dataclass(frozen=True)
class PartJob:
    """One part of a bone's body to make: what was asked, its parameters (by name), and what it is made from; `job` is the hash of all that.

    `cautions`: how its entry in the case was run.
    """

    request: PartRequest
    params: dict[str, Any]
    site: BodySite
    job: str = ""
    cautions: tuple[Caution, ...] = ()

    @property
    def stem(self) -> str:
        """Its file name without the ending."""
        return f"{self.request.name}_{self.site.printer.id}"


def step_of_part(job: PartJob, step: str) -> str:
    """A step of the work on one part, as progress tells it."""
    return f"part {job.stem}: {step}"
