"""Measure parts again from their files, against what a report says was promised of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psi_cad.errors import InputError
from psi_cad.frames import Frame
from psi_cad.parts.measured import OWN, measure_alone
from psi_cad.records.parts import MadePart
from psi_cad.units import Mm
from psi_cad.verify.features.feature import feature_from_json

__all__ = ["measured_again"]


def measured_again(folder: Path, parts: Sequence[MadePart], *, build_volume: tuple[Mm, Mm, Mm], frame: Frame = OWN) -> list[dict[str, Any]]:
    """The checks of every part; `frame`: that of their features.

    Raises
    ------
    InputError
        Where a part names no STL, or no STEP though it is a solid, or a file cannot be read.
    KernelError
    """
    checks: list[dict[str, Any]] = []
    for part in parts:
        files = {Path(name).suffix: folder / name for name in part.files}
        wanted = [".stl"] if part.kind == "mesh" else [".step", ".stl"]
        lacking = next((kind for kind in wanted if kind not in files or not files[kind].is_file()), None)
        if lacking is not None:
            raise InputError(f"{folder.name}: the {lacking} of part '{part.name}' is missing; build again.")
        features = [feature_from_json(one) for one in part.features]
        step = files[".step"] if part.kind == "solid" else None
        room = build_volume if part.printed else None
        checks += measure_alone(step, files[".stl"], features, build_volume=room, part_name=part.name, frame=frame)["checks"]
    return checks
