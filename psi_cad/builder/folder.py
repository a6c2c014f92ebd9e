"""The files in the folder of a build: bones as they are used, what is kept of a guide, and what goes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from psi_cad.export.meshes import write_stl
from psi_cad.inspection.inspect import Inspection
from psi_cad.intake.prepare import Job

__all__ = ["BONE_FILE", "DONOR_FILE", "bones_written", "kept_files", "sweep"]

BONE_FILE: Final = "bone.stl"
DONOR_FILE: Final = "donor.stl"
RETAINED_FILE: Final = "bone_retained.stl"


def bones_written(job: Job, folder: Path, inspection: Inspection) -> list[str]:
    """The names of the files of the bones as they are used, in their order, each written and shown to the inspection."""
    names = []
    for body in job.bones.scene.bodies:
        alone = DONOR_FILE if job.read is not None else BONE_FILE if job.stays is None else RETAINED_FILE
        own = f"bone-{body.name}.stl" if job.stays is None else f"bone-{body.name}_retained.stl"  # no bone's name has a '_'
        names.append(own if job.bones.scene.several else alone)
        what = f"bone {body.name}" if job.bones.scene.several else Path(alone).stem.replace("_", " ")
        header = f"{job.loaded.case.id} {what} as used, mm, SPACE=LPS"
        write_stl(folder / names[-1], body.bone.mesh, header=header, patch=body.bone.made_up.astype(int))
    inspection.bones({body.name: folder / name for body, name in zip(job.bones.scene.bodies, names, strict=True)})
    return names


def sweep(folder: Path, told: set[str]) -> None:
    """Take away what the report tells nothing of: files of a guide or part that was begun and could not be made."""
    for path in folder.iterdir():
        if path.is_file() and path.name not in told:
            path.unlink()


def kept_files(folder: Path, stem: str, *, passed: bool, pictures: bool) -> dict[str, str]:
    """The files of a guide under their names; of one that failed only STEP and picture, under names that say so."""
    kinds = ("step", "stl", "3mf", *(("png",) if pictures else ()))
    if passed:
        return {kind: f"{stem}.{kind}" for kind in kinds}
    (folder / f"{stem}.step").replace(folder / f"{stem}_REJECTED.step")
    for kind in ("stl", "3mf"):
        (folder / f"{stem}.{kind}").unlink()
    return {kind: f"{stem}_REJECTED.{kind}" for kind in kinds if kind in ("step", "png")}
