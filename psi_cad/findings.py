"""What is said of a scan, a plan or a guide: numbers held against limits (`Check`), and what a person must know (`Caution`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import numpy as np

__all__ = ["CAUTIONS", "REASONS", "Caution", "CautionKind", "Check", "Place", "by_weight", "inmost", "place_of"]

Place: TypeAlias = tuple[float, float, float]
"""A point in the patient frame (LPS, mm)."""


@dataclass(frozen=True)
class Check:
    """One number against one limit; `where` is the place that decided it, in patient mm, if it has one."""

    id: str
    value: float
    unit: str
    rule: str
    limit: float
    passed: bool
    note: str = ""
    where: Place | None = None

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {**asdict(self), "where": None if self.where is None else list(self.where)}


@dataclass(frozen=True)
class CautionKind:
    """What one kind of caution means, and whether a release has to accept it by name."""

    meaning: str
    blocks_release: bool


# most serious first; the order is the order in which a person is told; docs/cautions.md tells of each
CAUTIONS: Final[Mapping[str, CautionKind]] = {
    "side-against-shape": CautionKind("the bone's shape contradicts the case's side, and the case insists", True),
    "segmentation-doubt": CautionKind("the segmentation contradicts itself: it is rejected, and no guide is built on it", True),
    "side-not-verified": CautionKind("the bone's shape does not tell its side", True),
    "donor-fit": CautionKind("a graft is as right as the fit of the donor's bone to the patient's: look at it", True),
    "donor-mirrored": CautionKind("the donor is of the other side, so the graft is a mirror image of what fills the defect", True),
    "graft-contact": CautionKind("the graft covers little of the host's face at a cut", True),
    "frame-not-stated": CautionKind("a scan's file does not say which way the patient lies in it", True),
    "tumour-off-bone": CautionKind("the tumour touches no bone", False),
    "no-tumour": CautionKind("no tumour is given, so no margin is measured", False),
    "planned-positive": CautionKind("a cut goes through the tumour, as the case declares", False),
    "clearance-override": CautionKind("the slot's clearance is outside the binding range", True),
    "case-overridden": CautionKind("--set changed the case file for this run", True),
    "one-wall": CautionKind("a cut is guided by one wall only: nothing but the hand keeps the blade from tipping off it", True),
    "slides": CautionKind("the guide can slide on the bone, and the case allows it", True),
    "coarse-scan": CautionKind("the scan's slices are too far apart for a guide", True),
    "scan-values": CautionKind("the scan's values may not be HU, or some of them were made up", True),
    "segmentation-look": CautionKind("the segmentation could not be sure somewhere: look at its pictures", True),
    "metal": CautionKind("metal lies in or near the bone; its streaks move the surface", True),
    "touching-bones": CautionKind("another bone touches this one, and psi-cad parted the two", True),
    "several-bodies": CautionKind("the bone's surface holds separate bodies, which may be two bones", True),
    "bones-overlap": CautionKind("two bones of the case reach into each other a little", True),
    "uncut-bone-near": CautionKind("the tumour comes near bone that stays, where no cut parts them", True),
    "tumour-proposed": CautionKind("the tumour's outline is a proposal of the software, and no person has drawn it", True),
    "anatomy-odd": CautionKind("the bone's size or mesh is unusual for its anatomy", True),
    "cropped-end-near": CautionKind("a cut comes near the flat end where the scan was cropped", True),
    "coarse-mesh": CautionKind("the bone's mesh is coarser where a guide sits than a guide wants", False),
    "soft-tumour-stays": CautionKind("tumour in soft tissue lies beside bone that stays", True),
    "no-plan": CautionKind("no plan lies beside the guides: nothing tells that the cuts free the specimen, or with what margin", True),
    "structure-near": CautionKind("a blade pushed to its full length comes near a structure, or into another bone", False),
    "no-seat": CautionKind("no seat was found near the approach, so depth is measured along the approach", False),
    "not-reached": CautionKind("the saw does not get at all of a cut face", False),
    "cut-without-guide": CautionKind("no guide takes a cut, so its depth and reach are not known", False),
    "retained-in-pieces": CautionKind("the bone that stays falls into pieces", False),
    "other-bone-in-plane": CautionKind("a cut's plane meets other bone, which is not cut", False),
    "nominal-blade": CautionKind("the blade's measures are a catalogue's, not measured", True),
    "nominal-tool": CautionKind("the measures of a drill, wire, reamer or slot sleeve are a catalogue's, not measured", True),
    "cup-in-bone": CautionKind("the cup reaches into the bone that stays, which has to be reamed for it", True),
    "nominal-implant": CautionKind("the sizes of an implant are a catalogue's nominal ones, not those of its maker", True),
    "kerf-not-measured": CautionKind("the saw's kerf is not measured; the slot's width stands for it", False),
    "part-other-blade": CautionKind("a part is made for the kerf of the case's own blade, and --blade names another", True),
    "kerf-unknown": CautionKind("no guide takes a cut, so what the saw removes there is not known", False),
    "uncalibrated-printer": CautionKind("the printer's compensation is not measured", True),
    "on-sawn-bone": CautionKind("the guide sits on bone that was sawn, and fits only where the saw went as planned", False),
    "seat-widened": CautionKind("the footplates reach further than asked, so that the guide cannot slide", False),
    "seat-far": CautionKind("the footplates reach much further than asked, so that the guide cannot slide", True),
    "seat-turned": CautionKind("the guide comes off further from the approach than was to be searched", True),
    "seat-nearer": CautionKind("the footplates reach less far than asked, because the guide cannot sit there", False),
    "seat-spans-hollow": CautionKind("a footplate spans bone that falls away, and does not rest there", False),
    "seat-gap-raised": CautionKind("the guide stands off further than asked, because bone would reach into it", False),
    "thick-slices": CautionKind("the scan's slices are further apart than guides are planned on", False),
    "ready-mask": CautionKind("the surface is a ready mask's, not moved to the cortex", False),
    "thin-bone-hole": CautionKind("the bone's surface has a hole where bone is thin: a foramen, or bone that the scan has lost", False),
    "surface-mended": CautionKind("the bone's surface had holes or open ends that were closed; no guide sits there", False),
    "scan-edge": CautionKind("the bone goes on beyond the scan, and its surface is closed flat there", False),
    "margin-through-bone": CautionKind("no way through bone leads from the tumour to a cut", False),
    "tip-past-bone": CautionKind("the planned tip of a tool lies past the far side of the bone", False),
    "may-skid": CautionKind("a tool meets the bone slantingly, and may skid before it bites", False),
    "part-less": CautionKind("a part has less than was asked for: pegs, a hollow, a window, letters", False),
    "no-label": CautionKind("the guide carries no label", False),
    "small-letters": CautionKind("the label's letters are too small to print or read", False),
    "slot-without-bridge": CautionKind("a long slot has no bridge across it", False),
    "short-run-out": CautionKind("a slot runs past the bone by less than asked", False),
    "private-paths": CautionKind("a file that was written holds paths of your own folders", False),
    "look": CautionKind("something else to look at", False),
}


# what speaks against a segmented bone; docs/segmentation.md tells of each
REASONS: Final[Mapping[str, str]] = {
    "no-gap": "nothing softer lies outside of a part of its surface",
    "no-bone": "a part of its surface runs through soft tissue",
    "void": "it encloses a void: its marrow is missing",
    "shell": "it is a shell without marrow",
    "guess": "too much of its surface shows no edge",
    "two-partings": "two ways to part it from its neighbours differ",
    "forced-cut": "seeds ask for a cut where nothing shows a joint",
    "may-be-two": "little bone holds a piece to it, along a seam",
    "other-blur": "it shows another blur than the scan",
    "may-lack-piece": "a part without a name may be a piece of it",
    "left-out": "a piece that seeds ask for does not hang together with it",
    "metal-in-bone": "metal was taken for bone",
    "moved": "it jumps between two slices",
}


@dataclass(frozen=True)
class Caution:
    """One thing a person must know: its kind (a key of `CAUTIONS`), one sentence, and a place in patient mm if it has one.

    `reason`: for a doubt of a segmentation, a key of `REASONS`; empty for the other kinds.
    """

    id: str
    text: str
    where: Place | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.id not in CAUTIONS:
            raise ValueError(f"'{self.id}' is no kind of caution")
        if self.reason and self.reason not in REASONS:
            raise ValueError(f"'{self.reason}' is no reason to doubt a segmentation")

    @property
    def blocks_release(self) -> bool:
        """Whether a release has to accept it by name."""
        return CAUTIONS[self.id].blocks_release

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        said = {"id": self.id, "text": self.text, "where": None if self.where is None else list(self.where), "blocks_release": self.blocks_release}
        return {**said, "reason": self.reason} if self.reason else said

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Caution:
        """The caution that `to_json` told of; one of a kind that this version does not know is something to look at."""
        where = said.get("where")
        return cls(
            str(said["id"]) if said["id"] in CAUTIONS else "look",
            str(said["text"]),
            None if where is None else (float(where[0]), float(where[1]), float(where[2])),
            str(said["reason"]) if said.get("reason") in REASONS else "",
        )


def by_weight(cautions: Iterable[Caution]) -> list[Caution]:
    """Each caution once, the most serious first."""
    order = list(CAUTIONS)
    return sorted(dict.fromkeys(cautions), key=lambda caution: order.index(caution.id))


def inmost(points: Any, size: Any = 1.0) -> Any:
    """The one of `points` (n, 3), or (n, 2), nearest to their mean, which itself may lie beside them; `size`: mm of a step along each axis."""
    away = np.linalg.norm((points - points.mean(axis=0)) * size, axis=1)
    return points[int(np.argmin(away))]


def place_of(point: Any) -> Place | None:
    """A point (3,) rounded to 0.01 mm for a report; None where it is not finite."""
    values = np.asarray(point, dtype=np.float64)
    if not np.isfinite(values).all():
        return None
    return (round(float(values[0]), 2) + 0.0, round(float(values[1]), 2) + 0.0, round(float(values[2]), 2) + 0.0)
