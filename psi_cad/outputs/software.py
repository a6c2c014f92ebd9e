"""What made a report: the versions that decide what a guide's files hold."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from psi_cad import __version__
from psi_cad.records.shared import Software

__all__ = ["DECISIVE", "build_software", "plan_software", "software_said"]

KERNELS: Final = ("cadquery-ocp", "cadquery-ocp-novtk", "ocp")  # the packages that the kernel comes in
DECISIVE: Final = ("psi-cad", "cadquery", "kernel")  # Python's own version changes no file


def build_software() -> dict[str, str]:
    """What `build` runs on, without loading it."""
    kernel = next((found for name in KERNELS if (found := _version(name)) is not None), "unknown")
    return {"psi-cad": __version__, "cadquery": _version("cadquery") or "unknown", "kernel": kernel, "python": platform.python_version()}


def plan_software() -> dict[str, str]:
    """What `plan` runs on."""
    return {"psi-cad": __version__, "manifold3d": _version("manifold3d") or "", "trimesh": _version("trimesh") or ""}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def software_said(software: Software | None) -> str:
    """The versions that a report of `build` names, in one line.

    >>> software_said(Software(psi_cad="1.0", cadquery="2.8", kernel="7.9", python="3.12"))
    'psi-cad 1.0, cadquery 2.8, kernel 7.9'
    """
    named = {} if software is None else software.to_json()
    return ", ".join(f"{name} {named.get(name, 'not told')}" for name in DECISIVE)
