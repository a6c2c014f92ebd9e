"""Bone divided without seeds: cuts against closed forms, seams of planted gaps, and the same bones wherever the seeds lie."""

import numpy as np
import pytest
import scipy.sparse as sp
from shapes import rounded_box

from psi_cad.bones.segment import refuse_far_seeds
from psi_cad.errors import CaseError, SegmentationError
from psi_cad.joints.ratio_cut import best_cut, smooth_fields, walk
from psi_cad.joints.regions import regions_of
from psi_cad.joints.seams import find_seams
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.segmentation.naming import named
from psi_cad.segmentation.parting import divided
from psi_cad.segmentation.segment import bone_labels
from psi_cad.voxels.levels import TissueLevels

LEVELS = TissueLevels(soft=50.0, bone=1250.0, noise=10.0, threshold=290.0)


def ball(centre, radius):
    return lambda points: np.linalg.norm(np.asarray(points) - centre, axis=1) - radius


def dumbbell():
    """Two cubes of 20 mm that share 2 x 2 mm, as regions of 4 mm."""
    bone = np.zeros((20, 20, 41), dtype=bool)
    bone[:, :, :20] = bone[:, :, 21:] = True
    bone[9:11, 9:11, 20] = True
    return regions_of(bone, spacing=np.ones(3))


def test_regions_keep_volume_and_share_their_faces():
    block = regions_of(np.ones((8, 8, 8), dtype=bool), spacing=np.array([0.5, 1.0, 1.0]))
    assert block.volume.sum() == pytest.approx(8 * 8 * 4.0)
    assert sorted(block.volume[1:]) == [64.0] * 4  # cells of 4 mm: 8, 4 and 4 voxels
    assert block.shared.sum() / 2.0 == pytest.approx(4 * 4.0 * 4.0)
    assert (block.shared != block.shared.T).nnz == 0


def test_a_seam_cuts_a_cell_in_two():
    bone = np.ones((4, 4, 4), dtype=bool)
    bone[:, 2] = False
    assert len(regions_of(bone, spacing=np.ones(3)).volume) == 3  # number 0, and one on either side


def test_the_sparsest_cut_is_the_neck():
    regions = dumbbell()
    inner, volume = regions.shared[1:][:, 1:], regions.volume[1:]
    cut = best_cut(inner, volume, smooth_fields(inner, volume), least=1000.0)
    assert cut.area == pytest.approx(4.0)
    assert cut.volume == pytest.approx(8000.0, abs=10.0)
    assert cut.ratio == pytest.approx(4.0 / cut.volume ** (2.0 / 3.0))
    assert best_cut(inner, volume, smooth_fields(inner, volume), least=9000.0) is None


def test_a_cut_can_be_made_to_part_two_regions():
    regions = dumbbell()
    inner, volume = regions.shared[1:][:, 1:], regions.volume[1:]
    ends = np.array([0]), np.array([1])
    chances = walk(inner, {0: ends[0], 1: ends[1]})
    assert chances.sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    cut = best_cut(inner, volume, chances[:, :1], least=1.0, apart=ends)
    assert cut.side[0] != cut.side[1]


def test_a_chain_has_chances_that_fall_evenly():
    chain = sp.diags([np.ones(4), np.ones(4)], [-1, 1]).tocsr()
    assert walk(chain, {0: np.array([0]), 1: np.array([4])})[:, 0] == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0], abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_planted_gap_is_a_seam_with_its_depth_and_an_edge_is_none(axis):
    values = np.full((24, 24, 24), 1200.0)
    np.moveaxis(values, axis, 0)[12] = 600.0
    seams = find_seams(values.astype(np.int16), np.ones(values.shape, dtype=bool), spacing=np.ones(3), levels=LEVELS)
    where = np.stack(np.unravel_index(seams.at[seams.crest], values.shape), axis=1)
    assert set(where[:, axis]) == {12}
    assert len(where) == 22 * 22  # all of the plane but the border of the scan
    assert np.median(seams.strength[seams.crest]) == pytest.approx(600.0 * 0.786, rel=0.05)  # what a blur of 0.5 mm leaves of a voxel
    values[np.moveaxis(np.indices(values.shape)[axis], 0, 0) > 12] = 50.0  # an outer surface instead: brighter on one side only
    np.moveaxis(values, axis, 0)[12] = 600.0
    edge = find_seams(values.astype(np.int16), values > 290.0, spacing=np.ones(3), levels=LEVELS)
    assert not edge.crest.any()


@pytest.fixture(scope="module")
def joint():
    """Two blocks with dense marrow, 0.8 mm apart over 600 mm²."""
    bones = [ScannedBone(rounded_box((-29.4, -13.0, -13.0), (-0.4, 13.0, 13.0)), 1.6, marrow=300.0),
             ScannedBone(rounded_box((0.4, -13.0, -13.0), (29.4, 13.0, 13.0)), 1.6, marrow=300.0)]  # fmt: skip
    ct = simulated_ct(bones, low=-np.array([35.0, 19.0, 19.0]), high=np.array([35.0, 19.0, 19.0]), body=Body(muscle_mm=500.0), noise_sd=20.0)
    return divided(ct)


