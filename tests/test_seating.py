"""The ways in which a guide is made to sit: which is taken, what is tried before it, and when the search ends."""

import numpy as np
import pytest
from conftest import CASES

from psi_cad.errors import DesignError
from psi_cad.guides.seating import SLIDES, Sat, settled
from psi_cad.siting.axis import SeatingAxis
from psi_cad.units import LIMITS


def axis(tilt, lock):
    angle = np.radians(tilt)
    return SeatingAxis(np.array([np.sin(angle), 0.0, np.cos(angle)]), 500.0, lock, float(tilt), 37)


def seating(lock, *, tilts=(0.0,), reach=18.0, slope=55.0, coarse=None, **options):
    """`settled` with the lock of a contact as a function of reach, slope limit and tilt; also what it sat on, in order."""
    calls = []

    def look(far, steep):
        return [axis(tilt, (coarse or lock)(far, steep, tilt)) for tilt in tilts]

    def sit(one):
        calls.append((one.reach, one.slope_limit, one.axis.tilt))
        return Sat(calls[-1], lock(*calls[-1]))

    found, made = settled(reach, slope, look, sit, **options)
    assert made == (found.reach, found.slope_limit, found.axis.tilt)
    return found, calls


def test_a_guide_that_holds_is_left_as_asked():
    found, calls = seating(lambda far, steep, tilt: 0.2, tilts=(0, 5, 10))
    assert (found.reach, found.slope_limit, found.lock, found.tried) == (18.0, 55.0, 0.2, ())
    assert calls == [(18.0, 55.0, 0.0)]


def test_the_nearest_that_holds_is_taken():
    found, _ = seating(lambda far, steep, tilt: 0.2 if far >= 30.0 else 0.03)
    assert (found.reach, found.slope_limit, found.lock) == (30.0, 55.0, 0.2)
    assert [(trial.reach, trial.slope_limit) for trial in found.tried] == [(18, 55), (18, 65), (24, 55), (24, 65), (30, 55)]
    assert [trial.left for trial in found.tried] == [SLIDES] * 4 + [""]


def test_another_axis_comes_before_a_longer_guide():
    found, calls = seating(lambda far, steep, tilt: 0.2 if tilt > 8.0 or far > 20.0 else 0.05, tilts=(0, 5, 10), coarse=lambda *_: 0.2)
    assert (found.reach, found.axis.tilt) == (18.0, 10.0)
    assert calls == [(18.0, 55.0, 0.0), (18.0, 55.0, 5.0), (18.0, 55.0, 10.0)]


def test_axes_hardly_apart_are_not_tried_one_after_another():
    _, calls = seating(
        lambda far, steep, tilt: 0.05, tilts=(0, 1, 2, 3, 6), coarse=lambda far, steep, tilt: 0.2 if far < 20.0 and steep < 60.0 else 0.0
    )
    assert [tilt for *_, tilt in calls] == [0.0, 6.0]


def test_wrapping_further_may_do():
    found, _ = seating(lambda far, steep, tilt: 0.15 if steep > 60.0 else 0.1)
    assert (found.reach, found.slope_limit) == (18.0, 65.0)


def test_what_nothing_locks_stays_as_asked_and_the_search_ends():
    """A coarse look that shows no hope is not followed by a closer one."""
    found, calls = seating(lambda far, steep, tilt: 0.02, tilts=(0, 10))
    assert (found.reach, found.slope_limit, found.lock) == (18.0, 55.0, 0.02)
    assert len(found.tried) == 16 and calls == [(18.0, 55.0, 0.0)]
    assert max(trial.reach for trial in found.tried) == 70.0


def test_the_search_is_bounded():
    _, calls = seating(lambda far, steep, tilt: 0.02, tilts=range(0, 30, 5), coarse=lambda *_: 0.2)
    assert len(calls) == len(set(calls)) == 10


def test_the_best_that_just_holds_is_better_than_one_that_slides():
    just = LIMITS.sliding_lock * 1.01
    found, _ = seating(lambda far, steep, tilt: just if (far, steep) == (24.0, 65.0) else 0.115)
    assert (found.reach, found.slope_limit, found.lock) == (24.0, 65.0, just)


def test_reaches_that_cannot_sit_are_told_and_passed_over():
    def lock(far, steep, tilt):
        if far == 24.0:
            raise DesignError("bone stands in the way.")
        return 0.2 if far > 24.0 else 0.05

    found, _ = seating(lock, coarse=lambda *_: 0.2)
    assert found.reach == 30.0
    assert [trial.left for trial in found.tried if trial.lock is None] == ["bone stands in the way."] * 2


