"""Write a designed guide's files: STEP with named faces, STL, 3MF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from psi_cad.builder.entry import Made, print_up
from psi_cad.export.meshes import triangulated, write_3mf, write_stl
from psi_cad.export.step import write_step
from psi_cad.inspection.inspect import Inspection
from psi_cad.intake.prepare import Progress
from psi_cad.making.placing import in_patient
from psi_cad.making.told import SOFTWARE
from psi_cad.outputs.notice import NOT_A_DEVICE
from psi_cad.promises.expected import Expected
from psi_cad.verify.features.names import named_faces

__all__ = ["exported", "facts_of", "title_of"]


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
    solid = in_patient(made.design.solid, frame)
    write_step(step, solid, product=f"{case}_{stem}", faces=named_faces(solid, expected), software=SOFTWARE)
    inspection.step(step, expected)
    told("write STL and 3MF")
    mesh = triangulated(made.design.solid)
    mesh.vertices = frame.patient(np.asarray(mesh.vertices))
    write_stl(stl, mesh, header=f"{case} {stem} mm SPACE=LPS")
    inspection.stl(stl)
    facts = facts_of(made, case=case, side=side)
    write_3mf(folder / f"{stem}.3mf", mesh, title=f"{case} {stem}", software=SOFTWARE, metadata=facts, ups=[print_up(made)])
    return mesh


def facts_of(made: Made, *, case: str, side: str) -> dict[str, str]:
    """What a 3MF says of a guide, and of a part beside it."""
    kind = "blade" if made.site.saw is not None else "tool"
    return {
        "case": case,
        "side": side,
        kind: made.site.tool_id,
        "frame": "patient LPS, mm" if made.site.graft is None else f"of donor {made.site.graft.donor}, LPS, mm",
        "notice": NOT_A_DEVICE,
    }


def title_of(made: Made, *, case: str, side: str) -> str:
    """What stands above the pictures of a guide."""
    kind = "blade" if made.site.saw is not None else "tool"
    on = "" if made.site.graft is None else f" on donor {made.site.graft.donor}"
    return ", ".join([f"{case}, {side}: guide {made.request.name}{on}", f"{kind} {made.site.tool_id}", *made.naming.differs])
