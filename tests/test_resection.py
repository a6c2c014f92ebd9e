"""The resection simulated: volumes and pieces against closed forms, what must not be cut, and what is not freed."""

import numpy as np
import pytest
import shapely
import trimesh
from shapes import ball, block, moved, planned, shell, turn

from psi_cad.errors import CaseError, SurfaceError
from psi_cad.resection.pieces import resect
from psi_cad.surface.solids import closed_surface, mesh_of, pieces_of, solid_of

Z, X = [0, 0, 1.0], [1.0, 0, 0]


def sawn(mesh, planes, *, groups=None):
    bone, cuts = planned(mesh, planes, groups=groups)
    return resect(solid_of(bone.mesh, name="bone", key="bone"), bone.mesh, cuts)


def volumes(found):
    return found.specimen.volume(), [piece.volume() for piece in found.retained]


def united(*meshes):
    solids = [solid_of(mesh, name="m", key="k") for mesh in meshes]
    whole = solids[0]
    for solid in solids[1:]:
        whole = whole + solid
    return mesh_of(whole.refine_to_length(6.0))


def ring():
    """A frame of 100 × 20 × 100 with a window of 60 × 60: a bone with a hole, as the obturator foramen makes one."""
    whole = solid_of(block(100, 20, 100), name="m", key="k") - solid_of(block(60, 40, 60), name="m", key="k")
    return mesh_of(whole.refine_to_length(6.0))  # flat faces are joined to long triangles, which a bone does not have


def test_a_block_and_a_ball():
    specimen, retained = volumes(sawn(block(100, 60, 80), [("A", [0, 0, 10], Z)]))
    assert specimen == pytest.approx(100 * 60 * 30) and retained == pytest.approx([100 * 60 * 50])
    specimen, retained = volumes(sawn(ball(30), [("A", [0, 0, 12], Z)]))
    cap = np.pi * 18**2 * (3 * 30 - 18) / 3
    assert specimen == pytest.approx(cap, rel=0.002)
    assert specimen + retained[0] == pytest.approx(ball(30).volume, rel=1e-9)


def test_two_crossing_planes_free_what_lies_on_both_sides():
    found = sawn(block(80, 40, 80), [("A", [0, 0, 0], Z), ("B", [10, 0, 0], X)])
    specimen, retained = volumes(found)
    assert specimen == pytest.approx(30 * 40 * 40)
    assert retained == pytest.approx([80 * 40 * 80 - 30 * 40 * 40]), "what stays is one piece: nothing else is cut"
    assert mesh_of(found.specimen).is_watertight and mesh_of(found.retained[0]).is_watertight


def test_a_shell_keeps_its_hollow():
    found = sawn(shell(40, 30), [("A", [35, 0, 10], Z)])
    specimen, _ = volumes(found)

    def cap(radius):
        return np.pi * (radius - 10) ** 2 * (3 * radius - (radius - 10)) / 3

    assert specimen == pytest.approx(cap(40) - cap(30), rel=0.002)
    beside = sawn(united(block(100, 40, 40)), [("A", [30, 0, 0], X)])
    assert beside.pieces == 1
    hollow = trimesh.util.concatenate([block(100, 40, 40), _inverted(ball(10, at=(-20, 0, 0)))])
    specimen, (retained,) = volumes(sawn(hollow, [("A", [30, 0, 0], X)]))
    assert specimen == pytest.approx(20 * 1600)
    assert retained == pytest.approx(80 * 1600 - ball(10).volume, rel=1e-6), "a closed cavity stays a cavity"


def _inverted(mesh):
    mesh.invert()
    return mesh


def test_an_infinite_plane_cuts_only_its_own_piece():
    legs = united(block(20, 20, 100, at=(-40, 0, 0)), block(20, 20, 100, at=(40, 0, 0)), block(100, 20, 20, at=(0, 0, 60)))
    specimen, retained = volumes(sawn(legs, [("A", [-40, 0, 0], [0, 0, -1.0])]))
    assert specimen == pytest.approx(20 * 20 * 50), "one leg"
    assert retained == pytest.approx([legs.volume - 20 * 20 * 50])


def test_a_second_bone_in_the_plane_stays_whole():
    two = trimesh.util.concatenate([block(40, 30, 100), block(30, 30, 100, at=(80, 0, 0))])
    specimen, retained = volumes(sawn(two, [("A", [0, 0, 0], Z)]))
    assert specimen == pytest.approx(40 * 30 * 50)
    assert retained == pytest.approx([30 * 30 * 100, 40 * 30 * 50])


