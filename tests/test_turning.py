"""Where a guide sits turns with the patient: nothing of it depends on how bone, cuts and approach lie in the scanner."""

import numpy as np
import pytest
import trimesh
from conftest import CASES

from psi_cad.case.load import load_case
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import make_site
from psi_cad.resection.depth import slot_depth
from psi_cad.sawing.slots import plan_slots
from psi_cad.scene.cuts import plan_cuts
from psi_cad.siting.about import AboutCuts
from psi_cad.stages.workshop import Workshop
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import checked_bone


def seated(path, matrix):
    """Numbers of the first guide of a case that was moved as a whole; directions moved back."""
    loaded = load_case(path)
    mesh = trimesh.load_mesh(loaded.resolve(loaded.case.bone.surface))
    mesh.apply_transform(matrix)
    mesh.vertices = mesh.vertices.astype(np.float32).astype(np.float64)  # as an STL would hold it
    bone, turn = checked_bone(mesh, name="bone"), matrix[:3, :3]
    planes = [(cut.name, trimesh.transform_points([cut.plane[0]], matrix)[0], turn @ cut.plane[1], cut.extent) for cut in loaded.case.cut]
    every = plan_cuts(bone, planes)
    guide = loaded.case.guide[0]
    cuts = [every[name] for name in guide.cuts]
    params = load_template(guide.template, where="").Params(**guide.params)
    site = make_site(
        bone, RayCaster(bone.mesh), AboutCuts(tuple(cuts)), list(every.values()), approach=turn @ np.array(guide.approach), params=params,
        blade=loaded.blade(guide.blade, where=""), printer=loaded.printer(guide.printer, where=""), label=("x",),
        shifts=dict.fromkeys(every, 0.0), workshop=Workshop(),
    )  # fmt: skip
    plans = plan_slots(site, width=1.0, wall=2.0, end_wall=3.0, run_out=5.0, height=10.0, bridge_over=80.0, bridge_width=4.0)
    contact = site.field.points[site.field.contact]
    numbers = [site.seating.lock or 0.0, site.axis.contact_area, site.seat.patch.steepness(contact).sum() * site.field.step**2]
    for cut, plan in zip(cuts, plans, strict=True):
        profile = slot_depth(cut, site.axis.direction)
        numbers += [profile.deepest, profile.length, plan.high - plan.low]
    return turn.T @ site.axis.direction, np.array(numbers), (site.seating.reach, site.seating.slope_limit, len(site.seating.tried))


def same_when_turned(path, rng, times):
    axis, numbers, how = seated(path, np.eye(4))
    for _ in range(times):
        matrix = trimesh.transformations.random_rotation_matrix(rng.random(3))
        matrix[:3, 3] = rng.uniform(-400.0, 400.0, 3)
        turned, there, also = seated(path, matrix)
        np.testing.assert_allclose(turned, axis, atol=1e-5)
        np.testing.assert_allclose(there, numbers, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(there[3:], numbers[3:], atol=0.02)
        assert also == how


@pytest.mark.slow
def test_a_hip_turned_by_five_random_rotations(shared_cases, rng):
    same_when_turned(shared_cases / "hip-left-type1" / "case.toml", rng, 5)


@pytest.mark.parametrize("name", [pytest.param("phantom-two-cut", marks=pytest.mark.slow), "phantom-type3"])
def test_the_phantom_turned(name, rng):
    """Two cuts in one guide; and a ramus, where further reach is tried for its lock."""
    same_when_turned(CASES / name / "case.toml", rng, 1)
