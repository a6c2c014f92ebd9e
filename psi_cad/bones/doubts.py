"""What speaks against one bone, and what a person must look at: its surface, voxels, metal, motion and the scan's edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import trimesh

from psi_cad.bones.segmented import DOUBT
from psi_cad.extraction.blur import ScanBlur
from psi_cad.extraction.bone import BoneSurface
from psi_cad.extraction.plausible import Border, hollow, mere_shell, off_bone, other_blur, through_bone
from psi_cad.extraction.refine import SurfaceFit
from psi_cad.findings import Caution, inmost, place_of
from psi_cad.imaging.judge import bone_at_edges
from psi_cad.imaging.metal import METAL_HU, METAL_LEAST_MM3, Metal
from psi_cad.imaging.motion import JUMP_MM, find_jumps
from psi_cad.imaging.shells import apart_at
from psi_cad.units import Mm
from psi_cad.voxels.levels import TissueLevels
from psi_cad.voxels.volume import Volume

__all__ = ["doubts_of", "edge_cautions", "fit_cautions", "grown_metal", "jumps_of", "left_out", "metal_cautions", "two_shells"]

_METAL_NEAR_MM: Final[Mm] = 10.0
_UNSURE: Final = 0.05  # more points than this without a clear edge are told
_MOST_UNSURE: Final = 0.3  # with more than this the surface is a guess; right ones have up to 0.1
_NO_DOUBT: Final = {"no-gap": "touching-bones"}
"""Cautions of what is told of a surface, but is no doubt."""


def doubts_of(name: str, made: BoneSurface, solid: npt.NDArray[np.bool_], volume: Volume, border: Border, blur: ScanBlur | None) -> list[Caution]:
    """What speaks against a bone: its surface, voxels and volume cannot be those of a bone in this scan; and contacts without a gap."""
    fit = made.fit
    found = [
        through_bone(border), off_bone(border, made.patch > 0), hollow(solid, volume), mere_shell(border.mesh),
        other_blur(fit.own_sigma, None if blur is None else blur.sigma),
    ]  # fmt: skip
    told = [
        Caution(_NO_DOUBT[one.reason] if one.settled else DOUBT, f"The surface of {name} {one.text}.", one.where, one.reason)
        for one in found
        if one is not None
    ]
    if fit.unsure > _MOST_UNSURE:
        text = f"{100.0 * fit.unsure:.0f} % of the surface of {name} shows no clear edge in the scan: it is a guess."
        told.append(Caution(DOUBT, text, None, "guess"))
    return told


def left_out(name: str, made: BoneSurface) -> list[Caution]:
    """Doubts of pieces that seeds ask for and that no closed surface of one body can hold: a growth plate or a joint lies between."""
    return [
        Caution(
            DOUBT,
            f"A piece of {name} of {volume / 1000.0:.1f} cm³ does not hang together with the rest, so it is not in the surface: an open growth "
            f"plate, a joint or a break lies between. Give it a name of its own: --bone {name}-2={','.join(f'{v:.1f}' for v in place)}.",
            place,
            "left-out",
        )
        for place, volume in made.left_out
    ]


def jumps_of(name: str, solid: npt.NDArray[np.bool_], volume: Volume, levels: TissueLevels) -> list[Caution]:
    """Where the patient moved between two slices: a doubt where the bone jumps, a place to look at where it only changes abruptly."""
    told = []
    for jump in find_jumps(volume, solid, levels):
        moved = jump.size > JUMP_MM
        how = f"jumps sideways by {jump.size:.1f} mm" if moved else "changes abruptly"
        text = f"{name} {how} between two slices: the patient moved, or slices are out of place or doubled."
        if moved:
            text += " Its surface has a step there that the bone has not; take the scan again."
        told.append(Caution(DOUBT if moved else "segmentation-look", text, place_of(jump.centre), "moved" if moved else ""))
    return told


def grown_metal(name: str, solid: npt.NDArray[np.bool_], volume: Volume) -> list[Caution]:
    """A doubt where metal was taken for bone: the surface then runs on the implant, and on the streaks around it."""
    dense = solid & (volume.values >= METAL_HU)
    amount = float(dense.sum() * np.prod(volume.spacing))
    if amount < METAL_LEAST_MM3:
        return []
    index = np.argwhere(dense)[:, ::-1]
    inner = inmost(index, volume.spacing)
    text = f"{amount:.0f} mm³ of {name} are metal: its surface follows the implant and the streaks, not the bone; paint the bone, or scan again."
    return [Caution(DOUBT, text, place_of(volume.patient(inner[None].astype(np.float64))[0]), "metal-in-bone")]


def two_shells(name: str, solid: npt.NDArray[np.bool_], volume: Volume, levels: TissueLevels) -> list[Caution]:
    """What to look at where one bone has two shells of cortex."""
    return [
        Caution(
            "segmentation-look",
            f"{name} has two shells of cortex, one of {size / 1000.0:.1f} cm³, with something softer between: two bones, or an open growth plate, "
            "and the surface crosses the gap. Look there; if they are two, give each a name and a seed, or cut between them (--cut-here).",
            place,
        )
        for place, size in apart_at(solid, volume, levels)
    ]


def edge_cautions(volume: Volume, solid: npt.NDArray[np.bool_], name: str) -> list[Caution]:
    """Where the bone goes on beyond the scan."""
    touches = bone_at_edges(replace(volume, values=solid.view(np.uint8)), 0.5)
    told = [
        Caution("scan-edge", f"{name} reaches the {t.face} edge of the scan over {t.area:.0f} mm²; its surface is closed flat there.")
        for t in touches
    ]
    if len(touches) > 1:
        text = f"{name} is cut by more than one edge of the scan; where two edges meet in it, its marrow may stay open."
        told.append(Caution("segmentation-look", text))
    return told


def fit_cautions(name: str, mesh: trimesh.Trimesh, fit: SurfaceFit) -> list[Caution]:
    """What to look at of a surface: not closed, or without a clear edge in places."""
    told = []
    if not mesh.is_watertight:
        told.append(Caution("segmentation-look", f"The surface of {name} is not closed everywhere; check it before use."))
    if fit.unsure > _UNSURE:
        text = f"{100.0 * fit.unsure:.0f} % of the surface of {name} shows no clear edge, and its neighbours placed it: look at the pictures."
        told.append(Caution("segmentation-look", text))
    return told


def metal_cautions(name: str, mesh: trimesh.Trimesh, metal: tuple[Metal, ...]) -> list[Caution]:
    """Metal in or near the bone."""
    low, high = mesh.bounds
    near = [m for m in metal if (m.high > low - _METAL_NEAR_MM).all() and (m.low < high + _METAL_NEAR_MM).all()]
    if not near:
        return []
    text = f"{sum(m.volume for m in near):.0f} mm³ of metal lie in or near {name}; do not trust its surface there."
    return [Caution("metal", text, place_of(max(near, key=lambda m: m.volume).centre))]
