"""What `--set` overrode of a case, told for each guide and part that it reaches: one of another run in the same folder was not overridden."""

from __future__ import annotations

from psi_cad.case.load import LoadedCase
from psi_cad.findings import Caution
from psi_cad.making.cautions import overrides_said
from psi_cad.outputs.overrides import of_case, overrides_of

__all__ = ["guide_overrides", "part_overrides"]


def guide_overrides(loaded: LoadedCase, name: str) -> tuple[Caution, ...]:
    """The cautions of how all that the guide called `name` is made from was overridden."""
    return overrides_said(setting for setting in loaded.settings if overrides_of([setting], name))


def part_overrides(loaded: LoadedCase, name: str) -> tuple[Caution, ...]:
    """The same of the part called `name`."""
    keys = {setting: setting.partition("=")[0].strip().split(".")[:2] for setting in loaded.settings}
    return overrides_said(setting for setting in loaded.settings if keys[setting] == ["part", name] or of_case([setting]))
