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
from psi_cad.promises.expected import Expected
from psi_cad.verify.features.names import named_faces

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
    write_step(step, solid, product=f"{case}_{stem}", faces=named_faces(solid, expected), software=SOFTWARE)
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
