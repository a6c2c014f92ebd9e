"""Bones whose gap the scan does not show: the border lies midway in their cortices, a spoilt border is seen, and two bones in one part are told."""

import dataclasses

import numpy as np
import pytest
import trimesh
from shapes import rounded_box

from psi_cad.bones.segment import segment_bone
from psi_cad.extraction.plausible import border_of, through_bone
from psi_cad.filling.fill import filled
from psi_cad.joints.interface import met_again
from psi_cad.joints.regions import regions_of
from psi_cad.joints.seams import Seams
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.segmentation.naming import named
from psi_cad.segmentation.parting import Division, Layer, divided
from psi_cad.segmentation.segment import _disagreements, _met_solids, _shared_out, bone_labels
from psi_cad.voxels.levels import TissueLevels, tissue_levels
from psi_cad.voxels.volume import Volume

RADIUS, GAP, SIDE = 18.0, 0.3, 3.0
SEEDS = {"socket": (15.0, 0.0, 18.0), "head": (0.0, 0.0, -10.0)}


def ball(centre, radius):
    return lambda points: np.linalg.norm(np.asarray(points) - centre, axis=1) - radius


HEAD, NECK = ball((0.0, 0.0, -8.0), RADIUS), rounded_box((-9.0, -9.0, -36.0), (9.0, 9.0, -10.0))
BLOCK, HOLLOW = rounded_box((-24.0, -24.0, -2.0), (24.0, 24.0, 26.0)), ball((0.0, 0.0, GAP - SIDE - 8.0), RADIUS + SIDE)


def head(points):
    return np.minimum(HEAD(points), NECK(points))


def socket(points):
    return np.maximum(BLOCK(points), -HOLLOW(points))


@pytest.fixture(scope="module")
def joint():
    """A head in its socket, with a gap of 0.3 mm at the top and of 3 mm at the side; the scan shows no gap over some 250 mm²."""
    bones = [ScannedBone(socket, 1.2, marrow=250.0), ScannedBone(head, 1.2, marrow=250.0)]
    ct = simulated_ct(bones, low=-np.array([30.0, 30.0, 40.0]), high=np.array([30.0, 30.0, 32.0]), body=Body(muscle_mm=500.0), noise_sd=20.0)
    return ct, segment_bone(ct, SEEDS)


def test_where_no_gap_shows_the_border_is_midway_and_told_but_no_doubt(joint):
    _, found = joint
    assert not found.doubts
    for bone, distance in zip(found.bones, (socket, head), strict=True):
        away = np.abs(distance(np.asarray(bone.mesh.vertices)))
        assert away.mean() < 0.1 and np.percentile(away, 99.0) < 1.0 and away.max() < 1.5
        (told,) = [one for one in bone.cautions if "shows no gap" in one.text]
        assert told.id == "touching-bones"
        assert np.linalg.norm(np.array(told.where) - (0.0, 0.0, 10.0)) < 6.0
    (cut,) = [one for one in found.cautions if "because seeds ask for it" in one.text]
    assert cut.id == "touching-bones"


@pytest.mark.parametrize("deep", [1.8, 4.0])
def test_a_border_within_the_marrow_of_a_touching_bone_is_a_doubt(joint, deep):
    """The head without the cortex of its top, as an earlier cut left it: the chord of the dome is shorter than the dome."""
    ct, found = joint
    bone = found.bones[1]
    points = np.array(bone.mesh.vertices)
    top = np.linalg.norm(points[:, :2], axis=1) < 9.0
    top &= points[:, 2] > 0.0
    points[top, 2] -= deep
    others = found.labels.values == 1
    spoilt = trimesh.Trimesh(points, bone.mesh.faces, process=False)
    objection = through_bone(border_of(spoilt, ct, tissue_levels(ct), others))
    assert objection is not None and not objection.settled and "runs through bone" in objection.text
    right = through_bone(border_of(bone.mesh, ct, tissue_levels(ct), others))
    assert right is not None and right.settled
    alone = through_bone(border_of(bone.mesh, ct, tissue_levels(ct)))  # no other bone there: nothing excuses it
    assert alone is not None and not alone.settled


def test_a_cut_through_one_bone_is_no_contact(joint):
    """Two names in the socket's block: marrow on both sides is no joint, whatever is said to lie beyond."""
    ct, found = joint
    half = found.bones[0].mesh.slice_plane([8.0, 0.0, 0.0], [1.0, 0.0, 0.0], cap=True, engine="manifold").subdivide_to_size(1.2)
    others = np.zeros(ct.values.shape, dtype=bool)
    index = np.argwhere(found.labels.values == 1)
    others[tuple(index[ct.patient(index[:, ::-1].astype(float))[:, 0] < 8.0].T)] = True
    border = border_of(half, ct, tissue_levels(ct), others)
    objection = through_bone(border)
    assert objection is not None and not objection.settled
    assert not border.shown


