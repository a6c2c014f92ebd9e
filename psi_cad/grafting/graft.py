"""The graft: the piece that the planned cuts free of a donor's bone, as a part with faces where the sum of kerfs and fit puts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
import trimesh

from psi_cad.errors import DesignError
from psi_cad.findings import Caution, Check, place_of
from psi_cad.frames import Frame, triple
from psi_cad.grafting.contact import face_met
from psi_cad.guides.site import Site
from psi_cad.parts.contract import Part
from psi_cad.parts.grafts import GraftSite
from psi_cad.readback.printed import Printed
from psi_cad.records.grafts import FaceMade, GraftSaid
from psi_cad.registration.rigid import apply
from psi_cad.surface.solids import printable
from psi_cad.units import Array, Mm
from psi_cad.verify.features.flat import PLACE_MM, Flat
from psi_cad.verify.held import held

__all__ = ["GRAFT", "contact_cautions", "gap_checks", "graft_parts", "graft_said", "refuse_faceless"]

GRAFT: Final = "graft"
COLOUR: Final = "#7fb2d9"
LEAST_AREA: Final = 0.98  # of a graft's face, that has to be in its file
LEAST_COVERED: Final = 0.75
"""Of a host's face; a graft that covers less may not heal to it, and a plate over the joint rides on the step."""
NEAR_MM: Final[Mm] = 0.5  # of a face's plane: where it is looked for in the file
ALIKE: Final = 0.9998  # cosine, of 1°
SAME_MM: Final[Mm] = 1e-6


def graft_parts(site: Site) -> tuple[Part, ...]:
    """The pieces of the donor's bone that come with a guide, each with a face for each cut that bounds it; guide frame.

    Raises
    ------
    DesignError
        Where the guide sits on no donor.
    CaseError
        Where the cuts do not free a piece.
    """
    graft = site.graft
    if graft is None:
        raise DesignError("This guide sits on no donor's bone; let the template's NEEDS name a donor.")
    found, seen = [], set[int]()
    for group in graft.groups:
        solid = graft.left.specimens[group]
        if id(solid) in seen:
            continue
        seen.add(id(solid))
        groups = {other for other, one in graft.left.specimens.items() if one is solid}
        mesh = printable(solid)
        local = trimesh.Trimesh(site.frame.local(np.asarray(mesh.vertices)), mesh.faces, process=False)
        faces = tuple(_promised(graft, name, site.frame) for name, cut in graft.faces.items() if cut.group in groups)
        name = GRAFT if len(graft.left.specimens) == 1 else f"{GRAFT}-{group.lower().replace('_', '-')}"
        found.append(Part(name, local, faces, colour=COLOUR, printed=False))
    return tuple(found)


def _promised(graft: GraftSite, name: str, frame: Frame) -> Flat:
    """The face that the plan asks for at one cut."""
    cut = graft.faces[name]
    middle = cut.patient(np.asarray(cut.section.representative_point().coords))
    return Flat(name, triple(frame.local(middle)[0]), triple(frame.local_direction(-cut.normal)), round(float(cut.section.area), 4))


def refuse_faceless(template: str, site: Site, parts: Sequence[Part]) -> None:
    """Refuse parts that do not promise a face where the plan asks for one.

    Raises
    ------
    DesignError
    """
    graft = site.graft
    if graft is None:
        return
    there = {feature.name: feature for part in parts for feature in part.features if isinstance(feature, Flat)}
    for name, cut in graft.faces.items():
        if cut.group not in graft.groups:
            continue
        face, wanted = there.get(name), _promised(graft, name, site.frame)
        off = np.inf if face is None else abs(float((np.array(face.point) - np.array(wanted.point)) @ np.array(wanted.normal)))
        if (
            face is None
            or off > SAME_MM
            or float(np.linalg.norm(np.array(face.normal) - np.array(wanted.normal))) > SAME_MM
            or face.area < wanted.area
        ):
            raise DesignError(
                f"The template '{template}' does not promise the graft's face of cut '{name}' where the plan has it; mend it, or take another."
            )


