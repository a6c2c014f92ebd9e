"""Scans of two people of like build: the bones' edges tell, where the registration alone would not."""

import dataclasses

import numpy as np
import pytest

from psi_cad.errors import RegistrationError
from psi_cad.phantom.scanner import Body, ScannedBone, Tissues, scanned, simulated_ct
from psi_cad.registration.edges import bone_residual
from psi_cad.registration.register import BONE_EDGES_MM, Registration, _refuse_doubt
from psi_cad.registration.rigid import inverse, rotation
from psi_cad.voxels.volume import Volume

POSE = rotation(np.radians([2.0, -3.0, 4.0]), about=np.zeros(3), shift=np.array([6.0, -9.0, 5.0]))
LOW, HIGH = np.array([-90.0, -60.0, -60.0]), np.array([90.0, 60.0, 60.0])
BODY = Body(radii=(88.0, 58.0), muscle_mm=20.0)
MR = Tissues(air=5.0, fat=900.0, muscle=350.0, table=5.0)


def person(seed):
    """Six bones in one body: of each person at places that differ by some 7 mm, and of sizes that differ by a fifth."""
    rng = np.random.default_rng(seed)
    bones = []
    for x in (-50.0, 0.0, 50.0):
        for z in (-28.0, 28.0):
            middle, radii = np.array([x, 0.0, z]) + rng.normal(0.0, 4.5, 3), np.array([17.0, 13.0, 22.0]) * rng.uniform(0.8, 1.2, 3)

            def away(points, middle=middle, radii=radii):
                p = np.asarray(points) - middle
                level, slope = np.linalg.norm(p / radii, axis=1), np.linalg.norm(p / radii**2, axis=1)
                return level * (level - 1.0) / np.maximum(slope, 1e-9)

            bones.append(away)
    return bones


def ct_of(seed):
    bones = [ScannedBone(away, 1.8, cortex=1300.0, marrow=180.0) for away in person(seed)]
    return simulated_ct(bones, low=LOW, high=HIGH, spacing=(1.5, 1.5, 2.0), body=BODY, noise_sd=25.0, supersample=(1, 1, 2), seed=seed)


def mri_of(seed):
    bones = [ScannedBone(away, 1.8, cortex=60.0, marrow=700.0) for away in person(seed)]
    spacing = np.array([1.5, 1.5, 4.0])
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = LOW
    count = np.floor((HIGH - LOW) / spacing).astype(int) + 1
    clean = scanned(
        bones, shape=tuple(int(n) for n in count[::-1]), patient_from_index=inverse(POSE) @ matrix, tissues=MR, body=BODY, noise_sd=0.0,
        supersample=(1, 1, 3),
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    return Volume(np.rint(np.hypot(clean + 25.0 * rng.standard_normal(clean.shape), 25.0)).astype(np.int16), matrix)


@pytest.fixture(scope="module")
def scans():
    return {seed: (ct_of(seed), mri_of(seed)) for seed in (1, 2)}


def test_bones_of_one_person_are_where_they_should_be(scans):
    for ct, mri in scans.values():
        found = bone_residual(ct, mri, POSE)
        assert found.median <= 2.0 and found.blocks >= 8


def test_a_transform_that_is_off_is_measured(scans):
    ct, mri = scans[1]
    for shift in (4.0, 8.0):
        off = rotation(np.zeros(3), about=np.zeros(3), shift=np.array([shift, 0.0, 0.0])) @ POSE
        assert bone_residual(ct, mri, off).median == pytest.approx(shift, abs=2.0)


@pytest.mark.parametrize(("one", "two"), [(1, 2), pytest.param(2, 1, marks=pytest.mark.slow)])
def test_bones_of_two_people_are_not(scans, one, two):
    found = bone_residual(scans[one][0], scans[two][1], POSE)
    assert found.median > 4.0 > bone_residual(scans[one][0], scans[one][1], POSE).median


def test_a_scan_without_bone_is_not_judged(scans):
    ct, mri = scans[1]
    soft = Volume(np.minimum(ct.values, 100), ct.patient_from_index)
    assert bone_residual(soft, mri, POSE).median is None


def test_a_registration_of_two_people_is_refused():
    right = Registration(
        moving_from_fixed=POSE, centre=np.zeros(3), box=np.zeros((8, 3)), starts=5, agreeing=5, spread_mm=0.5, evidence=0.3, evidence_at_start=0.1,
        rival_share=0.0, inverse_mm=0.3, moved_mm=1.0, turned_deg=1.0, bone_edges_mm=BONE_EDGES_MM - 0.1, bone_blocks=30,
    )  # fmt: skip
    _refuse_doubt(right)
    _refuse_doubt(dataclasses.replace(right, bone_edges_mm=None))
    with pytest.raises(RegistrationError, match=r"do not have the same edges: 30 blocks of bone lie 12\.1 mm off .* of one patient"):
        _refuse_doubt(dataclasses.replace(right, bone_edges_mm=12.1))
