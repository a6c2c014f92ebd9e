"""The simulated scanner: closed forms of edge, partial volume, noise; the same bytes for the same seed."""

import numpy as np
import pytest
from scipy.special import ndtr

from psi_cad.phantom.distance import mesh_distance, sampled_distance
from psi_cad.phantom.hemipelvis import implicit
from psi_cad.phantom.scanner import Body, ScannedBone, ScannedSolid, Tissues, scanned, simulated_ct, varying


def plane(points):
    """A half-space of bone behind a tilted plane."""
    return np.asarray(points) @ (np.array([1.0, 2.0, 2.0]) / 3.0)


def flat_ct(**kwargs):
    bone = ScannedBone(plane, cortex_mm=1.5, cortex=1300.0, marrow=100.0)
    body = Body(muscle_mm=100.0)
    return simulated_ct([bone], low=np.full(3, -9.0), high=np.full(3, 9.0), body=body, **{"noise_sd": 0.0, "psf_sigma": 0.6, **kwargs})


def test_a_flat_cortex_reads_as_the_closed_form():
    # Gaussian edges of the model, widened by the voxel's own box (variance s²/12 per axis)
    ct = flat_ct(supersample=(3, 3, 3))
    index = np.argwhere(np.ones(ct.values.shape))[:, ::-1]
    depth = -plane(ct.patient(index))
    inner = ((index > 6) & (index < np.array(ct.values.shape[::-1]) - 7)).all(axis=1)
    normal = np.array([1.0, 2.0, 2.0]) / 3.0
    sigma = np.sqrt(0.6**2 + (normal**2 * ct.spacing**2).sum() / 12.0)
    wanted = 55.0 + 1245.0 * ndtr(depth / sigma) - 1200.0 * ndtr((depth - 1.5) / sigma)
    assert np.abs(ct.values.ravel() - wanted)[inner].max() < 6.0  # of 1300; the box is not quite a Gaussian


def test_the_mass_of_bone_is_kept():
    ball = ScannedBone(lambda p: np.linalg.norm(p, axis=1) - 6.0, cortex_mm=20.0, cortex=1055.0)
    ct = simulated_ct([ball], low=np.full(3, -12.0), high=np.full(3, 12.0), body=Body(muscle_mm=100.0), noise_sd=0.0, psf_sigma=0.5)
    mass = (ct.values.astype(float) - 55.0).sum() * np.prod(ct.spacing) / 1000.0
    assert mass == pytest.approx(4.0 / 3.0 * np.pi * 6.0**3, rel=0.003)


def test_noise_has_the_asked_size_and_the_seed_decides_it():
    one, same, other = (flat_ct(noise_sd=20.0, seed=s) for s in (1, 1, 2))
    assert (one.values == same.values).all()
    assert (one.values != other.values).any()
    noise = (one.values.astype(float) - other.values) / np.sqrt(2.0)
    assert noise.std() == pytest.approx(20.0, rel=0.05)
    beside = np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]
    assert 0.3 < beside < 0.7  # a little correlated


def test_slabs_join_without_a_seam():
    tall = {"shape": (60, 12, 12), "patient_from_index": np.diag([1.0, 1.0, 0.5, 1.0]), "noise_sd": 0.0}
    bone = [ScannedBone(lambda p: p[:, 0] - 5.0 + 0.2 * p[:, 2])]
    whole = scanned(bone, **tall)
    moved = np.diag([1.0, 1.0, 0.5, 1.0])
    moved[2, 3] = 0.5 * 20
    part = scanned(bone, **{**tall, "shape": (20, 12, 12), "patient_from_index": moved})
    assert np.abs(whole[20:40] - part).max() < 1.0


def test_air_table_fat_muscle_and_a_tumour_have_their_values():
    tissues = Tissues()
    bone = ScannedBone(lambda p: np.linalg.norm(p - [0, 0, 0], axis=1) - 12.0, cortex_mm=1.0, marrow=200.0)
    tumour = ScannedSolid(lambda p: np.linalg.norm(p, axis=1) - 6.0, 90.0)
    ct = simulated_ct(
        [bone], low=np.array([-50.0, -50.0, -2.0]), high=np.array([50.0, 50.0, 2.0]), solids=[tumour], noise_sd=0.0,
        body=Body(centre=(0.0, 0.0), radii=(40.0, 36.0), muscle_mm=10.0, table_gap=2.0),
    )  # fmt: skip
    at = np.array([[0, 0, 0], [9, 0, 0], [17, 0, 0], [30, 0, 0], [46, 0, 0], [0, 41, 0]], dtype=float)
    assert ct.sampled(at) == pytest.approx([90.0, 200.0, tissues.muscle, tissues.fat, tissues.air, tissues.table], abs=3.0)


def test_a_sampled_distance_is_the_distance():
    def ball(points):
        return np.linalg.norm(points - [1.0, 2.0, 3.0], axis=1) - 9.0

    fast = sampled_distance(lambda p: 1.7 * ball(p), low=np.full(3, -12.0), high=np.full(3, 16.0), step=0.7, level=True)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 3))
    points = [1.0, 2.0, 3.0] + points / np.linalg.norm(points, axis=1, keepdims=True) * rng.uniform(6.0, 12.0, (2000, 1))
    assert np.abs(fast(points) - ball(points)).max() < 0.06
    assert np.abs(fast(points) - ball(points))[np.abs(ball(points)) < 0.2].max() < 0.005


def test_a_mesh_distance_keeps_the_sign():
    import trimesh

    box = trimesh.creation.box((10.0, 12.0, 14.0))
    away = mesh_distance(box)
    assert away(np.array([[0.0, 0.0, 6.0], [0.0, 0.0, 8.5], [5.5, 0.0, 0.0]])) == pytest.approx([-1.0, 1.5, 0.5], abs=0.03)


def test_varying_stays_between_its_ends():
    points = np.random.default_rng(1).uniform(-200, 200, (20000, 3))
    thick = varying(1.0, 2.4)(points)
    assert thick.min() >= 1.0
    assert thick.max() <= 2.4
    assert np.ptp(thick) > 1.2


def test_the_phantom_joint_is_open_and_its_seeds_lie_in_their_bones():
    from psi_cad.phantom.scene import JOINT_MM, PHANTOM_SEEDS, femur_distance, sacrum_distance

    inside = {"hip": implicit, "femur": femur_distance, "sacrum": sacrum_distance}
    for name, seed in PHANTOM_SEEDS.items():
        for other, distance in inside.items():
            value = float(distance(np.array([seed]))[0])
            assert value < -2.0 if other == name else value > 2.0
    points = np.random.default_rng(2).uniform([-150, -40, -40], [-60, 30, 20], (20000, 3))
    femur = points[femur_distance(points) < 0.0]
    assert implicit(femur).min() >= JOINT_MM - 1e-9
