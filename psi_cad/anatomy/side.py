"""Which side a bone is of, told from its shape: by where it looks in the patient (LPS), and by which hand it is of in any frame.

A hip bone is known by its socket, a femur by its head; whatever shows neither, or fits neither reference, is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
import trimesh

from psi_cad.anatomy.balls import Ball, SurfaceSample, largest_ball, sample_surface
from psi_cad.anatomy.likeness import Fit, Reference, best_fit, mirrored, own_mirror
from psi_cad.anatomy.shaft import Shaft, shaft_of
from psi_cad.units import Array, Deg, Mm

__all__ = ["BONE_NAMES", "HEAD_MM", "SOCKET_MM", "KnownBone", "ShapeVerdict", "Side", "verdict_of"]

Side: TypeAlias = Literal["left", "right"]
KnownBone: TypeAlias = Literal["hip", "femur"]

BONE_NAMES: Final = {"hip": "hip bone", "femur": "femur"}
SOCKET_MM: Final[tuple[Mm, Mm]] = (14.0, 34.0)  # radius of a bony socket from about 8 years on; adults have 21 to 30
HEAD_MM: Final[tuple[Mm, Mm]] = (13.0, 30.0)  # of a femoral head; adults have 20 to 28

_SAMPLED: Final = 5000
_FITTED: Final = 1400
# ten hip bones show 46 to 55 % of a sphere, eight sacra and four femora 28 % at most in any hollow
_SOCKET_COVERED: Final = (0.36, 0.75)
# three femora show 88 to 90 % (the neck takes the rest), hip bones and sacra 45 % at most, condyles 62 %
_HEAD_COVERED: Final = (0.74, 0.97)
# a bone fits its own reference to 7.1 to 7.8 mm (hip) and 3.6 to 4.1 (femur); a hip the mirror image to 10.8 or worse
_FITS: Final[dict[str, Mm]] = {"hip": 9.3, "femur": 6.0}
_EXPLAINED: Final[dict[str, float]] = {"hip": 0.5, "femur": 0.6}
_FEMUR_REACH: Final = 6.4  # radii of the head: the upper end is compared, whatever the femur's length
_CLEAR: Final = 0.85  # one hand's misfit, of the other's, at which the hand is clear: ten hip bones have 0.59 to 0.82
_CONTRARY: Final = 1.05  # a fit worse than the mirror's by this speaks against the trochanter
# seven sacra are their own mirror image to 3.6 to 4.2 mm, femora and hip bones to 5.3 at best
_SYMMETRIC_MM: Final[Mm] = 4.7
_SYMMETRIC: Final = 0.12  # of the bone's size
_ACROSS: Final[Deg] = 20.0  # how far the plane of symmetry may look from sideways
_LATERAL: Final = 0.3  # share of a direction that must look sideways
_STANDING: Final[Deg] = 50.0  # a pelvis tilts by 25°, a leg lies bent and turned by 40°
_HALF_TURN: Final[Deg] = 35.0
_HEAD_FORWARD: Final[Deg] = 25.0  # of sideways: anteversion and the shaft's bow; three femora have 27 to 31
_BACKWARD: Final = np.diag([-1.0, -1.0, 1.0])  # RAS read as LPS, or a bone mirrored front to back


@dataclass(frozen=True)
class ShapeVerdict:
    """What the shape of a bone says of its side.

    Attributes
    ----------
    bone : "hip", "femur" or None
        What it looks like.
    hand : "left", "right" or None
        Of which side a bone of this shape is, however it is turned.
    place : "left", "right" or None
        To which side it looks in the patient frame; None where the bone does not lie as a patient does.
    turned : float or None
        Degrees between how it lies and a patient lying or standing straight.
    margin : float
        How far the wrong hand fits worse: 1 − misfit / misfit of the other hand (hip), or how far the lesser trochanter stands
        out to the one side more than to the other, in radii of the head (femur).
    evidence : str
        One clause with a place and numbers.
    where : (3,) or None
        The middle of the socket or head, patient mm.
    radius : float or None
        Of the socket or head, mm.
    symmetric : bool
        Whether a bone of no known kind is its own mirror image, left for right, as bones of the midline are.
    """

    bone: KnownBone | None
    hand: Side | None
    place: Side | None
    turned: Deg | None
    margin: float
    evidence: str
    where: Array | None = None
    radius: Mm | None = None
    symmetric: bool = False

    @property
    def side(self) -> Side | None:
        """The side, where hand and place agree."""
        return self.hand if self.hand == self.place else None

    @property
    def mirrored(self) -> bool:
        """Whether hand and place contradict each other: the surface is a mirror image, or lies turned by half round."""
        return self.hand is not None and self.place is not None and self.hand != self.place


def verdict_of(mesh: trimesh.Trimesh, references: Sequence[Reference]) -> ShapeVerdict:
    """What the shape of a bone surface (patient mm, faces outward) says of its side.

    Parameters
    ----------
    references : sequence of Reference
        A left "hip" and a left "femur", upright.
    """
    sample = sample_surface(mesh, _SAMPLED)
    known = {reference.name: reference for reference in references}
    socket = largest_ball(sample, hollow=True, low=SOCKET_MM[0], high=SOCKET_MM[1])
    hollow: ShapeVerdict | None = None
    if socket is not None and _SOCKET_COVERED[0] <= socket.covered <= _SOCKET_COVERED[1]:
        hollow = _hip(sample, socket, known["hip"])
        if hollow.bone is not None:
            return hollow
    head = largest_ball(sample, hollow=False, low=HEAD_MM[0], high=HEAD_MM[1])
    if head is not None and _HEAD_COVERED[0] <= head.covered <= _HEAD_COVERED[1]:
        return _femur(sample, head, known["femur"])
    return hollow or _neither(sample)


def _neither(sample: SurfaceSample) -> ShapeVerdict:
    step = max(len(sample.points) // _FITTED, 1)
    fit = own_mirror(SurfaceSample(sample.points[::step], sample.normals[::step]))
    size = float(np.sqrt(((sample.points - sample.points.mean(axis=0)) ** 2).sum(axis=1).mean()))
    flip = fit.patient_from_reference @ np.diag([-1.0, 1.0, 1.0])
    values, vectors = np.linalg.eigh((flip + flip.T) / 2.0)  # of a reflection: −1 across its plane
    lean = float(np.degrees(np.arccos(np.clip(abs(vectors[0, 0]), 0.0, 1.0))))
    why = "it shows neither the socket of a hip bone nor the head of a femur"
    if fit.residual > min(_SYMMETRIC_MM, _SYMMETRIC * size) or values[0] > -0.9 or lean > _ACROSS:
        return _unknown(why)
    return replace(_unknown(f"{why}, and is its own mirror image left for right to {fit.residual:.1f} mm"), symmetric=True)


def _unknown(why: str, ball: Ball | None = None) -> ShapeVerdict:
    return ShapeVerdict(None, None, None, None, 0.0, why, None if ball is None else ball.centre)


def _at(point: Array) -> str:
    return "(" + ", ".join(f"{value:.0f}" for value in point) + ")"


def _fits(sample: SurfaceSample, joint: Ball, reference: Reference) -> dict[Side, Fit]:
    return {"left": best_fit(sample, joint, reference), "right": best_fit(sample, joint, mirrored(reference))}


def _better(fits: dict[Side, Fit]) -> tuple[Side, float]:
    """The hand that fits better, and its misfit as a share of the other's."""
    hand: Side = "left" if fits["left"].residual <= fits["right"].residual else "right"
    return hand, fits[hand].residual / fits[_other(hand)].residual


