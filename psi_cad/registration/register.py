"""Rigid CT–MRI registration by mutual information, from many starts, with a check of itself and a refusal when in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from psi_cad.errors import RegistrationError
from psi_cad.records.scans import RegistrationChecks, RegistrationSaid
from psi_cad.registration.edges import bone_residual
from psi_cad.registration.rigid import apply, distance, distance_to, inverse, itk_rigid, midway, rigid_from_itk, rigid_from_points, turn_deg
from psi_cad.registration.similarity import Similarity, climbed, start_poses
from psi_cad.units import Array, Deg, Mm
from psi_cad.voxels.pyramid import CT_AIR, Prepared, prepared
from psi_cad.voxels.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = ["AGREE_MM", "INVERSE_MM", "LEAST_AGREEING", "Registration", "register"]

AGREE_MM: Final[Mm] = 3.0
"""Two starts agree when no corner of the body's box is further apart: less than a slice of a 4 mm MRI, before the last refinement."""
RIVAL_MM: Final[Mm] = 6.0
"""An end this far from the result is another place, not the same hill climbed less well."""
LEAST_AGREEING: Final = 3
INVERSE_MM: Final[Mm] = 2.0
"""Registered the other way round, no corner of the body's box may come back further from where it began."""
RIVAL_SHARE: Final = 0.98
"""A pose elsewhere with this share of the best one's evidence is a rival: the scans do not say which is right."""
VALLEY_SHARE: Final = 0.995
"""Evidence on the way from an end to the best one falls below this share of the end's own, or both stand on one hill."""
LEAST_EVIDENCE: Final = 0.03
"""Normalised mutual information, less 1, at the result."""
BONE_EDGES_MM: Final[Mm] = 8.0
"""Blocks of bone that the other scan does not show at all lie about 10 mm off by chance; those of one patient lie within 5 mm on 4 mm slices."""
LANDMARK_MM: Final[Mm] = 10.0
"""Landmarks set by hand on a 4 mm MRI are good to a few mm; a result that misses them by more is not where they were set."""

STARTS: Final = 8
ENOUGH: Final = 5
"""Where the first five all agree, the other three are not climbed from."""
_COARSE_SAMPLES: Final = 16_000
_MIDDLE_SAMPLES: Final = 120_000
_FINE_SAMPLES: Final = 1_000_000
_LEVER: Final = 0.22  # of the box's diagonal: about the root mean square distance of the body from its middle
_APART: Final[Mm] = 10.0  # of two starts that are both climbed from
_BINS: Final = 40


@dataclass(frozen=True)
class Registration:
    """Where the fixed scan lies on the moving one, and how far that may be trusted.

    Attributes
    ----------
    moving_from_fixed : (4, 4)
        Takes points of the fixed scan (CT) to the moving one (MRI), LPS mm; rigid.
    centre : (3,)
        Middle of the body on the fixed scan, mm.
    box : (8, 3)
        Corners of the body's box on the fixed scan, where the checks below are taken, mm.
    starts, agreeing : int
        Starts that were climbed from, and those of them that ended at the result.
    spread_mm : float
        Greatest distance at a corner between the starts that agree.
    evidence, evidence_at_start : float
        Normalised mutual information, less 1, at the result and at the start given (or the headers').
    rival_share : float
        Evidence of the best other place, as a share of that at the result; 0 where there is none.
    inverse_mm : float
        Greatest distance of a corner from itself after a registration there and an independent one back.
    moved_mm, turned_deg : float
        From the start to the result: shift of the centre, and turn.
    landmark_rms_mm : float or None
        Distance of the landmarks at the result.
    bone_edges_mm : float or None
        How far blocks of the CT's bone lie off their place on the other scan, median; None where it was not judged: no CT, a mask, little bone.
    bone_blocks : int
        How many blocks were looked for.
    notes : tuple of str
    """

    moving_from_fixed: Array
    centre: Array
    box: Array
    starts: int
    agreeing: int
    spread_mm: Mm
    evidence: float
    evidence_at_start: float
    rival_share: float
    inverse_mm: Mm
    moved_mm: Mm
    turned_deg: Deg
    landmark_rms_mm: Mm | None = None
    bone_edges_mm: Mm | None = None
    bone_blocks: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def fixed_from_moving(self) -> Array:
        """The way back, (4, 4)."""
        return inverse(self.moving_from_fixed)

    @property
    def uncertainty_mm(self) -> Mm:
        """What the checks leave open at the corners of the body's box: the larger of spread and half the inverse error.

        It does not know of errors both scans share, such as a patient who moved or an MRI that is bent.
        """
        return max(self.spread_mm, 0.5 * self.inverse_mm)

    def report(self) -> RegistrationSaid:
        """The numbers, rounded."""
        return RegistrationSaid(
            moving_from_fixed=np.round(self.moving_from_fixed, 9).tolist(),
            frame="LPS mm",
            centre_mm=np.round(self.centre, 3).tolist(),
            moved_mm=round(self.moved_mm, 3),
            turned_deg=round(self.turned_deg, 3),
            checks=RegistrationChecks(
                starts=self.starts,
                agreeing=self.agreeing,
                spread_mm=round(self.spread_mm, 3),
                inverse_mm=round(self.inverse_mm, 3),
                rival_share=round(self.rival_share, 4),
                evidence_at_start=round(self.evidence_at_start, 4),
                evidence=round(self.evidence, 4),
                landmark_rms_mm=None if self.landmark_rms_mm is None else round(self.landmark_rms_mm, 2),
                bone_edges_mm=None if self.bone_edges_mm is None else round(self.bone_edges_mm, 2),
                bone_blocks=self.bone_blocks,
                uncertainty_mm=round(self.uncertainty_mm, 3),
            ),
            limits={
                "agreeing": LEAST_AGREEING,
                "spread_mm": AGREE_MM,
                "inverse_mm": INVERSE_MM,
                "rival_share": RIVAL_SHARE,
                "evidence": LEAST_EVIDENCE,
                "landmark_rms_mm": LANDMARK_MM,
                "bone_edges_mm": BONE_EDGES_MM,
            },
            notes=list(self.notes),
        )


