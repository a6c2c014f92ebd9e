"""What is tried where a guide would slide, and when it is given up."""

import numpy as np
import pytest
from psi_cad.guides.locking import locked
from shapes import planned

from psi_cad.errors import DesignError
from psi_cad.planning.axis import SeatingAxis
from psi_cad.planning.depth import slot_depth
from psi_cad.planning.sliding import Sliding
from psi_cad.units import LIMITS


def seating(lock, reach=18.0, slope=55.0, coarse=None):
    """`locked` with the lock of a contact as a function of reach and slope limit; also what it looked at and sat on."""
    calls = []

    def look(far, steep):
        return SeatingAxis(np.array([0, 0, 1.0]), 500.0, (coarse or lock)(far, steep), 0.0, 37)

    def sit(axis, far, steep):
        calls.append((far, steep))
        return Sliding(lock(far, steep), "slide", np.array([1.0, 0, 0]), np.zeros(3))

    return locked(reach, slope, look, sit), calls


def test_a_guide_that_holds_is_left_as_asked():
    found, calls = seating(lambda far, steep: 0.2)
    assert (found.reach, found.slope_limit, found.lock, found.tried) == (18.0, 55.0, 0.2, ())
    assert calls == [(18.0, 55.0)]


def test_the_nearest_that_holds_is_taken():
    found, _ = seating(lambda far, steep: 0.2 if far >= 30.0 else 0.03)
    assert (found.reach, found.slope_limit, found.lock) == (30.0, 55.0, 0.2)
    assert [(trial.reach, trial.slope_limit) for trial in found.tried] == [(18, 55), (18, 65), (24, 55), (24, 65), (30, 55)]
    assert [trial.left for trial in found.tried] == ["slides"] * 4 + [""]


def test_wrapping_further_may_do():
    found, _ = seating(lambda far, steep: 0.15 if steep > 60.0 else 0.1)
    assert (found.reach, found.slope_limit) == (18.0, 65.0)


def test_what_nothing_locks_stays_as_asked_and_the_search_ends():
    """A coarse look that shows no hope is not followed by a closer one."""
    found, calls = seating(lambda far, steep: 0.02)
    assert (found.reach, found.slope_limit, found.lock) == (18.0, 55.0, 0.02)
    assert len(found.tried) == 10 and calls == [(18.0, 55.0)]
    assert max(trial.reach for trial in found.tried) == 40.0


def test_the_best_that_just_holds_is_better_than_one_that_slides():
    just = LIMITS.sliding_lock * 1.01
    found, _ = seating(lambda far, steep: just if (far, steep) == (24.0, 65.0) else 0.115)
    assert (found.reach, found.slope_limit, found.lock) == (24.0, 65.0, just)


def test_reaches_that_cannot_sit_are_told_and_passed_over():
    def lock(far, steep):
        if far == 24.0:
            raise DesignError("bone stands in the way.")
        return 0.2 if far > 24.0 else 0.05

    found, _ = seating(lock, coarse=lambda far, steep: 0.2)
    assert found.reach == 30.0
    assert [trial.left for trial in found.tried if trial.lock is None] == ["bone stands in the way."] * 2


def test_a_reach_beyond_the_steps_is_not_shortened():
    found, _ = seating(lambda far, steep: 0.02, reach=40.0, slope=65.0)
    assert found.reach == 40.0 and [(trial.reach, trial.slope_limit) for trial in found.tried] == [(40.0, 65.0)]


def test_the_lines_a_blade_is_held_against_hold_the_deepest():
    """A wedge: each millimetre keeps its farthest line, and none is invented."""
    import trimesh

    wedge = trimesh.convex.convex_hull(np.array([[x, y, z] for x, y in ((-20, 0), (20, 0), (20, -30), (-20, -10)) for z in (-30, 30)], dtype=float))
    for _ in range(4):
        wedge = wedge.subdivide()
    _, cuts = planned(wedge, [("A", [0, -5, 0], [0, 0, 1.0])])
    profile = slot_depth(cuts["A"], np.array([0, 1.0, 0]))
    lines = np.array(profile.deepest_lines())
    assert lines[:, 1].min() == pytest.approx(profile.far.min(), abs=1e-4) == pytest.approx(-25.0, abs=1e-3)
    assert 40 <= len(lines) <= 42 and (np.diff(lines[:, 0]) > 0).all()
    np.testing.assert_allclose(lines[:, 1], np.interp(lines[:, 0], profile.s, profile.far), atol=1e-3)