def test_where_it_cannot_sit_it_reaches_less_far():
    def lock(far, steep, tilt):
        if far > 15.0:
            raise DesignError("bone stands in the way.")
        return 0.2

    found, calls = seating(lock, coarse=lambda *_: 0.2, tilts=(0, 10))
    assert calls == [(18.0, 55.0, 0.0), (18.0, 55.0, 10.0), (14.0, 55.0, 0.0)]
    assert [trial.left for trial in found.tried] == ["bone stands in the way."] * 2 + [""]


@pytest.mark.parametrize(("blocked", "calls"), [(True, [0.0, 25.0]), (False, [0.0, 10.0])])
def test_aside_is_looked_only_where_it_cannot_sit(blocked, calls):
    def lock(far, steep, tilt):
        if blocked and tilt < 20.0:
            raise DesignError("bone stands in the way.")
        return 0.2 if tilt > 5.0 else 0.05

    found, sat = seating(lock, coarse=lambda *_: 0.2, tilts=(0, 10), aside=lambda far, steep: [axis(25.0, 0.2)])
    assert [tilt for *_, tilt in sat] == calls and found.axis.tilt == calls[-1]


def test_where_it_can_sit_nowhere_the_first_reason_is_told():
    def lock(far, steep, tilt):
        raise DesignError(f"bone stands in the way at {far:g} and {tilt:g}.")

    with pytest.raises(DesignError, match="at 18 and 0"):
        seating(lock, coarse=lambda *_: 0.2, tilts=(0, 10))


def test_a_reach_beyond_the_steps_is_not_shortened():
    found, _ = seating(lambda far, steep, tilt: 0.02, reach=70.0, slope=65.0)
    assert found.reach == 70.0 and [(trial.reach, trial.slope_limit) for trial in found.tried] == [(70.0, 65.0)]


def test_a_finer_look_tells_which_axis_is_worth_a_seat():
    """The coarse look takes what is rough for what holds; one axis does hold."""
    asked = []

    def expect(one):
        asked.append(one.axis.tilt)
        return 0.2 if one.axis.tilt == 20.0 else 0.05

    found, calls = seating(
        lambda far, steep, tilt: 0.2 if tilt == 20.0 else 0.05,
        tilts=range(0, 30, 5),
        coarse=lambda *_: 0.2,
        expect=expect,
        hold=lambda one: expect(one),
    )
    assert calls == [(18.0, 55.0, 20.0)] and found.axis.tilt == 20.0
    assert asked.count(5.0) == 1  # and the contact of what it left is not looked at


def test_a_guide_that_may_slide_sits_as_asked():
    def look(far, steep):
        return [axis(0.0, 0.01)]

    found, _ = settled(18.0, 55.0, look, lambda one: Sat(None, None), may_slide=True)
    assert (found.reach, found.lock, found.tried) == (18.0, None, ())


def test_a_seat_that_turned_out_bad_is_not_taken_again():
    lock = dict.fromkeys((0.0, 10.0), 0.2)
    first, _ = seating(lambda far, steep, tilt: lock[tilt], tilts=lock)
    bad = first.left("`seat_overlap` failed")
    found, calls = seating(lambda far, steep, tilt: lock[tilt], tilts=lock, but=[bad])
    assert (found.axis.tilt, calls) == (10.0, [(18.0, 55.0, 10.0)])
    assert [trial.left for trial in found.tried] == ["`seat_overlap` failed", ""]


def test_after_a_bad_one_a_seat_that_slides_is_no_way_out():
    first, _ = seating(lambda *_: 0.2)
    with pytest.raises(DesignError, match="no other way"):
        seating(lambda far, steep, tilt: 0.01, but=[first.left("`seat_max` failed")])


def test_an_axis_known_to_be_bad_is_followed_only_if_it_is_the_first():
    def ahead(axis):
        return "the blade is too short" if axis.tilt < 8.0 else ""

    found, calls = seating(lambda *_: 0.2, tilts=(0, 5, 10), ahead=ahead)
    assert [tilt for *_, tilt in calls] == [0.0] and found.axis.tilt == 0.0  # `sit` finds nothing wrong with it here

    def sit(one):
        return Sat(one.axis.tilt, 0.2, ahead(one.axis))

    found, made = settled(18.0, 55.0, lambda far, steep: [axis(tilt, 0.2) for tilt in (0, 5, 10)], sit, ahead=ahead)
    assert made == found.axis.tilt == 10.0
    assert [trial.left for trial in found.tried] == ["the blade is too short"] * 2 + [""]


def test_only_what_holds_by_its_contact_is_made_to_sit():
    def lock(far, steep, tilt):
        return 0.2 if far > 20.0 else 0.1

    found, calls = seating(lock, tilts=(0, 5, 10), coarse=lambda *_: 0.2, hold=lambda one: lock(one.reach, one.slope_limit, one.axis.tilt))
    assert calls == [(24.0, 55.0, 0.0)]
    assert (found.reach, found.lock) == (24.0, 0.2)
    assert [trial.left for trial in found.tried[:-1]] == [SLIDES] * (len(found.tried) - 1) and found.tried[0].lock == 0.1


