"""A seat does not depend on where its frame's origin lies."""

from dataclasses import replace

import numpy as np
import pytest

from psi_cad.frames import Frame
from psi_cad.guides.ground import followed
from psi_cad.siting.seat import HeightField, fit_seat
from psi_cad.units import LIMITS

GROUND = Frame(origin=np.zeros(3), axes=np.eye(3))


@pytest.fixture(scope="module")
def field():
    """A gentle slope with a block and a ridge that stand up beside the contact: bone to stay above of, not to follow."""
    step, shape = 0.5, (61, 41)
    x, y = np.meshgrid(np.arange(shape[0]) * step - 15.0, np.arange(shape[1]) * step - 10.0, indexing="ij")
    points = np.column_stack([x.ravel(), y.ravel()])
    heights = 0.3 * points[:, 0] + 0.02 * points[:, 1] ** 2
    block = (points[:, 0] > 9.0) & (np.abs(points[:, 1]) < 3.0)
    heights = heights + np.where(block, 1.0, 0.0)
    contact = (points[:, 0] < 8.0) & (np.abs(points[:, 1]) < 8.0)
    everything = np.ones(len(points), dtype=bool)
    ridge = np.column_stack([np.linspace(-5.0, 5.0, 30), np.full(30, 8.75), np.linspace(-1.5, 1.5, 30) + 0.02 * 8.75**2 + 0.6])
    return HeightField(
        step=step,
        shape=shape,
        points=points,
        heights=heights,
        met=heights,
        bone=everything,
        nothing=~everything,
        footprint=everything,
        fence=~everything,
        usable=contact,
        contact=contact,
        made_up=~everything,
        thickness=np.full(len(points), 10.0),
        crests=ridge,
    )


@pytest.mark.parametrize("down", [-30.0, 30.0])
def test_a_seat_moves_with_its_bone(field, down):
    lower = np.array([0.0, 0.0, down])
    here = fit_seat(field, gap=0.2, frame=GROUND)
    there = fit_seat(
        replace(field, heights=field.heights - down, met=field.met - down, crests=field.crests - lower),
        gap=0.2,
        frame=Frame(origin=lower, axes=np.eye(3)),
    )
    assert np.abs(there.patch(field.points) + down - here.patch(field.points)).max() < 1e-6


def test_a_seat_stays_close_above_what_it_does_not_follow(field):
    for level in (0.0, -30.0):
        moved = replace(field, heights=field.heights + level, met=field.met + level, crests=field.crests + np.array([0.0, 0.0, level]))
        seat = fit_seat(moved, gap=0.2, frame=GROUND)
        over = seat.patch(field.points) - moved.heights
        assert over[field.contact].max() < 0.6
        assert over.min() > 0.0 and over[(field.points[:, 0] > 9.5) & (np.abs(field.points[:, 1]) < 2.5)].max() < 2.0


@pytest.mark.parametrize("beside", [2.0, 4.0, 5.0])
def test_contact_that_the_finished_seat_stands_off_is_left_out(field, beside):
    """The seat rises over a block, and is lifted off the bone right beside it; a fit's own residual does not tell of that."""
    touching = (field.points[:, 0] <= 8.0) & (np.abs(field.points[:, 1]) < 8.0)
    heights = field.heights + np.where(field.points[:, 0] > 9.0, beside, 0.0)
    close = replace(field, heights=heights, met=heights, contact=touching, usable=touching, crests=field.crests[:0])

    def stands_off(seat, where):
        away = (seat.patch(field.points) - heights) / seat.patch.steepness(field.points) - seat.gap
        return np.abs(away[where.contact]).max()

    first = fit_seat(close, gap=0.2, frame=GROUND)
    seat, kept = followed(close, 0.2, GROUND)
    assert stands_off(seat, kept) <= LIMITS.seat_max and len(seat.off) == 0
    assert (beside > 3.0) == (stands_off(first, close) > 0.93 * LIMITS.seat_max) == (len(first.off) > 0) == (kept.contact.sum() < close.contact.sum())
    if len(first.off):
        assert first.max < 0.18 and first.off[:, 0].min() > 6.0, "beside the block"
        assert kept.contact.sum() > 0.8 * close.contact.sum()
