"""Where a surface is no measured bone, or falls away, no footplate rests; what is left can still carry a guide."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import shapely
import trimesh
from conftest import CASES

from psi_cad.errors import SeatError, SurfaceError
from psi_cad.export.surfaces import write_stl
from psi_cad.frames import Frame
from psi_cad.guides.foreseen import refuse_missed, stands_off
from psi_cad.guides.params import SleeveParams
from psi_cad.inspection.inspect import bone_probe
from psi_cad.promises.expected import Expected
from psi_cad.readback.printed import Printed
from psi_cad.scene.cuts import plan_cuts
from psi_cad.siting import access
from psi_cad.siting.about import AboutCuts, site_frame
from psi_cad.siting.access import _crests, accessible_field, outlines, voids
from psi_cad.siting.cliffs import cliff_of
from psi_cad.siting.seat import fit_seat
from psi_cad.siting.standing import CLIMB, EASED_SLOPE, SURE, eased, kept_off, towering
from psi_cad.surface.mesh_files import read_surface
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone, checked_bone
from psi_cad.units import LIMITS
from psi_cad.verify.features.seat import BoneProbe
from psi_cad.verify.features.seat import measure as measure_seat


def slab(*, hole=None, pit=None, deep=6.0):
    """A slab, 90 x 60 x 14 mm, its upper face at z = 0; `hole` (x, y, radius) has no faces there, `pit` (x, y, radius) lies `deep` mm lower."""
    mesh = trimesh.creation.box((90.0, 60.0, 14.0))
    mesh.apply_translation((0.0, 0.0, -7.0))
    mesh = mesh.subdivide_to_size(1.5)
    vertices = np.asarray(mesh.vertices).copy()
    if pit is not None:
        vertices[(np.hypot(vertices[:, 0] - pit[0], vertices[:, 1] - pit[1]) < pit[2]) & (vertices[:, 2] > -1e-6), 2] -= deep
    mesh = trimesh.Trimesh(vertices, mesh.faces, process=False)
    if hole is not None:
        centres = mesh.triangles_center
        mesh.update_faces((np.hypot(centres[:, 0] - hole[0], centres[:, 1] - hole[1]) >= hole[2]) | (centres[:, 2] < -1e-6))
    return checked_bone(mesh, name="slab")


def field_of(bone):
    """The field about a cut at x = 0, and the guide frame."""
    cuts = list(plan_cuts(bone, [("A", np.zeros(3), np.array([1.0, 0.0, 0.0]), None)]).values())
    frame = site_frame(cuts, np.array([0.0, 0.0, 1.0]))
    field = accessible_field(
        bone,
        RayCaster(bone.mesh),
        frame,
        AboutCuts(tuple(cuts)),
        rectangle=(-50.0, -50.0, 50.0, 50.0),
        reach=18.0,
        beyond=1.0,
        fences=[(-40.0, 40.0)],
        slope_limit=55.0,
        part=0,
    )
    return field, frame


def test_a_bone_that_is_read_back_is_welded_as_trimesh_does_it():
    path = CASES / "phantom" / "bone.stl"
    read = trimesh.load_mesh(path)
    as_trimesh = trimesh.Trimesh(np.asarray(read.vertices, dtype=np.float64), read.faces, process=True)
    ours = bone_probe(path).bone
    assert np.array_equal(ours.vertices, as_trimesh.vertices) and np.array_equal(ours.faces, as_trimesh.faces)


def test_crests_are_the_same_looked_for_near_the_guide_and_on_the_whole_bone(monkeypatch):
    bone = slab(pit=(12.0, 4.0, 6.0), deep=2.0)
    near = field_of(bone)[0].crests
    looked = []
    monkeypatch.setattr(access, "_over", lambda _flat, faces, _low, _high: looked.append(1) or np.arange(len(faces)))
    whole = field_of(bone)[0].crests
    assert looked and len(near) and np.array_equal(near, whole)


def seated(bone):
    """The guide frame about a cut at x = 0, the footplates' outlines, and the places that they span."""
    field, frame = field_of(bone)
    plates = outlines(field, field.contact, rounding=2.0)
    seat = fit_seat(field, gap=0.2, frame=frame).bone_patch
    return frame, shapely.union_all(plates), voids(field, seat, [np.asarray(plate.exterior.coords) for plate in plates])


