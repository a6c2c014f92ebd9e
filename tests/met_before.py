"""What many tests work out anew of the same phantom, worked out once in each process: bones checked and told apart, and ways to sit.

Each is known by its function and by all that it was given, as psi-cad itself knows the pieces that builds share (`psi_cad.stages`): another bone,
plane, parameter or blade is worked out, and so is every refusal. Tests of these functions call them by themselves, and the guide on the phantom,
with which `test_process.py` compares what is built here byte by byte, is built in processes that know nothing of this.
"""

from psi_cad.anatomy.side import verdict_of
from psi_cad.stages.workshop import Shelf, Workshop
from psi_cad.surface.repair import checked_bone

SHELF = Shelf()
TOGETHER = Workshop(SHELF)


def workshop(shelf=None):
    """A workshop with the shelf that it is given, else with that of all."""
    return Workshop(SHELF if shelf is None else shelf)


def _checked(mesh, marks, named):
    return checked_bone(mesh, **named)


def checked_once(mesh, **named):
    """As `checked_bone`; what a file says of its triangles counts, too."""
    return TOGETHER.made(_checked, mesh, {**dict(mesh.face_attributes), **dict(mesh.vertex_attributes), **mesh.metadata}, named)


def told_once(mesh, known):
    """As `verdict_of`."""
    return TOGETHER.made(verdict_of, mesh, known)
