"""What the terminal says of stems and cups."""

from __future__ import annotations

from collections.abc import Sequence

from psi_cad.records.stems import PlannedStem, StemSaid

__all__ = ["planned_stem_lines", "stem_lines"]


def planned_stem_lines(stems: Sequence[PlannedStem]) -> list[str]:
    """A line for each stem of a plan."""
    told = list[str]()
    for one in stems:
        head = f"stem {one.trajectory} of guide {one.guide} ({one.implant}): "
        if one.entry is None or one.wall_mm is None or one.wall_at is None or one.wall_wanted_mm is None:
            told.append(f"{head}not measured: {one.why.rstrip('.')}; 'psi-cad build' measures it")
            continue
        left = f"at least {one.wall_mm:.1f} mm of bone round it" if one.wall_mm > 0.0 else f"it breaks through the bone by {-one.wall_mm:.1f} mm"
        enough = "" if one.wall_mm >= one.wall_wanted_mm else ": 'psi-cad build' refuses that"
        told.append(
            f"{head}from {_said(one.entry)} along {_said(one.direction, 2)}, {one.in_bone_mm:.1f} of {one.depth_mm:g} mm in bone, "
            f"{left} near {_said(one.wall_at)}, wanted {one.wall_wanted_mm:g}{enough}"
        )
    return told


def _said(point: Sequence[float], digits: int = 1) -> str:
    return f"({', '.join(f'{value:.{digits}f}' for value in point)})"


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