@pytest.fixture(scope="module")
def apart():
    """Two blocks 0.8 mm apart over 600 mm²."""
    shapes = [rounded_box((-26.4, -13.0, -13.0), (-0.4, 13.0, 13.0)), rounded_box((0.4, -13.0, -13.0), (26.4, 13.0, 13.0))]
    bones = [ScannedBone(shape, 1.6, marrow=300.0) for shape in shapes]
    half = np.array([32.0, 19.0, 19.0])
    return divided(simulated_ct(bones, low=-half, high=half, body=Body(muscle_mm=500.0), noise_sd=15.0))


@pytest.mark.parametrize("place", [(0.0, 3.0, 4.0), (0.3, -6.0, 1.0), (-0.3, 5.0, -7.0)])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_seed_in_the_gap_means_the_bone_that_has_no_other_name(apart, place, side):
    """Whichever of the two lies nearer."""
    right = bone_labels(apart, {"a": np.array([[14.0 * side, 0.0, 0.0]]), "b": np.array([[-14.0 * side, 0.0, 0.0]])}).values
    assert (bone_labels(apart, {"a": np.array([[14.0 * side, 0.0, 0.0]]), "b": np.array([place])}).values == right).all()


def dome(shape, radius, middle):
    k, j, i = np.indices(shape) - np.array(middle)[:, None, None, None]
    return np.sqrt(k**2 + j**2 + i**2) - radius


def test_the_least_cut_follows_a_dome_of_two_cortices_and_not_its_chord():
    away = dome((40, 40, 40), 16.0, (0, 20, 20))
    labels = np.where(away < 0.0, 2, 1).astype(np.uint16)
    density = np.where(np.abs(away) < 1.6, 1100.0, 250.0)
    spoilt = labels.copy()
    spoilt[13:16][labels[13:16] == 2] = 1  # the head's top was given to the socket
    before = (spoilt != labels).sum()
    far = np.abs(np.indices(labels.shape)[1:] - 20).max(axis=0) > 10
    density[far & (np.abs(away) < 0.8)] = 50.0  # further out the gap shows
    met_again(spoilt, density, size=np.ones(3), reach=5.0, span=1050.0, noise=15.0)
    assert np.abs(away[spoilt != labels]).max(initial=0.0) < 1.6  # within the cortices
    assert (spoilt != labels).sum() < 0.5 * before  # the head's sheet is four voxels thick, and any border in its middle will do


def test_marrow_that_a_neighbour_covers_stays():
    """The neighbour took the cortex over it: what is known as marrow, with specks as dense as cortex in it, does not open outwards there."""
    shell = np.zeros((40, 40, 40), dtype=bool)
    shell[5:35, 5:35, 5:35] = True
    marrow = np.zeros_like(shell)
    marrow[7:33, 7:33, 7:33] = True
    cover = np.zeros_like(shell)
    cover[14:26, 14:26, 33:38] = True
    specks = np.random.default_rng(1).random(shell.shape) < 0.06
    bone = shell & (specks | ~marrow) & ~cover
    lost = [int((~filled(bone, spacing=np.ones(3), others=cover, held=held)[marrow]).sum()) for held in (None, marrow)]
    assert lost[0] > 50
    assert lost[1] < 0.3 * lost[0]  # what is left are single voxels shut in between the neighbour and specks


def test_the_weak_seams_of_even_bone_count_and_those_of_grain_do_not():
    strength = np.r_[np.full(10, 500.0), np.linspace(60.0, 90.0, 30)].astype(np.float32)
    seams = Seams((4, 10, 10), np.arange(40), strength, np.ones(40, dtype=bool), np.ones(3))
    assert seams.fainter(100.0, 30) == 0.0
    raised = seams.fainter(100.0, 9)
    assert (strength[(strength < 100.0)] > raised).sum() == 9


@pytest.fixture(scope="module")
def bridged():
    """Two blocks 0.8 mm apart that are grown together over 12 x 12 mm: more than a joint's pinhole, less than a neck."""
    left, right = rounded_box((-26.4, -13.0, -13.0), (-0.4, 13.0, 13.0)), rounded_box((0.4, -13.0, -13.0), (26.4, 13.0, 13.0))
    bridge = rounded_box((-6.0, -6.0, -6.0), (6.0, 6.0, 6.0))
    bone = ScannedBone(lambda points: np.minimum(np.minimum(left(points), right(points)), bridge(points)), 1.6, marrow=300.0)
    ct = simulated_ct([bone], low=-np.array([32.0, 19.0, 19.0]), high=np.array([32.0, 19.0, 19.0]), body=Body(muscle_mm=500.0), noise_sd=15.0)
    return divided(ct)


