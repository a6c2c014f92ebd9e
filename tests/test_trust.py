"""Where a surface is no measured bone, or falls away, no footplate rests; what is left can still carry a guide."""

import numpy as np
import pytest
import shapely
import trimesh

from psi_cad.errors import SurfaceError
from psi_cad.planning.access import accessible_field, outlines, voids
from psi_cad.planning.axis import site_frame
from psi_cad.planning.cuts import plan_cuts
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import checked_bone


def slab(*, hole=None, pit=None):
    """A slab, 90 x 60 x 14 mm, its upper face at z = 0; `hole` (x, y, radius) has no faces there, `pit` (x, y, radius) lies 6 mm lower."""
    mesh = trimesh.creation.box((90.0, 60.0, 14.0))
    mesh.apply_translation((0.0, 0.0, -7.0))
    mesh = mesh.subdivide_to_size(1.5)
    vertices = np.asarray(mesh.vertices).copy()
    if pit is not None:
        vertices[(np.hypot(vertices[:, 0] - pit[0], vertices[:, 1] - pit[1]) < pit[2]) & (vertices[:, 2] > -1e-6), 2] -= 6.0
    mesh = trimesh.Trimesh(vertices, mesh.faces, process=False)
    if hole is not None:
        centres = mesh.triangles_center
        mesh.update_faces((np.hypot(centres[:, 0] - hole[0], centres[:, 1] - hole[1]) >= hole[2]) | (centres[:, 2] < -1e-6))
    return checked_bone(mesh, name="slab")


def seated(bone):
    """The field about a cut at x = 0, its footplates' outlines, and the places they span; the guide frame has the slab's x, y and z."""
    cuts = list(plan_cuts(bone, [("A", np.zeros(3), np.array([1.0, 0.0, 0.0]), None)]).values())
    frame = site_frame(cuts, np.array([0.0, 0.0, 1.0]))
    field = accessible_field(
        bone,
        RayCaster(bone.mesh),
        frame,
        cuts,
        rectangle=(-50.0, -50.0, 50.0, 50.0),
        reach=18.0,
        beyond=1.0,
        fences=[(-40.0, 40.0)],
        slope_limit=55.0,
        part=0,
    )
    plates = outlines(field, field.contact, rounding=2.0)
    return frame, shapely.union_all(plates), voids(field, [np.asarray(plate.exterior.coords) for plate in plates])


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
