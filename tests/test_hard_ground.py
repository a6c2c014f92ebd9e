"""Ground on which guides once failed: each has a seat now that keeps off all bone, and rests on it wherever that is not declared."""

import numpy as np
import pytest
import shapely

from psi_cad.case.load import load_case
from psi_cad.guides.params import GuideParams
from psi_cad.intake.cautions import guide_cautions
from psi_cad.intake.prepare import plan_job
from psi_cad.siting.about import tilt_of
from psi_cad.siting.access import outlines, voids
from psi_cad.surface.rays import SignedDistance
from psi_cad.units import LIMITS

RIM_MM = 0.6  # of a footplate, which `seat_max` leaves out too
CASE = """schema = 1
id = "hard"
side = "left"
[bone]
surface = "{surface}"
units = "mm"
coordinates = "LPS"
[[cut]]
name = "A"
origin = {origin}
normal = {normal}
[[guide]]
name = "g"
template = "osteotomy"
cuts = ["A"]
approach = {approach}
blade = "{blade}"
printer = "fdm-ultem1010"
"""
GROUNDS = {
    # the seat has to rise over a shelf of 16 mm beside a foramen, and the contact at its foot to be given up
    "shelf": ("Sacrum14_cpd.vtk", (-20.08126, -106.45861, -643.34334), (0.88315, 0.03761, 0.46759), (0.30071, -0.81973, -0.48746), "generic-13x0.89"),
    # an outline closes over a crevice that the seat does not follow
    "crevice": ("Sacrum_24.stl", (11.1894, -73.59567, -735.53634), (0.84989, 0.27636, -0.44868), (-0.05134, 0.58704, 0.80793), "generic-13x0.89"),
    # two foramina under one footplate, with walls that a seat dived into
    "foramina": (
        "Sacrum14_cpd.vtk",
        (31.48093, -89.84135, -651.43119),
        (0.92401, -0.16513, -0.34487),
        (-0.33865, -0.27498, -0.89983),
        "generic-13x0.89",
    ),
    # the iliac wing stands over the cut, as the approach looks, and not as the saw does
    "overhang": (
        "LeftHip27_cpd.vtk",
        (22.28308, -68.55659, -668.54159),
        (0.2346, 0.48369, -0.84322),
        (-0.717, -0.07662, -0.69285),
        "generic-20x1.27",
    ),
}
OFTEN = {"crevice", "overhang"}  # in every run; the others are slow


@pytest.mark.usefixtures("afresh")  # a bone whose end is taken for bone is none that others met
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in GROUNDS])
def test_a_seat_is_found_that_keeps_off_bone_and_rests_on_it(name, data, tmp_path, monkeypatch):
    if name == "foramina":  # they lie by the end where that sacrum was cropped, which is taken for bone here
        monkeypatch.setattr("psi_cad.surface.repair.cropped_ends", lambda mesh: [])
    surface, origin, normal, approach, blade = GROUNDS[name]
    path = tmp_path / "case.toml"
    where = {key: list(value) for key, value in {"origin": origin, "normal": normal, "approach": approach}.items()}
    path.write_text(CASE.format(surface=(data / "pelvis_atlas_meshes" / surface).as_posix(), blade=blade, **where))
    job = plan_job(load_case(path), blades=[], progress=lambda _: None, suggest=False)
    site = job.guides[0].sites[0]
    axis, asked = site.seating.axis, np.array(approach) / np.linalg.norm(approach)
    assert axis.tilt == pytest.approx(tilt_of(axis.direction, asked)), "from the approach as it was asked for, wherever it was found"
    turned = [caution for caution in guide_cautions(GuideParams(), site) if caution.id == "seat-turned"]
    assert bool(turned) is (name == "overhang") is (axis.tilt > GuideParams().axis_search + 0.5) and all(one.blocks_release for one in turned)
    assert site.seating.lock is not None and site.seating.lock >= LIMITS.sliding_lock
    field, seat = site.field, site.seat
    plates = outlines(field, field.contact, rounding=2.0)
    spanned = shapely.union_all(voids(field, seat.bone_patch, [np.asarray(plate.exterior.coords) for plate in plates]))
    away = SignedDistance(job.bones.scene.mesh)(site.frame.patient(np.column_stack([field.points, seat.patch(field.points)])))
    assert away[field.footprint].min() >= -LIMITS.overlap, "nowhere in bone"
    resting = shapely.contains_xy(shapely.union_all(plates).buffer(-RIM_MM).difference(spanned), field.points[:, 0], field.points[:, 1])
    assert np.abs(away[resting] - seat.gap).max() <= LIMITS.seat_max
    assert resting.sum() * field.step**2 >= LIMITS.contact_area
