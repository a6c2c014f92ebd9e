"""Least surfaces above a height field, against closed forms."""

import numpy as np
import pytest

from psi_cad.surface.envelope import gentle, gentle_line, thickened

STEP = 0.5
X, Y = np.mgrid[0:40:STEP, 0:30:STEP]
INNER = (slice(16, -16), slice(16, -16))


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 1.4])
def test_a_layer_over_a_plane_is_as_thick_along_its_normal(slope):
    found = (thickened(slope * X, step=STEP, thickness=3.0) - slope * X)[INNER]
    assert found.max() <= 3.0 * np.hypot(1.0, slope) + 1e-9  # never more
    assert found.min() >= 3.0 * np.hypot(1.0, slope) - 0.02  # the grid's own roughness


def test_a_layer_at_a_cliff_ends_within_its_thickness():
    """Along the normal of a smoothed cliff of 20 mm it would stand some 60 mm tall."""
    cliff = np.where(X < 20.0, 20.0, 0.0)
    found = thickened(cliff, step=STEP, thickness=3.0)
    assert found.max() == pytest.approx(23.0)
    np.testing.assert_allclose(found[(X >= 23.5)], 3.0)


def test_a_gentle_surface_is_the_least_that_falls_slowly():
    cliff = np.where(X < 20.0, 12.0, 0.0)
    found = gentle(cliff, step=STEP, slope=3.0)
    np.testing.assert_allclose(found, np.maximum(12.0 - 3.0 * np.maximum(X - 19.5, 0.0), 0.0), atol=1e-9)
    hill = 2.0 * X
    np.testing.assert_array_equal(gentle(hill, step=STEP, slope=3.0), hill)


def test_a_gentle_line():
    s = np.linspace(0.0, 20.0, 81)
    levels = np.where(s < 10.0, 9.0, 1.0)
    found = gentle_line(s, levels, slope=2.0)
    assert (found >= levels).all() and np.abs(np.diff(found) / np.diff(s)).max() <= 2.0 + 1e-9
    assert found[s >= 9.75 + 4.0] == pytest.approx(1.0)
