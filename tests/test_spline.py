"""Fits of a height to points: what many fits to the same points share, and points that say too little."""

import numpy as np
import pytest

from psi_cad.errors import SeatError
from psi_cad.siting.spline import Stiffness, designed, fit, uniform_knots


@pytest.fixture(scope="module", params=[(30.0, 12.0), (12.0, 30.0)])
def ground(request):
    """Points (n, 2), heights and knots on rectangles that are long in x, and long in y."""
    rng = np.random.default_rng(5)
    size = np.array(request.param)
    points = rng.uniform(0.0, size, (4000, 2))
    return points, np.sin(points[:, 0] / 4.0) + 0.1 * points[:, 1], uniform_knots(0.0, size[0], 3.0), uniform_knots(0.0, size[1], 3.0)


def test_a_fit_follows_what_it_is_given(ground):
    points, heights, x_knots, y_knots = ground
    found = fit(points, heights, weights=np.ones(len(points)), x_knots=x_knots, y_knots=y_knots, cell_area=0.1, smoothing=1e-6)
    assert np.abs(found(points) - heights).max() < 0.01


def test_fits_one_after_the_other_are_as_each_alone(ground):
    points, heights, x_knots, y_knots = ground
    rng = np.random.default_rng(7)
    one_by_one = Stiffness.of(x_knots, y_knots, cell_area=0.1, smoothing=0.02).over(designed(points, x_knots, y_knots))
    weights = rng.integers(0, 3, len(points)).astype(float)
    for _ in range(4):
        weights[rng.integers(0, len(points), 300)] = rng.uniform(0.0, 16.0, 300)
        heights = heights + np.where(weights > 1.0, 0.2, 0.0)
        found = one_by_one.fit(heights, weights=weights)
        alone = fit(points, heights, weights=weights, x_knots=x_knots, y_knots=y_knots, cell_area=0.1, smoothing=0.02)
        assert np.abs(found.poles - alone.poles).max() < 1e-9


def test_a_point_of_no_weight_may_have_no_height(ground):
    points, heights, x_knots, y_knots = ground
    fitting = Stiffness.of(x_knots, y_knots, cell_area=0.1, smoothing=0.02).over(designed(points, x_knots, y_knots))
    seen = points[:, 0] > 2.0
    found = fitting.fit(np.where(seen, heights, np.nan), weights=seen.astype(float))
    assert np.isfinite(found.poles).all()


def test_points_that_leave_a_surface_open_are_refused(ground):
    points, heights, x_knots, y_knots = ground
    half = points[:, 0] < 5.0
    with pytest.raises(SeatError, match="too narrow"):
        fit(points[half], heights[half], weights=np.ones(int(half.sum())), x_knots=x_knots, y_knots=y_knots, cell_area=0.1, smoothing=0.0)
