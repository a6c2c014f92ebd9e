"""What is imported late or not at all, so that a process of a build is ready sooner."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

__all__ = ["quick_imports", "without_vtk"]


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without looking for rubbish, which took a tenth of the time: while modules are loaded nothing becomes any."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _later(name: str) -> None:
    """Have `name` imported when it is first used: other packages ask for all of it and use little."""
    spec = importlib.util.find_spec(name) if name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


class _WhenCalled(ModuleType):
    """Stands in for a module until something of it is called; what is taken from it stands in for that."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def called(*values: Any) -> Any:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            return getattr(importlib.import_module(self.__name__), name)(*values)

        return called


DRAWINGS: Final = ("cadquery.occ_impl.importers.dxf", "cadquery.occ_impl.exporters.dxf")  # they load all of a library for drawings on paper


def without_vtk() -> None:
    """Have the kernel's packages load no VTK: that took as long as the kernel itself, and they use it for drawings that we do not ask for."""
    _later("vtk")
    for name in ("OCP.IVtkOCC", "OCP.IVtkVTK", *DRAWINGS):
        sys.modules.setdefault(name, _WhenCalled(name))