def test_one_cut_does_not_open_a_ring():
    with pytest.raises(CaseError, match=r"cut 'A' does not free the specimen: bone stays attached near \(40, -?0, -?0\) mm"):
        sawn(ring(), [("A", [-40, 0, 0], Z)])
    specimen, _ = volumes(sawn(ring(), [("A", [-40, 0, 0], Z), ("B", [40, 0, 0], Z)]))
    assert specimen == pytest.approx(ring().volume / 2)


def plate(thick, *windows):
    """A plate of 100 x `thick` x 80 mm with windows (x, width) through it, 9 mm high."""
    whole = solid_of(block(100, thick, 80), name="m", key="k")
    for x, width in windows:
        whole = whole - solid_of(block(width, 40, 9, at=(x, 0, 0)), name="m", key="k")
    return mesh_of(whole.refine_to_length(3.0))


@pytest.mark.parametrize(("windows", "at_x"), [(((10, 6),), 10), (((10, 6), (30, 5)), 10)])
def test_a_hole_in_thin_bone_is_named_and_no_other_cut_is_advised(windows, at_x):
    with pytest.raises(
        CaseError, match=r"meets a hole in the bone's surface near .* 6.0 mm across in bone only 1.[45] mm thick, .*--close-holes 8"
    ) as told:
        sawn(plate(1.5, *windows), [("A", [-20, 0, 1], Z)])
    assert "or add a cut there" not in str(told.value) and "raise extent" not in str(told.value)
    assert told.value.where == pytest.approx((at_x, 0, 1), abs=0.8)
    sawn(plate(1.5), [("A", [-20, 0, 1], Z)])  # closed, the cut frees its piece


@pytest.mark.parametrize(("thick", "width"), [(12.0, 6), (1.5, 40)])
def test_a_foramen_is_no_tear(thick, width):
    """Thick bone around it, or too wide."""
    with pytest.raises(CaseError, match="bone stays attached near .* or add a cut there"):
        sawn(plate(thick, (10, width)), [("A", [-40, 0, 1], Z)])


def test_a_notch_is_no_tear():
    """Two thin legs that hang together on one side only: a cut through one frees it."""
    legs = united(block(20, 1.5, 60, at=(-13, 0, 0)), block(20, 1.5, 60, at=(13, 0, 0)), block(60, 1.5, 20, at=(0, 0, 40)))
    assert sawn(legs, [("A", [-13, 0, 0], [0, 0, -1.0])]).pieces == 1


def test_both_legs_of_a_ring_in_planes_that_cross_nothing():
    found = sawn(ring(), [("A", [-40, 0, 5], Z), ("B", [40, 0, -5], Z)])
    assert found.specimen.volume() == pytest.approx(ring().volume / 2)


def test_both_sides_of_one_plane():
    found = sawn(block(100, 20, 20), [("A", [0, 0, 0], X), ("B", [0, 0, 0], [-1.0, 0, 0])], groups={"A": "1", "B": "2"})
    assert found.pieces == 2 and found.specimen.volume() == pytest.approx(40_000)


def test_a_cut_kept_short_leaves_bone_attached():
    from psi_cad.scene.cuts import plan_cuts
    from psi_cad.surface.repair import checked_bone

    bone = checked_bone(block(100, 20, 60), name="b")
    cuts = plan_cuts(bone, [("A", np.array([-20.0, 0, 0]), np.array([0, 0, 1.0]), 50.0)])
    with pytest.raises(CaseError, match="raise extent"):
        resect(solid_of(bone.mesh, name="b", key="k"), bone.mesh, cuts)


def test_normals_that_look_apart():
    planes = [("A", [-20, 0, 0], [-1.0, 0, 0]), ("B", [20, 0, 0], X)]
    with pytest.raises(CaseError, match="separate pieces"):
        sawn(block(100, 20, 20), planes)
    found = sawn(block(100, 20, 20), planes, groups={"A": "1", "B": "2"})
    assert found.pieces == 2 and found.specimen.volume() == pytest.approx(2 * 30 * 400)
    assert [piece.volume() for piece in found.retained] == pytest.approx([40 * 400])
    towards = [("A", [-20, 0, 0], X), ("B", [20, 0, 0], [-1.0, 0, 0])]
    assert sawn(block(100, 20, 20), towards).specimen.volume() == pytest.approx(40 * 400)


def test_groups_are_united():
    """Two overlapping wedges: a step; the union is what goes, and its inner corner is not overcut."""
    planes = [("A", [20, 0, 10], Z), ("B", [-10, 0, 30], X), ("C", [30, 0, -10], X)]
    found = sawn(block(100, 40, 100), planes, groups={"A": "1", "B": "1", "C": "2"})
    wedge, slab = 60 * 40 * 40, 20 * 40 * 100
    assert found.pieces == 1
    assert found.specimen.volume() == pytest.approx(wedge + slab - 20 * 40 * 40)
    assert len(found.retained) == 1


