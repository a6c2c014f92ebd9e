"""Boolean operations that return exactly one solid, or raise and say which step failed.

Whether the finished guide is a valid solid is measured once, on its file read back: a check after every step took
a tenth of the build. A guide that fails there is designed again with outlines drawn a little otherwise.
Volumes are not compared here: the kernel integrates trimmed B-spline faces only to about one per cent, and what a
Boolean may silently lose (a wall, a sleeve, a plate) is looked for in the exported file instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import cadquery as cq
from OCP.BRepAlgoAPI import BRepAlgoAPI_BooleanOperation, BRepAlgoAPI_Common, BRepAlgoAPI_Cut, BRepAlgoAPI_Fuse
from OCP.BRepClass3d import BRepClass3d
from OCP.Standard import Standard_Failure
from OCP.TopTools import TopTools_ListOfShape

from psi_cad.errors import KernelError
from psi_cad.processes.cores import one_core

__all__ = ["common", "cut", "filled", "fuse", "listening", "one_solid", "say"]

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Have `listener` told the name of each step before it runs, while the block runs, so that a hang or crash can be named."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def say(step: str) -> None:
    """Tell the listener, where there is one, that `step` begins."""
    listener = _listener.get()
    if listener is not None:
        listener(step)


def one_solid(step: str, shape: cq.Shape) -> cq.Solid:
    """The only solid of `shape`.

    Raises
    ------
    KernelError
    """
    solids = shape.Solids()
    if len(solids) != 1:
        raise KernelError(f"The step '{step}' left {len(solids)} solids where one belongs; try another footplate_reach or slope_limit.")
    return cq.Solid(solids[0].wrapped)


def filled(solid: cq.Solid) -> cq.Solid:
    """`solid` with no void closed in it, where bodies that were fused meet all round one: nothing could be washed out of it."""
    if len(solid.Shells()) == 1:
        return solid
    return cq.Solid.makeSolid(cq.Shell(BRepClass3d.OuterShell_s(solid.wrapped)))


def _run(step: str, operation: BRepAlgoAPI_BooleanOperation, body: cq.Shape, tools: Sequence[cq.Shape]) -> cq.Solid:
    say(step)
    arguments, others = TopTools_ListOfShape(), TopTools_ListOfShape()
    arguments.Append(body.wrapped)
    for tool in tools:
        others.Append(tool.wrapped)
    operation.SetArguments(arguments)
    operation.SetTools(others)
    operation.SetRunParallel(not one_core())  # results are gathered in a fixed order: a test compares two processes' bytes
    operation.SetUseOBB(isinstance(operation, BRepAlgoAPI_Fuse))  # tighter boxes: of few large tools, making them takes longer than it saves
    operation.SetNonDestructive(True)
    try:
        operation.Build()
    except Standard_Failure as failure:
        raise KernelError(f"The step '{step}' failed in the kernel ({type(failure).__name__}); try another footplate_reach.") from failure
    if not operation.IsDone():
        raise KernelError(f"The step '{step}' failed in the kernel; try another footplate_reach or slope_limit.")
    return one_solid(step, cq.Shape.cast(operation.Shape()))


def fuse(step: str, body: cq.Shape, *tools: cq.Shape) -> cq.Solid:
    """`body` and all `tools` as one solid."""
    return _run(step, BRepAlgoAPI_Fuse(), body, tools)


def cut(step: str, body: cq.Shape, *tools: cq.Shape) -> cq.Solid:
    """`body` without `tools`, in one piece."""
    return _run(step, BRepAlgoAPI_Cut(), body, tools)


def common(step: str, body: cq.Shape, tool: cq.Shape) -> cq.Solid:
    """What `body` and `tool` share, in one piece."""
    return _run(step, BRepAlgoAPI_Common(), body, (tool,))
