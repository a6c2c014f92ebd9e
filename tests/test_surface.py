"""Surfaces: reading, repair and refusal, sections, the spline, rays and distances, against closed forms."""

import numpy as np
import pytest
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.frames import Frame, patient_from_ras
from psi_cad.resection.grid import inner_grid
from psi_cad.siting.spline import fit, refined, uniform_knots
from psi_cad.surface import weld as welding
from psi_cad.surface.mesh_files import SUFFIXES, read_surface
from psi_cad.surface.rays import RayCaster, SignedDistance, first_hits_down
from psi_cad.surface.repair import checked_bone, signed_volume
from psi_cad.surface.section import section_parts
from psi_cad.surface.weld import weld, welded_stl


def ball(radius=40.0, subdivisions=4):
    return trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)


def write(mesh, path):
    if path.suffix in (".vtp", ".vtk"):
        from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
        from vtkmodules.vtkCommonCore import vtkPoints
        from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
        from vtkmodules.vtkIOLegacy import vtkPolyDataWriter
        from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

        points, cells, data = vtkPoints(), vtkCellArray(), vtkPolyData()
        points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.vertices), deep=True))
        flat = np.column_stack([np.full(len(mesh.faces), 3), mesh.faces]).astype(np.int64).ravel()
        cells.ImportLegacyFormat(numpy_to_vtkIdTypeArray(flat, deep=True))
        data.SetPoints(points)
        data.SetPolys(cells)
        writer = vtkXMLPolyDataWriter() if path.suffix == ".vtp" else vtkPolyDataWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(data)
        writer.Write()
    else:
        mesh.export(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_surface(suffix, tmp_path):
    mesh, path = ball(), tmp_path / f"bone{suffix}"
    write(mesh, path)
    found = read_surface(path, units=None if suffix == ".3mf" else "mm", coordinates="LPS")
    found.merge_vertices()
    assert found.volume == pytest.approx(mesh.volume, rel=1e-5)
    np.testing.assert_allclose(found.bounds, mesh.bounds, atol=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"not a mesh at all\n" * 9, bytes(range(256)) * 8])
def test_broken_files_are_one_sentence(suffix, content, tmp_path):
    path = tmp_path / f"bone{suffix}"
    path.write_bytes(content)
    with pytest.raises(SurfaceError, match="bone"):
        read_surface(path, units=None if suffix == ".3mf" else "mm", coordinates="LPS")


@pytest.mark.parametrize(("units", "factor"), [("mm", 1), ("cm", 10), ("m", 1000), ("in", 25.4)])
def test_units(units, factor, tmp_path):
    ball(radius=1.0).export(tmp_path / "b.ply")
    found = read_surface(tmp_path / "b.ply", units=units, coordinates="LPS")
    assert found.extents.max() == pytest.approx(2.0 * factor, rel=1e-6)


def test_ras_is_a_half_turn_and_keeps_orientation(tmp_path):
    mesh = ball()
    mesh.apply_translation([30, -20, 10])
    mesh.export(tmp_path / "b.ply")
    found = read_surface(tmp_path / "b.ply", units="mm", coordinates="RAS")
    np.testing.assert_allclose(found.centroid, [-30, 20, 10], atol=1e-4)
    assert found.volume > 0
    np.testing.assert_array_equal(patient_from_ras(np.array([[1.0, 2.0, 3.0]])), [[-1, -2, 3]])


def test_a_header_that_contradicts_the_case(tmp_path):
    path = tmp_path / "b.stl"
    path.write_bytes(b"exported; SPACE=RAS".ljust(80) + ball().export(file_type="stl")[80:])
    with pytest.raises(SurfaceError, match="RAS"):
        read_surface(path, units="mm", coordinates="LPS")
    assert len(read_surface(path, units="mm", coordinates="RAS").faces) > 0


def test_repairs_are_made_and_told():
    mesh = ball()
    faces = np.asarray(mesh.faces)
    mesh.faces = np.vstack([faces[1:], faces[5:6]])  # a hole of three edges and a face written twice
    mesh.vertices = np.vstack([mesh.vertices, [[0, 0, 99.0]]])  # an unused vertex
    speck = trimesh.creation.icosphere(subdivisions=1, radius=1.0)
    speck.apply_translation([80, 0, 0])
    bone = checked_bone(trimesh.util.concatenate([mesh, speck]), name="b")
    kinds = {repair.kind: repair for repair in bone.repairs}
    assert kinds["loose debris removed"].count == 1
    assert kinds["filled hole"].size_mm == pytest.approx(2 * np.linalg.norm(mesh.vertices[faces[0]] - mesh.vertices[faces[0]].mean(0), axis=1).max())
    assert "degenerate or duplicate faces removed" in kinds and "duplicate or unused vertices removed" in kinds
    assert bone.mesh.is_watertight and len(bone.defects) == 1


