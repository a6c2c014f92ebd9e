"""Pictures drawn by a copy of the builder: its graphics driver starts while the kernel works, and a guide is drawn while it is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from psi_cad.frames import Frame
from psi_cad.processes.copies import Copy
from psi_cad.processes.cores import one_core
from psi_cad.report.lighter import lighter
from psi_cad.report.pictures import SIZE, Arrow, GuidePicture, Mark
from psi_cad.report.views import BONE, GUIDE, Body, Studio, view_onto

__all__ = ["Artist", "BegunPicture"]


class Artist:
    """Draws guides on one bone (patient mm), with one tumour or none."""

    def __init__(self, bone: trimesh.Trimesh, tumour: trimesh.Trimesh | None) -> None:
        self.bone, self.tumour = bone, tumour
        self._copy: Copy | None = None
        self._number = 0

    def __enter__(self) -> Artist:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Have a copy make ready to draw, where there can be one, and a core for it."""
        if not one_core():
            with suppress(OSError):
                self._copy = Copy(self._serve)

    def begin(self, guide: trimesh.Trimesh, frame: Frame, around: Mapping[str, Any]) -> BegunPicture:
        """Begin a picture: as far as needs no measuring. `around`: what `GuidePicture` takes beside guide, bone, frame and tumour."""
        self._number += 1
        begun = BegunPicture(self, self._number, guide, frame, around)
        if self._copy is not None:
            try:
                self._copy.say(("begin", self._number, guide, frame, dict(around)))
            except OSError:
                self.close()
        if self._copy is None:
            begun.draw()
        return begun

    def saved(self, number: int, path: Path, marks: Sequence[Mark], arrows: Sequence[Arrow]) -> bool:
        """Whether the copy has written a picture that was begun."""
        if self._copy is None:
            return False
        try:
            self._copy.say(("save", number, path, marks, arrows))
            return bool(self._copy.hear())
        except (OSError, EOFError):
            self.close()
            return False

    def close(self) -> None:
        """End the copy."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _serve(self, line: Connection) -> None:
        """In the copy: draw what is begun, and write it when told so. What goes wrong is met again by the builder, which tells it."""
        bone = lighter(self.bone)
        studio = _ready(bone)
        begun: dict[int, GuidePicture] = {}
        while True:
            what, number, *given = line.recv()
            if what == "begin":
                guide, frame, around = given
                with suppress(Exception):  # whatever it is, the builder draws itself then, and tells it
                    begun[number] = GuidePicture(guide, bone, frame, tumour=self.tumour, studio=studio, **around)
                continue
            path, marks, arrows = given
            written = False
            with suppress(Exception):  # as above
                begun.pop(number).saved(path, marks=marks, arrows=arrows)
                written = path.is_file()
            if not begun:
                studio.forget(but=bone)
            line.send(written)


def _ready(bone: trimesh.Trimesh) -> Studio:
    """A studio that has drawn `bone` once, and will again in the pictures of its guides: the first time the driver takes as long as seven more."""
    studio, small = Studio(), trimesh.creation.icosphere(subdivisions=1)
    studio.drawn(view_onto(np.asarray(bone.vertices), np.eye(3)[0], size=SIZE), [Body(bone, BONE), Body(small, GUIDE, edges=True)])
    return studio


class BegunPicture:
    """A picture of a guide that an artist has begun."""

    def __init__(self, artist: Artist, number: int, guide: trimesh.Trimesh, frame: Frame, around: Mapping[str, Any]) -> None:
        self._artist, self._number = artist, number
        self._given = guide, frame, around
        self._own: GuidePicture | None = None

    def draw(self) -> None:
        """Draw it in this process."""
        guide, frame, around = self._given
        self._own = GuidePicture(guide, self._artist.bone, frame, tumour=self._artist.tumour, **around)

    def saved(self, path: Path, *, marks: Sequence[Mark], arrows: Sequence[Arrow]) -> None:
        """Write it, with what was measured on top."""
        if self._own is None and self._artist.saved(self._number, path, marks, arrows):
            return
        if self._own is None:
            self.draw()
        assert self._own is not None
        self._own.saved(path, marks=marks, arrows=arrows)