def register(
    fixed: Volume,
    moving: Volume,
    *,
    start: Array | None = None,
    landmarks: tuple[Array, Array] | None = None,
    mask: Volume | None = None,
    progress: Callable[[str], None] | None = None,
) -> Registration:
    """The rigid transform between two scans of one patient.

    A grid of 225 starts around the given one (without one: around the headers' and around body on body) is looked at with
    normalised mutual information on coarse cubes; the best eight that lie apart (five, if they all agree) are each climbed from, and refined
    with Mattes mutual information on finer cubes. The best is refined once more, in both directions independently,
    and the result lies half-way between the two. Offsets of the start up to 30 mm and 15° are made good.

    Parameters
    ----------
    fixed, moving : Volume
        CT and MRI (any two modalities will do), patient mm (LPS).
    start : (4, 4), optional
        Moving from fixed, to search around.
    landmarks : pair of (n, 3), optional
        The same n ≥ 3 places on the fixed and on the moving scan, mm, to search around.
    mask : Volume, optional
        In the fixed scan's frame; only where it is not zero is the fit judged, e.g. around one bone.
    progress : callable, optional
        Told each step.

    Raises
    ------
    ImageError
        If a scan, the mask or the landmarks cannot be used.
    RegistrationError
        If starts disagree, the way back does not lead home, the scans tell too little of each other, or the landmarks are missed.

    References
    ----------
    Mattes et al. 2003, IEEE TMI 22(1):120; Studholme et al. 1999, Pattern Recognition 32:71.
    """
    tell = progress or (lambda _: None)
    with _one_thread():
        tell("prepare both scans")
        still, other = prepared(fixed, scan="fixed"), prepared(moving, scan="moving")
        bases = _bases(still, other, start, landmarks)
        matcher = _Matcher(still, other, mask)
        tell("look at starts")
        poses = matcher.best_starts(bases)
        ends: list[tuple[float, Array]] = []
        for number, pose in enumerate(poses, start=1):
            tell(f"climb from start {number} of {len(poses)}")
            ends.append(matcher.climbed_to(pose))
            if len(ends) == ENOUGH and all(float(distance(ends[0][1], end, at=still.box).max()) <= AGREE_MM for _, end in ends):
                break
        ends.sort(key=lambda end: -end[0])
        best = ends[0][1]
        apart = [float(distance(best, end, at=still.box).max()) for _, end in ends]
        tell("refine, there and back")
        there, back = matcher.refined_both_ways(best)
        result = midway(there, inverse(back), about=still.centre)
    rivals = [evidence for (evidence, end), gap in zip(ends, apart, strict=True) if gap > RIVAL_MM and matcher.parted(end, best)]
    rms = None
    if landmarks is not None:
        rms = float(np.sqrt((distance_to(result, *landmarks) ** 2).mean()))
    edges = None
    if mask is None and float(fixed.values.min()) < CT_AIR:
        tell("compare the edges of bone")
        edges = bone_residual(fixed, moving, result)
    found = Registration(
        moving_from_fixed=result,
        centre=still.centre,
        box=still.box,
        starts=len(ends),
        agreeing=sum(gap <= AGREE_MM for gap in apart),
        spread_mm=max(gap for gap in apart if gap <= AGREE_MM),
        evidence=matcher.evidence(result),
        evidence_at_start=matcher.evidence(bases[0]),
        rival_share=max(rivals, default=0.0) / max(ends[0][0], 1e-9),
        inverse_mm=float(np.linalg.norm(apply(back @ there, still.box) - still.box, axis=1).max()),
        moved_mm=float(distance(result, bases[0], at=still.centre[None])[0]),
        turned_deg=turn_deg(result @ inverse(bases[0])),
        landmark_rms_mm=rms,
        bone_edges_mm=None if edges is None else edges.median,
        bone_blocks=0 if edges is None else edges.blocks,
    )
    _refuse_doubt(found)
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """ITK sums in the order its threads finish; one thread gives the same digits every time."""
    import SimpleITK as sitk  # noqa: N813

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _bases(still: Prepared, other: Prepared, start: Array | None, landmarks: tuple[Array, Array] | None) -> list[Array]:
    """Where to search around: what is given, else the headers' frame and body on body."""
    if start is not None:
        return [np.asarray(start, dtype=np.float64)]
    if landmarks is not None:
        return [rigid_from_points(*landmarks)[0]]
    shifted = np.eye(4)
    shifted[:3, 3] = other.centre - still.centre
    return [np.eye(4), shifted]