def test_two_bones_are_two_parts_without_a_seed(joint):
    for layer in joint.layers:
        size = np.sort(np.bincount(layer.part, weights=layer.volume))[::-1]
        assert size[1] > 0.85 * size[0] > 10_000.0
        assert size[2] < 0.02 * size[0]
    found = bone_labels(joint, {})
    assert set(found.names.values()) >= {"bone-1", "bone-2"}
    assert ("bone-1", "bone-2") in found.touching
    (told,) = [caution for caution in found.cautions if caution.id == "touching-bones"]
    assert told.where[0] == pytest.approx(0.0, abs=1.0)


def test_it_does_not_matter_where_the_seeds_lie(joint):
    rng = np.random.default_rng(3)
    first = None
    for _ in range(4):
        seeds = {"a": rng.uniform([-28.5, -12, -12], [-1.5, 12, 12])[None], "b": rng.uniform([1.5, -12, -12], [28.5, 12, 12])[None]}
        values = bone_labels(joint, seeds).values
        first = values if first is None else first
        assert (values == first).all()
    volume = np.bincount(first.ravel())[1:] * float(np.prod(joint.volume.spacing))
    assert volume == pytest.approx([29.0 * 26.0 * 26.0] * 2, rel=0.09)  # voxels at the threshold lie outside the true edge


def test_a_part_without_a_seed_is_left_out_and_told(joint):
    found = bone_labels(joint, {"a": np.array([[-12.0, 0.0, 0.0]])})
    (told,) = found.cautions
    assert told.id == "touching-bones" and "--bone a=" in told.text
    seed = np.array([float(v) for v in told.text.split("--bone a=")[1].split(" ")[0].rstrip(",").split(",")])
    assert seed[0] == pytest.approx(15.0, abs=2.5)
    both = bone_labels(joint, {"a": np.array([[-12.0, 0.0, 0.0], seed])})  # pasted: now they are one bone
    assert (both.values > 0).sum() > 1.8 * (found.values > 0).sum()
    assert not both.cautions


def test_two_names_in_one_bone_are_refused(joint):
    seeds = {"a": np.array([[-14.0, -4.0, 0.0]]), "b": np.array([[-10.0, 5.0, 0.0]])}
    with pytest.raises(SegmentationError, match=r"a and b could not be parted.* paint a roughly") as refused:
        named(joint, joint.layers[0], seeds)
    assert -16.0 < refused.value.where[0] < -8.0, "between the two seeds"
    with pytest.raises(CaseError, match="same spot"):
        named(joint, joint.layers[0], {"a": np.array([[-14.0, 0.0, 0.0]]), "b": np.array([[-14.0, 0.0, 0.0]])})


def test_a_seed_just_inside_of_a_neighbour_means_the_bone_beside_it(joint):
    inside = {"a": np.array([[-14.0, 0.0, 0.0]]), "b": np.array([[14.0, 0.0, 0.0]])}
    missed = {**inside, "b": np.array([[-1.2, 4.0, 0.0]])}  # 1.6 mm outside of b, 0.8 mm in a
    right, found = bone_labels(joint, inside), bone_labels(joint, missed)
    assert (found.values == right.values).all()
    (told,) = [caution for caution in found.cautions if caution.id == "segmentation-look"]
    assert told.text.startswith("The seed of b lies in the bone of a") and told.where == (-1.2, 4.0, 0.0)
    assert not any(caution.id == "segmentation-look" for caution in right.cautions)
    refuse_far_seeds(found.values, joint.volume, missed)
    far = {**inside, "b": np.array([[-2.5, 4.0, 0.0]])}
    with pytest.raises(CaseError, match="mm outside the bone") as refused:
        refuse_far_seeds(bone_labels(joint, far).values, joint.volume, far)
    again = {**inside, "b": np.array([refused.value.where])}  # put where the message says
    assert (bone_labels(joint, again).values == right.values).all()
    with pytest.raises(SegmentationError, match="could not be parted"):
        bone_labels(joint, {**inside, "b": np.array([[-7.0, 4.0, 0.0]])})


def test_a_refusal_names_the_cut_to_ask_for_where_it_would_be_made(joint, monkeypatch):
    monkeypatch.setattr("psi_cad.segmentation.naming.MOST_ASKED_RATIO", 2.0)
    with pytest.raises(SegmentationError, match="say where they touch") as refused:
        named(joint, joint.layers[0], {"a": np.array([[-14.0, -4.0, 0.0]]), "b": np.array([[-10.0, 5.0, 0.0]])})
    place = [float(v) for v in str(refused.value).split("--cut-here=")[1].rstrip(".").split(",")]
    assert place == pytest.approx(refused.value.where, abs=0.06)
    assert -16.0 < place[0] < -8.0, "between the two seeds"
