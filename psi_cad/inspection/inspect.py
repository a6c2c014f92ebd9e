"""Measure guides while others are still being designed: the inspector's side, and the builder's line to it."""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from psi_cad.errors import PsiCadError, from_json
from psi_cad.files import sha256_of
from psi_cad.processes.cores import give_back, one_core
from psi_cad.promises.expected import Expected
from psi_cad.readback.part import Part
from psi_cad.records.guide import MeasuredFiles
from psi_cad.stages.digests import digest
from psi_cad.surface.weld import welded_stl
from psi_cad.verify.checks import measure_part
from psi_cad.verify.features.seat import BoneProbe

__all__ = ["Inspection", "Inspector", "Line", "bone_probe", "serve"]

MOST_KNOWN: Final = 200  # measurements that are kept


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

    @property
    def said(self) -> Said:
        """How the last result came about."""
        ...


@dataclass(frozen=True)
class Said:
    """How a measurement came about: `found` where the very same files were measured before; what it hangs on, and how long it took (s)."""

    found: bool = False
    parts: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0


def bone_probe(path: Path, name: str | None = None) -> BoneProbe:
    """A bone beside the guides, ready to be measured against."""
    return BoneProbe(welded_stl(path), name)


class Inspector:
    """Measures at once, in this process.

    What it has measured it need not measure again: two guides of a case, one of which is changed, or a parameter that is turned back.
    It is known by the content of both files, of all bones and of what else is read, and by all that is expected; and to this process alone.
    """

    def __init__(self) -> None:
        self._probes: list[BoneProbe] = []
        self._kept: list[tuple[str, BoneProbe]] = []  # with the hashes of their files
        self._bone: str | None = None
        self._path = Path()
        self._part: Part | PsiCadError | None = None  # None while no file of these very bytes asks for being read
        self._expected: Expected | None = None
        self._parts: dict[str, bytes] = {}
        self._begun = 0.0
        self._known: OrderedDict[bytes, MeasuredFiles] = OrderedDict()
        self._steps = set[bytes]()  # of STEP files, with all but the STL, of which measurements are known
        self._results: deque[tuple[MeasuredFiles | PsiCadError, Said]] = deque()
        self.said = Said()

    def bones(self, paths: Mapping[str | None, Path]) -> None:
        """See `Inspection`."""
        wanted = [(name, sha256_of(path), path) for name, path in paths.items()]
        before = {(probe.name, told): probe for told, probe in self._kept}
        self._kept = [(told, before.get((name, told)) or bone_probe(path, name)) for name, told, path in wanted]
        self._probes = [probe for _, probe in self._kept]

    def on(self, bone: str | None) -> None:
        """See `Inspection`."""
        self._bone = bone

    def step(self, path: Path, expected: Expected) -> None:
        """See `Inspection`; what needs the STEP alone is measured here, while the STL is being written."""
        self._expected, self._path, self._part, self._begun = expected, path, None, time.perf_counter()
        self._parts = {
            "step": _bytes_of(path),
            "bones": digest([(probe.name, told) for told, probe in self._kept], self._bone),
            "what is kept from": digest([_bytes_of(path.parent / one.file) for one in expected.avoid]),
            "plan": digest(expected.to_json()),
        }
        if digest(self._parts) not in self._steps:
            self._read()

    def _read(self) -> None:
        assert self._expected is not None
        try:
            self._part = Part(self._path, self._expected.frame, judged=False)
            if self._part.solid_count:
                self._part.warm()
        except PsiCadError as error:
            self._part = error

    def stl(self, path: Path) -> None:
        """See `Inspection`."""
        assert self._expected is not None
        parts = {**self._parts, "stl": _bytes_of(path)}
        found = self._known.get(digest(parts))
        result = found if found is not None else self._measured(path, parts)
        self._results.append((result, Said(found is not None, parts, time.perf_counter() - self._begun)))

    def _measured(self, stl: Path, parts: Mapping[str, bytes]) -> MeasuredFiles | PsiCadError:
        assert self._expected is not None
        own = next(probe for probe in self._probes if probe.name == self._bone)
        others = [probe for probe in self._probes if probe is not own]
        if self._part is None:
            self._read()
        try:
            if isinstance(self._part, PsiCadError):
                raise self._part
            assert self._part is not None
            found = MeasuredFiles.model_validate(measure_part(self._part, stl, self._expected, own, others).to_json())
        except PsiCadError as error:
            return error
        self._steps.add(digest(self._parts))
        self._known[digest(parts)] = found
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return found

    def result(self) -> MeasuredFiles:
        """See `Inspection`.

        Raises
        ------
        PsiCadError
            Where a file could not be read back.
        """
        found, self.said = self._results.popleft()
        if isinstance(found, PsiCadError):
            raise found
        return found.model_copy(deep=True)  # a report adds to it


def _bytes_of(path: Path) -> bytes:
    """A digest of a file's content, "" where there is none: what reads it says so."""
    return bytes.fromhex(sha256_of(path)) if path.is_file() else b""


class Line:
    """The builder's line to an inspector in another process: `say` sends a message, `hear` waits for the next answer.

    Where they have one core between them, the builder waits for each answer: two that take turns on it are slower.
    """

    def __init__(self, say: Callable[[dict[str, Any]], None], hear: Callable[[], dict[str, Any]]) -> None:
        self._say, self._hear = say, hear
        self._begun: dict[str, Any] = {}
        self._heard = deque[dict[str, Any]]()
        self.said = Said()

    def bones(self, paths: Mapping[str | None, Path]) -> None:
        """See `Inspection`."""
        self._say({"bones": [[name, str(path)] for name, path in paths.items()]})

    def on(self, bone: str | None) -> None:
        """See `Inspection`."""
        self._say({"on": bone})

    def step(self, path: Path, expected: Expected) -> None:
        """See `Inspection`."""
        self._begun = {"step": str(path), "expected": expected.to_json()}
        if not one_core():
            self._say(self._begun)

    def stl(self, path: Path) -> None:
        """See `Inspection`."""
        if one_core():
            self._say(self._begun)
        self._say({"stl": str(path)})
        if one_core():
            self._heard.append(self._hear())

    def result(self) -> MeasuredFiles:
        """See `Inspection`.

        Raises
        ------
        PsiCadError
        """
        answer = self._heard.popleft() if self._heard else self._hear()
        said = answer.get("said", {})
        parts = {name: bytes.fromhex(part) for name, part in said.get("parts", {}).items()}
        self.said = Said(bool(said.get("found")), parts, float(said.get("seconds", 0.0)))
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
                measured, said = inspector.result().to_json(), inspector.said
                parts = {name: part.hex() for name, part in said.parts.items()}
                answer({"measured": measured, "said": {"found": said.found, "parts": parts, "seconds": said.seconds}})
            except PsiCadError as error:
                answer(error.to_json())
            give_back()
