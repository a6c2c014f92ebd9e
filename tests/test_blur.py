"""The blur of a scan: from edges of one direction only, from all bones together, whichever have a name."""

import numpy as np
import pytest
from scipy import ndimage

from psi_cad.extraction.blur import blur_of, scan_blur
from psi_cad.extraction.cortex import profile
from psi_cad.extraction.profiles import Edges
from psi_cad.voxels.levels import TissueLevels

SOFT, CORTEX, MARROW = 45.0, 1250.0, 300.0
IN_PLANE, ALONG_K = 0.55, 0.95  # mm, as slices of 2 mm have


def edges_of(thickness, along):
    """What edges of a cortex of `thickness` (n,) mm show, whose normals lie `along` (n,) the slices' axis (squared cosine)."""
    depth = np.linspace(-6.0, 16.0, 2201)
    rows = []
    for thick, turned in zip(thickness, along, strict=True):
        sigma = np.sqrt(IN_PLANE**2 * (1.0 - turned) + ALONG_K**2 * turned)
        f = SOFT + (CORTEX - SOFT) * profile(depth, thickness=thick / sigma, marrow=(CORTEX - MARROW) / (CORTEX - SOFT))
        top = int(np.argmax(f))
        outer = int(np.argmax(f >= (f[top] + SOFT) / 2.0))
        inner = top + int(np.argmax(f[top:] < (f[top] + MARROW) / 2.0))
        rows.append((f[top], sigma * (depth[inner] - depth[outer]), np.gradient(f, depth)[outer] / sigma))
    peak, width, slope = np.array(rows).T
    yes, level = np.ones(len(peak), dtype=bool), np.ones(len(peak))
    return Edges(0.0 * level, SOFT * level, peak, MARROW * level, width, slope, yes, ~yes)


@pytest.mark.parametrize("upright", [0.1, 0.5])
def test_a_bone_that_shows_many_edges_along_the_slices_axis_has_no_other_blur_and_density(upright):
    """Both kinds of edges together were taken for one kind: a sacrum on slices of 2 mm then had 0.71 mm and 1744 HU, and was 3.5 % too small."""
    rng = np.random.default_rng(1)
    thickness = 1.5 * np.clip(1.0 + 0.2 * rng.normal(size=3000), 0.5, 2.0)
    along = np.where(rng.random(3000) < upright, rng.uniform(0.6, 1.0, 3000), rng.uniform(0.0, 0.3, 3000))
    blur = blur_of(edges_of(thickness, along), along)
    assert blur.sigma == pytest.approx((IN_PLANE, ALONG_K), rel=0.04)
    assert blur.own == pytest.approx(IN_PLANE, rel=0.04)
    assert blur.cortex == pytest.approx(CORTEX, rel=0.04)


@pytest.fixture(scope="module")
def two_bones():
    """Two tubes with a thin, uneven cortex, one less dense, in a scan with a blur of 0.6 mm in plane: HU on 0.7 x 0.7 x 1 mm, and their numbers."""
    fine, ratio = 0.35, 2
    j, i = np.indices((320, 600)) * fine
    hu, parts = np.full((320, 600), SOFT), np.zeros((320, 600), dtype=np.uint8)
    for number, (x, density, thick) in enumerate(((55.0, 1250.0, 1.1), (150.0, 950.0, 1.4)), start=1):
        radius, turn = np.hypot(j - 56.0, i - x), np.arctan2(j - 56.0, i - x)
        depth = 30.0 + 4.0 * np.cos(2.0 * turn) - radius
        hu[depth > 0.0] = 150.0
        hu[(depth > 0.0) & (depth < thick * (1.0 + 0.4 * np.sin(3.0 * turn)))] = density
        parts[depth > 0.0] = number
    hu = ndimage.gaussian_filter(hu, 0.6 / fine)[::ratio, ::ratio]
    values = np.repeat(hu[None], 24, axis=0) + np.random.default_rng(0).normal(0.0, 10.0, (24, *hu.shape))
    return values.astype(np.float32), np.repeat(parts[None, ::ratio, ::ratio], 24, axis=0)


LEVELS = TissueLevels(soft=SOFT, bone=1150.0, noise=10.0, threshold=260.0)


@pytest.mark.parametrize("named", [(1, 2), (1,), (2,)])
def test_the_blur_of_a_scan_is_that_of_each_of_its_bones(two_bones, named):
    values, parts = two_bones
    found = scan_blur(values, np.where(np.isin(parts, named), parts, 0), spacing=np.array([0.7, 0.7, 1.0]), levels=LEVELS)
    assert found is not None and found.sigma == pytest.approx(0.6, rel=0.06)


def test_a_bone_whose_own_edges_leave_the_blur_open_takes_the_scans(two_bones):
    values, parts = two_bones
    scan = scan_blur(values, parts, spacing=np.array([0.7, 0.7, 1.0]), levels=LEVELS)
    even = edges_of(np.full(400, 0.7) + np.linspace(0.0, 0.02, 400), np.zeros(400))  # one thickness: its blur and density go together
    assert scan is not None
    with_scan, alone = blur_of(even, np.zeros(400), scan=scan), blur_of(even, np.zeros(400))
    assert abs(with_scan.sigma[0] - scan.sigma) < 0.02 < abs(alone.sigma[0] - scan.sigma)
    assert with_scan.own == pytest.approx(alone.own, rel=1e-6)


def test_a_scan_with_too_little_bone_tells_no_blur(two_bones):
    values, parts = two_bones
    speck = np.zeros_like(parts)
    speck[:3, 40:44, 40:44] = 1
    assert scan_blur(values, speck, spacing=np.array([0.7, 0.7, 1.0]), levels=LEVELS) is None
    assert scan_blur(values, np.zeros_like(parts), spacing=np.array([0.7, 0.7, 1.0]), levels=LEVELS) is None
