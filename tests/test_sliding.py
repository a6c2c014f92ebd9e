"""The lock of a contact against sliding: closed forms, and what it must not depend on."""

import numpy as np
import pytest
import trimesh

from psi_cad.siting.sliding import SCALE, in_words, sliding, smoothed_normals

GRID = np.stack(np.meshgrid(np.linspace(-15, 15, 81), np.linspace(-10, 10, 61), indexing="ij"), axis=-1).reshape(-1, 2)


def over(height, gradient, grid=GRID):
    """Samples of the graph z = height(x, y): points, unit normals, areas."""
    x, y = grid.T
    points = np.column_stack([grid, height(x, y) + np.zeros(len(x))])
    slopes = np.column_stack([np.broadcast_to(g, len(x)) for g in gradient(x, y)])
    up = np.column_stack([-slopes, np.ones(len(x))])
    length = np.linalg.norm(up, axis=1)
    return points, up / length[:, None], length


def torus(x, y, big=60.0, small=12.0):
    """The outside of a bent tube: its axis is a circle in the plane y = 0, seen from its outside."""
    ring = big + np.sqrt(small**2 - y**2)
    return np.sqrt(ring**2 - x**2)


def numeric(height):
    def gradient(x, y, h=1e-5):
        return (height(x + h, y) - height(x - h, y)) / (2 * h), (height(x, y + h) - height(x, y - h)) / (2 * h)

    return over(height, gradient)


FREE = {
    "a plane": over(lambda x, y: 0.3 * x - 0.2 * y, lambda x, y: (0.3, -0.2)),
    "a cylinder": numeric(lambda x, y: np.sqrt(16**2 - y**2)),
    "a leaning cylinder": numeric(lambda x, y: 0.4 * x + np.sqrt(16**2 - y**2)),
    "a cone": numeric(lambda x, y: np.sqrt((16 + 0.2 * x) ** 2 - y**2)),
    "a ball": numeric(lambda x, y: np.sqrt(30**2 - (x - 4) ** 2 - y**2)),
    "a bent tube": numeric(torus),
}


@pytest.mark.parametrize("shape", FREE)
def test_what_can_move_and_stay_in_contact_has_no_lock(shape):
    assert sliding(*FREE[shape]).lock == pytest.approx(0.0, abs=2e-4)


def test_the_weakest_way_is_along_a_shaft_that_is_not_round():
    """An oval shaft that leans: along it the guide slides, round it it does not."""
    found = sliding(*numeric(lambda x, y: 0.4 * x + 0.5 * np.sqrt(16**2 - y**2)))
    assert found.kind == "slide" and found.lock == pytest.approx(0.0, abs=1e-6)
    assert abs(found.direction @ np.array([1.0, 0.0, 0.4])) / np.hypot(1.0, 0.4) == pytest.approx(1.0)


def corner(size=10.0, fine=40):
    """Three faces of a cube seen along its diagonal."""
    mids = (np.arange(fine) + 0.5) / fine * size
    a, b = (m.ravel() for m in np.meshgrid(mids, mids))
    axes = np.eye(3)
    points = np.vstack([np.outer(a, axes[(k + 1) % 3]) + np.outer(b, axes[(k + 2) % 3]) for k in range(3)])
    normals = np.repeat(axes, fine * fine, axis=0)
    z = np.ones(3) / np.sqrt(3)
    x = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    frame = np.stack([x, np.cross(z, x), z])
    return points @ frame.T, normals @ frame.T, np.ones(len(points))


def test_the_corner_of_a_box():
    """Closed form: a slide works against 2/9 of the contact (1/3, less the 1/9 that tilting saves), a turn against 1/5; times 5/3."""
    found = sliding(*corner(fine=160))
    assert found.lock == pytest.approx(np.sqrt(1 / 3), rel=1e-4)
    assert found.kind == "turn" and abs(found.direction[2]) == pytest.approx(1.0)


def test_it_is_the_least_rise_over_all_ways_to_lift_and_tilt(rng):
    """Against a search that knows nothing of blocks and eigenvalues."""
    points, normals, areas = numeric(lambda x, y: 6 * np.cos(x / 9) * np.cos(y / 7) + 0.03 * x * y)
    centre = np.average(points, axis=0, weights=areas)
    away = points - centre
    arm = np.sqrt(np.average((away[:, :2] ** 2).sum(axis=1), weights=areas))
    root = np.sqrt(areas / areas.sum())[:, None]
    turns = np.cross(away, normals) / arm
    least = np.inf
    for way in rng.normal(size=(4000, 3)):
        way = way / np.linalg.norm(way)
        rise = root[:, 0] * (normals[:, :2] @ way[:2] + turns[:, 2] * way[2])
        free = root * np.column_stack([normals[:, 2], turns[:, :2]])
        rest = rise - free @ np.linalg.solve(free.T @ free, free.T @ rise)
        least = min(least, SCALE * np.sqrt((rest**2).sum()))
    found = sliding(points, normals, areas).lock
    assert 0.05 < found <= least and found == pytest.approx(least, rel=0.01)


def test_size_turn_about_the_axis_and_sampling_do_not_matter():
    def height(x, y):
        return 6 * np.cos(x / 9) * np.cos(y / 7) + 0.03 * x * y

    points, normals, areas = numeric(height)
    still = sliding(points, normals, areas)
    assert sliding(7 * points, normals, 49 * areas).lock == pytest.approx(still.lock)
    turn = trimesh.transformations.rotation_matrix(0.7, [0, 0, 1])[:3, :3]
    there = sliding(points @ turn.T + [5, -40, 90], normals @ turn.T, areas)
    assert there.lock == pytest.approx(still.lock)
    assert abs(there.direction @ turn @ still.direction) == pytest.approx(1.0)
    coarse = (np.arange(81)[:, None] % 2 == 0) & (np.arange(61) % 2 == 0)
    assert sliding(points[coarse.ravel()], normals[coarse.ravel()], areas[coarse.ravel()]).lock == pytest.approx(still.lock, rel=0.03)


def test_noise_is_no_lock(rng):
    """A plane with normals 7° off at random holds nothing; without the averaging it would seem to."""
    normals = np.column_stack([rng.normal(scale=0.12, size=(81 * 61, 2)), np.ones(81 * 61)])
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    points = np.column_stack([GRID, np.zeros(len(GRID))])
    there = np.hypot(*GRID.T) < 12
    ones = np.ones(int(there.sum()))
    assert sliding(points[there], normals[there], ones).lock > 0.1
    smooth = smoothed_normals(normals, there, (81, 61), 0.4)
    assert sliding(points[there], smooth[there], ones).lock < 0.03


def test_averaging_keeps_what_is_wide():
    points, normals, areas = numeric(lambda x, y: 6 * np.cos(x / 9) * np.cos(y / 7) + 0.03 * x * y)
    everywhere = np.ones(len(points), dtype=bool)
    smooth = smoothed_normals(normals, everywhere, (81, 61), 0.35)
    assert sliding(points, smooth, areas).lock == pytest.approx(sliding(points, normals, areas).lock, rel=0.1)


def test_directions_in_words():
    assert in_words(np.array([0.1, 0.0, -1.0])) == "towards head, or feet"
    assert in_words(np.array([-0.9, 0.1, 0.0])) == "towards left, or right"
    assert in_words(np.array([0.0, -0.8, 0.6])) == "towards back and feet, or front and head"
