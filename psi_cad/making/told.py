"""What a report says of one part that was made, and what made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psi_cad import __version__
from psi_cad.export.parts import NO_STEP, Written
from psi_cad.parts.contract import Part
from psi_cad.parts.measured import measure_alone
from psi_cad.records.parts import MadePart
from psi_cad.units import Mm

__all__ = ["SOFTWARE", "measured_part", "told_of_part"]

SOFTWARE = f"psi-cad {__version__}"


def told_of_part(part: Part, written: Written, measured: Mapping[str, Any], files: Sequence[str]) -> MadePart:
    """What a report says of a part; `files`: the names of its own files."""
    why: dict[str, Any] = {} if written.exact else {"no_step": NO_STEP}
    unprinted: dict[str, Any] = {} if part.printed else {"printed": False}
    turned: dict[str, Any] = {} if written.up is None else {"print_up": [round(float(v), 6) for v in written.up]}
    return MadePart(
        name=part.name,
        kind="solid" if written.exact else "mesh",
        **why,
        files=list(files),
        volume_mm3=measured["volume_mm3"],
        label=list(part.label.lines),
        features=measured["features"],
        status=measured["status"],
        **unprinted,
        **turned,
    )


def measured_part(part: Part, written: Written, folder: Path, *, build_volume: tuple[Mm, Mm, Mm], **more: Any) -> dict[str, Any]:
    """What is measured of a part's files in `folder`; for `more` see `measure_alone`.

    Raises
    ------
    KernelError, InputError
    """
    step = folder / written.files["step"] if written.exact else None
    return measure_alone(step, folder / written.files["stl"], part.features, build_volume=build_volume if part.printed else None, **more)