class _Matcher:
    """The two scans at three sizes of cubes."""

    def __init__(self, still: Prepared, other: Prepared, mask: Volume | None) -> None:
        field_mm3 = min(still.volume, other.volume)

        def side(samples: int, least: Mm, most: Mm) -> Mm:
            return float(np.clip((field_mm3 / samples) ** (1.0 / 3.0), least, most))

        coarse, middle = side(_COARSE_SAMPLES, 3.0, 10.0), side(_MIDDLE_SAMPLES, 2.0, 4.5)
        self._still, self._centre, self._box = still, still.centre, still.box
        self._radius = 0.35 * float(np.linalg.norm(still.box[7] - still.box[0]))
        grids = (still.cubes(coarse), still.cubes(middle), still.fine(_FINE_SAMPLES))
        flags = [None if mask is None else still.flags(mask, grid) for grid in grids]
        # samples are taken in the smaller field, so that they fall inside the other
        self._swapped = mask is None and other.volume < 0.7 * still.volume
        pair = (grids[0], other.cubes(coarse))
        self._similarity = Similarity.of(*(pair[::-1] if self._swapped else pair), inside=flags[0])
        self._middle = (grids[1], other.cubes(middle), flags[1])
        self._fine = (grids[2], other.fine(_FINE_SAMPLES), flags[2])

    def evidence(self, pose: Array) -> float:
        return self._similarity.at(inverse(pose) if self._swapped else pose)

    def parted(self, end: Array, best: Array) -> bool:
        """Whether a valley lies between two poses; if none does, the climb to one only stopped on its way to the other."""
        halves = midway(end, best, about=self._centre)
        between = [midway(end, halves, about=self._centre), halves, midway(halves, best, about=self._centre)]
        return min(self.evidence(pose) for pose in between) < VALLEY_SHARE * self.evidence(end)

    def best_starts(self, bases: list[Array]) -> list[Array]:
        """The starts with the most evidence that lie apart, the first base always among them."""
        poses = [pose for base in bases for pose in start_poses(base, centre=self._centre)]
        found = [bases[0]]
        for index in np.argsort([-self.evidence(pose) for pose in poses], kind="stable"):
            if len(found) == STARTS:
                break
            if all(distance(poses[index], pose, at=self._box).max() > _APART for pose in found):
                found.append(poses[index])
        return found

    def climbed_to(self, pose: Array) -> tuple[float, Array]:
        if self._swapped:
            about = apply(pose, self._centre[None])[0]
            pose = inverse(climbed(self._similarity, inverse(pose), centre=about, radius=self._radius))
        else:
            pose = climbed(self._similarity, pose, centre=self._centre, radius=self._radius)
        return self._refined(pose, *self._middle, about=self._centre, step=2.0, share=0.5)

    def refined_both_ways(self, pose: Array) -> tuple[Array, Array]:
        still, other, flags = self._fine
        _, there = self._refined(pose, still, other, flags, about=self._centre, step=1.0)
        _, back = self._refined(inverse(pose), other, still, None, about=apply(pose, self._centre[None])[0], step=1.0, moving_flags=flags)
        return there, back

    def _refined(
        self,
        pose: Array,
        still: sitk.Image,
        other: sitk.Image,
        flags: sitk.Image | None,
        *,
        about: Array,
        step: Mm,
        share: float = 1.0,
        moving_flags: sitk.Image | None = None,
    ) -> tuple[float, Array]:
        """Mattes mutual information (nats) at the top nearest to `pose`, and that top."""
        import SimpleITK as sitk  # noqa: N813

        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.MetricUseMovingImageGradientFilterOff()
        method.MetricUseFixedImageGradientFilterOff()
        if share < 1.0:
            method.SetMetricSamplingStrategy(sitk.ImageRegistrationMethod.REGULAR)
            method.SetMetricSamplingPercentage(share, 1)
        if flags is not None:
            method.SetMetricFixedMask(flags)
        if moving_flags is not None:
            method.SetMetricMovingMask(moving_flags)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(step, 0.005, 100, 0.6, 1e-7)
        # half a turn's versor moves a point at radius r by 2 r: so all six numbers are mm. ITK's own scales take the farthest
        # corner for r, which makes turns so stiff that the climb ends on the way
        turns = (2.0 * _LEVER * float(np.linalg.norm(self._box[7] - self._box[0]))) ** 2
        method.SetOptimizerScales([turns] * 3 + [1.0] * 3)
        method.SetInitialTransform(itk_rigid(pose, centre=about), inPlace=False)
        try:
            found = method.Execute(still, other)
        except RuntimeError:  # the climb left the other scan: this start has nothing to say
            return 0.0, pose
        return -float(method.GetMetricValue()), rigid_from_itk(found)


