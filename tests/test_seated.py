"""Bodies drawn under a height spline, and cut along one, without the kernel's Booleans: against closed forms and against those Booleans."""

import cadquery as cq
import numpy as np
import pytest
import shapely
import trimesh
from OCP.BRepCheck import BRepCheck_Analyzer

from psi_cad.brep.bodies import on_seat
from psi_cad.brep.checked import cut, fuse
from psi_cad.brep.floor import Tiles
from psi_cad.brep.graph import Landscape, solid_of
from psi_cad.brep.patch import below, patch_face, tiled
from psi_cad.brep.seated import refuse_level, seated
from psi_cad.brep.sides import NotSimple
from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.siting.spline import fit, uniform_knots

HERE = Frame(origin=np.zeros(3), axes=np.eye(3))
DOWN = np.array([0.0, 0.0, 1.0])


def waves(x, y):
    return 3.0 * np.sin(x / 9.0) * np.cos(y / 11.0) + 0.1 * x


@pytest.fixture(scope="module")
def seat():
    """A wavy seat over 80 mm by 60 mm, several tiles each way."""
    points = np.stack(np.meshgrid(np.arange(-40.0, 40.1), np.arange(-30.0, 30.1), indexing="ij"), axis=-1).reshape(-1, 2)
    knots = uniform_knots(-40.0, 40.0, 3.0), uniform_knots(-30.0, 30.0, 3.0)
    return fit(points, waves(*points.T), weights=np.ones(len(points)), x_knots=knots[0], y_knots=knots[1], cell_area=1.0)


@pytest.fixture(scope="module")
def tiles(seat):
    return Tiles(seat, *tiled(patch_face(seat, HERE, name="seat")))


def sound(solid):
    return BRepCheck_Analyzer(solid.wrapped, True, True).IsValid()


def meshed(solid, chord=0.005):
    corners, faces = solid.tessellate(chord, 0.1)
    return trimesh.Trimesh([corner.toTuple() for corner in corners], faces)


def body():
    """A deep plate with an outline of straight sides, a leaning wall across it that overhangs both ends, and a sleeve."""
    outline = [(-20, -15), (5, -18), (22, -6), (20, 14), (0, 19), (-19, 12)]
    plate = cq.Workplane("XY", origin=(0, 0, -25)).polyline(outline).close().extrude(34).val()
    wall = (
        cq.Solid.makeBox(5, 56, 60, cq.Vector(-2.5, -28, -30)).rotate(cq.Vector(), cq.Vector(0, 1, 0), 17).rotate(cq.Vector(), cq.Vector(0, 0, 1), 8)
    )
    sleeve = cq.Solid.makeCylinder(3, 42, cq.Vector(-18, 3, -26))
    return fuse("bodies", plate, wall, sleeve)


HOLE = cq.Solid.makeCylinder(1.05, 70, cq.Vector(-16, 3, -40))


def test_a_body_is_cut_along_a_seat_as_the_kernel_cuts_it(seat, tiles):
    whole = cut("hole", body(), HOLE)
    found = seated(whole, tiles)
    by_kernel = cut("seat", whole, below(patch_face(seat, HERE, name="seat"), direction=DOWN, depth=60.0))
    one, two = meshed(found, chord=0.001), meshed(by_kernel, chord=0.001)
    assert sound(found)
    assert one.is_watertight
    assert len(found.Faces()) == len(by_kernel.Faces())
    assert one.volume == pytest.approx(two.volume, rel=3e-5)
    assert one.bounds == pytest.approx(two.bounds, abs=1e-3)
    assert one.center_mass == pytest.approx(two.center_mass, abs=1e-3)


def test_every_edge_on_the_seat_lies_on_it(seat, tiles):
    found = seated(cut("hole", body(), HOLE), tiles)
    tried = 0
    for face in found.Faces():
        if face.geomType() != "BSPLINE":
            continue
        for edge in face.Edges():
            points = np.array([edge.positionAt(t).toTuple() for t in np.linspace(0.0, 1.0, 17)])
            assert np.abs(points[:, 2] - seat(points[:, :2])).max() < 2e-6
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (cq.Solid.makeBox(10, 10, 5, cq.Vector(-5, -5, 8)), "do not close"),  # floats above the seat
        (cq.Solid.makeBox(10, 10, 40, cq.Vector(33, -5, -20)), "leaves the seat"),
        (cq.Solid.makeSphere(9.0, cq.Vector(3, 2, 0), cq.Vector(0, 0, 1), -90, 90, 360), "."),  # round, and its poles have no edges
        (cq.Solid.makeBox(50, 30, 20, cq.Vector(-25, -15, 1.0)), "."),  # its bottom is pierced by the waves
    ],
)
def test_what_does_not_pass_through_the_seat_once_is_left_to_the_kernel(tiles, shape, why):
    with pytest.raises(NotSimple, match=why):
        seated(shape, tiles)


