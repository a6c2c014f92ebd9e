"""What identifies the files and folders that a case names: their content."""

from __future__ import annotations

from psi_cad.case.load import LoadedCase
from psi_cad.case.named import named_in, there
from psi_cad.intake.work import digest_of

__all__ = ["inputs_of"]


def inputs_of(loaded: LoadedCase) -> dict[str, str]:
    """SHA-256 of everything that a case names (of a folder: of all its files), by the key that names it.

    Raises
    ------
    CaseError
        If something is not there.
    """
    return {key: digest_of(there(loaded, name, key=key)) for key, name in named_in(loaded).items()}
