"""The picture of a guide: drawn while its files are measured, finished with what was measured, and found again where nothing in it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from psi_cad.builder.entry import Made
from psi_cad.builder.export import title_of
from psi_cad.builder.kept import Kept
from psi_cad.drawing.artist import Artist, BegunPicture
from psi_cad.errors import BuildError
from psi_cad.files import whole_file
from psi_cad.grafting.graft import GRAFT
from psi_cad.intake.prepare import Job
from psi_cad.making.marks import marks_of, weakest
from psi_cad.records.guide import MeasuredFiles
from psi_cad.stages.digests import digest

__all__ = ["Drawing"]


class Drawing:
    """A guide's picture, with the way it most easily slides; of a rejected one its places are marked.

    It is drawn at once, as far as needs no measuring, unless pictures of the very same guide and bone are kept.
    """

    def __init__(self, job: Job, made: Made, mesh: trimesh.Trimesh, kept: Kept, artist: Artist) -> None:
        frame = made.site.frame
        self._artist, self._mesh, self._frame = artist, mesh, frame
        self._around: dict[str, Any] = {
            "cuts": job.cuts,
            "labels": made.design.label.faces,
            "ways": [(way.name, *frame.patient(np.array([way.entry - way.depth * way.out, way.entry]))) for way in made.site.ways],
            **({} if made.site.graft is None else {"frees": GRAFT}),
            "title": title_of(made, case=job.loaded.case.id, side=job.side),
        }
        drawn = {"guide": mesh, "bone": artist.bone, "frame": frame, "tumour": artist.tumour, **self._around}
        self._parts = {name: digest(value) for name, value in drawn.items()}
        self._kept, self._hash = kept, made.job
        self._begun = None if kept.pictured(self._parts) else self._drawn()

    def _drawn(self) -> BegunPicture:
        return self._artist.begin(self._mesh, self._frame, self._around)

    def saved(self, path: Path, measured: MeasuredFiles) -> None:
        """Write it.

        Raises
        ------
        BuildError
            If it could not be drawn.
        """
        marks, arrows = marks_of(measured), [weakest(measured.seat)]

        def made() -> bytes:
            picture = self._begun or self._drawn()
            picture.saved(path, marks=marks, arrows=arrows)
            if not path.is_file():
                raise BuildError(f"The picture '{path.name}' could not be drawn; off-screen OpenGL is missing or broken.")
            return path.read_bytes()

        found = self._kept.picture({**self._parts, "marks": digest(marks), "arrows": digest(arrows)}, made, guide=self._hash)
        if not path.is_file():
            with whole_file(path) as temporary:
                temporary.write_bytes(found)