def _other(side: Side) -> Side:
    return "right" if side == "left" else "left"


def _is_one(fit: Fit, bone: KnownBone) -> bool:
    return fit.residual <= _FITS[bone] and fit.explained >= _EXPLAINED[bone]


def _place(pose_turned: Deg, backward: Deg, lateral: float) -> Side | None:
    """To which side a bone looks whose outward direction has the x component `lateral`; None where it lies otherwise than a patient."""
    if (pose_turned <= _STANDING or backward <= _HALF_TURN) and abs(lateral) >= _LATERAL:
        return "left" if lateral > 0.0 else "right"
    return None


def _hip(sample: SurfaceSample, socket: Ball, reference: Reference) -> ShapeVerdict:
    step = max(len(sample.points) // _FITTED, 1)
    fits = _fits(SurfaceSample(sample.points[::step], sample.normals[::step]), socket, reference)
    hand, ratio = _better(fits)
    fit = fits[hand]
    if not _is_one(fit, "hip"):
        return _unknown(f"the hollow at {_at(socket.centre)} could be a socket, but the rest does not fit a hip bone", socket)
    opening = -socket.towards
    turned = fit.turned_from(np.eye(3))
    looks = f"the socket at {_at(socket.centre)} looks {_words(opening)}"
    shape = f"the shape fits a {hand} hip bone within {fit.residual:.1f} mm and a {_other(hand)} one within {fits[_other(hand)].residual:.1f}"
    clear = ratio <= _CLEAR and fit.explained > fits[_other(hand)].explained
    return ShapeVerdict(
        bone="hip",
        hand=hand if clear else None,
        place=_place(turned, fit.turned_from(_BACKWARD), float(opening[0])) if clear else None,
        turned=turned,
        margin=1.0 - ratio,
        evidence=f"{looks}, and {shape}",
        where=socket.centre,
        radius=socket.radius,
    )


def _femur(sample: SurfaceSample, head: Ball, reference: Reference) -> ShapeVerdict:
    shaft = shaft_of(sample, head)
    if shaft is None:
        return _unknown(f"the ball at {_at(head.centre)} could be a femoral head, but no shaft belongs to it", head)
    near = np.linalg.norm(sample.points - head.centre, axis=1) < _FEMUR_REACH * head.radius
    points, normals = sample.points[near], sample.normals[near]
    step = max(len(points) // _FITTED, 1)
    fits = _fits(SurfaceSample(points[::step], normals[::step]), head, reference)
    best, _ = _better(fits)
    if not _is_one(fits[best], "femur"):
        return _unknown(f"the ball at {_at(head.centre)} could be a femoral head, but the rest does not fit a femur", head)
    hand = _hand_of(shaft, fits)
    lateral = float(shaft.lateral[0])
    turned, backward = _femur_pose(shaft, hand)
    looks = f"the head at {_at(head.centre)} lies {_words(-shaft.lateral)} of the shaft"
    if hand is None:
        shape = "the lesser trochanter does not show clearly"
    else:
        shape = f"the lesser trochanter stands out by {abs(shaft.leaning) * head.radius:.0f} mm more on the back of a {hand} femur than on its front"
    return ShapeVerdict(
        bone="femur",
        hand=hand,
        place=_place(turned, backward, lateral),
        turned=turned,
        margin=abs(shaft.leaning),
        evidence=f"{looks}, and {shape}",
        where=head.centre,
        radius=head.radius,
    )


def _hand_of(shaft: Shaft, fits: dict[Side, Fit]) -> Side | None:
    """The hand that the lesser trochanter tells, unless the whole speaks against it."""
    if not shaft.clear:
        return None
    hand: Side = "left" if shaft.leaning > 0.0 else "right"
    return hand if fits[hand].residual <= _CONTRARY * fits[_other(hand)].residual else None


def _femur_pose(shaft: Shaft, hand: Side | None) -> tuple[Deg, Deg]:
    """Degrees from upright and from upright but backward; without a hand only the shaft's lean is known, and it never looks backward."""
    if hand is None:
        return float(np.degrees(np.arccos(np.clip(shaft.up[2], -1.0, 1.0)))), 180.0
    sign = 1.0 if hand == "left" else -1.0
    back = sign * np.cross(shaft.up, shaft.lateral)
    angle = np.radians(_HEAD_FORWARD)
    outward, back = np.cos(angle) * shaft.lateral - np.sin(angle) * back, np.cos(angle) * back + np.sin(angle) * shaft.lateral
    fit = Fit(0.0, 1.0, np.column_stack([sign * outward, back, shaft.up]))
    return fit.turned_from(np.eye(3)), fit.turned_from(_BACKWARD)


def _words(direction: Array) -> str:
    """A direction in the patient frame, its two largest parts in words."""
    names = (("to the patient's right", "to the patient's left"), ("forward", "backward"), ("down", "up"))
    order = np.argsort(-np.abs(direction))
    parts = [names[k][int(direction[k] > 0.0)] for k in order[:2] if abs(direction[k]) >= _LATERAL]
    return " and ".join(parts)
