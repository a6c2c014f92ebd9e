"""psi-cad in a script or a notebook: builds one after the other, in processes that stay, and their solids to go on with."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from psi_cad import api
from psi_cad.builder.kept import Kept
from psi_cad.errors import EnvironmentProblem, InputError
from psi_cad.outputs.subject import stem
from psi_cad.processes.workers import DEFAULT_LIMIT, Workers
from psi_cad.stages.disk import own_disk

if TYPE_CHECKING:
    import cadquery as cq
    import trimesh

__all__ = ["Built", "BuiltGuide", "Session"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class BuiltGuide:
    """One guide of a build: its entry in the report, and the folder in which its files lie."""

    entry: dict[str, Any] = field(repr=False)
    folder: Path

    @property
    def name(self) -> str:
        """NAME_BLADE, or NAME_BLADE_VARIANT, as its files are called."""
        return stem(str(self.entry["name"]), str(self.entry["blade"]), self.entry.get("variant"))

    @property
    def status(self) -> str:
        """Whether it "passed", is "rejected", or "stale" since what it was made from has changed."""
        return str(self.entry["status"])

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The checks that it does not pass."""
        return [check for check in self.entry["checks"] if not check["passed"]]

    def file(self, kind: str) -> Path:
        """Its file of a kind: "step", "stl", "3mf" or "png".

        Raises
        ------
        InputError
            Where it has none: a rejected guide has no STL, so that nobody prints it.
        """
        if kind not in self.entry["files"]:
            raise InputError(f"{self.name} is {self.status} and has no {kind} file; it has {', '.join(self.entry['files'])}.")
        return self.folder / str(self.entry["files"][kind])

    def solid(self) -> cq.Solid:
        """The exact solid, patient frame (LPS), mm: read from the STEP file that was measured.

        Raises
        ------
        KernelError
            Where the file holds no single solid any more.
        """
        import cadquery as cq

        from psi_cad.brep.checked import one_solid

        found = cq.importers.importStep(str(self.file("step"))).vals()
        return one_solid("read the STEP", cq.Compound.makeCompound([shape for shape in found if isinstance(shape, cq.Shape)]))

    def mesh(self) -> trimesh.Trimesh:
        """The mesh that is printed, patient frame (LPS), mm.

        Raises
        ------
        InputError
        """
        import trimesh as meshes

        return meshes.load_mesh(self.file("stl"))

    def show(self) -> None:
        """Show the solid where there is a viewer: CQ-editor's or ocp_vscode's `show_object`, else the picture in a notebook.

        Raises
        ------
        EnvironmentProblem
            Where nothing can show it; the picture's path is told.
        """
        given = sys._getframe(1).f_globals.get("show_object")  # CQ-editor gives it to the script it runs
        if given is None and importlib.util.find_spec("ocp_vscode") is not None:
            given = importlib.import_module("ocp_vscode").show_object
        if given is not None:
            given(self.solid(), name=self.name)
            return
        notebook = sys.modules.get("IPython")  # a notebook has loaded it
        if notebook is not None and notebook.get_ipython() is not None:
            notebook.display.display(notebook.display.Image(filename=str(self.file("png"))))
            return
        raise EnvironmentProblem(f"There is no CQ-editor, ocp_vscode or notebook to show {self.name} in; its picture is '{self.file('png')}'.")

    def _repr_png_(self) -> bytes:
        """Its picture, for a notebook."""
        return self.file("png").read_bytes()


@dataclass(frozen=True)
class Built:
    """What came of a build: the report, the case's output folder, and the guides that this build made."""

    report: dict[str, Any] = field(repr=False)
    folder: Path
    guides: tuple[BuiltGuide, ...]
    stages: tuple[dict[str, Any], ...] = field(default=(), repr=False)  # which were made and which found, and why

    @property
    def status(self) -> str:
        """Whether every guide was made and "passed"; "rejected" otherwise."""
        return str(self.report["status"])

    @property
    def refused(self) -> list[dict[str, Any]]:
        """The guides that were not made, and why."""
        return list(self.report["refused"])

    def __getitem__(self, name: str) -> BuiltGuide:
        """The guide of that name (in the case), or of that NAME_BLADE.

        Raises
        ------
        InputError
        """
        found = [guide for guide in self.guides if name in (guide.name, guide.entry["name"])]
        if len(found) != 1:
            raise InputError(f"'{name}' names {len(found) or 'no'} guides of this build; they are {', '.join(guide.name for guide in self.guides)}.")
        return found[0]


class Session:
    """Builds and measures, one after the other, in processes that live on, so that the kernel is loaded once.

    What a change does not touch is kept from one build to the next. What hangs or crashes there is an error of that one build, and
    the next has new processes. Close it, or use it in a `with`.
    Not to be shared between threads.

    Parameters
    ----------
    catalogue : path, optional
        A user's own blades and printers.
    progress : callable, optional
        Told each step.
    time_limit : float
        Seconds that the kernel may take for one build.
    """

    def __init__(self, *, catalogue: Path | str | None = None, progress: Progress | None = None, time_limit: float = DEFAULT_LIMIT) -> None:
        self.catalogue, self.progress, self.time_limit = catalogue, progress, time_limit
        self._workers = Workers()
        self._kept = Kept(own_disk(), role="plan")
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; what was built without an `out` goes with them."""
        self._workers.close()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def build(
        self,
        case: Path | str,
        out: Path | str | None = None,
        *,
        blades: Sequence[str] = (),
        settings: Sequence[str] = (),
        accept: Sequence[str] = (),
        variant: str | None = None,
        suggest: bool = False,
    ) -> Built:
        """Build every guide of a case; parameters as those of `psi_cad.build`.

        Parameters
        ----------
        out : path, optional
            The output folder; by default one that goes when the session is closed.

        Raises
        ------
        PsiCadError
            Where no guide can be made.
        """
        if out is None:
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="psi-cad-", ignore_cleanup_errors=True)
            out = tempfile.mkdtemp(dir=self._scratch.name)
        stages = list[dict[str, Any]]()
        report = api.build(
            case,
            out,
            blades=blades,
            settings=settings,
            catalogue=self.catalogue,
            accept=accept,
            variant=variant,
            suggest=suggest,
            progress=self.progress,
            time_limit=self.time_limit,
            workers=self._workers,
            kept=self._kept,
            stages=stages,
        )
        folder = Path(out) / str(report["case"]["id"])
        made = tuple(BuiltGuide(entry, folder) for entry in json.loads(json.dumps(report["guides"])) if not entry.get("kept"))
        return Built(report, folder, made, tuple(stages))

    def measure(self, folder: Path | str) -> dict[str, Any]:
        """Measure an output folder again, as `psi_cad.measure`.

        Raises
        ------
        PsiCadError
        """
        return api.measure(folder, progress=self.progress, time_limit=self.time_limit, workers=self._workers)
