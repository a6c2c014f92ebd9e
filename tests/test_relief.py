"""A rim of the footplates that keeps off the bone: where it runs, how it is measured, and files in which it is wrong."""

import json

import cadquery as cq
import numpy as np
import pytest
import shapely
import trimesh
from built_once import built_once
from conftest import CASES
from faults import failed_with, solid_in

import psi_cad
from psi_cad.errors import DesignError
from psi_cad.fitting.relief import place_relief, refuse_sliding, refuse_uneven
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import plan_job
from psi_cad.options.relief import Relief
from psi_cad.siting.access import outlines
from psi_cad.siting.seat import HeightField

STEM = "supra-acetabular_generic-25x0.89"
DEPTH, WIDTH = 0.7, 5.0
PLATE, FENCE, PINS = shapely.box(-30.0, -20.0, 30.0, 20.0), shapely.box(-35.0, -3.0, 35.0, 3.0), [(-26.0, 15.0, 4.0), (26.0, -15.0, 4.0)]


def placed(**changed):
    return place_relief([PLATE], FENCE, PINS, **{"depth": 0.6, "width": 4.0, "plate_thickness": 3.0, **changed})


def test_the_rim_is_relieved_but_at_fences_and_wires():
    relief = placed()
    zone = shapely.union_all(relief.polygons())
    for point, inside in (
        ((0.0, 18.0), True),
        ((0.0, 15.0), False),
        ((-28.0, 10.0), True),
        ((-28.0, 3.5), False),
        ((-26.0, 17.0), False),
        ((0.0, 21.0), True),
    ):
        assert zone.contains(shapely.Point(*point)) is inside, point
    assert zone.distance(FENCE) >= 1.15 and min(zone.distance(shapely.Point(x, y)) for x, y, _ in PINS) >= 3.8
    assert relief.depth == 0.6 and len(relief.zones) >= 2


def test_a_relief_that_leaves_too_little_is_refused_by_its_name():
    with pytest.raises(
        DesignError, match=r"params\.relief_depth = 1\.2: it would leave 1\.8 mm of the footplate, .* raise footplate_thickness to 3\.2"
    ):
        placed(depth=1.2)
    with pytest.raises(DesignError, match=r"params\.relief_width = 18: too little of the footplates would rest on bone"):
        placed(width=18.0)


def field_that_holds_at_its_rims():
    """Bone that is flat but for slopes beyond |x| = 20 and |y| = 10."""
    xs, ys = np.arange(-32.0, 32.5, 0.5), np.arange(-22.0, 22.5, 0.5)
    points = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    heights = -np.maximum(np.abs(points[:, 0]) - 20.0, 0.0) - np.maximum(np.abs(points[:, 1]) - 10.0, 0.0)
    there, none = np.ones(len(points), dtype=bool), np.zeros(len(points), dtype=bool)
    on = shapely.contains_xy(PLATE, points[:, 0], points[:, 1])
    return HeightField(
        0.5, (len(xs), len(ys)), points, heights, heights, there, none, on, none, there, on, none, np.full(len(points), 30.0), points[:0]
    )


def test_a_relief_that_takes_what_holds_the_guide_is_refused_by_its_name_before_anything_is_made():
    field = field_that_holds_at_its_rims()
    narrow, wide = (place_relief([PLATE], shapely.box(-10.0, -3.0, 10.0, 3.0), [], depth=0.6, width=w, plate_thickness=3.0) for w in (3.0, 9.0))
    refuse_sliding(narrow, [PLATE], field)
    with pytest.raises(
        DesignError, match=r"params\.relief_width = 9: .* the guide would slide \(lock 0\.\d\d, 0\.12 is wanted\); lower relief_width"
    ) as told:
        refuse_sliding(wide, [PLATE], field)
    assert told.value.reason == "contact"


def test_a_relief_that_no_sheet_keeps_over_a_bend_is_refused_before_it_is_built():
    (guide,) = plan_job(load(CASES / "phantom-type1"), blades=[], progress=lambda step: None).guides
    (site,) = guide.sites
    plates = outlines(site.field, site.field.contact, rounding=2.0)

    def asked(depth):
        return Relief("relief", depth, 4.0, tuple((tuple(plate.exterior.coords),) for plate in plates))

    refuse_uneven(site, asked(0.5), plates)
    said = r"params\.relief_depth = 1\.5: near \(.*\) mm LPS the bone bends so that .* mm off it, 0\.\d\d mm (nearer|further) than asked.*; lower relief_depth or relief_width\."
    with pytest.raises(DesignError, match=said):
        refuse_uneven(site, asked(1.5), plates)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    def make(here):
        settings = [f"params.relief_depth={DEPTH}", f"params.relief_width={WIDTH}"]
        (guide,) = psi_cad.build(CASES / "phantom-type1", here, settings=settings)["guides"]
        assert guide["status"] == "passed"

    return built_once(tmp_path_factory, "relief", make) / "phantom-type1"