def graft_said(graft: GraftSite, files: Mapping[str, Path]) -> GraftSaid:
    """What a report says of the grafts that come with a guide: the sum for each cut, and how the faces in the files meet the host.

    `files`: the STL of each graft, by its part's name.
    """
    said = list[FaceMade]()
    meshes = [Printed(path, Frame(np.zeros(3), np.eye(3))).mesh for path in files.values()]
    for name, term in graft.terms.items():
        host, plane = graft.hosts[name], graft.hosts[name].origin - term.host * graft.hosts[name].normal
        regions = [region for mesh in meshes for region in [_region(mesh, graft.patient_from_donor, host.origin, host.normal, host.axes, term.fit)]]
        whole = shapely.union_all([region for region in regions if not region.is_empty])
        met = None if whole.is_empty or graft.faces[name].group not in graft.groups else face_met(name, host.section, whole)
        said.append(
            FaceMade(
                cut=name,
                origin=[float(v) for v in plane],
                normal=[float(v) for v in host.normal],
                kerf_side=term.side,
                patient_shift_mm=round(term.patient_shift, 6),
                fit_mm=term.fit,
                patient_blade=term.patient_blade,
                patient_kerf_mm=round(term.patient_kerf, 6),
                donor_blade=term.donor_blade,
                donor_kerf_mm=round(term.donor_kerf, 6),
                shift_mm=round(term.shift, 6),
                host_mm=round(term.host, 6),
                face_mm=round(term.face, 6),
                area_mm2=round(float(graft.faces[name].section.area), 4),
                met=met,
            )
        )
    matrix = [[float(v) for v in row] for row in graft.patient_from_donor]
    return GraftSaid(donor=graft.donor, patient_from_donor=matrix, faces=said)


def contact_cautions(said: GraftSaid) -> tuple[Caution, ...]:
    """The faces of a host that its graft covers little of."""
    told = []
    for face in said.faces:
        if face.met is not None and face.met.covered < LEAST_COVERED:
            host = np.array(face.origin) + face.host_mm * np.array(face.normal)
            text = f"the graft covers {face.met.covered:.0%} of the host's face at cut {face.cut} (look for {LEAST_COVERED:.0%}); its rims lie up to"
            told.append(Caution("graft-contact", f"{text} {face.met.step_max_mm:.0f} mm apart: look at it, or take another donor", place_of(host)))
    return tuple(told)


def gap_checks(said: GraftSaid, files: Sequence[Path]) -> list[Check]:
    """The gap between graft and host at each face, measured from the STL files as they lie in the patient, against the fit that was asked for."""
    found = []
    pose = np.array(said.patient_from_donor)
    meshes = [Printed(path, Frame(np.zeros(3), np.eye(3))).mesh for path in files]
    for face in said.faces:
        if face.met is None:
            continue
        normal = np.array(face.normal)
        host = np.array(face.origin) + face.host_mm * normal
        sizes, gaps = list[Array](), list[Array]()
        for mesh in meshes:
            heights, near = _near(mesh, pose, host, normal, face.fit_mm)
            gaps.append(heights[near].ravel())
            sizes.append(np.repeat(np.asarray(mesh.area_faces)[near] / 3.0, 3))
        gap, size = np.concatenate(gaps), np.concatenate(sizes)
        middle = None if not len(gap) else float((gap * size).sum() / size.sum())
        said_gap = "not found in the file" if middle is None else f"the gap is {middle:.3f} mm, and {face.fit_mm:g} is asked for"
        off = None if middle is None else abs(middle - face.fit_mm)
        share = float(size.sum()) / face.area_mm2 if len(gap) else None
        found.append(held(f"graft_area[{face.cut}]", share, "", ">=", LEAST_AREA, "of the face that the plan gives it", where=place_of(host)))
        found.append(held(f"graft_gap[{face.cut}]", off, "mm", "<=", PLACE_MM, said_gap, where=place_of(host)))
    return found


def _near(mesh: trimesh.Trimesh, pose: Array, host: Array, normal: Array, fit: Mm) -> tuple[Array, Any]:
    """Heights (n, 3) of a graft's triangles above the host's face, and which of them (n,) are its face."""
    corners = apply(pose, np.asarray(mesh.vertices))
    heights = ((corners - host) @ normal)[np.asarray(mesh.faces)]
    looks = np.asarray(mesh.face_normals) @ pose[:3, :3].T @ normal
    return heights, (looks < -ALIKE) & (np.abs(heights - fit).max(axis=1) <= NEAR_MM)


def _region(mesh: trimesh.Trimesh, pose: Array, host: Array, normal: Array, axes: Array, fit: Mm) -> shapely.Geometry:
    """A graft's face as a region of the host's plane (s, u)."""
    _, near = _near(mesh, pose, host, normal, fit)
    flat = (apply(pose, np.asarray(mesh.vertices)) - host) @ axes[:2].T
    return shapely.union_all(shapely.polygons(flat[np.asarray(mesh.faces)[near]]).tolist()) if near.any() else shapely.Polygon()