def test_inverted_faces_are_turned():
    mesh = ball()
    faces = np.asarray(mesh.faces).copy()
    faces[:40] = faces[:40, ::-1]
    bone = checked_bone(trimesh.Trimesh(mesh.vertices, faces, process=False), name="b")
    assert any("inverted" in repair.kind for repair in bone.repairs)
    assert bone.mesh.volume == pytest.approx(mesh.volume)
    whole = checked_bone(trimesh.Trimesh(mesh.vertices, np.asarray(mesh.faces)[:, ::-1], process=False), name="b")
    assert whole.mesh.volume == pytest.approx(mesh.volume)
    assert any("outward" in repair.kind for repair in whole.repairs)


def test_a_cavity_is_kept_and_a_nested_shell_refused():
    outer, inner = ball(), ball(radius=25.0)
    inner.apply_translation([0.5, 0.2, 0.3])
    hollow = trimesh.util.concatenate([outer, trimesh.Trimesh(inner.vertices, inner.faces[:, ::-1], process=False)])
    bone = checked_bone(hollow, name="b")
    assert bone.mesh.volume == pytest.approx(outer.volume - inner.volume, rel=1e-9)
    with pytest.raises(SurfaceError, match="not a cavity"):
        checked_bone(trimesh.util.concatenate([outer, inner]), name="b")


def test_large_holes_and_open_ends():
    mesh = ball()
    x, y, z = mesh.triangles_center.T
    with pytest.raises(SurfaceError, match="hole 6. mm across near"):  # a long slit over the top
        checked_bone(trimesh.Trimesh(mesh.vertices, mesh.faces[~((z > 0) & (np.abs(x) < 5) & (np.abs(y) < 30))], process=False), name="b")
    cylinder = trimesh.creation.cylinder(radius=15, height=80, sections=64)
    cylinder = cylinder.subdivide().subdivide()
    flat = trimesh.Trimesh(cylinder.vertices, cylinder.faces[cylinder.triangles_center[:, 2] < 39.9], process=False)
    bone = checked_bone(flat, name="b")
    assert bone.mesh.is_watertight
    assert bone.mesh.volume == pytest.approx(cylinder.volume, rel=1e-6)
    assert [repair.kind for repair in bone.repairs if "end" in repair.kind] == ["closed flat end"]


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "m"), (1000.0, "mm")])
def test_impossible_sizes(factor, unit):
    mesh = ball(radius=100.0)
    mesh.apply_scale(factor)
    with pytest.raises(SurfaceError, match=f'units = "{unit}"'):
        checked_bone(mesh, name="b", units="mm" if factor < 1 else "m")


def test_false_faces_are_refused_by_place():
    mesh = ball(subdivisions=5)
    vertices = np.asarray(mesh.vertices).copy()
    vertices[100] += [0.0, 0.0, 90.0]  # a spike, as a wrong point correspondence makes it
    with pytest.raises(SurfaceError, match="false faces with edges up to"):
        checked_bone(trimesh.Trimesh(vertices, mesh.faces, process=False), name="b")


def test_section_of_a_hollow_ball():
    outer, inner = ball(subdivisions=5), ball(radius=20.0, subdivisions=5)
    mesh = trimesh.util.concatenate([outer, trimesh.Trimesh(inner.vertices, inner.faces[:, ::-1], process=False)])
    parts = section_parts(mesh, origin=np.array([0.0, 0.0, 10.0]), axes=np.eye(3))
    assert len(parts) == 1 and len(parts[0].interiors) == 1
    assert parts[0].area == pytest.approx(np.pi * (40**2 - 10**2 - 20**2 + 10**2), rel=2e-3)


