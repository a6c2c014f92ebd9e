"""What a guide for stems is sited with, on the bone that the cuts leave; and what is drawn where a stem is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import GuideRequest
from psi_cad.drilling.ways import Drilling, checked_ways, drilling_of
from psi_cad.errors import CaseError, PsiCadError
from psi_cad.guides.params import StemParams, resolve_params
from psi_cad.guides.registry import load_template, needs_of
from psi_cad.guides.site import Way
from psi_cad.reconstruction.cup import CupPose, posed
from psi_cad.reconstruction.landmarks import refuse_far
from psi_cad.reconstruction.pelvis import PelvicFrame, pelvic_frame
from psi_cad.reconstruction.picture import StemShown, picture_of_stem
from psi_cad.reconstruction.retained import Retained, onto_sawn, retained, sawn_faces
from psi_cad.reconstruction.site import StemSite
from psi_cad.reconstruction.stem import StemBone, stem_bone
from psi_cad.reconstruction.told import hole_diameter, refuse_misfit, refuse_thin
from psi_cad.records.stems import PlannedStem
from psi_cad.sawing.kerfs import kerfs_of, run_outs_of, sawings
from psi_cad.scene.bodies import Scene
from psi_cad.scene.cuts import PlannedCut
from psi_cad.surface.rays import RayCaster, SignedDistance
from psi_cad.units import Deg, Mm

__all__ = ["draw_refused", "onto_bone", "planned_stems", "stem_site"]

EVERY_MM: Mm = 0.1  # along a stem's axis
ON_FACE_MM: Mm = 0.01  # the entry lies on the sawn face, and counts as in bone
ANY_ANGLE: Deg = 180.0  # that a cup is drawn at, though it is refused


def onto_bone(drilling: Drilling, stays: Retained, bone: str | None) -> Drilling:
    """The same with each entry moved along its stem onto the sawn face.

    Raises
    ------
    PsiCadError
    """
    faces = stays.planes[bone]
    return replace(drilling, ways=tuple(replace(way, entry=onto_sawn(way.entry, -way.out, faces)) for way in drilling.ways))


def stem_site(loaded: LoadedCase, drilling: Drilling, stays: Retained, bone: str | None) -> StemSite:
    """What a template for stems is given besides its site.

    Raises
    ------
    CaseError, DesignError
        Where a landmark is missing, a stem does not fit its hole or leaves too little bone, or its cup lies too far from the wanted angles.
    """
    params, cups = drilling.params, {}
    assert isinstance(params, StemParams)  # the registry has refused a template for stems and others
    if stays.unsawn[bone]:
        raise CaseError(
            f"guide '{drilling.request.name}': no guide takes cut '{stays.unsawn[bone][0]}', so how wide the saw cuts there is not known, nor where "
            "the bone that stays ends; make a guide for that cut, with the blade that saws it."
        )
    refuse_far(loaded.case.landmarks, stays.scene.body(bone).bone.mesh)
    pelvis = pelvic_frame(loaded.case.landmarks, where=f"template '{drilling.request.template}'")
    for way in drilling.ways:
        assert way.implant is not None  # a case whose trajectory has none is refused when it is read
        refuse_misfit(way.name, way.tool.diameter, way.depth, way.implant)
        refuse_thin(way.name, _bone_round(way, stays, bone), params.stem_wall)
        cups[way.name] = _cup(way, params, pelvis)
    return StemSite(cups, stays.planes[bone])


def _bone_round(way: Way, stays: Retained, bone: str | None) -> StemBone:
    assert way.implant is not None
    mesh, wide = stays.scene.body(bone).bone.mesh, hole_diameter(way.tool.diameter, way.implant)
    return stem_bone(way.entry, -way.out, depth=way.depth, diameter=wide, bone=mesh, sawn=sawn_faces(mesh, stays.planes[bone]))


def _cup(way: Way, params: StemParams, pelvis: PelvicFrame, tolerance: Deg | None = None) -> CupPose:
    assert way.implant is not None
    return posed(
        way.entry,
        way.out,
        way.implant,
        pelvis,
        inclination=params.inclination,
        anteversion=params.anteversion,
        index=params.cup_index,
        tolerance=params.cup_tolerance if tolerance is None else tolerance,
        name=way.name,
    )


def planned_stems(loaded: LoadedCase, scene: Scene, cuts: Mapping[str, PlannedCut]) -> list[PlannedStem]:
    """Every stem of the case's guides in the bone that the planned cuts leave, as far as it is known without a guide."""
    templates = {request.name: load_template(request.template, where=f"guide '{request.name}'.template") for request in loaded.case.guide}
    asked = [request for request in loaded.case.guide if needs_of(templates[request.name]).stem]
    if not asked:
        return []
    own = sawings(loaded)
    stays = retained(scene, cuts, kerfs_of(loaded.case, own), run_outs_of(loaded.case, own))
    found = []
    for request in asked:
        params = resolve_params(templates[request.name].Params, request.params, where=f"guide '{request.name}'.params")
        assert isinstance(params, StemParams)  # the registry has refused a template for stems and others
        drilling, bone = drilling_of(loaded, request, params), loaded.case.bone_of(request)
        for way in drilling.ways:
            assert way.implant is not None  # a case whose trajectory has none is refused when it is read
            said = PlannedStem(
                guide=request.name,
                trajectory=way.name,
                implant=way.implant.id,
                direction=[round(float(v), 9) + 0.0 for v in -way.out],
                depth_mm=way.depth,
                entry=None,
                diameter_mm=None,
                in_bone_mm=None,
                wall_mm=None,
                wall_wanted_mm=params.stem_wall,
                wall_at=None,
                why="",
            )
            try:
                if stays.unsawn[bone]:
                    raise CaseError(f"no guide takes cut '{stays.unsawn[bone][0]}', so how wide the saw cuts there is not known.")
                alone, mesh = onto_bone(replace(drilling, ways=(way,)), stays, bone), stays.scene.body(bone).bone
                (there,) = checked_ways(alone, mesh, RayCaster(mesh.mesh), ())
                found.append(_measured(said, there, stays, bone))
            except PsiCadError as error:
                found.append(said.but(why=str(error)))
    return found