def test_where_every_contact_slides_the_first_that_can_sit_does():
    calls = []

    def sit(one):
        calls.append(one.axis.tilt)
        if one.axis.tilt < 3.0:
            raise DesignError("bone in the way")
        return Sat("made", 0.05)

    found, made = settled(18.0, 55.0, lambda far, steep: [axis(tilt, 0.2) for tilt in (0, 5, 10)], sit, hold=lambda one: 0.05)
    assert (made, found.axis.tilt, found.lock, calls) == ("made", 5.0, 0.05, [0.0, 5.0])
    with pytest.raises(DesignError, match="bone in the way"):
        settled(18.0, 55.0, lambda far, steep: [axis(0, 0.2)], sit, hold=lambda one: 0.05)


def test_a_contact_that_is_none_is_passed_over():
    def hold(one):
        if one.axis.tilt < 3.0:
            raise DesignError("too little bone")
        return 0.2

    found, _ = seating(lambda far, steep, tilt: 0.2, tilts=(0, 5), hold=hold)
    assert found.axis.tilt == 5.0 and found.tried[0].left == "too little bone"


def test_of_those_that_just_hold_the_best_is_made_to_sit():
    just = LIMITS.sliding_lock * np.array([1.01, 1.04, 1.02])
    _, calls = seating(lambda far, steep, tilt: 0.1, hold=lambda one: 0.1, tilts=(0, 5, 10), coarse=lambda *_: 0.2)
    assert calls == [(18.0, 55.0, 0.0)], "where all slide the nearest is"

    def lock(far, steep, tilt):
        return float(just[int(tilt) // 5]) if (far, steep) == (18.0, 55.0) else 0.05

    found, calls = seating(lock, tilts=(0, 5, 10), coarse=lambda *_: 0.2, hold=lambda one: lock(one.reach, one.slope_limit, one.axis.tilt))
    assert calls == [(18.0, 55.0, 5.0)] and found.axis.tilt == 5.0


def test_one_that_seemed_to_hold_and_slides_is_better_than_none():
    """The contact promised more than the seat gives."""
    just = LIMITS.sliding_lock * 1.01
    calls = []

    def sit(one):
        calls.append((one.reach, one.slope_limit, one.axis.tilt))
        return Sat(calls[-1], 0.9 * LIMITS.sliding_lock)

    found, made = settled(18.0, 55.0, lambda far, steep: [axis(tilt, 0.2) for tilt in (0, 5)], sit, hold=lambda one: just)
    assert made == calls[0] and found.lock == 0.9 * LIMITS.sliding_lock and len(set(calls)) == len(calls)


def test_what_would_be_so_anywhere_is_told_at_once():
    tried = []

    def sit(seating):
        tried.append(seating)
        error = DesignError("params.open_end = 'head': no slot ends there by itself.")
        error.anywhere = True
        raise error

    with pytest.raises(DesignError, match="no slot ends there"):
        settled(18.0, 55.0, lambda far, steep: [axis(tilt, 0.2) for tilt in (0, 5, 10)], sit)
    assert len(tried) == 1, "other seats cost seconds each"
    with pytest.raises(DesignError, match="no slot ends there"):
        settled(18.0, 55.0, lambda far, steep: [axis(tilt, 0.2) for tilt in (0, 5, 10)], sit, hold=lambda one: 0.05)
    assert len(tried) == 2, "also where all of them slide"


def test_where_nothing_holds_few_ways_are_made_to_sit_before_the_guide_is_refused():
    tried = []

    def sit(one):
        tried.append(one)
        raise DesignError("the bone there is a cliff")

    with pytest.raises(DesignError, match="cliff"):
        settled(18.0, 55.0, lambda far, steep: [axis(0.0, 0.2)], sit, hold=lambda one: 0.05)
    assert len(tried) == 3 and (tried[0].reach, tried[0].slope_limit) == (18.0, 55.0)


@pytest.mark.slow
def test_only_what_a_range_has_room_for_is_advised(run):
    settings = ("params.footplate_reach=70", "params.slope_limit=20", "guide.approach=[0.0,-1.0,0.3]")
    found = run("check", CASES / "phantom-type3", *(part for setting in settings for part in ("--set", setting)))
    told = found.stdout + found.stderr
    assert "a guide needs 80 mm²; raise slope_limit, or give another approach." in told and "raise footplate_reach or" not in told


def test_progress_tells_how_many_ways_were_tried():
    told = []

    def sit(_seating):
        raise DesignError("no ground")

    with pytest.raises(DesignError):
        settled(18.0, 55.0, lambda far, steep: [axis(tilt, 0.2) for tilt in (0, 5, 10)], sit, closer=told.append)
    assert told == list(range(1, len(told) + 1)) and len(told) >= 2
