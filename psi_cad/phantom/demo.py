"""The demo's files: the phantom's surfaces and an example case on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from psi_cad.errors import EnvironmentProblem
from psi_cad.export.meshes import write_stl
from psi_cad.files import whole_file
from psi_cad.phantom.donors import DONORS, donor_mesh
from psi_cad.phantom.hemipelvis import bone_mesh, lesion_mesh
from psi_cad.phantom.sacrum import across_mesh, sacrum_mesh
from psi_cad.phantom.scans import write_scans

__all__ = ["DEMO_CASE", "example_cases", "write_demo_case", "write_phantom"]

DEMO_CASE: Final = "phantom-scans"
SPACING: Final = 2.0
DONOR_SPACING: Final = 3.0
_HERE: Final = Path(__file__).resolve().parent.parent


def example_cases() -> Path:
    """The folder of example cases: in an installed wheel, or beside the package in a checkout.

    Raises
    ------
    EnvironmentProblem
    """
    for folder in (_HERE / "cases", _HERE.parent / "cases"):
        if (folder / DEMO_CASE / "case.toml").is_file():
            return folder
    raise EnvironmentProblem("The example cases are missing from this installation; install psi-cad again.")


def write_phantom(folder: Path) -> None:
    """Write the phantom's `bone.stl` and `tumour.stl`, the sacrum beside it and the tumour across their joint, and its `donors` (LPS, mm)."""
    write_stl(folder / "bone.stl", bone_mesh(spacing=SPACING), header="psi-cad phantom right hemipelvis, mm, SPACE=LPS")
    write_stl(folder / "tumour.stl", lesion_mesh(subdivisions=3), header="psi-cad phantom tumour, mm, SPACE=LPS")
    write_stl(folder / "sacrum.stl", sacrum_mesh(spacing=SPACING), header="psi-cad phantom sacrum, mm, SPACE=LPS")
    write_stl(folder / "tumour-across.stl", across_mesh(subdivisions=3), header="psi-cad phantom tumour across the joint, mm, SPACE=LPS")
    (folder / "donors").mkdir(exist_ok=True)
    for name, grown in DONORS.items():
        header = f"psi-cad phantom {name}, in its own frame, mm, SPACE=LPS"
        write_stl(folder / "donors" / f"{name}.stl", donor_mesh(grown, spacing=DONOR_SPACING), header=header)


def write_demo_case(folder: Path, *, progress: Callable[[str], None]) -> Path:
    """Scan the phantom into `folder`/phantom/scans and lay the example case that starts from scans beside it; its case file."""
    write_scans(folder / "phantom" / "scans", progress=progress)
    case = folder / f"{DEMO_CASE}-case" / "case.toml"
    with whole_file(case) as temporary:
        temporary.write_bytes((example_cases() / DEMO_CASE / "case.toml").read_bytes())
    return case
