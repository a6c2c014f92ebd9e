"""The pictures of the stems of a guide, as they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from psi_cad.reconstruction.picture import StemShown, picture_of_stem
from psi_cad.records.stems import StemSaid

__all__ = ["draw_stems"]


def draw_stems(said: Sequence[StemSaid], bone: trimesh.Trimesh, folder: Path, *, stem: str, title: str, passed: bool) -> dict[str, str]:
    """A picture of each stem in the bone that stays; their names, which begin with `stem`, as a report calls them."""
    files = dict[str, str]()
    for one in said:
        shown = StemShown(
            name=one.trajectory,
            entry=np.array(one.entry),
            into=np.array(one.direction),
            depth=one.hole_depth_mm,
            diameter=one.hole_diameter_mm,
            least=one.wall_mm,
            where=np.array(one.wall_at),
            centre=np.array(one.cup.centre),
            axis=np.array(one.cup.axis),
            cup=float(one.implant["cup_diameter"]),
        )
        kind = "stem" if len(said) == 1 else f"stem-{one.trajectory.lower()}"
        files[f"png-{kind}"] = f"{stem}-{kind}{'' if passed else '_REJECTED'}.png"
        picture_of_stem(folder / files[f"png-{kind}"], bone, shown, title=title)
    return files
