"""Masks grown and closed in slabs against scipy's, whatever the slabs; a void by labels against filled planes."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from psi_cad.extraction.plausible import _shut_in
from psi_cad.filling.fill import MOST_FOREIGN, _not_mine
from psi_cad.joints.regions import regions_of
from psi_cad.segmentation.flood import flood_open
from psi_cad.segmentation.parting import Division
from psi_cad.segmentation.settling import _dark, _without_pores
from psi_cad.voxels import morphology
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.morphology import CROSS, away_from, ball, closed, grown, grown_within, in_slabs, voxels_of
from psi_cad.voxels.volume import Volume

CUBE = np.ones((3, 3, 3), dtype=bool)
SIZES = [(0.75, 0.75, 0.75), (1.0, 0.7, 0.7), (3.0, 0.9, 0.9)]


@pytest.fixture(params=[900, 10**7], ids=["slabs", "whole"])
def mask(request, monkeypatch):
    """Blobs that touch the grid's borders."""
    monkeypatch.setattr(morphology, "_SLAB_VOXELS", request.param)
    return ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(34, 26, 29)), 1.7) > 0.06


def footprint(radius, size):
    reach = np.floor(radius / np.array(size)).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1) * np.array(size)
    return np.linalg.norm(steps, axis=-1) <= radius


@pytest.mark.parametrize("size", SIZES)
def test_a_ball_grows_and_closes_as_its_footprint_does(mask, size):
    shape = footprint(1.7, size)
    assert (grown(mask, ball(1.7, np.array(size))) == ndimage.binary_dilation(mask, shape)).all()
    swollen = ndimage.binary_dilation(mask, shape)
    shut = ndimage.binary_erosion(swollen, shape, border_value=1)
    assert (closed(mask, ball(1.7, np.array(size))) == shut).all()
    assert shut.sum() > 1.02 * mask.sum()


def test_a_cube_before_a_ball_grows_by_both(mask):
    both = ndimage.binary_dilation(ndimage.binary_dilation(mask, CUBE), footprint(1.7, SIZES[1]))
    assert (grown(mask, ball(1.7, np.array(SIZES[1]), cube=1)) == both).all()
    assert (grown(mask, (2, {})) == ndimage.binary_dilation(mask, CUBE, iterations=2)).all()


def test_growth_stays_within_what_is_free(mask):
    start = np.zeros_like(mask)
    start[:2] = ~mask[:2]
    assert (grown_within(start, ~mask, 4) == ndimage.binary_dilation(start, mask=~mask, iterations=4)).all()


def test_voxels_are_counted_and_slabs_come_in_order(mask):
    numbers = ndimage.label(mask)[0]
    assert (voxels_of(numbers, int(numbers.max())) == np.bincount(numbers.ravel())).all()
    rows = in_slabs(lambda read, made, inner: np.arange(len(mask))[read][inner], mask.shape, 2, multiple=5)
    assert np.concatenate(rows).tolist() == list(range(len(mask)))
    assert all(len(part) % 5 == 0 for part in rows[:-1])


def test_regions_do_not_depend_on_slabs(mask):
    whole = regions_of(mask, spacing=np.array([0.9, 0.8, 1.0]))
    assert (np.unique(whole.number[mask]) == np.arange(1, len(whole.volume))).all()
    assert whole.volume.sum() == pytest.approx(mask.sum() * 0.72)
    first = [int(np.argmax(whole.number.ravel() == n)) for n in range(1, len(whole.volume))]
    assert first == sorted(first)  # numbered by their first voxels


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_shut_in_is_what_filling_each_plane_adds(mask, axis):
    hollow = mask ^ ndimage.binary_erosion(mask)
    added = np.stack([ndimage.binary_fill_holes(plane) & ~plane for plane in np.moveaxis(hollow, axis, 0)], axis=axis)
    assert added.any()
    assert (_shut_in(hollow, axis) == added).all()