def ring_about(frame, x, y, radius):
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    return frame.local(np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles), np.zeros(24)]))[:, :2]


@pytest.mark.parametrize("y", [0.0, 10.0])
def test_a_footplate_keeps_off_a_hole_that_was_filled(y):
    bone = slab(hole=(12.0, y, 3.0))
    assert [defect.kind for defect in bone.defects] == ["filled hole"] and bone.made_up.sum() > 8
    frame, plate, spanned = seated(bone)
    _, whole, _ = seated(slab())
    for radius in (0.1, 2.0, 3.5):
        assert not shapely.contains_xy(plate, *ring_about(frame, 12.0, y, radius).T).any(), radius
    assert spanned == [] and 0.9 < plate.area / whole.area < 1.0
    assert not list(plate.interiors), "a plate has no windows: the hole is opened to its edge"


def test_a_filled_hole_under_the_fence_is_refused_with_its_place():
    with pytest.raises(SurfaceError, match="filled hole . mm across where the guide would stand, near") as refused:
        seated(slab(hole=(2.0, 5.0, 3.0)))
    assert refused.value.reason == "trust" and np.linalg.norm(np.array(refused.value.where) - [2.0, 5.0, 0.0]) < 3.0


def test_more_of_the_bone_is_asked_for_where_a_fence_would_stand_on_a_cropped_end():
    bone = slab(hole=(2.0, 5.0, 3.0))
    ends = tuple(replace(defect, kind="cropped end") for defect in bone.defects)
    with pytest.raises(SurfaceError, match="cropped end .* would stand, near .*; scan further, .* or move the cut or the approach"):
        seated(replace(bone, defects=ends))


def marked(tmp_path, x, y, radius):
    """The slab as a file of `psi-cad segment` gives it in which a hole (x, y, radius) was closed."""
    mesh = slab().mesh
    over = (np.hypot(*(mesh.triangles_center[:, :2] - (x, y)).T) < radius) & (mesh.triangles_center[:, 2] > -1e-6)
    write_stl(tmp_path / "slab.stl", mesh, header="psi-cad slab, mm, SPACE=LPS", patch=over.astype(int))
    return checked_bone(read_surface(tmp_path / "slab.stl", units="mm", coordinates="LPS"), name="slab")


def test_no_footplate_and_no_fence_stands_on_a_hole_that_was_closed(tmp_path):
    bone = marked(tmp_path, 12.0, 10.0, 3.0)
    assert [defect.kind for defect in bone.defects] == ["closed hole"] and bone.made_up.sum() > 8
    frame, plate, _ = seated(bone)
    for radius in (0.1, 2.0, 3.0):
        assert not shapely.contains_xy(plate, *ring_about(frame, 12.0, 10.0, radius).T).any(), radius
    with pytest.raises(SurfaceError, match="closed hole . mm across where the guide would stand, near") as refused:
        seated(marked(tmp_path, 2.0, 5.0, 3.0))
    assert refused.value.reason == "trust" and np.linalg.norm(np.array(refused.value.where) - [2.0, 5.0, 0.0]) < 3.0


def test_a_hole_on_the_far_side_is_nobody_s_business():
    bone = slab()
    turned = bone.mesh.copy()
    centres = turned.triangles_center
    turned.update_faces((np.hypot(centres[:, 0], centres[:, 1]) >= 3.0) | (centres[:, 2] > -13.9))
    holed = checked_bone(turned, name="slab")
    assert len(holed.defects) == 1
    assert seated(holed)[1].equals(seated(bone)[1])


def test_a_hollow_that_a_footplate_spans_is_declared():
    frame, plate, spanned = seated(slab(pit=(9.0, 8.0, 2.6)))
    (void,) = spanned
    centre = frame.local(np.array([[9.0, 8.0, 0.0]]))[0, :2]
    assert plate.contains(shapely.Point(centre)) and void.contains(shapely.Point(centre))
    assert np.hypot(*(np.array(void.centroid.coords)[0] - centre)) < 0.7
    assert np.pi * 2.6**2 < void.area < np.pi * 5.5**2
    assert seated(slab())[2] == []