def test_a_part_that_may_be_two_bones_is_told_with_the_seed_that_decides(bridged):
    seed = np.array([[-14.0, 0.0, 0.0]])
    (told,) = [one for one in bone_labels(bridged, {"a": seed}).cautions if one.id == "segmentation-doubt"]
    assert "a may be two bones" in told.text
    assert abs(told.where[0]) < 5.0
    other = np.array([[float(v) for v in told.text.split("--bone a=")[1].rstrip(".").split(",")]])
    assert other[0, 0] == pytest.approx(13.0, abs=4.0)
    one = bone_labels(bridged, {"a": np.concatenate([seed, other])})  # both sides are a: a person has decided
    assert not [caution for caution in one.cautions if "two bones" in caution.text]
    assert not [caution for caution in bone_labels(bridged, {"a": seed}, painted=("a",)).cautions if "two bones" in caution.text]
    two = bone_labels(bridged, {"a": seed, "b": other})
    first, second = np.bincount(two.values.ravel())[1:]
    assert first == pytest.approx(second, rel=0.05)


SIDE_MM, NECK_MM = 32, 12
ALONG = {"a": np.array([[16.0, 16.0, 16.0]]), "c": np.array([[86.0, 16.0, 16.0]]), "b": np.array([[57.0, 16.0, 16.0]])}


def chain(*, strong_parted, off=12):
    """Three blocks in a row, joined by necks. The weak seams part them `off` mm beside the necks; the strong ones at the necks, or not at all."""
    i = np.arange(3 * SIDE_MM)
    solid = np.zeros((SIDE_MM, SIDE_MM, len(i)), dtype=bool)
    solid[:] = np.abs((i + SIDE_MM // 2) % SIDE_MM - SIDE_MM // 2) >= 2
    middle = slice((SIDE_MM - NECK_MM) // 2, (SIDE_MM + NECK_MM) // 2)
    solid[middle, middle] = True
    volume = Volume(np.where(solid, 900, 50).astype(np.int16), np.eye(4))
    at = np.flatnonzero(solid.ravel())
    layers = []
    for parted, border in ((strong_parted, 0), (True, off)):
        regions = regions_of(solid, spacing=np.ones(3))
        numbers = regions.number.ravel()[at]
        middles = np.bincount(numbers, weights=at % len(i), minlength=len(regions.volume)) / np.maximum(np.bincount(numbers), 1)
        part = 1 + (middles > SIDE_MM + border) + (middles > 2 * SIDE_MM + border) if parted else np.ones(len(middles), dtype=np.int64)
        part[0] = 0
        layers.append(Layer(numbers, regions.shared, regions.across, regions.volume, part, {}))
    whole = tuple(slice(0, n) for n in solid.shape)
    levels = TissueLevels(soft=50.0, bone=1200.0, noise=10.0, threshold=280.0)
    return Division(volume, levels, whole, solid, solid, np.zeros(solid.shape, dtype=np.int16), at, tuple(layers))


def two_ways(division, found):
    """The doubts of bones that two partings part differently, as `bone_labels` finds them."""
    return _disagreements(division, found, _met_solids(*_shared_out(found[-1], found[-1].label, division), len(found[-1].names), division))


def test_a_cut_that_only_seeds_ask_for_is_no_second_opinion():
    """As between a clavicle and an acromion whose seam is faint: the strong seams show none, so that they cannot say that it lies elsewhere."""
    blind, sighted = chain(strong_parted=False), chain(strong_parted=True)
    first, last = (named(blind, layer, ALONG) for layer in blind.layers)
    assert len(first.forced) == 2 and not last.forced
    # a was cut from c first, with b still on one of their sides: all that this cut parts is unseen
    assert {tuple(sorted(pair)) for pair in first.unseen} >= {(1, 3), (2, 3)}
    assert two_ways(blind, [first, last]) == []
    told = two_ways(sighted, [named(sighted, layer, ALONG) for layer in sighted.layers])
    assert [one.reason for one in told] == ["two-partings"] * 3


def test_what_else_the_first_parting_says_otherwise_is_still_told():
    """Only the border between the two that the seeds asked to cut is open: the other one is seen by both layers, in different places."""
    division = chain(strong_parted=True)
    half = division.layers[0].part.copy()
    half[half == 2] = 1  # a and b are one for the strong seams, and c is not
    division = dataclasses.replace(division, layers=(dataclasses.replace(division.layers[0], part=half), division.layers[1]))
    found = [named(division, layer, ALONG) for layer in division.layers]
    assert list(found[0].forced) == [(1, 3)] and found[0].unseen <= {(1, 3), (3, 1)}
    told = two_ways(division, found)
    assert [one.text.split(" from ")[0].split()[-1] for one in told] == ["c", "b"]


@pytest.mark.parametrize(("off", "count"), [(4, 0), (12, 3)])
def test_partings_that_end_alike_are_one_and_others_are_two(off, count):
    """Borders are drawn anew within 5 mm, here to the necks: what differs by less before that ends as the same bones."""
    division = chain(strong_parted=True, off=off)
    found = [named(division, layer, ALONG) for layer in division.layers]
    differ = found[0].label != found[1].label
    assert differ.mean() > 0.05
    assert len(two_ways(division, found)) == count
