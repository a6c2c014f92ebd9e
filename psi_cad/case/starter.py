"""The commented case file a newcomer starts from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from psi_cad.errors import CaseError
from psi_cad.files import whole_file

__all__ = ["write_starter"]

STARTER: Final = """\
# A psi-cad case. Lengths are millimetres, positions are in the patient frame (LPS: x to the left, y to the back, z up).
schema = 1
id = "{id}"                      # a pseudonym, never a name or number of the patient; it is engraved on the guide
# side = "…"                     # fill in left, right or midline, of the patient, and remove the first #

[bone]
surface = "bone.stl"             # STL, PLY, OBJ, VTP, VTK or 3MF; relative to this file
units = "mm"                     # mm | cm | m | in
coordinates = "LPS"              # LPS | RAS: what the program that wrote the surface uses (3D Slicer can do both)
# anatomy = "hip"                # optional, hip | femur | sacrum: size, mesh and the scan's ends are then checked

# or, instead of surface, units and coordinates, from a CT: see docs/case-file.md
# ct = "ct/"                     # a DICOM folder or zip, NIfTI, NRRD or MHA
# [bone.segment]
# seed = [0.0, 0.0, 0.0]         # a point in the bone; 'psi-cad look ct/' shows the scan
# [bone.segment.others]          # and one in each bone that touches it
# femur = [0.0, 0.0, 0.0]

# [tumour]                       # optional
# surface = "tumour.stl"
# units = "mm"
# coordinates = "LPS"
# margin = 10.0                  # mm of bone wanted around it

[[cut]]
name = "A"
origin = [0.0, 0.0, 0.0]         # a point of the cutting plane on the bone
normal = [0.0, 0.0, 1.0]         # towards the specimen, the side that is removed
# extent = 80.0                  # greatest length of the cut about its origin
# kerf_side = "specimen"         # where the saw's kerf lies to the plane: centre (default), specimen or retained
# planned_positive = true        # a cut that is meant to pass through the tumour

[[guide]]
name = "guide-1"
template = "osteotomy"           # 'psi-cad templates' lists them with their parameters
cuts = ["A"]
approach = [1.0, 0.0, 0.0]       # from the bone towards the surgeon; the seating axis is searched near it
blade = "generic-25x0.89"        # 'psi-cad blades' lists them; measure your own blade
printer = "fdm-ultem1010"        # 'psi-cad printers' lists them

[guide.params]
clearance = 0.15                 # slot width = blade thickness + clearance (0.10-0.20) + printer compensation
"""


def write_starter(folder: Path) -> Path:
    """Write `folder`/case.toml with comments and return its path.

    Raises
    ------
    CaseError
        If the folder already holds a case.
    """
    path = folder / "case.toml"
    if path.exists():
        raise CaseError(f"{path}: there is a case file already; name another folder.")
    if folder.exists() and not folder.is_dir():
        raise CaseError(f"{folder}: this is a file; name a folder.")
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40].strip("-") or "my-case"
    with whole_file(path) as temporary:
        temporary.write_text(STARTER.format(id=name), "utf-8")
    return path