def test_a_declared_hollow_is_not_measured_and_hides_nothing_else(phantom_out, phantom_report):
    plan = phantom_report["guides"][0]["plan"]
    bone = trimesh.load_mesh(phantom_out / "bone.stl")
    outline = shapely.union_all([shapely.Polygon(ring) for ring in plan["outlines"]])
    assert plan["voids"] == []
    whole = Expected.from_json(plan)
    printed = Printed(next(path for path in phantom_out.glob("*.stl") if path.name != "bone.stl"), whole.frame)
    before = measure_seat(printed, whole, BoneProbe(bone))
    spot = np.array(whole.frame.local(np.array([before.worst]))[0, :2])
    pit = shapely.Point(spot).buffer(4.0)
    declared = Expected.from_json({**plan, "voids": [[list(point) for point in pit.exterior.coords]]})
    # bone carved away beneath one spot: the seat misses it, unless the hollow is declared
    local = whole.frame.local(np.asarray(bone.vertices))
    near = np.hypot(*(local[:, :2] - spot).T) < 2.5
    carved = bone.copy()
    carved.vertices = (
        np.asarray(bone.vertices) - np.where(near & (np.abs(local[:, 2] - local[near, 2].max()) < 6.0), 3.0, 0.0)[:, None] * whole.frame.axes[2]
    )
    missed, spanned = (measure_seat(printed, one, BoneProbe(carved)) for one in (whole, declared))
    assert missed.max > 1.0 and spanned.max <= LIMITS.seat_max
    assert spanned.contact_area < before.contact_area and spanned.footprint_area == before.footprint_area == pytest.approx(outline.buffer(-0.6).area)
    everything = Expected.from_json({**plan, "voids": plan["outlines"]})
    assert measure_seat(printed, everything, BoneProbe(bone)).contact_area == 0.0, "a guide of hollows alone has no seat"


def test_the_wall_of_a_fence_that_leans_is_no_part_of_the_seat(phantom_report, tmp_path):
    """A steep seat is measured up to 73° here, and the wall looks down at 72°; that it is a wall is known from its cut alone."""
    plan = phantom_report["guides"][0]["plan"]
    frame = Expected.from_json(plan).frame
    out = np.array([18.0, 0.0, -6.0]) / np.hypot(18.0, 6.0)  # of the leaning side
    profile = shapely.Polygon([(-20.0, 0.2), (5.0, 0.2), (11.0, 18.2), (8.0, 18.2), (3.0, 3.2), (-20.0, 3.2)])  # over x and z
    guide = trimesh.creation.extrude_polygon(profile, 24.0)
    guide.vertices = np.column_stack([guide.vertices[:, 0], guide.vertices[:, 2] - 12.0, guide.vertices[:, 1]])
    guide.invert()  # x, z, y is left-handed
    bone = trimesh.creation.box((80.0, 60.0, 20.0), trimesh.transformations.translation_matrix((0.0, 0.0, -10.0)))
    for mesh in (guide, bone):
        mesh.vertices = frame.patient(np.asarray(mesh.vertices))
    guide.export(tmp_path / "guide.stl")
    ring = [[-19.0, -11.0], [15.0, -11.0], [15.0, 11.0], [-19.0, 11.0]]

    def measured(normal):
        slot = {**plan["slots"][0], "normal": frame.patient_direction(normal).tolist()}
        expected = Expected.from_json({**plan, "outlines": [ring], "voids": [], "slots": [slot], "slope_limit": 65.0, "gap": 0.2})
        return measure_seat(Printed(tmp_path / "guide.stl", expected.frame), expected, BoneProbe(bone))

    assert measured(out).max < 0.01 and measured(-out).contact_area > 400.0
    assert measured(np.array([np.cos(0.31), 0.0, -np.sin(0.31)])).max > 5.0, "steep like the cut's wall, but not its wall"