def _refuse_doubt(found: Registration) -> None:
    """Raise where a check is not passed, with the number and what to do."""
    help_ = "give a start (--start), landmarks (--landmarks), or a mask of the region that both scans show (--mask)"
    if found.evidence < LEAST_EVIDENCE:
        raise RegistrationError(
            f"The two scans have too little in common (evidence {found.evidence:.3f}, at least {LEAST_EVIDENCE} is needed); "
            f"are they of the same patient and region? If so, {help_}."
        )
    if found.rival_share > RIVAL_SHARE:
        raise RegistrationError(
            f"Two different places of the MRI fit about equally well (the second has {100 * found.rival_share:.1f} % of the best one's evidence), "
            f"and the scans do not say which is right; {help_}."
        )
    if found.agreeing < min(LEAST_AGREEING, found.starts):
        raise RegistrationError(
            f"Only {found.agreeing} of {found.starts} starts ended within {AGREE_MM:g} mm of the result, but {LEAST_AGREEING} are needed; {help_}."
        )
    if found.inverse_mm > INVERSE_MM:
        raise RegistrationError(
            f"Registered there and back, a corner of the body is off by {found.inverse_mm:.1f} mm (at most {INVERSE_MM:g} mm are allowed); {help_}."
        )
    if found.bone_edges_mm is not None and found.bone_edges_mm > BONE_EDGES_MM:
        raise RegistrationError(
            f"The bones of the two scans do not have the same edges: {found.bone_blocks} blocks of bone lie {found.bone_edges_mm:.1f} mm off in "
            f"the median (at most {BONE_EDGES_MM:g} mm are allowed); are both scans of one patient? If bones moved in between, mask one (--mask)."
        )
    if found.landmark_rms_mm is not None and found.landmark_rms_mm > LANDMARK_MM:
        raise RegistrationError(
            f"The result misses the landmarks by {found.landmark_rms_mm:.1f} mm (at most {LANDMARK_MM:g} mm are allowed); check the pairs of points."
        )
