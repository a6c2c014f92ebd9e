"""Pictures: what is drawn lies where the patient's numbers say, and its letters are right."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image

import psi_cad
from psi_cad.errors import InputError
from psi_cad.report.lettering import ALARM, ARROW, GAP, TITLE_PX, Mark, Panel, edge_letters, save_sheet, scale_length
from psi_cad.report.lighter import MOST_TRIANGLES, lighter
from psi_cad.report.part_picture import PATIENT_VIEWS
from psi_cad.report.pictures import picture_of_place
from psi_cad.report.plan_pictures import contour
from psi_cad.report.slices import ANATOMICAL, pixel_points, plane_view, slice_pixels
from psi_cad.report.views import BONE, GUIDE, Body, Studio, View, upright, view_onto
from psi_cad.voxels.volume import Volume

CASES = Path(__file__).resolve().parent.parent / "cases"


def test_letters_of_the_six_ends_and_between():
    ends = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    for letter, way in ends.items():
        assert edge_letters(3.0 * np.array(way, dtype=float)) == letter
    assert edge_letters(np.array([0.9, -0.5, 0.1])) == "LA"
    assert edge_letters(np.array([0.1, 0.2, -0.95])) == "I"


def test_seen_from_the_front_the_left_is_on_the_right():
    view = View(np.zeros(3), np.array([0.0, -1.0, 0.0]), upright(np.array([0.0, -1.0, 0.0])), 50.0, (200, 100))
    assert view.project(np.array([[10.0, 0, 0], [0, 7.0, 0], [0, 0, 10.0]])).tolist() == [[110, 50], [100, 50], [100, 40]]
    assert [edge_letters(axis) for axis in view.axes] == ["L", "S", "A"]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_drawn_lies_where_it_is_projected(seed):
    rng = np.random.default_rng(seed)
    focus, direction, up = rng.normal(size=3) * 100, rng.normal(size=3), rng.normal(size=3)
    view = View(focus, direction, up, 40.0, (640, 480))
    ball = trimesh.creation.icosphere(subdivisions=2, radius=3.0)
    place = focus + rng.uniform(-25, 25, size=3)
    ball.apply_translation(place)
    studio = Studio()
    pixels = studio.drawn(view, [Body(ball, (0.2, 0.3, 0.9))])
    studio.close()
    rows, columns = np.nonzero(pixels.min(axis=2) < 150)
    assert len(rows) == pytest.approx(np.pi * (3.0 * view.pixels_per_mm) ** 2, rel=0.06)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    assert np.abs(middle - view.project(place[None, :])[0]).max() < 0.5


def test_a_bone_of_many_triangles_is_drawn_with_fewer_that_lie_on_it():
    ball = trimesh.creation.icosphere(subdivisions=7, radius=60.0)
    drawn = lighter(ball)
    assert len(ball.faces) > MOST_TRIANGLES >= len(drawn.faces) > MOST_TRIANGLES / 3
    assert np.linalg.norm(drawn.vertices, axis=1) == pytest.approx(60.0, abs=0.02)
    assert drawn.area == pytest.approx(ball.area, rel=1e-3)
    inward = np.einsum("ij,ij->i", drawn.face_normals, drawn.triangles_center) < 0.0
    assert drawn.area_faces[inward].sum() < 1e-4 * drawn.area, "but for slivers, all look outward"
    few = trimesh.creation.icosphere(subdivisions=4, radius=60.0)
    assert lighter(few) is few


def test_a_view_holds_all_its_points():
    points = np.random.default_rng(1).normal(size=(50, 3)) * (10, 60, 200)
    for direction in np.vstack([np.eye(3), -np.eye(3), [[1, 2, 3]]]):
        view = view_onto(points, direction, size=(300, 200))
        seen = view.project(points)
        assert (seen >= 0).all() and (seen <= (300, 200)).all()
        assert max(np.ptp(seen, axis=0) / (300, 200)) > 0.8


def test_scale_bars_are_round_and_fit():
    assert [scale_length(v) for v in (0.1, 0.9, 4.9, 5.0, 73.0, 999.0)] == [0.5, 0.5, 2.0, 5.0, 50.0, 200.0]


def test_a_mark_is_drawn_over_everything(tmp_path):
    view = View(np.zeros(3), np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), 50.0, (300, 300))
    panel = Panel(view, np.zeros((300, 300, 3), dtype=np.uint8), "")
    save_sheet(tmp_path / "sheet.png", [panel], title="t", columns=1, marks=[Mark((20.0, 10.0, -999.0), "there")])
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    strip = pixels.shape[0] - (pixels.shape[0] - GAP - TITLE_PX - 8) + 32  # title and caption stand above
    x, y = view.project(np.array([[20.0, 10.0, -999.0]]))[0].astype(int)
    assert pixels[y + strip - 2 : y + strip + 2, x - 2 : x + 2].reshape(-1, 3).tolist() == [list(ALARM)] * 16


def test_a_place_within_bone_is_shown_without_a_guide(tmp_path):
    box = trimesh.creation.box(extents=(40, 30, 120))
    picture_of_place(tmp_path / "place.png", box, place=(0.0, 0.0, 50.0), text="there", title="case, left")
    pixels = np.asarray(Image.open(tmp_path / "place.png"))
    assert pixels.shape[1] >= 2100
    rings = (pixels == ALARM).all(axis=2)
    assert [bool(rings[:, third : third + 700].sum() > 200) for third in (0, 710, 1420)] == [True] * 3


@pytest.mark.parametrize("plane", ANATOMICAL, ids=lambda plane: plane.name.split(",")[0])
def test_a_slice_shows_each_voxel_where_the_patient_has_it(plane):
    # a tilted, left-handed grid, with one bright place
    turn = trimesh.transformations.euler_matrix(0.3, -0.2, 0.5)[:3, :3]
    matrix = np.eye(4)
    matrix[:3, :3] = turn * (1.5, 1.0, -2.0)
    matrix[:3, 3] = (-40.0, 30.0, 100.0)
    values = np.full((40, 50, 45), -1000.0)
    values[20, 25, 18] = 1500.0
    volume = Volume(values, matrix)
    place = volume.patient(np.array([[18.0, 25.0, 20.0]]))[0]
    view = plane_view(plane, place, place - 30.0, place + np.array([30.0, 20.0, 40.0]))
    assert np.allclose(view.project(pixel_points(view)).reshape(*view.size[::-1], 2)[3, 5], (5.5, 3.5))
    assert np.allclose(pixel_points(view)[:, plane.normal], place[plane.normal])
    bright = slice_pixels(view, volume)[..., 0].astype(float)
    rows, columns = np.nonzero(bright > 0.9 * bright.max())
    assert np.abs(np.array([columns.mean(), rows.mean()]) + 0.5 - view.project(place[None, :])[0]).max() < 2.0
    letters = {"axial": ["L", "A"], "coronal": ["L", "S"], "sagittal": ["P", "S"]}[plane.name.split(",")[0]]
    assert [edge_letters(axis) for axis in view.axes[:2]] == letters


def test_the_wanted_margin_runs_where_the_distance_is_the_wanted_one():
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(7.0)), axis=-1).reshape(-1, 2)
    corners = np.array([[a, a + 1, a + 10] for a in range(54) if a % 9 < 8] + [[a, a + 10, a + 9] for a in range(54) if a % 9 < 8])
    face = SimpleNamespace(vertices=np.column_stack([grid, 0 * grid[:, 0]]), faces=corners, distance=0.5 * grid[:, 0] + 0.25 * grid[:, 1])
    pieces = contour(face, 2.1)
    assert len(pieces) > 8
    ends = np.vstack(pieces)
    assert np.allclose(0.5 * ends[:, 0] + 0.25 * ends[:, 1], 2.1)
    face.distance = np.full(len(grid), np.nan)
    assert contour(face, 2.1) == []


def test_check_draws_the_case_before_anything_is_built(tmp_path):
    found = psi_cad.validate(CASES / "phantom-type1", picture=tmp_path / "case.png")
    assert found["picture"] == str(tmp_path / "case.png")
    pixels = np.asarray(Image.open(tmp_path / "case.png")).astype(int)
    for ink in ((26, 153, 89), ARROW):  # the cut's outline, the approach
        assert (np.abs(pixels - ink).max(axis=2) < 8).sum() > 300
    with pytest.raises(InputError, match=r"\.png"):
        psi_cad.validate(CASES / "phantom-type1", picture=tmp_path / "none" / "case.png")


def test_a_guide_has_a_picture_with_its_label_large(phantom_out):
    with Image.open(next(phantom_out.glob("*.png"))) as image:
        size = image.size
    assert size[0] > 2000 and size[1] > 1500  # two rows of views, and the label below them


def test_the_sides_of_a_part_in_the_patient_frame_are_called_as_they_are():
    toward = {caption: direction for caption, direction, _ in PATIENT_VIEWS}
    assert toward["from the patient's left"] == (1.0, 0.0, 0.0) and toward["from the patient's right"] == (-1.0, 0.0, 0.0)  # LPS: x looks left
    assert toward["from the front"] == (0.0, -1.0, 0.0) and toward["from the head"] == (0.0, 0.0, 1.0)  # y looks back, z up


def test_what_is_drawn_has_its_size_smooth_edges_and_a_near_side():
    """A closed body is drawn by its near walls alone, and one whose triangles look inwards by all of them: both show the same outline."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=20.0)
    box = trimesh.creation.box((6.0, 6.0, 6.0), trimesh.transformations.translation_matrix([0.0, -30.0, 0.0]))  # before the ball
    view = View(np.zeros(3), np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]), 30.0, (150, 120))
    studio = Studio()
    shown = studio.drawn(view, [Body(ball, BONE), Body(box, GUIDE)])
    flipped = ball.copy()
    flipped.invert()
    other = studio.drawn(view, [Body(flipped, BONE), Body(box, GUIDE)])
    box = box.copy().apply_transform(trimesh.transformations.rotation_matrix(0.3, [0, 1, 0]))
    alone = studio.drawn(view, [Body(box, GUIDE)])
    studio.close()
    assert shown.shape == (120, 150, 3)
    white = (shown == 255).all(axis=2)
    assert np.count_nonzero(~white) == pytest.approx(np.pi * (20.0 * view.pixels_per_mm) ** 2, rel=0.03)
    blue = (shown[:, :, 2] > shown[:, :, 0]).astype(int)
    assert blue.sum() == pytest.approx((6.0 * view.pixels_per_mm) ** 2, rel=0.1), "the box stands before the ball"
    assert (((other == 255).all(axis=2)) == white).mean() > 0.999
    reds = np.unique(alone[:, :, 0])
    assert reds[-1] == 255 and np.count_nonzero((reds > reds[0] + 20) & (reds < 235)) >= 2, "pixels on the outline are part box, part background"
