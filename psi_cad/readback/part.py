"""A guide read back from STEP: its faces and volume, in the guide frame."""

from __future__ import annotations

import itertools
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cadquery as cq
import numpy as np
import trimesh
from OCP.BRep import BRep_Tool
from OCP.BRepCheck import BRepCheck_Analyzer
from OCP.BRepGProp import BRepGProp
from OCP.GProp import GProp_GProps
from OCP.IFSelect import IFSelect_RetDone
from OCP.Interface import Interface_Static
from OCP.Resource import Resource_DataMapOfAsciiStringAsciiString
from OCP.STEPControl import STEPControl_Reader
from OCP.TCollection import TCollection_AsciiString

from psi_cad.errors import KernelError
from psi_cad.frames import Frame
from psi_cad.processes.copies import Copy
from psi_cad.processes.cores import one_core
from psi_cad.readback.agreement import places_on
from psi_cad.readback.faces import Faces, moved_into
from psi_cad.surface.rays import SignedDistance
from psi_cad.units import Array

__all__ = ["Part"]

SLICES: Final = 8
SAMPLES: Final = 8_000  # a point about every millimetre of a guide's surface


def _samples(mesh: trimesh.Trimesh) -> Array:
    """Points (n, 3) spread over a surface, the same in every run, and its corners."""
    points, _ = trimesh.sample.sample_surface_even(mesh, SAMPLES, seed=1)
    return np.vstack([points, np.asarray(mesh.vertices)])


def _read(path: Path, *, mended: bool) -> Any:
    """The shape in a STEP file; `mended`: outlines that cross themselves are put right, which takes a fifth of the time.

    Raises
    ------
    KernelError
    """
    reader = STEPControl_Reader()
    Interface_Static.SetCVal_s("xstep.cascade.unit", "MM")
    if reader.ReadFile(str(path)) != IFSelect_RetDone:
        raise KernelError(f"'{path.name}' cannot be read back as STEP.")
    if not mended:
        asked = Resource_DataMapOfAsciiStringAsciiString()
        asked.Bind(TCollection_AsciiString("FixShape.FixSelfIntersectionMode"), TCollection_AsciiString("0"))
        reader.SetShapeFixParameters(asked)
    reader.TransferRoots()
    return reader.OneShape()


def _sound(solid: Any) -> bool:
    return bool(BRepCheck_Analyzer(solid.wrapped, True, False).IsValid())  # its own threads gain nothing


