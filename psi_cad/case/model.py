"""Strict, frozen models of the case file; every length in mm, every direction in the patient frame (LPS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from psi_cad.case.donor import Donor, donor_apart
from psi_cad.case.implants import Implant
from psi_cad.case.mistakes import ONE, SEVERAL
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.case.tables import Apart, bones_apart, tables_in
from psi_cad.case.tools import (
    STRICT,
    Blade,
    CaseSide,
    Coordinates,
    CutName,
    Direction,
    EntryId,
    File,
    Filed,
    KerfSide,
    Name,
    Positive,
    Printer,
    Tool,
    Triple,
    Units,
)
from psi_cad.units import Array, Mm

__all__ = [
    "LANDMARKS",
    "Avoid",
    "Blade",
    "BoneSource",
    "Case",
    "CaseSide",
    "Cut",
    "Donor",
    "Filed",
    "GuideRequest",
    "Implant",
    "KerfSide",
    "PartRequest",
    "Printer",
    "Segment",
    "Tool",
    "Trajectory",
    "Tumour",
    "apart_in",
]

LANDMARKS: Final = (
    "asis",
    "aiis",
    "psis",
    "greater-sciatic-notch",
    "acetabulum-centre",
    "acetabulum-rim",
    "pubic-tubercle",
    "pubic-symphysis",
    "ischial-tuberosity",
    "asis-other-side",
    "pubic-tubercle-other-side",
)
"""Points of a hip bone that a starting plan may ask for, and of the other one what the anterior pelvic plane needs; patient mm."""


class _Strict(BaseModel):
    model_config = STRICT


class _Source(_Strict):
    surface: File = None
    units: Units | None = None
    coordinates: Coordinates | None = None
    labels: File = None
    label: int | str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> _Source:
        given = [key for key in ("surface", "labels", "ct") if getattr(self, key, None) is not None]
        if len(given) != 1:
            raise ValueError(f"must name exactly one source (surface, labels or ct), not {len(given)}")
        if self.surface is not None and self.coordinates is None:
            raise ValueError('needs coordinates = "LPS" or "RAS" beside surface')
        if self.labels is not None and self.label is None:
            raise ValueError("needs label (a number or a name) beside labels")
        return self


class Segment(_Strict):
    """A point in the wanted bone, and one in each bone that touches it (by name); patient mm.

    What corrects the parting: places to cut at, places to join at, and a painted mask (a label file) with the wanted bone's label in it.
    `close_holes`: holes through thin bone of less than so many mm across are closed, and no guide sits there.
    """

    seed: Triple
    others: dict[Name, Triple] = {}
    cut_here: list[Triple] = []
    join: list[Triple] = []
    keep_in: File = None
    keep: int | str | None = None
    close_holes: Annotated[Mm, Field(gt=0.0, le=20.0)] | None = None

    @model_validator(mode="after")
    def _named_apart(self) -> Segment:
        if "bone" in self.others:
            raise ValueError("'bone' is the wanted bone itself; give the others other names")
        if (self.keep_in is None) != (self.keep is None):
            raise ValueError("needs keep_in, a label file, and keep, the wanted bone's label in it, together")
        return self


class BoneSource(_Source):
    """Where a bone comes from: one of `surface`, `labels`, `ct`.

    A CT is segmented from `segment`; `series` chooses one of a DICOM folder's; `force_spacing` insists on a scan that is
    too coarse for a guide, which the report shows. `anatomy` says which bone it is and asks for its plausibility. Each of several
    bones has a `name`, and its own `side` where that is not the case's.
    """

    name: Name | None = None
    side: CaseSide | None = None
    anatomy: Literal["hip", "femur", "sacrum"] | None = None
    ct: File = None
    segment: Segment | None = None
    series: int | str | None = None
    force_spacing: bool = False

    @model_validator(mode="after")
    def _segmented(self) -> BoneSource:
        if self.ct is not None and self.segment is None:
            raise ValueError("needs [bone.segment] with seed = [x, y, z], a point in the bone (mm, LPS)")
        for key in ("segment", "series"):
            if self.ct is None and getattr(self, key) is not None:
                raise ValueError(f"names {key}, which belongs to ct")
        return self


class Tumour(_Source):
    """Where the tumour comes from, and the `margin` of bone (mm) wanted around it.

    A mask drawn on another scan than the bone's needs the way there: `transform` (an ITK rigid transform from CT points
    to the mask's), or the scan itself, `mri`, to be registered to the CT of the bone.
    """

    margin: Annotated[Mm, Field(ge=0.0, le=100.0)] = 10.0
    transform: File = None
    mri: File = None
    series: int | str | None = None

    @model_validator(mode="after")
    def _way_there(self) -> Tumour:
        if self.transform is not None and self.mri is not None:
            raise ValueError("names both transform and mri; give the transform, or the scan to be registered")
        if self.labels is None and (self.transform is not None or self.mri is not None):
            raise ValueError("names a transform or mri, which belong to labels")
        return self


class Avoid(_Source):
    """A structure no cut may come closer to than `distance` mm: a vessel, a nerve, the roof of the acetabulum."""

    name: Name
    distance: Annotated[Mm, Field(ge=0.0, le=50.0)] = 5.0


class Cut(_Strict):
    """A planned plane; `normal` looks towards the specimen.

    `markups` names a 3D Slicer file instead, whose plane is called as the cut is; `flip` turns that plane's normal round.
    Cuts of one `group` bound one piece together: it lies on the specimen's side of all of them. The specimen is the union
    over groups. A cut acts on its `bone` alone. `kerf_side`: the saw removes a slab of bone; the plane is its middle, or it lies
    wholly on one side of the plane.
    """

    name: CutName
    origin: Triple | None = None
    normal: Direction | None = None
    extent: Positive | None = None
    planned_positive: bool = False
    markups: File = None
    flip: bool = False
    group: CutName = "1"
    kerf_side: KerfSide = "centre"
    bone: Name | None = None

    @model_validator(mode="after")
    def _plane(self) -> Cut:
        if self.markups is not None:
            if self.origin is not None or self.normal is not None:
                raise ValueError("names a markups file, and the plane comes from that file; remove origin and normal")
        elif self.flip:
            raise ValueError("belongs to markups only; without markups, write the normal as it should be")
        elif self.origin is None or self.normal is None:
            missing = "origin" if self.origin is None else "normal"
            raise ValueError(f"needs '{missing}' (three numbers, mm, LPS)")
        return self

    @property
    def plane(self) -> tuple[Array, Array]:
        """(origin, unit normal), patient mm; only of a cut whose plane stands in the case itself.

        Raises
        ------
        ValueError
        """
        if self.origin is None or self.normal is None:
            raise ValueError(f"the plane of cut '{self.name}' stands in {self.markups}")
        normal = np.asarray(self.normal, dtype=np.float64)
        return np.asarray(self.origin, dtype=np.float64), normal / np.linalg.norm(normal)


class Trajectory(_Strict):
    """A way into the bone for a drill, wire or reamer: `entry`, a point at the bone's surface, `direction` into the bone, `depth` below the entry.

    `implant`: the stem, with its cup, that goes into the hole.
    """

    name: CutName
    entry: Triple
    direction: Direction
    depth: Annotated[Mm, Field(ge=1.0, le=250.0)]
    tool: EntryId | Tool
    implant: EntryId | Implant | None = None

    @property
    def line(self) -> tuple[Array, Array]:
        """(entry, unit direction), patient mm."""
        way = np.asarray(self.direction, dtype=np.float64)
        return np.asarray(self.entry, dtype=np.float64), way / np.linalg.norm(way)


class PlateHole(_Strict):
    """A hole of a plate that a wire of a guide uses first: a `point` on its axis at the bone's surface, and its `direction` into the bone."""

    name: CutName
    point: Triple
    direction: Direction


