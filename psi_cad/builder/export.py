"""Write a designed guide's files: STEP with named faces, STL, 3MF."""

from __future__ import annotations

from pathlib import Path

import cadquery as cq
import numpy as np
import trimesh
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform

from psi_cad import __version__
from psi_cad.brep.patch import vector
from psi_cad.builder.entry import Made
from psi_cad.builder.inspect import Inspection
from psi_cad.export.meshes import triangulated, write_3mf, write_stl
from psi_cad.export.step import write_step
from psi_cad.frames import Frame
from psi_cad.intake.prepare import Progress
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.verify.expected import Expected, ExpectedBore

__all__ = ["SOFTWARE", "exported"]

SOFTWARE = f"psi-cad {__version__}"


def exported(made: Made, expected: Expected, folder: Path, *, case: str, side: str, inspection: Inspection, told: Progress) -> trimesh.Trimesh:
    """Write the guide to `folder` and show each file to `inspection` as soon as it is whole; the triangles come back.

    Raises
    ------
    KernelError
        If a file cannot be made.
    """
    frame, stem = made.site.frame, made.stem
    step, stl = folder / f"{stem}.step", folder / f"{stem}.stl"
    told("write STEP")
    solid = _placed(made.design.solid, frame)
    write_step(step, solid, product=f"{case}_{stem}", faces=_named_faces(solid, expected), software=SOFTWARE)
    inspection.step(step, expected)
    told("write STL and 3MF")
    mesh = triangulated(made.design.solid)
    mesh.vertices = frame.patient(np.asarray(mesh.vertices))
    write_stl(stl, mesh, header=f"{case} {stem} mm SPACE=LPS")
    inspection.stl(stl)
    facts = {
        "case": case,
        "side": side,
        "blade" if made.site.saw is not None else "tool": made.site.tool_id,
        "frame": "patient LPS, mm",
        "notice": NOT_A_DEVICE,
    }
    write_3mf(folder / f"{stem}.3mf", mesh, title=f"{case} {stem}", software=SOFTWARE, metadata=facts)
    return mesh


def _placed(solid: cq.Solid, frame: Frame) -> cq.Solid:
    """`solid` of the guide frame in the patient frame, its geometry moved: a mere location hides faces from their names."""
    plane = cq.Plane(origin=vector(frame.origin), xDir=vector(frame.axes[0]), normal=vector(frame.axes[2]))
    return cq.Solid(BRepBuilderAPI_Transform(solid.wrapped, cq.Location(plane).wrapped.Transformation(), True).Shape())


def _named_faces(solid: cq.Solid, expected: Expected) -> dict[str, list[cq.Face]]:
    """Faces a reviewer looks for: the sides of each slot, bores and stop faces of sleeves, and the wires' holes, found in the placed solid."""
    found: dict[str, list[cq.Face]] = {}
    axis = np.array(expected.axes[2])
    for face in solid.Faces():
        kind = face.geomType()
        if kind == "PLANE":
            normal, point = np.array(face.normalAt().toTuple()), np.array(face.Center().toTuple())
            for slot in expected.slots:
                away = float((point - np.array(slot.origin)) @ np.array(slot.normal))
                if abs(abs(float(normal @ np.array(slot.normal))) - 1.0) < 1e-9 and abs(abs(away) - slot.width / 2.0) < 1e-6:
                    found.setdefault(f"slot {slot.name} {'specimen' if away > 0 else 'retained'} side", []).append(face)
            for bore in expected.bores:
                entry, out = np.array(bore.entry), np.array(bore.out)
                beside = float(np.linalg.norm(np.cross(point - entry, out)))
                if (
                    float(normal @ out) > 1.0 - 1e-9
                    and abs(float((point - entry) @ out) - (bore.stop - bore.depth)) < 1e-6
                    and beside < bore.diameter
                ):
                    found.setdefault(f"stop {bore.name}", []).append(face)
        elif kind == "CYLINDER" and (at := _bore_at(face, expected)) is not None:
            found.setdefault(f"bore {at.name}", []).append(face)
        elif kind == "CYLINDER" and abs(2.0 * _radius(face) - expected.bore) < 1e-6:
            found.setdefault("pin hole", []).append(face)
        elif kind == "BSPLINE" and float(np.array(face.normalAt().toTuple()) @ axis) < 0.0:
            found.setdefault("seat", []).append(face)
    return found


def _bore_at(face: cq.Face, expected: Expected) -> ExpectedBore | None:
    """The trajectory that a cylindrical face guides; None where it guides none."""
    from OCP.BRepAdaptor import BRepAdaptor_Surface

    axis = BRepAdaptor_Surface(face.wrapped).Cylinder().Axis()
    point, way = axis.Location(), axis.Direction()
    place, along = np.array([point.X(), point.Y(), point.Z()]), np.array([way.X(), way.Y(), way.Z()])
    for bore in expected.bores:
        off = np.linalg.norm(np.cross(place - np.array(bore.entry), along))
        if abs(float(along @ np.array(bore.out))) > 1.0 - 1e-9 and off < 1e-6 and abs(2.0 * _radius(face) - bore.diameter) < 1e-6:
            return bore
    return None


def _radius(face: cq.Face) -> float:
    from OCP.BRepAdaptor import BRepAdaptor_Surface

    return float(BRepAdaptor_Surface(face.wrapped).Cylinder().Radius())
