"""Checked kernel operations and the solids a guide is made of; everything here is in the guide frame, mm.

`from psi_cad.brep import bodies` gives the module without loading the kernel: that happens when it is first used. So a
template can be asked for its parameters, and a site be planned, while the build process still starts.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from psi_cad.brep import bodies, checked, hollow, knob, label, patch, plate, pocket, prism, relief

__all__ = ["bodies", "checked", "hollow", "knob", "label", "patch", "plate", "pocket", "prism", "relief"]

_KERNEL: Final = frozenset(__all__)


class _WhenUsed(ModuleType):
    """A module of this package that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def __getattr__(name: str) -> ModuleType:
    if name in _KERNEL:
        return _WhenUsed(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
