"""Measure guides while others are still being designed: the inspector's side, and the builder's line to it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import numpy as np
import trimesh

from psi_cad.errors import PsiCadError, from_json
from psi_cad.files import sha256_of
from psi_cad.promises.expected import Expected
from psi_cad.readback.part import Part
from psi_cad.records.guide import MeasuredFiles
from psi_cad.surface.repair import weld
from psi_cad.verify.checks import measure_part
from psi_cad.verify.features.seat import BoneProbe

__all__ = ["Inspection", "Inspector", "Line", "bone_probe", "serve"]

WELD_DIGITS: Final = 8  # of a millimetre: corners that are written as the same numbers


class Inspection(Protocol):
    """Measures the files of guides, in the order in which they are shown."""

    def bones(self, paths: Mapping[str | None, Path]) -> None:
        """The bones of the case, by name, that all guides to come are measured against; of an earlier case only one that comes again is kept."""
        ...

    def on(self, bone: str | None) -> None:
        """The bone that the guides to come sit on."""
        ...

    def step(self, path: Path, expected: Expected) -> None:
        """A guide's STEP is written."""
        ...

    def stl(self, path: Path) -> None:
        """The STL of the same guide is written: measure both."""
        ...

    def result(self) -> MeasuredFiles:
        """What was measured of the next guide."""
        ...


def bone_probe(path: Path, name: str | None = None) -> BoneProbe:
    """A bone beside the guides, ready to be measured against."""
    read = trimesh.load_mesh(path, process=False)
    mesh = trimesh.Trimesh(np.asarray(read.vertices, dtype=np.float64), np.asarray(read.faces), process=False)
    weld(mesh, digits=WELD_DIGITS)  # as trimesh does, which took most of the time of a bone of a million triangles
    return BoneProbe(mesh, name)


class Inspector:
    """Measures at once, in this process."""

    def __init__(self) -> None:
        self._probes: list[BoneProbe] = []
        self._kept: list[tuple[str, BoneProbe]] = []  # with the hashes of their files
        self._bone: str | None = None
        self._part: Part | PsiCadError | None = None
        self._expected: Expected | None = None
        self._results: deque[MeasuredFiles | PsiCadError] = deque()

    def bones(self, paths: Mapping[str | None, Path]) -> None:
        """See `Inspection`."""
        wanted = [(name, sha256_of(path), path) for name, path in paths.items()]
        before = {(probe.name, digest): probe for digest, probe in self._kept}
        self._kept = [(digest, before.get((name, digest)) or bone_probe(path, name)) for name, digest, path in wanted]
        self._probes = [probe for _, probe in self._kept]

    def on(self, bone: str | None) -> None:
        """See `Inspection`."""
        self._bone = bone

    def step(self, path: Path, expected: Expected) -> None:
        """See `Inspection`; what needs the STEP alone is measured here, while the STL is being written."""
        self._expected = expected
        try:
            self._part = Part(path, expected.frame)
            if self._part.solid_count:
                self._part.warm()
        except PsiCadError as error:
            self._part = error

    def stl(self, path: Path) -> None:
        """See `Inspection`."""
        assert self._expected is not None and self._part is not None
        own = next(probe for probe in self._probes if probe.name == self._bone)
        others = [probe for probe in self._probes if probe is not own]
        try:
            if isinstance(self._part, PsiCadError):
                raise self._part
            found = measure_part(self._part, path, self._expected, own, others)
            self._results.append(MeasuredFiles.model_validate(found.to_json()))
        except PsiCadError as error:
            self._results.append(error)

    def result(self) -> MeasuredFiles:
        """See `Inspection`.

        Raises
        ------
        PsiCadError
            Where a file could not be read back.
        """
        found = self._results.popleft()
        if isinstance(found, PsiCadError):
            raise found
        return found


class Line:
    """The builder's line to an inspector in another process: `say` sends a message, `hear` waits for the next answer."""

    def __init__(self, say: Callable[[dict[str, Any]], None], hear: Callable[[], dict[str, Any]]) -> None:
        self._say, self._hear = say, hear

    def bones(self, paths: Mapping[str | None, Path]) -> None:
        """See `Inspection`."""
        self._say({"bones": [[name, str(path)] for name, path in paths.items()]})

    def on(self, bone: str | None) -> None:
        """See `Inspection`."""
        self._say({"on": bone})

    def step(self, path: Path, expected: Expected) -> None:
        """See `Inspection`."""
        self._say({"step": str(path), "expected": expected.to_json()})

    def stl(self, path: Path) -> None:
        """See `Inspection`."""
        self._say({"stl": str(path)})

    def result(self) -> MeasuredFiles:
        """See `Inspection`.

        Raises
        ------
        PsiCadError
        """
        answer = self._hear()
        if "error" in answer:
            raise from_json(answer)
        return MeasuredFiles.model_validate(answer["measured"])


def serve(messages: TextIO, answer: Callable[[dict[str, Any]], None]) -> None:
    """Inspect what `messages` (lines of JSON from a `Line`) show, until they end."""
    inspector = Inspector()
    for line in messages:
        message = json.loads(line)
        if "bones" in message:
            inspector.bones({name: Path(path) for name, path in message["bones"]})
        elif "on" in message:
            inspector.on(message["on"])
        elif "step" in message:
            inspector.step(Path(message["step"]), Expected.from_json(message["expected"]))
        else:
            inspector.stl(Path(message["stl"]))
            try:
                answer({"measured": inspector.result().to_json()})
            except PsiCadError as error:
                answer(error.to_json())
