"""Two cortices that touch and show no gap are a bright sheet: a part is cut along it, and not through the narrowest bone near by."""

import numpy as np
import pytest
from scipy import ndimage
from shapes import rounded_box

from psi_cad.bones.segment import segment_bone
from psi_cad.joints.sheets import bright_sheets
from psi_cad.phantom.scanner import Body, ScannedBone, simulated_ct
from psi_cad.segmentation.correcting import Corrections
from psi_cad.segmentation.naming import named
from psi_cad.segmentation.parting import divided
from psi_cad.segmentation.touching import _cut_between, _on_two_sides, sheeted
from psi_cad.voxels.levels import TissueLevels

LEVELS = TissueLevels(soft=50.0, bone=1250.0, noise=10.0, threshold=290.0)
SPACING = np.array([0.8, 0.8, 0.8])
RADIUS, GAP, NECK = 16.0, 0.3, 9.0
MIDDLE = np.array([0.0, 0.0, -2.0])
SEEDS = {"socket": (18.0, 0.0, 19.0), "head": (0.0, 0.0, -50.0)}


def ball(centre, radius):
    return lambda points: np.linalg.norm(np.asarray(points) - centre, axis=1) - radius


def head(points):
    """A ball on a neck of 18 x 18 mm, which is less than what the ball has in common with its socket."""
    neck, shaft = rounded_box((-NECK, -NECK, -36.0), (NECK, NECK, -8.0)), rounded_box((-15.0, -15.0, -62.0), (15.0, 15.0, -32.0))
    return np.minimum(np.minimum(ball(MIDDLE, RADIUS)(points), neck(points)), shaft(points))


def socket(side):
    """A block with a hollow that leaves 0.3 mm at the top, and `side` mm more or less at its rim."""
    hollow = ball(MIDDLE + np.array([0.0, 0.0, GAP - side]), RADIUS + side)
    return lambda points: np.maximum(rounded_box((-24.0, -24.0, -2.0), (24.0, 24.0, 24.0))(points), -hollow(points))


def scan(side):
    bones = [ScannedBone(socket(side), 1.2, marrow=200.0), ScannedBone(head, 1.2, marrow=200.0)]
    ct = simulated_ct(bones, low=-np.array([30.0, 30.0, 68.0]), high=np.array([30.0, 30.0, 30.0]), body=Body(muscle_mm=500.0), noise_sd=20.0)
    return ct, divided(ct)


def off(found, side):
    return {
        bone.name: float(np.abs(distance(np.asarray(bone.mesh.vertices))).mean())
        for bone, distance in zip(found.bones, (socket(side), head), strict=True)
    }


def test_the_cut_goes_through_the_joint_and_not_through_a_neck_with_less_bone():
    ct, division = scan(1.2)
    points = {name: np.atleast_2d(place) for name, place in SEEDS.items()}
    for layer in division.layers:
        cut = named(division, layer, points)
        assert cut.layer.sheet is not None and cut.forced[2, 1] > 1.2 * (2.0 * NECK) ** 2
        assert not cut.unseen
        check_seed_on_the_sheet(division, layer, cut, points["socket"])
    found = segment_bone(ct, SEEDS, known=division)
    assert not found.doubts  # the gap shows at the rim
    assert max(off(found, 1.2).values()) < 0.2


def check_seed_on_the_sheet(division, layer, cut, socket_seed):
    """A seed of the head that was taken for the socket's moves to the head if it lies on the sheet, and stays if it lies in the socket's marrow."""
    number = int(np.bincount(layer.part[layer.number[cut.label == 1]]).argmax())
    found = sheeted(division, layer, layer.part, number)
    best = _cut_between(found, None)
    inside = found.layer.number[(cut.label == 1) & np.isin(found.layer.number, found.mine)]
    wrong = {"socket": inside[:1].astype(np.int64), "head": inside[-1:].astype(np.int64)}
    sheet = division.patient(np.stack(np.unravel_index(division.at[found.layer.sheet], division.solid.shape), axis=1))
    top = sheet[np.argmin(np.linalg.norm(sheet - (MIDDLE + np.array([0.0, 0.0, RADIUS])), axis=1))]
    gone, names = np.array([True]), ("head", "socket")
    assert not _on_two_sides(division, found, best, dict(wrong), gone, socket_seed, names)
    meant = dict(wrong)
    assert _on_two_sides(division, found, best, meant, gone, top[None], names)
    assert (cut.label[found.layer.number == meant["head"][0]] == 2).mean() > 0.9
    assert _cut_between(found, (meant["head"], meant["socket"])) is not None


@pytest.mark.slow
def test_what_shows_no_gap_anywhere_is_told_and_right_when_a_person_says_so():
    ct, division = scan(0.0)
    found = segment_bone(ct, SEEDS, known=division)
    place = next((one.where for one in found.doubts if one.reason == "no-gap"), None)
    assert place is not None and abs(np.linalg.norm(np.array(place) - MIDDLE) - RADIUS) < 2.0
    again = segment_bone(ct, SEEDS, known=division, corrections=Corrections(cut_here=(place,)))
    assert not again.doubts
    assert max(off(again, 0.0).values()) < 0.2
    assert "--cut-here" in " ".join(again.notes)


def box(shape=(40, 40, 40)):
    bone = np.zeros(shape, dtype=bool)
    bone[4:-4, 4:-4, 4:-4] = True
    return bone


def scanned(dense, bone, marrow=200.0):
    hu = np.where(bone, np.where(dense, 1250.0, marrow), 50.0)
    return ndimage.gaussian_filter(hu, 0.7).astype(np.int16)


def test_a_sheet_between_two_marrows_is_found_over_all_of_it_and_a_thick_cortex_is_none():
    bone = box()
    shell = bone & ~ndimage.binary_erosion(bone, iterations=5)  # 4 mm
    plate = np.zeros_like(bone)
    plate[:, :, 19:21] = True
    found = bright_sheets(scanned(shell | plate, bone), bone, bone, spacing=SPACING, levels=LEVELS)
    where = np.argwhere(found)
    assert set(where[:, 2]) <= {18, 19, 20, 21}
    assert found[12:28, 12:28, 18:22].any(axis=2).all()
    assert not bright_sheets(scanned(shell, bone), bone, bone, spacing=SPACING, levels=LEVELS).any()


def test_the_texture_of_marrow_is_no_sheet():
    bone = box()
    rng = np.random.default_rng(0)
    rough = ndimage.gaussian_filter(rng.normal(size=bone.shape), 1.2)
    hu = np.where(bone, 300.0 + 100.0 * rough / rough.std(), 50.0).astype(np.int16)
    assert not bright_sheets(hu, bone, bone, spacing=SPACING, levels=LEVELS).any()
