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
# catalogue = "mine.toml"        # blades, tools, implants, printers and slot sleeves of your own, relative to this file

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

# What follows is optional: remove the # before the lines of what you need.

# [[part]]                       # of the bone's body, not a guide: a bone-model, a spacer or a mould; see docs/models.md, docs/spacers.md
# name = "model"
# template = "bone-model"
# printer = "fdm-generic"

# [donor]                        # a bank's bone that replaces what is removed: see docs/allograft.md
# name = "donor-a"               # the bone bank's number, never a donor's name
# surface = "donor.stl"
# units = "mm"
# coordinates = "LPS"
# side = "left"                  # of the donor's bone

# [[guide]]                      # on the donor's bone: cuts and approach are the patient's, and are carried over
# name = "graft"
# template = "allograft"
# cuts = ["A"]
# approach = [1.0, 0.0, 0.0]
# blade = "generic-25x0.89"
# printer = "fdm-ultem1010"

# [landmarks]                    # of the pelvis, for a stem's cup: see docs/stems.md
# asis = [0.0, 0.0, 0.0]
# asis-other-side = [0.0, 0.0, 0.0]
# pubic-symphysis = [0.0, 0.0, 0.0]

# [[trajectory]]                 # of a drill, wire or reamer: see docs/drilling.md; with an implant, of a stem in the bone that stays
# name = "S"
# entry = [0.0, 0.0, 0.0]        # where it leaves the bone, of a stem the sawn face
# direction = [0.0, 0.0, 1.0]    # into the bone
# depth = 40.0
# tool = "generic-reamer-8.0"    # 'psi-cad drills' lists them
# implant = "nominal-stem-8-cup-46"   # 'psi-cad implants' lists them

# [[guide]]                      # for the stem; without an implant: template = "drill"
# name = "stem"
# template = "acetabular"
# trajectories = ["S"]
# approach = [1.0, 0.0, 0.0]
# printer = "fdm-ultem1010"

# An implant of your own stands in mine.toml, beside blades and printers:
#   [[implant]]
#   id = "theatre-stem-10"
#   stem_diameter = 10.0
#   stem_length = 60.0           # from the sawn face to the tip
#   cup_diameter = 50.0
#   cup_offset = 30.0            # the cup's centre, before the sawn face on the stem's axis
#   cup_angle = 25.0             # between the stem's axis and the cup's
#   teeth = 24                   # 0: the cup turns freely
#   nominal = false
#   reference = "the maker's drawing"
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