def _measured(said: PlannedStem, way: Way, stays: Retained, bone: str | None) -> PlannedStem:
    assert way.implant is not None
    round_it = _bone_round(way, stays, bone)
    depths = np.linspace(0.0, way.depth, int(np.ceil(way.depth / EVERY_MM)) + 1)
    inside = SignedDistance(stays.scene.body(bone).bone.mesh)(way.entry - depths[:, None] * way.out) < ON_FACE_MM
    return said.but(
        entry=[round(float(v), 4) + 0.0 for v in way.entry],
        diameter_mm=hole_diameter(way.tool.diameter, way.implant),
        in_bone_mm=round(way.depth * float(inside.mean()), 3),
        wall_mm=round(round_it.least, 4),
        wall_at=[round(float(v), 4) + 0.0 for v in round_it.where],
    )


def draw_refused(
    path: Path, loaded: LoadedCase, request: GuideRequest, scene: Scene, cuts: Mapping[str, PlannedCut], place: tuple[float, ...]
) -> bool:
    """A picture of the stem that was refused near `place`, in the bone that its cuts leave, and of its cup; whether there is one to draw."""
    own, template = sawings(loaded), load_template(request.template, where="guide.template")
    params = resolve_params(template.Params, request.params, where="guide.params")
    if not isinstance(params, StemParams):
        return False
    try:
        stays, bone = retained(scene, cuts, kerfs_of(loaded.case, own), run_outs_of(loaded.case, own)), loaded.case.bone_of(request)
        ways = onto_bone(drilling_of(loaded, request, params), stays, bone).ways
        way = min(ways, key=lambda one: float(np.linalg.norm(np.array(place) - one.entry)))
        assert way.implant is not None
        pelvis = pelvic_frame(loaded.case.landmarks, where=f"template '{request.template}'")
        pose, found = _cup(way, params, pelvis, ANY_ANGLE), _bone_round(way, stays, bone)
    except PsiCadError:  # then the place alone is drawn
        return False
    shown = StemShown(
        name=way.name,
        entry=way.entry,
        into=-way.out,
        depth=way.depth,
        diameter=hole_diameter(way.tool.diameter, way.implant),
        least=found.least,
        where=np.array(found.where),
        centre=pose.centre,
        axis=pose.axis,
        cup=way.implant.cup_diameter,
    )
    title = f"{loaded.case.id}, {loaded.case.side}: refused, guide {request.name}, trajectory {way.name}"
    picture_of_stem(path, stays.scene.body(bone).bone.mesh, shown, title=title)
    return True
