"""What `--set` overrode of a case, told for each guide that it reaches: a guide of another run in the same folder was not overridden."""

from __future__ import annotations

from psi_cad.case.load import OF_EVERY_GUIDE, LoadedCase
from psi_cad.findings import Caution

__all__ = ["guide_overrides"]


def guide_overrides(loaded: LoadedCase, name: str) -> tuple[Caution, ...]:
    """The cautions of how the entry of the guide called `name` was overridden."""
    return tuple(Caution("case-overridden", f"--set {setting} overrides the case file") for setting in loaded.settings if _reaches(setting, name))


def _reaches(setting: str, name: str) -> bool:
    """Whether "params.x=…", "guide.x=…" or "guide.NAME.x=…" is about the guide called `name`."""
    keys = setting.partition("=")[0].strip().split(".")
    return keys[0] == "params" or (keys[0] == "guide" and (keys[1] in OF_EVERY_GUIDE or keys[1] == name))