def test_flooding_each_contested_piece_is_flooding_all(mask):
    rng = np.random.default_rng(2)
    cortex = ndimage.binary_dilation(mask)
    far = np.arange(mask.shape[2])[None, None, :] + np.arange(mask.shape[1])[None, :, None]
    parts = np.where(cortex & (far % 9 < 3), 1 + far // 9, 0).astype(np.uint16)  # bands, and open cortex between them
    depth = ndimage.gaussian_filter(rng.normal(size=mask.shape), 1.0)
    depth = (300 * depth).astype(np.int16)  # coarse, so that there are ties
    open_ = cortex & (parts == 0)
    near = ndimage.binary_dilation(open_) & cortex
    every = np.where(open_, watershed(depth, np.where(near, parts, 0).astype(np.int32), mask=near), parts)
    assert len(np.unique(every[open_])) > 5
    flood_open(parts, cortex, depth)
    assert (parts == every).all()


def test_distances_are_those_of_the_transform_to_the_bit(mask):
    assert (away_from(mask) == ndimage.distance_transform_edt(~mask).astype(np.float32)).all()


def test_a_cross_grows_and_shrinks_as_scipys_does(mask):
    assert (grown(mask, CROSS) == ndimage.binary_dilation(mask)).all()
    assert (~grown(~mask, CROSS) == ndimage.binary_erosion(mask, border_value=1)).all()


def test_voids_are_foreign_by_the_faces_that_other_bones_have_of_them(mask):
    """Against every face looked at one by one."""
    rng = np.random.default_rng(3)
    shut = mask & (rng.random(mask.shape) < 0.3)
    walls = ~shut & (rng.random(mask.shape) < MOST_FOREIGN)
    pieces, count = ndimage.label(shut)
    foreign, faces = np.zeros(count + 1), np.zeros(count + 1)
    for place in np.argwhere(shut):
        for axis in range(3):
            for way in (-1, 1):
                beyond = place.copy()
                beyond[axis] += way
                if (beyond >= 0).all() and (beyond < mask.shape).all() and not shut[tuple(beyond)]:
                    faces[pieces[tuple(place)]] += 1
                    foreign[pieces[tuple(place)]] += walls[tuple(beyond)]
    theirs = foreign > MOST_FOREIGN * faces
    assert 0.2 < theirs[1:].mean() < 0.8
    assert (_not_mine(shut, walls) == (theirs[pieces] & shut)).all()


def test_what_settles_parts_does_not_depend_on_slabs(mask):
    rng = np.random.default_rng(4)
    cortex = mask & (rng.random(mask.shape) < 0.3)
    values = rng.normal(160.0, 120.0, mask.shape).astype(np.int16)
    depth = rng.integers(-60, -10, mask.shape).astype(np.int16)
    parts = np.where(mask & (rng.random(mask.shape) < 0.7), rng.integers(1, 4, mask.shape), 0).astype(np.uint16)
    volume, box = Volume(values, np.eye(4)), tuple(slice(0, n) for n in mask.shape)
    division = Division(volume, TissueLevels(50.0, 1250.0, 10.0, 290.0), box, mask, cortex, depth, np.flatnonzero(mask), ())
    dark = (ndimage.uniform_filter(values, 3, output=np.float32) < 110.0) | (
        (ndimage.uniform_filter(depth, 3, output=np.int16) * -8 < 110.0) & (parts == 0)
    )
    dark = ndimage.binary_dilation(dark & ~cortex, iterations=2) & ~cortex
    assert 0.1 < dark.mean() < 0.9
    assert (_dark(parts, division) == dark).all()
    parted = np.where(cortex, parts, 0).astype(np.uint16)
    whole = np.where(parted > 0, parted, parts)
    for _ in range(3):
        pores = mask & (whole == 0)
        whole[pores] = ndimage.maximum_filter(whole, 3)[pores]
    assert (_without_pores(parted, parts, mask) == whole).all()
    assert (_without_pores(parted, parts, mask) != parts).any()
