"""psi-cad: patient-specific surgical cutting guides as exact, verified solids."""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"
__all__ = ["Session", "__version__", "build", "load_case", "measure", "validate"]


def __getattr__(name: str) -> Any:
    """The verbs load the kernel only when they are used."""
    if name == "load_case":
        from psi_cad.case.load import load_case

        return load_case
    if name == "Session":
        from psi_cad.session import Session

        return Session
    if name in ("build", "measure", "validate"):
        from psi_cad import api

        return getattr(api, name)
    raise AttributeError(f"module 'psi_cad' has no attribute {name!r}")