class GuideRequest(_Strict):
    """One guide to make: template, cuts or trajectories, approach (from the bone towards the surgeon), blade and printer.

    Whether it takes cuts and a blade, or trajectories, its template says. `hole`: where its wires go, `slot_sleeve`: of metal,
    for its slots; of a template that takes such.
    """

    name: Name
    bone: Name | None = None
    template: str
    cuts: Annotated[tuple[str, ...], Field(max_length=6, strict=False)] = ()
    trajectories: Annotated[tuple[str, ...], Field(max_length=8, strict=False)] = ()
    approach: Direction
    blade: EntryId | Blade | None = None
    printer: EntryId | Printer
    hole: Annotated[tuple[PlateHole, ...], Field(max_length=6, strict=False)] = ()
    slot_sleeve: EntryId | SlotSleeve | None = None
    params: dict[str, Any] = {}


class PartRequest(_Strict):
    """One part to make of a bone's body, without a seat: template and printer, and the bone where there are several."""

    name: Name
    bone: Name | None = None
    template: str
    printer: EntryId | Printer
    params: dict[str, Any] = {}


def _how_many(value: Any) -> str:
    return SEVERAL if isinstance(value, list | tuple) else ONE


Several = Annotated[tuple[BoneSource, ...], Field(strict=False, min_length=1), Tag(SEVERAL)]


