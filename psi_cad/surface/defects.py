"""Places of a bone's surface that are no measured bone: filled or closed holes, closed ends, flat caps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import trimesh

from psi_cad.units import Array, Ints, Mm

__all__ = ["Defect", "DefectKind", "between", "patch"]

RIM_STEP_MM: Final[Mm] = 0.5
DefectKind: TypeAlias = Literal["filled hole", "closed flat end", "non-manifold edge", "flat cap", "closed hole", "cropped end"]


@dataclass(frozen=True)
class Defect:
    """A place where the surface is not measured bone: no guide may sit on its faces, nor close to its `rim`.

    `centre` and `radius` (mm) tell where it is and how large; `rim` (n, 3) are points at most `RIM_STEP_MM` apart on its border.
    """

    kind: DefectKind
    centre: tuple[float, float, float]
    radius: Mm
    rim: Array = field(repr=False, compare=False)

    @property
    def is_end(self) -> bool:
        """Whether the bone goes on behind it, outside the scan."""
        return self.kind in ("closed flat end", "flat cap", "cropped end")

    def to_json(self) -> dict[str, Any]:
        """As a report holds it."""
        return {"kind": self.kind, "centre": list(self.centre), "radius": self.radius}


def patch(mesh: trimesh.Trimesh, faces: Ints, kind: DefectKind) -> Defect:
    """The defect that some faces of a mesh are."""
    corners = np.asarray(mesh.triangles)[faces].reshape(-1, 3)
    middle = corners.mean(axis=0)
    edges, count = np.unique(np.sort(np.asarray(mesh.faces)[faces][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0, return_counts=True)
    starts, ends = np.asarray(mesh.vertices)[edges[count == 1]].transpose(1, 0, 2)
    place = (float(middle[0]), float(middle[1]), float(middle[2]))
    return Defect(kind, place, float(np.linalg.norm(corners - middle, axis=1).max()), between(starts, ends))


def between(starts: Array, ends: Array) -> Array:
    """Points (n, 3) at most `RIM_STEP_MM` apart on lines from `starts` to `ends` (k, 3), the starts among them."""
    count = np.maximum(np.ceil(np.linalg.norm(ends - starts, axis=1) / RIM_STEP_MM).astype(int), 1)
    share = np.concatenate([np.zeros(0), *(np.arange(number) / number for number in count)])
    return np.asarray(np.repeat(starts, count, axis=0) + share[:, None] * np.repeat(ends - starts, count, axis=0))
