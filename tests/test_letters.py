"""Letters sunk into a flat face: what is left is one sound solid, smaller by exactly the letters, whichever way the face was drawn."""

import cadquery as cq
import numpy as np
import pytest
import shapely
from OCP.TopAbs import TopAbs_REVERSED

from psi_cad.brep import label
from psi_cad.brep.label import engraved, text_shape
from psi_cad.errors import KernelError
from psi_cad.export.meshes import triangulated
from psi_cad.frames import Frame
from psi_cad.labelling import fence
from psi_cad.readback.faces import Faces

TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
TURN *= np.sign(np.linalg.det(TURN))
FRAME = Frame(origin=np.array([12.0, -7.0, 90.0]), axes=TURN)
TEXT = text_shape(("AB8", "%o4"), height=3.0)  # with islands, one in another's pocket
DEPTH = 0.5


def block(*, turned=False):
    """A block whose flat top is z = 0 of `FRAME`: the upper side of a box as drawn, or its lower side, which the kernel holds reversed."""
    solid = cq.Solid.makeBox(20.0, 14.0, 4.0, cq.Vector(-10.0, -7.0, 0.0 if turned else -4.0))
    if turned:
        solid = solid.rotate(cq.Vector(0, 0, 0), cq.Vector(1, 0, 0), 180.0)
    return solid.moved(cq.Location(cq.Plane(origin=tuple(FRAME.origin), xDir=tuple(TURN[0]), normal=tuple(TURN[2]))))


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_sunk_is_the_letters_and_nothing_else(turned):
    whole = block(turned=turned)
    host = max(whole.Faces(), key=lambda face: float((np.array(face.Center().toTuple()) - FRAME.origin) @ TURN[2]))
    assert (host.wrapped.Orientation() == TopAbs_REVERSED) == turned
    left = engraved("label", whole, [(FRAME, TEXT)], depth=DEPTH)
    assert left.isValid() and whole.Volume() > 0.0
    assert left.Volume() == pytest.approx(whole.Volume() - DEPTH * TEXT.area, rel=1e-9)
    assert left.Area() == pytest.approx(whole.Area() + DEPTH * TEXT.length, rel=1e-9)
    mesh = triangulated(left)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(left.Volume(), rel=1e-9)
    floors = [
        face for face, middle, out in Faces(left).planes_along(TURN[2], least=1.0) if abs(FRAME.local(middle)[2] + DEPTH) < 1e-6 and out @ TURN[2] > 0
    ]
    assert sum(face.Area() for face in floors) == pytest.approx(TEXT.area, rel=1e-9)
    islands = sum(len(part.interiors) for part in shapely.get_parts(TEXT))
    assert islands >= 4 and len(floors) == len(shapely.get_parts(TEXT))


def test_what_carries_letters_has_planes_for_sides():
    width, height, thickness, corner, rim, skirt = 20.0, 4.0, 3.0, 0.4, 0.3, 0.6
    tag = label.tag(FRAME, width=width, height=height, thickness=thickness, corner=corner, edge_break=rim, skirt=skirt)
    cut, low = 2.0 * corner**2, (width + 2.0 * rim) * (height + 2.0 * rim + skirt)
    top, middle = width * height - cut, (width + rim) * (height + rim + skirt / 2.0) - cut
    mean = rim * (low - cut + 4.0 * middle + top) / 6.0  # Simpson's rule is exact: sides grow evenly
    pad = label.pad(FRAME, width=width, height=height, thickness=1.0, into=0.7, edge_break=0.5)
    grow = 0.5 * 1.7
    frustum = 1.7 * (80.0 + 4.0 * (20.0 + grow) * (4.0 + grow) + (20.0 + 2.0 * grow) * (4.0 + 2.0 * grow)) / 6.0
    for solid, volume in ((tag, (thickness - rim) * (low - cut) + mean), (pad, frustum)):
        assert solid.isValid() and {face.geomType() for face in solid.Faces()} == {"PLANE"}
        assert solid.Volume() == pytest.approx(volume, rel=1e-9)
        assert triangulated(solid).volume == pytest.approx(volume, rel=1e-9)