class Case(_Strict):
    """A whole case file; `side_confirmed` insists on a `side` that a bone's shape contradicts.

    `bone` is one table, or a list of tables with a name each; `bones` are the same in either form.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    id: Name
    side: CaseSide
    side_confirmed: bool = False
    bone: Annotated[Annotated[BoneSource, Tag(ONE)] | Several, Discriminator(_how_many)]
    tumour: Tumour | None = None
    catalogue: File = None
    avoid: Annotated[tuple[Avoid, ...], Field(strict=False)] = ()
    landmarks: dict[str, Triple] = {}
    cut: Annotated[tuple[Cut, ...], Field(strict=False)] = ()
    trajectory: Annotated[tuple[Trajectory, ...], Field(strict=False)] = ()
    guide: Annotated[tuple[GuideRequest, ...], Field(strict=False)] = ()
    part: Annotated[tuple[PartRequest, ...], Field(strict=False)] = ()
    donor: Donor | None = None

    @model_validator(mode="after")
    def _registered(self) -> Case:
        if self.tumour is not None and self.tumour.mri is not None and all(bone.ct is None for bone in self.bones):
            raise ValueError("tumour.mri is registered to bone.ct, which is not given; give tumour.transform instead")
        return self

    @model_validator(mode="after")
    def _named_apart(self) -> Case:
        wrong = apart_in(self.model_dump(by_alias=True, mode="json"))
        if wrong:
            raise ValueError(wrong[0][2])
        return self

    @property
    def bones(self) -> tuple[BoneSource, ...]:
        """Every bone of the case, in its order."""
        return self.bone if isinstance(self.bone, tuple) else (self.bone,)

    def side_of(self, bone: BoneSource) -> CaseSide:
        """The side that a bone must be of: its own, `midline` for a sacrum among several bones, else the case's."""
        if bone.side is not None:
            return bone.side
        return "midline" if len(self.bones) > 1 and bone.anatomy == "sacrum" else self.side

    def bone_of(self, entry: Cut | GuideRequest | PartRequest) -> str | None:
        """The name of the bone that a cut, guide or part is on; None where the only bone has none."""
        return self.bones[0].name if len(self.bones) == 1 else entry.bone

    def cut_named(self, name: str) -> Cut:
        """The cut called `name`."""
        return next(cut for cut in self.cut if cut.name == name)

    def trajectory_named(self, name: str) -> Trajectory:
        """The trajectory called `name`."""
        return next(trajectory for trajectory in self.trajectory if trajectory.name == name)


def apart_in(data: Mapping[str, Any]) -> list[Apart]:
    """What does not fit together in a case file as read (names twice, unknown cuts, trajectories, bones and landmarks)."""
    found: list[Apart] = bones_apart(data)
    for kind in ("bone", "cut", "trajectory", "guide", "part", "avoid"):
        names = [entry.get("name") for entry in tables_in(data, kind)]
        for name in dict.fromkeys(name for name in names if isinstance(name, str) and names.count(name) > 1):
            second = [number for number, other in enumerate(names) if other == name][1]
            found.append((f"{kind}[{second}].name", (kind, second, "name"), f"two entries of [[{kind}]] are named '{name}'"))
    landmarks = data.get("landmarks")
    for name in landmarks if isinstance(landmarks, dict) else ():
        if name not in LANDMARKS:
            text = f"landmarks: '{name}' is no known landmark; they are {', '.join(LANDMARKS)}"
            found.append((f"landmarks.{name}", ("landmarks", name), text))
    found += donor_apart(data, LANDMARKS)
    for number, guide in enumerate(tables_in(data, "guide")):
        for kind in ("cut", "trajectory"):
            found += _named_by(guide, kind, number, [entry.get("name") for entry in tables_in(data, kind)])
    return found


def _named_by(guide: Mapping[str, Any], kind: str, number: int, known: list[Any]) -> list[tuple[str, tuple[int | str, ...], str]]:
    """What is wrong with the names of cuts, or of trajectories, that a guide's table lists."""
    word = "cuts" if kind == "cut" else "trajectories"
    names = guide.get(word)
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list | tuple) else []
    key, place = f"guide[{number}].{word}", ("guide", number, word)
    there = ", ".join(str(one) for one in dict.fromkeys(known))
    absent = f"but the {word} are {there}" if there else f"but the case has no [[{kind}]]"
    found: list[tuple[str, tuple[int | str, ...], str]] = [
        (key, place, f"{key} names '{name}', {absent}") for name in dict.fromkeys(names) if name not in known
    ]
    if len(set(names)) != len(names):
        found.append((key, place, f"{key} names a {kind} twice"))
    return found