@pytest.fixture(scope="module")
def guide(out):
    return json.loads((out / "report.json").read_text("utf-8"))["guides"][0]


def zone_of(guide):
    (said,) = guide["features"]
    plates = shapely.union_all([shapely.Polygon(ring) for ring in guide["plan"]["outlines"]])
    return shapely.union_all([shapely.Polygon(rings[0], rings[1:]) for rings in said["zones"]]).intersection(plates), plates


def undersides(mesh, guide, places):
    """The lowest point of a guide along its axis at (x, y) of its frame, by trimesh; nan where there is none."""
    axes, origin = np.array(guide["plan"]["axes"]), np.array(guide["plan"]["origin"])
    starts = origin + np.column_stack([places, np.full(len(places), -200.0)]) @ axes
    hits, rays, _ = mesh.ray.intersects_location(starts, np.tile(axes[2], (len(places), 1)), multiple_hits=False)
    found = np.full((len(places), 3), np.nan)
    found[rays] = hits
    return found


@pytest.mark.slow
def test_over_the_rim_the_gap_is_wider_and_elsewhere_as_ever(out, guide):
    """Rays of trimesh from the STL down to the bone, times the cosine of its slope there."""
    mesh, bone = trimesh.load_mesh(out / f"{STEM}.stl"), trimesh.load_mesh(out / "bone.stl")
    zone, plates = zone_of(guide)
    generator = np.random.default_rng(5)
    gaps = []
    for area in (zone.buffer(-0.5), plates.buffer(-WIDTH - 0.5)):
        x_low, y_low, x_high, y_high = area.bounds
        places = generator.uniform([x_low, y_low], [x_high, y_high], (4000, 2))
        places = places[shapely.contains_xy(area, *places.T)][:60]
        under = undersides(mesh, guide, places)
        up, under = np.array(guide["plan"]["axes"][2]), under[np.isfinite(under[:, 0])]
        hits, rays, faces = bone.ray.intersects_location(under, np.tile(-up, (len(under), 1)), multiple_hits=False)
        gaps.append(float(np.median((under[rays] - hits) @ up * (bone.face_normals[faces] @ up))))
    assert gaps[0] == pytest.approx(0.2 + DEPTH, abs=0.06) and gaps[1] == pytest.approx(0.2, abs=0.05)
    least, most = (guide["features"][0][key] for key in ("least_mm", "most_mm"))
    assert 0.2 + DEPTH - 0.25 <= least <= gaps[0] <= most <= 0.2 + DEPTH + 0.25
    values = {check["id"]: check["value"] for check in guide["checks"]}
    assert values["contact_share"] >= 0.9, "what is to rest on bone does"


def spot(out, guide):
    """A place amid the rim: on the underside, and the seating axis, patient frame."""
    zone, _ = zone_of(guide)
    part = max(shapely.get_parts(zone.buffer(-1.8)), key=lambda one: one.area)
    place = np.array([part.representative_point().coords[0]])
    (under,) = undersides(trimesh.load_mesh(out / f"{STEM}.stl"), guide, place)
    return under, np.array(guide["plan"]["axes"][2])


def rod(out, guide, low, high):
    under, up = spot(out, guide)
    return cq.Solid.makeCylinder(1.0, high - low, cq.Vector(*(under + low * up)), cq.Vector(*up))


FAULTS = {
    "relief_least": lambda s, g, folder: s.fuse(rod(folder, g, -0.5, 0.6)),
    "relief_most": lambda s, g, folder: s.cut(rod(folder, g, -2.0, 0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_a_spoiled_relief_fails_its_own_check(check, out, guide, tmp_path):
    failed = failed_with(FAULTS[check](solid_in(out / f"{STEM}.step"), guide, out), guide["plan"], out / "bone.stl", tmp_path)
    assert set(failed) == {check}
    assert np.linalg.norm(np.array(failed[check].where) - spot(out, guide)[0]) < 1.5


@pytest.mark.slow
def test_the_same_files_without_the_promise_of_a_relief_miss_the_bone(out, guide, tmp_path):
    plan = {**guide["plan"], "features": []}
    assert {"seat_max", "seat_rms"} <= set(failed_with(solid_in(out / f"{STEM}.step"), plan, out / "bone.stl", tmp_path))
