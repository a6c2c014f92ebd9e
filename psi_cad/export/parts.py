"""Write a part's files: a solid as STEP and STL, a mesh as STL only; and the 3MF that holds every part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import trimesh

from psi_cad.export.lying import least_supported
from psi_cad.export.meshes import triangulated, write_3mf, write_stl
from psi_cad.export.step import write_step
from psi_cad.units import Array

if TYPE_CHECKING:
    import cadquery as cq

__all__ = ["NO_STEP", "Written", "rejected", "write_parts"]

NO_STEP: Final = "the part is a mesh: triangles have no exact faces to write, so there is no STEP"


@dataclass(frozen=True)
class Written:
    """One part as written: its name ("" for the first or only one), its triangles, its files by kind ("step" only of a solid).

    `up`: the way up (3,) in which the 3MF has it printed; None: as it lies.
    """

    name: str
    mesh: trimesh.Trimesh
    files: dict[str, str]
    up: Array | None = None

    @property
    def exact(self) -> bool:
        """Whether it has a STEP."""
        return "step" in self.files

    def key(self, kind: str) -> str:
        """What a report calls one of its files: the kind, and which part it is of, but for the first."""
        return f"{kind}-{self.name}" if self.name else kind


def write_parts(
    folder: Path,
    stem: str,
    shapes: Sequence[tuple[str, cq.Solid | trimesh.Trimesh]],
    *,
    title: str,
    software: str,
    metadata: Mapping[str, str],
    units: str = "mm",
    colours: Sequence[str] = (),
    ups: Sequence[Array | None] | None = None,
) -> tuple[Written, ...]:
    """Write the parts (name, shape) as `stem`.step, `stem`.stl, those after the first as `stem`-NAME.*, and all of them as `stem`.3mf.

    `units` stands in the header of each STL; `colours` ("#rrggbb", or "") of the parts are those of the 3MF.
    `ups`: the way up (3,) in which each is printed, None for the one in which least of it hangs over; without `ups` they are printed as they lie.

    Raises
    ------
    KernelError
        If a file cannot be made.
    """
    found = []
    for number, (name, shape) in enumerate(shapes):
        own, said = (f"{stem}-{name}", f"{title} {name}") if name else (stem, title)
        files = {"stl": f"{own}.stl"}
        if isinstance(shape, trimesh.Trimesh):
            mesh = trimesh.Trimesh(np.asarray(shape.vertices, dtype=np.float64), np.asarray(shape.faces), process=False)
        else:
            files = {"step": f"{own}.step", **files}
            write_step(folder / files["step"], shape, product=said.replace(" ", "_"), faces={}, software=software)
            mesh = triangulated(shape)
        write_stl(folder / files["stl"], mesh, header=f"{said} {units}")
        up = None if ups is None else ups[number]
        found.append(Written(name, mesh, files, least_supported(mesh) if ups is not None and up is None else up))
    further = [(f"{title} {one.name}", one.mesh) for one in found[1:]]
    more: dict[str, Any] = {"further": further, "colours": colours, "ups": [one.up for one in found]}
    write_3mf(folder / f"{stem}.3mf", found[0].mesh, title=title, software=software, metadata=dict(metadata), **more)
    return tuple(found)


def rejected(folder: Path, stem: str, written: Sequence[Written]) -> dict[str, str]:
    """Leave of parts that failed only files whose names say so: the STEP of each, the STL of a mesh. What is left, as a report calls it."""
    (folder / f"{stem}.3mf").unlink()
    left = {}
    for one in written:
        for kind, name in one.files.items():
            if kind == ("step" if one.exact else "stl"):
                left[one.key(kind)] = f"{Path(name).stem}_REJECTED.{kind}"
                (folder / name).replace(folder / left[one.key(kind)])
            else:
                (folder / name).unlink()
    return left
