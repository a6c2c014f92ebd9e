"""The canal of a bone: wide hollows that open outwards through narrow necks are no marrow, nor is what opens as wide as it is."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from psi_cad.filling.fill import filled
from psi_cad.filling.pockets import open_canals
from psi_cad.voxels.levels import TissueLevels

SPACING = np.array([0.8, 0.8, 1.0])
SOFT, CORTEX, NOISE = 45.0, 1250.0, 20.0
LEVELS = TissueLevels(soft=SOFT, bone=CORTEX, noise=NOISE, threshold=286.0)
SHAPE = (60, 70, 70)  # 60 x 56 x 56 mm


def block(marrow, *hollows):
    """A block of bone with a cortex of 1.6 mm around it and around its hollows (slices along k, j, i), as the scan shows it, and its shell."""
    bone = np.zeros(SHAPE, dtype=bool)
    bone[8:52, 10:60, 10:60] = True
    for hollow in hollows:
        bone[hollow] = False
    inner = ndimage.binary_erosion(bone, np.ones((3, 3, 3)), iterations=2)
    values = np.where(bone, np.where(inner, marrow, CORTEX), SOFT).astype(np.float32)
    values += np.random.default_rng(1).normal(0.0, NOISE, SHAPE).astype(np.float32)
    return bone, values, values > LEVELS.threshold


def found(marrow, *hollows, content=SOFT):
    """Which voxels are taken out of what filling gives, and which of those belong to a hollow, which shows `content` in HU."""
    bone, values, shell = block(marrow, *hollows)
    for hollow in hollows:
        values[hollow] += content - SOFT
    fill = partial(filled, shell, spacing=SPACING)
    solid = fill()
    out = open_canals(solid, shell, values, levels=LEVELS, spacing=SPACING, tighter=fill)
    assert not (out & bone & ndimage.binary_erosion(bone)).any(), "no bone is taken out"
    return out, solid & ~bone


CHAMBER = np.s_[20:40, 36:54, 28:44]  # 20 x 14 x 13 mm
NECK = np.s_[28:31, 50:60, 34:38]  # 3 x 3 mm wide, to the outside
PLATE = np.s_[28:31, 10:60, 10:60]  # 3 mm thick, open all round


def test_a_canal_is_open_though_its_neck_is_narrow():
    out, canal = found(280.0, CHAMBER, NECK)
    chamber = np.zeros(SHAPE, dtype=bool)
    chamber[CHAMBER] = True
    assert canal[chamber].all(), "filling alone closes it"
    assert out[ndimage.binary_erosion(chamber)].all()  # the outermost layer is averaged with the wall
    pieces, _ = ndimage.label(~(filled(block(280.0, CHAMBER, NECK)[2], spacing=SPACING) & ~out))
    assert pieces[30, 45, 36] == pieces[0, 0, 0], "it is open to the outside"


@pytest.mark.parametrize(
    ("marrow", "hollows"),
    [
        (280.0, ()),
        (280.0, (CHAMBER,)),  # shut in: a cyst, or a tumour
        (280.0, (PLATE,)),  # a growth plate
        (280.0, (NECK,)),  # a vessel
        (60.0, (CHAMBER, NECK)),  # marrow as dark as soft tissue, and a small opening: it may be a hole in the cortex
        (60.0, (PLATE,)),
    ],
)
def test_what_is_shut_in_or_narrow_or_not_told_apart_stays(marrow, hollows):
    out, _ = found(marrow, *hollows)
    assert not out.any()


def test_a_canal_beside_another_bone_is_that_one_s_affair():
    bone, values, shell = block(280.0, CHAMBER, NECK)
    solid = filled(shell, spacing=SPACING)
    others = np.zeros(SHAPE, dtype=bool)
    others[:, 60:] = True
    assert not open_canals(solid, shell, values, levels=LEVELS, spacing=SPACING, others=others | ~(bone | solid)).any()


FOLD = np.s_[28:31, 40:52, 16:28]  # a slit of 3 mm beside the chamber


def test_a_fold_of_a_canal_goes_with_it_and_a_growth_plate_does_not():
    out, canal = found(280.0, CHAMBER, NECK, FOLD)
    assert out[29, 46, 20] and canal[29, 46, 20]
    out, _ = found(280.0, CHAMBER, np.s_[34:37, 50:60, 34:38], np.s_[23:27, 10:60, 10:60])
    assert out[32, 45, 36] and not out[24, 20, 20], "the plate stays, though it opens into the canal"


SLOT = np.s_[28:31, 50:60, 20:45]  # 3 mm thick, 20 mm wide, 8 mm deep, open all along


@pytest.mark.parametrize("marrow", [20.0, 45.0, 60.0, 120.0])
def test_what_opens_as_wide_as_it_is_is_open_though_marrow_is_as_dark(marrow):
    out, slot = found(marrow, SLOT)
    inner = np.zeros(SHAPE, dtype=bool)
    inner[29, 51:55, 22:43] = True
    assert slot[inner].all(), "filling closes it"
    assert out[inner].all()


def test_what_opens_wide_stays_where_it_is_as_dense_as_marrow():
    assert found(140.0, SLOT)[0].any()
    assert not found(140.0, SLOT, content=140.0)[0].any(), "the cortex over marrow is lost"