def test_a_seat_rises_gently_over_bone_that_stands_like_a_cliff():
    field, frame = field_of(slab(pit=(3.0, 12.0, 4.0), deep=-9.0))
    standing = field.bone & ~field.usable & (field.heights > field.heights[field.contact].max() + 4.0)
    assert standing.any(), "the tower stands under the fence, and no seat follows it"
    gentler = eased(field)
    assert (gentler.heights >= field.heights - 1e-9)[np.isfinite(field.heights)].all() and not (gentler.contact & ~field.contact).any()
    assert gentler.heights[standing].max() == field.heights[standing].max()
    tower, foot = field.points[standing], field.contact & ~gentler.contact
    assert foot.any() and np.linalg.norm(field.points[foot][:, None] - tower[None], axis=2).min(axis=1).max() < 9.0 / EASED_SLOPE + 2.5
    steep = [cliff_of(fit_seat(one, gap=0.2, frame=frame).patch, one.points[one.footprint], name="seat") for one in (field, gentler)]
    assert steep[0] is not None and steep[1] is None
    level, _ = field_of(slab())
    assert (eased(level).contact == level.contact).all()


def with_tower(field, x, y, high):
    """`field` with a tower of bone on it, 6 mm across, whose top no contact lies on."""
    on = np.hypot(field.points[:, 0] - x, field.points[:, 1] - y) < 3.0
    heights = np.where(on, field.heights + high, field.heights)
    assert (on & field.contact).any()
    return replace(field, heights=heights, contact=field.contact & ~on, usable=field.usable & ~on, crests=np.zeros((0, 3))), on


def too_steep(field, frame):
    """Whether no seat can be built on a field."""
    try:
        return cliff_of(fit_seat(field, gap=0.2, frame=frame).patch, field.points[field.footprint], name="seat") is not None
    except SeatError:
        return True


def test_bone_that_towers_over_the_contact_is_seen_before_a_seat_is_fitted():
    level, frame = field_of(slab())
    assert not towering(level, CLIMB).any()
    field, on = with_tower(level, 3.0, 8.0, 60.0)
    sure = towering(field, SURE)
    assert sure.any() and not (sure & ~on).any() and too_steep(field, frame), "what is refused at a glance is refused after the fit as well"


def test_a_seat_rises_over_what_is_low_once_the_contact_at_its_foot_is_given_up():
    level, frame = field_of(slab())
    field, _ = with_tower(level, 3.0, 8.0, 6.0)
    assert not towering(field, SURE).any() and too_steep(field, frame)
    gentler = eased(field)
    assert not too_steep(gentler, frame) and gentler.contact.sum() < field.contact.sum()


def test_footplates_keep_off_bone_that_towers_beside_the_fence():
    field, on = with_tower(field_of(slab())[0], 3.0, 13.0, 40.0)
    assert not (on & field.fence).any(), "beside it, along x of the guide frame"
    tall = towering(field, CLIMB)
    assert tall.any() and not (tall & ~on).any()
    smaller = kept_off(field, tall)
    away = np.linalg.norm(field.points[smaller.contact][:, None] - field.points[tall][None], axis=2).min(axis=1)
    assert away.min() > 2.0 and 0 < (field.contact & ~smaller.contact).sum() < 0.25 * field.contact.sum()
    assert not towering(smaller, CLIMB).any() and smaller.footprint[field.fence].all()
    nearer, _ = with_tower(field_of(slab())[0], 3.0, 0.0, 40.0)
    assert kept_off(nearer, towering(nearer, CLIMB) & nearer.fence) is nearer, "a fence is drawn back instead"


@pytest.mark.parametrize("amid", [True, False])
def test_a_narrow_crease_amid_a_footplate_is_a_hollow_too(amid):
    """One cell wide, where bone falls away from the seat; at the rim of an outline it is the outline's own."""
    field, frame = field_of(slab())
    plates = [np.asarray(plate.exterior.coords) for plate in outlines(field, field.contact, rounding=2.0)]
    seat = fit_seat(field, gap=0.2, frame=frame).bone_patch
    assert voids(field, seat, plates) == []
    x, y = np.abs(field.points).T
    across = np.where(amid, 10.0, np.abs(np.vstack(plates)[:, 1]).max() - 0.8)  # along the slot or across it, the plates are symmetric
    line = (np.abs(y - across) < 0.3) & (x < (8.0 if amid else 40.0))
    creased = dataclasses.replace(field, contact=field.contact & ~line, met=np.where(line, field.met - 2.0, field.met))
    found = voids(creased, seat, plates)
    assert bool(found) is amid
    assert not amid or shapely.union_all(found).distance(shapely.Point(0.0, 10.0)) < 0.5


