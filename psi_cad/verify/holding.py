"""How what really touches holds a guide against sliding, and its weakest direction in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from psi_cad.findings import Check, place_of
from psi_cad.promises.expected import Expected
from psi_cad.siting.sliding import Sliding, in_words, sliding, smoothed_normals
from psi_cad.units import LIMITS, Array, Bools, Mm

__all__ = ["holding_json", "lock_check", "measure_holding", "weakest_in_words"]

ACROSS: Final = 0.5  # a way more than 30° out of a cut's plane goes across it, and moves it


def measure_holding(bottom: Array, looks: Array, touching: Bools, shape: tuple[int, int], step: Mm, expected: Expected) -> Sliding:
    """The weakest slide of the part of the underside that touches, in the patient frame.

    `bottom`, `looks` (n, 3): underside and its normals on a grid of `shape`, guide frame; `touching` (n,): where it touches.
    """
    normals = smoothed_normals(np.where(touching[:, None], looks, 0.0), touching, shape, step)[touching]
    areas = step**2 / np.clip(np.abs(looks[touching][:, 2]), 0.2, 1.0)
    found = sliding(bottom[touching], normals, areas)
    frame = expected.frame
    return replace(found, direction=frame.patient_direction(found.direction), centre=frame.patient(found.centre))


def weakest_in_words(found: Sliding, expected: Expected) -> str:
    """Such as "slides across cut A, towards head, or feet"."""
    if found.kind == "turn":
        return f"turns about its seating axis, near ({', '.join(f'{value:.0f}' for value in found.centre)})"
    if not expected.slots:
        return f"slides {in_words(found.direction)}"
    steep = [abs(float(found.direction @ np.array(slot.normal))) / float(np.linalg.norm(slot.normal)) for slot in expected.slots]
    most = int(np.argmax(steep))
    if steep[most] > ACROSS:
        return f"slides across cut {expected.slots[most].name}, {in_words(found.direction)}"
    cuts = f"cut{'s' if len(expected.slots) > 1 else ''} {' and '.join(slot.name for slot in expected.slots)}"
    return f"slides along {cuts}, {in_words(found.direction)}"


def lock_check(found: Sliding, expected: Expected) -> Check:
    """The check `sliding_lock`; a guide that may slide passes it, and its note says so."""
    limit = 0.0 if expected.allow_sliding else LIMITS.sliding_lock
    note = f"it most easily {weakest_in_words(found, expected)}"
    if found.lock < LIMITS.sliding_lock:
        more = (
            f"allowed by params.allow_sliding, {LIMITS.sliding_lock:g} is wanted"
            if expected.allow_sliding
            else "params.allow_sliding = true allows it"
        )
        note = f"{note}; {more}"
    return Check("sliding_lock", round(found.lock, 5), "", ">=", limit, found.lock >= limit, note, place_of(found.centre))


def holding_json(found: Sliding, expected: Expected) -> dict[str, Any]:
    """As the report's `seat` holds it."""
    return {
        "sliding_lock": round(found.lock, 5),
        "weakest_kind": found.kind,
        "weakest_direction": [round(float(value), 6) + 0.0 for value in found.direction],
        "weakest_in_words": weakest_in_words(found, expected),
        "contact_middle_mm": list(place_of(found.centre) or ()),
    }
