"""Raised walls: where the label stands on them, on made-up sides of a fence."""

import numpy as np
import pytest
import shapely

from psi_cad.brep.bodies import Slab
from psi_cad.labelling.fence import LEAST, Side, Words, sides_of
from psi_cad.labelling.raising import RISE, place_raised
from psi_cad.siting.spline import HeightSpline, uniform_knots

WORDS = Words.of(("hip-a R", "supra", "generic-25x0.89", "v0.2.0"))
PAD, HALF = 0.5, 3.0


def side(*, top=8.0, long=90.0, lower=0.0, sign=1, slab=None, bridged=False, pierced=False) -> Side:
    """One side of a fence of this height (or heights at its stations) over a footplate at `lower`."""
    slab = slab or Slab(
        origin=np.array([1.0, 2.0, 3.0]),
        normal=np.array([0.0, 1.0, 0.0]),
        blade=np.array([0.0, 0.0, 1.0]),
        half_width=HALF,
        low=-long / 2,
        high=long / 2,
    )
    s = np.arange(-long / 2, long / 2 + 0.5)
    whole = [np.broadcast_to(value, s.shape) for value in (lower * 1.0, top * 1.0, bridged, pierced)]
    return Side(slab, sign, np.zeros((0, 5)), s, *whole)


def corners(found, one: Side):
    """The corners (d, s, u) of a flat face, in the slab's frame."""
    x, y = found.width / 2.0, found.height / 2.0
    return one.slab.frame.local(found.frame.patient(np.array([(a, b, 0.0) for a in (-x, x) for b in (-y, y)])))


def spoken(found) -> str:
    return "".join(line.replace(" ", "") for patch in found for line in patch.lines)


@pytest.mark.parametrize("sign", [1, -1])
def test_it_stands_above_the_footplate_and_not_too_far_over_its_fence(sign):
    s = np.arange(-45.0, 45.5)
    one = side(lower=0.1 * s, top=8.0 + 0.1 * s, sign=sign)
    found = place_raised([one], WORDS, reserve=WORDS, pad=PAD)
    assert found and spoken(found) == "".join(WORDS.pieces) and {patch.letter_height for patch in found} == {LEAST}
    for patch in found:
        at = corners(patch, one)
        assert np.allclose(sign * at[:, 0], HALF + PAD), "flat, proud of the side by the pad"
        assert patch.frame.axes[2] == pytest.approx(sign * one.slab.frame.axes[0]), "looks away from the slot"
        assert np.linalg.det(patch.frame.axes) == pytest.approx(1.0), "no letter is mirrored"
        assert (np.abs(at[:, 1]) <= 45.0).all(), "on the fence"
        assert (at[:, 2] >= 0.1 * at[:, 1] - 1e-9).all(), "above the footplate"
        assert at[:, 2].max() <= (8.0 + 0.1 * at[:, 1]).max() + RISE + 1e-9


def test_a_fence_too_low_or_too_short_carries_none():
    assert place_raised([side(top=8.0)], WORDS, reserve=WORDS, pad=PAD)
    assert place_raised([side(top=8.0)], WORDS, reserve=WORDS, pad=PAD, most=-8.0) == []
    assert place_raised([side(long=6.0)], WORDS, reserve=WORDS, pad=PAD) == []


def test_it_never_stands_where_no_fence_is_behind_it():
    s = np.arange(-45.0, 45.5)
    one = side(top=np.where(s < 0.0, 8.0, -5.0))  # the right half of the fence is cut back
    (found,) = place_raised([one], WORDS, reserve=WORDS, pad=PAD)
    assert corners(found, one)[:, 1].max() <= 0.0


def test_it_goes_to_the_side_that_no_sleeve_hides():
    slab = side().slab
    sides = [side(slab=slab), side(slab=slab, sign=-1)]
    before = [(slab.frame.patient(np.array([HALF + 2.0, along, 4.0])), 3.0) for along in np.arange(-45.0, 46.0, 5.0)]
    (plain,), (moved,) = (place_raised(sides, WORDS, reserve=WORDS, pad=PAD, sleeves=sleeves) for sleeves in ((), before))
    assert float(corners(plain, sides[0])[0, 0]) == pytest.approx(HALF + PAD)
    assert float(corners(moved, sides[1])[0, 0]) == pytest.approx(-HALF - PAD)


@pytest.mark.parametrize("kind", ["bridged", "pierced"])
def test_it_does_not_stand_over_a_bridge_nor_where_a_sleeve_comes_through(kind):
    free = side()
    middle = place_raised([free], WORDS, reserve=WORDS, pad=PAD)[0]
    at = corners(middle, free)[:, 1]
    barred = (free.s > at.min()) & (free.s < at.min() + 4.0)
    one = side(**{kind: barred})
    found = place_raised([one], WORDS, reserve=WORDS, pad=PAD)
    assert found
    for patch in found:
        low, high = corners(patch, one)[:, 1].min(), corners(patch, one)[:, 1].max()
        assert not (barred & (one.s > low) & (one.s < high)).any()
    assert place_raised([side(**{kind: np.ones(len(free.s), dtype=bool)})], WORDS, reserve=WORDS, pad=PAD) == []


def test_a_sleeve_that_a_leaning_fence_meets_is_seen():
    lean = np.radians(20.0)
    slab = Slab(
        origin=np.zeros(3),
        normal=np.array([0.0, np.cos(lean), -np.sin(lean)]),
        blade=np.array([0.0, np.sin(lean), np.cos(lean)]),
        half_width=HALF,
        low=-30.0,
        high=30.0,
    )
    flat = HeightSpline(uniform_knots(-60.0, 60.0, 10.0), uniform_knots(-60.0, 60.0, 10.0), np.zeros((15, 15)))
    foot = np.array([5.0, HALF + 4.0, 0.0])  # clear of the fence at its foot, and not at its top

    def sides(*sleeves):
        nothing = shapely.Polygon()
        return sides_of(flat, slab, plate=nothing, plate_thickness=3.0, height=10.0, edge_break=0.6, pad=PAD, span=(-30.0, 30.0), sleeves=sleeves)

    leaning_over, away = sides((np.stack([foot, foot + np.array([0.0, 0.0, 10.0])]), 3.0))
    if leaning_over.sign * slab.frame.axes[0][1] < 0.0:
        leaning_over, away = away, leaning_over
    along = leaning_over.s * slab.frame.axes[1][0]
    assert leaning_over.pierced[np.abs(along - 5.0) < 2.9].all() and not leaning_over.pierced[np.abs(along - 5.0) > 4.0].any()
    assert not away.pierced.any() and not any(one.pierced.any() for one in sides())
    start, end = leaning_over.windows[:, 2] - leaning_over.windows[:, 0] / 2.0, leaning_over.windows[:, 2] + leaning_over.windows[:, 0] / 2.0
    middle = 5.0 * slab.frame.axes[1][0]
    assert len(start) and ((end < middle) | (start > middle)).all(), "no text lies before it"