def test_moved_with_the_patient():
    matrix = turn()
    planes = [("A", [0, 0, 0], [0.1, 0.2, 1.0]), ("B", [10, 0, 0], [1.0, 0.3, 0])]
    still = sawn(block(80, 40, 80), planes).specimen.volume()
    there = [(n, trimesh.transform_points([o], matrix)[0], matrix[:3, :3] @ d) for n, o, d in planes]
    assert sawn(moved(matrix, block(80, 40, 80)), there).specimen.volume() == pytest.approx(still, rel=1e-6)


def test_pieces_and_closedness():
    parts = pieces_of(solid_of(trimesh.util.concatenate([shell(20, 10, fine=3), block(5, 5, 5, at=(0, 0, 0), fine=0)]), name="m", key="k"))
    assert [round(p.volume()) for p in parts] == [round(ball(20, fine=3).volume - ball(10, fine=3).volume), 125]
    open_box = block(10, 10, 10, fine=1)
    open_box.update_faces(np.arange(len(open_box.faces)) > 0)
    with pytest.raises(SurfaceError, match="tumour.surface: 't.stl' has a hole near"):
        closed_surface(open_box, name="t.stl", key="tumour.surface")
    inside_out = block(10, 10, 10)
    inside_out.invert()
    assert closed_surface(inside_out, name="t", key="k").volume == pytest.approx(1000)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 0.05, 0.3, 0.57, 0.6, 2.0])
def test_two_cuts_nearly_parallel_free_the_piece_between_them(degrees):
    tilt = np.radians(degrees)
    planes = [("A", [0, 0, -50], Z), ("B", [0, 0, 50], [0, np.sin(tilt), -np.cos(tilt)])]
    bone, cuts = planned(block(30, 30, 200), planes)
    found = resect(solid_of(bone.mesh, name="b", key="k"), bone.mesh, cuts)
    assert found.specimen.volume() == pytest.approx(90_000, rel=1e-6)
    assert [piece.volume() for piece in found.retained] == pytest.approx([45_000, 45_000], rel=1e-3 + np.tan(tilt))


def test_a_corner_that_only_touches_the_other_plane_hides_no_crossing():
    """The section of A has a notch whose tip lies in the plane of B: the line they share touches it there."""
    outline = [(-40, 30), (-40, 10), (-30, 10), (-20, 0), (-10, 10), (0, 10), (0, -10), (30, -10), (30, 30)]
    mesh = trimesh.creation.extrude_polygon(shapely.Polygon(outline), 60)
    mesh.apply_translation([0, 0, -30])
    _, cuts = planned(mesh.subdivide_to_size(8.0), [("A", [15, 10, 0], Z), ("B", [15, 0, 10], [0, -1.0, 0])])
    assert cuts["A"].neighbours == ("B",) and cuts["B"].neighbours == ("A",)
    assert cuts["A"].section.area == pytest.approx(300) and cuts["B"].section.area == pytest.approx(900)


def test_tumour_bodies_overlapping_turned_or_nested():
    one, two = ball(8, at=(-5, 0, 0), fine=4), ball(8, at=(5, 0, 0), fine=4)
    lens = np.pi * (16 - 10) ** 2 * (10**2 + 4 * 10 * 8) / (12 * 10)
    both = closed_surface(trimesh.util.concatenate([one, two]), name="t", key="k")
    assert both.volume == pytest.approx(2 * one.volume - lens, rel=2e-3), "the lens counts once"
    apart = ball(6, at=(30, 0, 0))
    apart.invert()
    assert closed_surface(trimesh.util.concatenate([one, apart]), name="t", key="k").volume == pytest.approx(one.volume + abs(apart.volume))
    with pytest.raises(SurfaceError, match="inside another"):
        closed_surface(trimesh.util.concatenate([ball(12), ball(6)]), name="t", key="k")
    hollow = closed_surface(shell(12, 6), name="t", key="k")
    assert hollow.volume == pytest.approx(ball(12).volume - ball(6).volume)


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
def test_one_plane_typed_twice_saws_two_pieces(tilt):
    """Two bars joined at the bottom, both sawn along what is one plane but for rounding."""
    bars = united(block(20, 20, 60, at=(-30, 0, 0), fine=0), block(20, 20, 60, at=(30, 0, 0), fine=0), block(80, 20, 20, at=(0, 0, -35), fine=0))
    planes = [("A", [-30, 0, 10], Z), ("B", [30, 0, 10 + 5 * tilt], [tilt, tilt, 1.0])]
    found = sawn(bars, planes, groups={"A": "1", "B": "2"})
    assert found.pieces == 2 and found.specimen.volume() == pytest.approx(2 * 8000, rel=2e-3)
    assert len(found.retained) == 1