def test_no_section_is_lost_to_rounding():
    """Vertices written with six decimals and a plane halfway: the crossings lie on the borders of any rounding."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        angles = np.linspace(0.0, 2.0 * np.pi, 9)[:-1] + rng.uniform(0.0, 3.0)
        ring = np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(5.0, 20.0) + rng.uniform(-100.0, 100.0, 2)
        ends = [np.column_stack([scale * ring, np.full(8, height)]) for scale, height in ((rng.uniform(0.7, 1.3), 20.0), (1.0, -20.0))]
        mesh = trimesh.convex.convex_hull(np.round(np.vstack(ends), 6))
        parts = section_parts(mesh, origin=np.zeros(3), axes=np.eye(3))
        want = trimesh.intersections.slice_mesh_plane(mesh, [0, 0, 1.0], [0, 0, 0], cap=True)
        cap = np.isclose(want.triangles_center[:, 2], 0.0, atol=1e-9)
        assert len(parts) == 1 and parts[0].area == pytest.approx(want.area_faces[cap].sum(), rel=1e-6)


def test_open_surface_has_no_section():
    mesh = trimesh.creation.box([10.0, 10.0, 10.0])
    mesh.update_faces(np.arange(len(mesh.faces)) != 3)
    planes = [(axis, section_axes) for axis, section_axes in ((0, np.eye(3)[[1, 2, 0]]), (1, np.eye(3)[[2, 0, 1]]), (2, np.eye(3)))]
    refused = 0
    for _, axes in planes:
        try:
            section_parts(mesh, origin=np.zeros(3), axes=axes)
        except SurfaceError as error:
            assert "open" in str(error)
            refused += 1
    assert refused == 2, "the missing triangle is met by two of the three planes"


def test_spline_reproduces_a_cubic(rng):
    points = rng.uniform([0, 0], [30, 20], (4000, 2))
    x, y = points[:, 0] / 10, points[:, 1] / 10
    heights = 1 + x - 2 * y + x * y + 0.3 * x**3 - 0.2 * x * y**2
    patch = fit(
        points,
        heights,
        weights=np.ones(4000),
        x_knots=uniform_knots(0, 30, 4),
        y_knots=uniform_knots(0, 20, 4),
        cell_area=0.15,
        smoothing=1e-12,
    )
    at = rng.uniform([0, 0], [30, 20], (200, 2))
    u, v = at[:, 0] / 10, at[:, 1] / 10
    np.testing.assert_allclose(patch(at), 1 + u - 2 * v + u * v + 0.3 * u**3 - 0.2 * u * v**2, atol=1e-6)
    np.testing.assert_allclose(patch.gradient(at)[:, 0], (1 + v + 0.9 * u**2 - 0.2 * v**2) / 10, atol=1e-5)
    np.testing.assert_allclose(patch.gradient(at)[:, 1], (-2 + u - 0.4 * u * v) / 10, atol=1e-5)


def test_knots_are_halved_only_where_asked():
    knots = uniform_knots(0, 8, 2)
    more = refined(knots, np.array([3.0]), least=0.5)
    assert sorted(set(more) - set(knots)) == [3.0]
    np.testing.assert_array_equal(refined(more, np.array([2.5]), least=0.75), more)


def test_rays_and_distances_far_from_the_origin(rng):
    mesh = ball(subdivisions=5)
    mesh.apply_translation([500, -300, -900])
    frame = Frame.from_z(origin=np.array([500.0, -300, -900]), z=np.array([1.0, 2, 3]), x_near=np.array([1.0, 0, 0]))
    points = rng.uniform(-25, 25, (500, 2))
    hits = first_hits_down(RayCaster(mesh), points, frame=frame)
    np.testing.assert_allclose(hits.height, np.sqrt(40**2 - (points**2).sum(1)), atol=0.04)
    assert (hits.slope_cos > 0.5).all()
    places = mesh.vertices.mean(0) + rng.normal(size=(300, 3)) * 30
    away = np.linalg.norm(places - [500, -300, -900], axis=1) - 40
    np.testing.assert_allclose(SignedDistance(mesh)(places), away, atol=0.05)


def test_the_sign_survives_slivers(rng):
    mesh = ball(subdivisions=3)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    thin = [vertices[f[0]] * 0.999999 + vertices[f[1]] * 0.000001 for f in faces]  # a sliver in every face
    extra = np.arange(len(faces)) + len(vertices)
    split = np.vstack([np.column_stack([faces[:, 0], faces[:, 1], extra]), np.column_stack([faces[:, 1], faces[:, 2], extra]),
                       np.column_stack([faces[:, 2], faces[:, 0], extra])])  # fmt: skip
    rough = trimesh.Trimesh(np.vstack([vertices, thin]), split, process=False)
    places = rng.normal(size=(2000, 3)) * 25
    away = SignedDistance(rough)(places)
    radius = np.linalg.norm(places, axis=1)
    assert (away[radius > 40.01] > 0).all() and (away[radius < 39.0] < 0).all()


def test_weld_is_trimeshs_own():
    """Split into loose triangles with vertices a hair apart: the same triangles come back as from trimesh."""
    whole = ball()
    soup = trimesh.Trimesh(whole.triangles.reshape(-1, 3) + 1e-9, np.arange(3 * len(whole.faces)).reshape(-1, 3), process=False)
    soup.vertices[::3] -= 2e-9
    ours, theirs = soup.copy(), soup.copy()
    weld(ours, digits=6)
    theirs.merge_vertices(digits_vertex=6)
    assert len(ours.vertices) == len(theirs.vertices) == len(whole.vertices)
    assert ours.is_watertight
    np.testing.assert_allclose(ours.triangles, theirs.triangles, atol=3e-9)
    apart = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [2e-6, 0, 0]], [[0, 1, 2], [3, 1, 2]], process=False)
    weld(apart, digits=6)
    assert len(apart.vertices) == 4, "two micrometres are not nothing"


@pytest.mark.parametrize("at", [(0, 0, 0), (5e4, -3e4, 2e4)])
def test_signed_volume(at):
    box = trimesh.creation.box((30, 20, 10))
    box.apply_translation(at)
    assert signed_volume(box) == pytest.approx(6000, rel=1e-9)
    box.invert()
    assert signed_volume(box) == pytest.approx(-6000, rel=1e-9)


def test_a_turned_face_and_a_hole_in_one_surface():
    """Turned faces are turned back first; the hole is found by the edges as they are then."""
    mesh = ball()
    mesh.faces[7] = mesh.faces[7][::-1]
    mesh.update_faces(np.arange(len(mesh.faces)) != 1000)
    bone = checked_bone(mesh, name="x.stl")
    assert {repair.kind for repair in bone.repairs} == {"inverted faces turned", "filled hole"}
    assert bone.mesh.is_watertight and bone.mesh.is_winding_consistent and signed_volume(bone.mesh) > 0


def test_the_inner_grid_is_the_points_inside():
    """Boxes by count, with columns and cells that fall on edges and vertices; a ball with a hollow, point by point."""
    for size, step in (((30, 20, 10), 1.0), ((9, 6, 3), 1.5), ((8, 8, 8), 2.0)):
        grid = inner_grid(trimesh.creation.box(size), step=step)
        assert len(grid.index) == np.prod(np.array(size) / step)
    hollow = ball(12, 3)
    hollow.invert()
    mesh = trimesh.util.concatenate([ball(30, 4), hollow])
    grid = inner_grid(mesh, step=1.5)
    every = grid.origin + 1.5 * np.argwhere(np.ones(grid.shape, dtype=bool))
    away = SignedDistance(mesh)(every)
    sure = np.abs(away) > 1e-6
    assert (grid.mask.ravel() == (away < 0))[sure].all()


def written(path, triangles):
    """A binary STL of triangles (n, 3, 3), without normals."""
    records = np.zeros(len(triangles), dtype=[("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    records["v"] = triangles
    path.write_bytes(b" " * 80 + np.uint32(len(records)).tobytes() + records.tobytes())


def test_an_stl_is_welded_where_its_numbers_are_the_same_and_nowhere_else(tmp_path, monkeypatch):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=40.0)
    triangles = np.asarray(ball.triangles, dtype=np.float32)
    triangles[triangles == 0.0] = np.where(np.arange((triangles == 0.0).sum()) % 2, np.float32(-0.0), np.float32(0.0))
    written(tmp_path / "ball.stl", triangles)
    found = welded_stl(tmp_path / "ball.stl")
    assert len(found.vertices) == len(ball.vertices) and found.is_watertight
    assert np.array_equal(np.asarray(found.triangles), triangles.astype(np.float64))
    triangles[5, 1, 2] = np.nextafter(triangles[5, 1, 2], np.float32(np.inf))  # by one bit
    written(tmp_path / "bit.stl", triangles)
    assert not welded_stl(tmp_path / "bit.stl").is_watertight
    ball.export(tmp_path / "text.stl", file_type="stl_ascii")  # no binary one
    assert welded_stl(tmp_path / "text.stl").is_watertight
    monkeypatch.setattr(welding, "hashes", lambda rows: np.zeros(len(rows), dtype=np.uint64))  # all places share a hash
    assert welded_stl(tmp_path / "ball.stl").is_watertight
