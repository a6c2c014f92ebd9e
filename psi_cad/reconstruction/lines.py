"""What the terminal says of stems and cups."""

from __future__ import annotations

from collections.abc import Sequence

from psi_cad.records.stems import StemSaid

__all__ = ["stem_lines"]


def stem_lines(stems: Sequence[StemSaid]) -> list[str]:
    """Two lines for each stem of a guide."""
    told = list[str]()
    for one in stems:
        cup, tooth = one.cup, "" if one.cup.index is None else f"at tooth {one.cup.index}, "
        told.append(
            f"  stem {one.trajectory}: hole {one.hole_diameter_mm:g} mm wide and {one.hole_depth_mm:g} deep below the sawn face, at least "
            f"{one.wall_mm:.1f} mm of bone round it, {one.covered:.0%} of it in bone"
        )
        told.append(
            f"    cup {tooth}inclination {cup.inclination_deg:.1f}° and anteversion {cup.anteversion_deg:.1f}° (radiographic), "
            f"{cup.off_deg:.1f}° from {cup.wanted_inclination_deg:g}° and {cup.wanted_anteversion_deg:g}°; bone within 2 mm of {cup.covered:.0%} of "
            f"its back, which reaches {cup.in_bone_mm:.1f} mm into bone"
        )
    return told