def roofed(ridge, *, left=1.0, right=1.0):
    """A roof over x, 30 mm wide and long, its ridge at `ridge` and z = 0, as steep as asked on both sides; its frame, and a grid of 10 mm on it."""
    wide = np.arange(-15.0, 15.1, 1.0)
    xs = np.sort(np.append(wide, ridge))
    corners = np.array([(x, y, -(left if x < ridge else right) * abs(x - ridge)) for x in xs for y in wide])
    cells = np.arange(len(xs) * len(wide)).reshape(len(xs), len(wide))
    one, two, three, four = cells[:-1, :-1].ravel(), cells[1:, :-1].ravel(), cells[1:, 1:].ravel(), cells[:-1, 1:].ravel()
    roof = trimesh.Trimesh(corners, np.vstack([np.column_stack([one, two, three]), np.column_stack([one, three, four])]), process=False)
    frame = Frame(origin=np.zeros(3), axes=np.eye(3))
    grid = np.arange(0.0, 10.01, 0.5)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    bone = Bone(roof, np.zeros(len(roof.faces), dtype=int), np.zeros(len(roof.faces), dtype=bool))
    return bone, frame, points, (len(grid), len(grid))


def test_no_crest_lies_beyond_the_outermost_stations():
    """Half a cell beyond them one would still be of the last cell, and the seat has no surface there."""
    bone, frame, points, shape = roofed(10.2)
    everywhere = np.ones(len(points), dtype=bool)
    found = _crests(bone, RayCaster(bone.mesh), frame, points, shape, everywhere, everywhere, np.zeros(len(points)))
    assert len(found) and (found[:, :2] >= 0.0).all() and (found[:, :2] <= 10.0).all()


def test_the_lip_of_a_step_counts_where_the_contact_has_a_gap_on_it():
    """A cell that is no contact by itself, amid a footplate, has its lip under the guide all the same."""
    bone, frame, points, shape = roofed(5.2, left=0.3, right=4.0)
    gap = np.hypot(points[:, 0] - 5.0, points[:, 1] - 5.5) < 0.3
    far = points[:, 1] > 8.0  # no contact anywhere near
    contact = (points[:, 0] < 6.0) & ~gap & ~far

    def lips(level):
        given = np.ones(len(points), dtype=bool), contact, np.full(len(points), level)
        found = _crests(bone, RayCaster(bone.mesh), frame, points, shape, *given)
        return set(found[(np.abs(found[:, 0] - 5.2) < 1e-6) & (found[:, 1] % 1.0 == 0.5)][:, 1])  # at whole ones another edge ends on the lip

    assert lips(0.0) == {0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5}, "the gap is at 5.5; beyond 8.5 there is no contact"
    assert lips(-5.0) == set(), "a shelf that lies far above the contact is none"


def test_a_seat_that_misses_bone_it_spans_is_refused_by_its_gap_before_it_is_built():
    bone = slab()
    field, frame = field_of(bone)
    seat, caster = fit_seat(field, gap=0.2, frame=frame), RayCaster(bone.mesh)
    assert stands_off(bone, caster, frame, field, seat)[0] < 0.02
    refuse_missed(bone, caster, frame, field, seat, SleeveParams())
    above = dataclasses.replace(seat, gap=0.6)  # it stands 0.2 mm off
    missed, place = stands_off(bone, caster, frame, field, above)
    assert missed == pytest.approx(0.4, abs=0.02) and place[2] == pytest.approx(0.2, abs=0.02)
    with pytest.raises(
        SeatError, match=r"params\.seat_gap = 0\.6: .* misses by 0\.4. mm, and 0\.25 is the most; lower seat_gap, lower slope_limit, "
    ):
        refuse_missed(bone, caster, frame, field, above, SleeveParams(seat_gap=0.6))