class Part:
    """What a STEP file holds, measured in `frame`.

    Parameters
    ----------
    judged : bool
        Whether the solid is sound is seen at once; else where it is asked for, and `settle` tells whether what was read by then stands.
    """

    def __init__(self, path: Path, frame: Frame, *, judged: bool = True) -> None:
        self.path, self.frame = path, frame
        self.header = path.read_bytes()[:4000].decode("latin-1")
        self._mended = False
        self._copy: Copy | None = None  # that sees whether the solid is sound
        self._take(_read(path, mended=False))
        if self.solid_count != 1 or (judged and not self.valid):
            self._mend()

    def _take(self, shape: Any) -> None:
        """Go on with what was read."""
        for name, kept in type(self).__dict__.items():
            if isinstance(kept, cached_property):
                self.__dict__.pop(name, None)
        self.shape = cq.Shape.cast(shape) if shape is not None and not shape.IsNull() else None
        solids = self.shape.Solids() if self.shape is not None else []
        self.solid_count = len(solids)
        self._solids = solids
        self._solid = max(solids, key=lambda s: len(s.Faces())) if solids else None

    def _mend(self) -> None:
        """Go on with what other programs would read."""
        self._mended = True
        self._take(_read(self.path, mended=True))

    def settle(self) -> bool:
        """Whether what was measured so far stands; else the solid was not sound as it is written, and is now as other programs would read it."""
        if self._mended or self.valid:
            return True
        self._mend()
        return False

    def warm(self) -> None:
        """Take the slow measurements of the solid now; they are kept. Meanwhile a copy of this process, if there is one, sees whether it is sound."""
        if self._solid is not None and not one_core():
            solid = self._solid
            with suppress(OSError):
                self._copy = Copy(lambda line: line.send(_sound(solid)))
        _ = self.volume, self.faces.looks, self.faces.cylinders, self.places

    @cached_property
    def valid(self) -> bool:
        """Whether the kernel finds the solid sound."""
        copy, self._copy = self._copy, None
        if copy is not None:
            try:
                return bool(copy.hear())
            except (OSError, EOFError):  # whatever ended it is met here again
                pass
            finally:
                copy.close()
        return self._solid is not None and _sound(self._solid)

    @cached_property
    def solid(self) -> cq.Solid:
        """The solid, moved into the guide frame."""
        if self._solid is None:
            raise KernelError(f"'{self.path.name}' holds no solid.")
        return moved_into(self._solid, self.frame)

    @cached_property
    def extra_solid(self) -> Array | None:
        """The middle (3,), guide frame, of the smallest solid beside the guide; None where there is no other."""
        others = [solid for solid in self._solids if solid is not self._solid]
        if not others:
            return None
        least = min(others, key=lambda solid: float(solid.BoundingBox().DiagonalLength))
        return self.frame.local(np.array(least.BoundingBox().center.toTuple()))

    @cached_property
    def unsound(self) -> Array | None:
        """The middle (3,), guide frame, of a free edge, or else of a face that the kernel finds unsound; None where there is neither."""
        owners: dict[int, list[cq.Edge]] = {}
        for face in self.solid.Faces():
            for edge in face.Edges():
                owners.setdefault(edge.hashCode(), []).append(edge)
        free = [edges[0] for edges in owners.values() if len(edges) == 1 and not BRep_Tool.Degenerated_s(edges[0].wrapped)]
        seams = [edge for edge in free if any(BRep_Tool.IsClosed_s(edge.wrapped, face.wrapped) for face in self.solid.Faces())]
        free = [edge for edge in free if edge not in seams]
        if free:
            return np.array(free[0].Center().toTuple())
        for face in self.solid.Faces():
            if not BRepCheck_Analyzer(face.wrapped, True, False).IsValid():
                return np.array(face.Center().toTuple())
        return None

    def differs_most(self, mesh: trimesh.Trimesh) -> Array:
        """The point (3,), guide frame, where `mesh` and the solid lie farthest apart."""
        corners, faces = self.solid.tessellate(0.05, 0.3)
        own = trimesh.Trimesh(np.array([corner.toTuple() for corner in corners]), np.array(faces), process=False)
        here, there = _samples(mesh), _samples(own)
        one, two = np.abs(SignedDistance(own)(here)), np.abs(SignedDistance(mesh)(there))
        return np.asarray(here[int(np.argmax(one))] if one.max() >= two.max() else there[int(np.argmax(two))])

    @cached_property
    def volume(self) -> float:
        """mm³, by the kernel's integration."""
        return float(self._properties.Mass())

    @cached_property
    def centre(self) -> Array:
        """Centre of volume (3,), guide frame."""
        point = self._properties.CentreOfMass()
        return np.array([point.X(), point.Y(), point.Z()])

    @cached_property
    def sliced(self) -> tuple[float, Array]:
        """Volume and its centre, summed over slices across x: slower, and right to a few hundredths of a per cent.

        On faces of many spans the kernel's integration over the whole solid has been off by 0.7 %; over slices it
        agrees with ever finer triangulations.
        """
        box = self.solid.BoundingBox()
        edges = np.linspace(box.xmin - 1.0, box.xmax + 1.0, SLICES + 1)
        total, moment = 0.0, np.zeros(3)
        for low, high in itertools.pairwise(edges.tolist()):
            corner = cq.Vector(low, box.ymin - 1.0, box.zmin - 1.0)
            block = cq.Solid.makeBox(high - low, box.ylen + 2.0, box.zlen + 2.0, corner)
            piece = self.solid.intersect(block)
            volume = float(piece.Volume())
            if volume > 0.0:
                total += volume
                moment += volume * np.array(cq.Shape.centerOfMass(piece).toTuple())
        return total, moment / max(total, 1e-9)

    @cached_property
    def _properties(self) -> GProp_GProps:
        properties = GProp_GProps()
        BRepGProp.VolumeProperties_s(self.solid.wrapped, properties)
        return properties

    @cached_property
    def places(self) -> tuple[Array, Array]:
        """Places (n, 3) on the flat and round faces, and which way these look there (n, 3); guide frame.

        Slots, holes, fences and whatever else has a size are flat or round. What follows the bone is not, and is measured on the bone.
        """
        return places_on(self.faces.sized)

    @cached_property
    def faces(self) -> Faces:
        """The solid's faces, guide frame."""
        return Faces(self.solid)