def test_a_body_that_is_left_to_the_kernel_is_cut_by_it(seat):
    block = cq.Solid.makeBox(50, 30, 20, cq.Vector(-25, -15, 1.0))
    where = np.array([[0.0, 0.0], [10.0, 5.0]])
    found = on_seat("seat", block, seat, where=where, holes=[HOLE])
    by_kernel = cut("seat", block, below(patch_face(seat, HERE, name="seat"), direction=DOWN, depth=60.0), HOLE)
    assert meshed(found).volume == pytest.approx(meshed(by_kernel).volume, rel=1e-6)


def test_what_the_kernel_finds_fault_with_is_left_to_it(seat, tiles, monkeypatch):
    def twisted(self):
        """The body with one of its faces turned over."""
        first, *others = self.body.Faces()
        return solid_of([first.wrapped.Reversed(), *(face.wrapped for face in others)])

    monkeypatch.setattr("psi_cad.brep.seated._Cut.solid", twisted)
    with pytest.raises(NotSimple, match="not sound"):
        seated(body(), tiles)
    by_kernel = cut("seat", body(), below(patch_face(seat, HERE, name="seat"), direction=DOWN, depth=60.0))
    assert meshed(on_seat("seat", body(), seat, where=np.zeros((1, 2)))).volume == pytest.approx(meshed(by_kernel).volume, rel=1e-6)


def test_a_slot_cut_before_the_seat_is_the_slot_cut_after_it(seat):
    slot = cq.Solid.makeBox(1.2, 40, 90, cq.Vector(6, -12, -45))
    within = np.stack(np.meshgrid(np.arange(-30.0, 30.1), np.arange(-24.0, 24.1), indexing="ij"), axis=-1).reshape(-1, 2)
    one = on_seat("seat", body(), seat, where=within, holes=[HOLE], slots=[slot])
    two = cut("slots", on_seat("seat", body(), seat, where=within, holes=[HOLE]), slot)
    drawn, by_kernel = meshed(one, chord=0.001), meshed(two, chord=0.001)
    assert sound(one) and drawn.is_watertight
    assert drawn.volume == pytest.approx(by_kernel.volume, rel=3e-5)
    assert drawn.center_mass == pytest.approx(by_kernel.center_mass, abs=1e-3)


def test_a_body_that_falls_apart_above_the_seat_is_left_to_the_kernel_which_refuses_it(seat, tiles):
    """Two posts on a foot below the seat: what is left of them are two solids."""
    foot = cq.Solid.makeBox(30, 10, 6, cq.Vector(-15, -5, -30))
    posts = [cq.Solid.makeBox(6, 8, 50, cq.Vector(x, -4, -28)) for x in (-13, 7)]
    two = fuse("posts", foot, *posts)
    with pytest.raises(NotSimple, match="falls apart"):
        seated(two, tiles)
    within = np.array([[-12.0, -3.0], [12.0, 3.0]])
    with pytest.raises(KernelError, match="left 2 solids"):
        on_seat("seat", two, seat, where=within)


def test_a_level_side_through_the_seat_is_seen_before_anything_is_cut(tiles):
    shelf = cq.Solid.makeBox(40, 10, 20, cq.Vector(-20, -5, -20)).rotate(cq.Vector(), cq.Vector(0, 1, 0), 5)
    with pytest.raises(NotSimple, match="level side"):
        refuse_level(shelf, tiles)
    refuse_level(body(), tiles)  # its foot lies below the seat, its top above it


def test_a_prism_under_a_patch_has_the_volume_below_it(seat):
    ring = np.array([(-20.0, -15.0), (5.0, -18.0), (22.0, -6.0), (20.0, 14.0), (0.0, 19.0), (-19.0, 12.0)])
    tilted = Frame.from_z(origin=np.array([5.0, -3.0, 2.0]), z=np.array([0.2, 0.3, 0.9]), x_near=np.array([1.0, 0.0, 0.0]))
    surface, us, vs = tiled(patch_face(seat, tilted, name="top"))
    found = Landscape(seat, tilted, surface, us, vs, ring).solid(bottom=-20.0)
    mesh = meshed(found)
    assert sound(found)
    assert mesh.is_watertight
    grid = np.stack(np.meshgrid(np.arange(-25.0, 25.0, 0.05) + 0.025, np.arange(-20.0, 20.0, 0.05) + 0.025, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = shapely.contains_xy(shapely.Polygon(ring), grid[:, 0], grid[:, 1])
    assert mesh.volume == pytest.approx((seat(grid[inside]) + 20.0).sum() * 0.05**2, rel=3e-4)


def test_an_outline_along_the_end_of_a_tile_is_refused(seat):
    surface, us, vs = tiled(patch_face(seat, HERE, name="top"))
    ring = np.array([(us[1] + 1e-4, -10.0), (us[1] + 15.0, -10.0), (us[1] + 15.0, 10.0), (us[1] - 1e-4, 10.0)])
    with pytest.raises(KernelError, match="edge of a patch's tile"):
        Landscape(seat, HERE, surface, us, vs, ring)
