"""What `--set` overrode of a case, told for each guide and part that it reaches: one of another run in the same folder was not overridden."""

from __future__ import annotations

from psi_cad.case.load import OF_EVERY_GUIDE, LoadedCase
from psi_cad.findings import Caution
from psi_cad.making.cautions import overrides_said

__all__ = ["guide_overrides", "part_overrides"]


def guide_overrides(loaded: LoadedCase, name: str) -> tuple[Caution, ...]:
    """The cautions of how the entry of the guide called `name` was overridden."""
    return overrides_said(setting for setting in loaded.settings if _reaches_guide(_keys(setting), name))


def part_overrides(loaded: LoadedCase, name: str) -> tuple[Caution, ...]:
    """The same of the part called `name`."""
    return overrides_said(setting for setting in loaded.settings if _keys(setting)[:2] == ["part", name])


def _keys(setting: str) -> list[str]:
    return setting.partition("=")[0].strip().split(".")


def _reaches_guide(keys: list[str], name: str) -> bool:
    """Whether "params.x=…", "guide.x=…" or "guide.NAME.x=…" is about the guide called `name`."""
    return keys[0] == "params" or (keys[0] == "guide" and (keys[1] in OF_EVERY_GUIDE or keys[1] == name))
