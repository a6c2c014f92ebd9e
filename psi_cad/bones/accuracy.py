"""What may be said of a surface's accuracy: that of the scan it came from, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psi_cad.extraction.refine import SurfaceFit
from psi_cad.imaging.judge import WARN_ABOVE, judge_spacing
from psi_cad.units import Mm
from psi_cad.voxels.volume import Volume

__all__ = ["Accuracy", "accuracy_of", "coarse_scan", "said_of"]

_DEVIATIONS: Final = 2.0  # of a normal error, 95 %


@dataclass(frozen=True)
class Accuracy:
    """The standard deviation of a surface, mm; or None, and why nothing is said."""

    deviation: Mm | None
    why: str | None = None


def coarse_scan(scan: Volume) -> str | None:
    """Why no surface of this scan has a known accuracy; None where it is fine enough."""
    return judge_spacing(scan).refusal


def accuracy_of(fit: SurfaceFit, scan: Volume, *, metal_near: bool = False) -> Accuracy:
    """What is known of the accuracy of a surface that was fitted to `scan`; nothing where metal lies near, for its streaks look like edges."""
    coarse = coarse_scan(scan)
    if coarse is not None:
        return Accuracy(None, coarse)
    step = judge_spacing(scan).largest
    if step > WARN_ABOVE + 1e-3:  # of thin bone more than 5 % may lie outside of any number that such a scan itself gives
        return Accuracy(None, f"Slices or voxels are {step:.2f} mm apart; above {WARN_ABOVE:g} mm the accuracy of a surface is not known.")
    if metal_near:
        return Accuracy(None, "Metal lies in or near it, and its streaks look like edges of bone.")
    return Accuracy(fit.uncertainty)


def within(deviation: Mm | None) -> float | None:
    """What 95 % of the surface lie within, mm."""
    return None if deviation is None else round(_DEVIATIONS * deviation, 3)


def said_of(accuracy: Accuracy) -> dict[str, Any]:
    """As a report holds it."""
    return {
        "uncertainty_mm": None if accuracy.deviation is None else round(accuracy.deviation, 3),
        "within_mm": within(accuracy.deviation),
        "no_accuracy": accuracy.why,
    }