def test_letters_that_cross_themselves_are_refused():
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    with pytest.raises(KernelError, match="strokes cross"):
        engraved("label", block(), [(FRAME, bow)], depth=DEPTH)


def test_flat_faces_are_found_by_where_they_look():
    faces = Faces(block())
    every = faces.planes
    assert len(every) == 6
    for axis in TURN:
        found = faces.planes_along(axis, least=0.999)
        assert sorted(float(out @ axis) for _, _, out in found) == pytest.approx([-1.0, 1.0])
        assert {id(face) for face, _, _ in found} <= {id(face) for face, _, _ in every}
    assert len(faces.planes_along(np.ones(3) / np.sqrt(3.0), least=0.999)) == 0
    assert len(faces.planes_along(TURN[0], least=0.0)) == 6


def windows_one_by_one(s, lower, upper):
    """The stretches in which a text could stand, looked at one after the other."""
    for start in range(0, len(s) - 3, 2):
        for end in range(start + 4, len(s) + 1, 2):
            part = slice(start, end)
            if np.isneginf(upper[part]).any():
                break
            slope = float(np.polyfit(s[part], (lower[part] + upper[part]) / 2.0, 1)[0])
            tilt = slope * (s[part] - s[part].mean())
            low, high = float((lower[part] - tilt).max()), float((upper[part] - tilt).min())
            if high - low > fence.LOWEST:
                lean = np.hypot(1.0, slope)
                length = (s[end - 1] - s[start]) * lean - abs(slope) * (high - low)
                yield length, (high - low) / lean, s[part].mean(), (low + high) / 2.0, slope


@pytest.mark.parametrize("seed", range(6))
def test_windows_for_a_text_are_those_that_one_would_find_one_by_one(seed):
    rng = np.random.default_rng(seed)
    s = np.arange(4.0 + 7 * seed) - rng.uniform(0.0, 50.0)
    lower = 0.3 * np.cumsum(rng.normal(size=len(s)))
    upper = lower + rng.uniform(0.5, 9.0) + rng.normal(size=len(s))
    if seed % 2:
        upper[rng.integers(0, len(s), 2)] = -np.inf  # a sleeve stands there
    wanted = np.array(list(windows_one_by_one(s, lower, upper))).reshape(-1, 5)
    assert fence._windows(s, lower, upper) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    assert len(wanted) or seed in (0, 1)


def differ(one, other):
    """What two letters do not share, of the smaller one's area; each with its lower left corner at the origin."""
    here, there = (shapely.affinity.translate(shape, -shape.bounds[0], -shape.bounds[1]) for shape in (one, other))
    return here.symmetric_difference(there).area / min(here.area, there.area)


def test_letters_that_could_be_taken_for_each_other_are_told_apart():
    """As large as they are printed, by area; with hardly more corners than the font's own bars and rings."""
    el, i, one, side = (text_shape((letter,), height=2.5) for letter in ("l", "I", "1", "L"))
    assert min(differ(el, i), differ(el, one), differ(i, one), differ(el, side)) > 0.2
    assert shapely.count_coordinates(el) <= 7 and shapely.count_coordinates(i) <= 13
    both = shapely.get_parts(text_shape(("O0",), height=2.5))
    assert len(both) == 2 and both[1].bounds[3] > both[0].bounds[3] + 0.2, "the slash of the 0 stands out of its ring"
    alone = text_shape(("0",), height=2.5)
    assert differ(alone, both[1]) > 0.05 and shapely.count_coordinates(both[1]) <= shapely.count_coordinates(alone) + 8


def test_a_line_is_as_wide_as_its_letters():
    for text in ("all-hills", "I1l0O", "pelvis 0.15"):
        x_low, _, x_high, _ = text_shape((text,), height=1.0).bounds
        assert label.text_width(text) == pytest.approx(x_high - x_low, abs=0.12), text
