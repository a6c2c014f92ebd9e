"""The verb for donors in Python: a folder of bones from a bone bank, ranked for a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["donors"]

Progress = Callable[[str], None]


def donors(
    folder: Path | str,
    case: Path | str,
    *,
    bone: str | None = None,
    units: str = "mm",
    coordinates: str = "LPS",
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Rank the donor bones in a folder for an allograft: the best first, and why others do not serve.

    Parameters
    ----------
    bone : str, optional
        Of several bones of the patient, the one that the donor replaces; by default that of [donor].
    units, coordinates : str
        Of all surfaces in the folder.

    Raises
    ------
    PsiCadError
        Where the case cannot be used, or the folder holds no surface.
    """
    from psi_cad.checking.donors import rank_donors
    from psi_cad.intake.loading import load

    loaded = load(case, settings=settings, needs=("cut",))
    return rank_donors(loaded, Path(folder), bone=bone, units=units, coordinates=coordinates, progress=progress or (lambda _: None)).to_json()
