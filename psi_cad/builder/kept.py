"""What one process keeps of the builds that it has done: bones as read, and pieces of sites and solids."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.named import refuse_changed, stamps_of
from psi_cad.intake.bones import BonesRead, read_bones
from psi_cad.intake.named import inputs_of
from psi_cad.processes.cores import one_core
from psi_cad.stages.digests import digest
from psi_cad.stages.disk import Disk, held
from psi_cad.stages.workshop import MOST_BYTES, Shelf, Workshop

__all__ = ["Kept"]

PICTURE_BYTES: Final = 24 << 20  # in memory: about twenty; they show patients' bones, and are on no disk but beside their guides
BONE_BYTES: Final = 256 << 20  # in memory: two bones of a million triangles
AMONG: Final = 12  # beside other builds, each keeps so much less; what a piece holds in memory is up to four times what it is as pickled
MEASURED: Final = {"marks", "arrows"}  # parts of a picture
OTHER: Final = {"guide", "cut", "trajectory", "part"}  # tables that no bone depends on


class Kept:
    """Bones and a workshop that live on from one build to the next; on `disk` too, where there is one.

    Parameters
    ----------
    role : str
        Of the process, so that what two of them were asked for last is told apart.
    """

    def __init__(self, disk: Disk | None = None, *, role: str = "") -> None:
        self._disk, self._role = disk, role
        share = AMONG if one_core() else 1
        self.workshop = Workshop(Shelf(disk, most=MOST_BYTES // share))
        self.stages = self.workshop.shelf.stages
        self._bones = Shelf(disk, most=BONE_BYTES // share, stages=self.stages)
        self._pictures = Shelf(most=PICTURE_BYTES // share, stages=self.stages)
        self._pictured = set[bytes]()
        self._drawn = set[str]()
        self._case = b""

    def begin(self, loaded: LoadedCase) -> None:
        """A build of a case begins."""
        self.workshop.shelf.begin()
        self._case = digest("last", self._role, str(loaded.path.resolve()))
        body = self._disk.read(self._case) if self._disk is not None else None
        try:
            self.stages.begin(pickle.loads(body) if body is not None else None)
        except Exception:  # whatever is wrong with it: it only tells why a stage was made
            self.stages.begin()

    def end(self) -> list[dict[str, Any]]:
        """It is done: which stages were made and which were found."""
        body = held(self.stages.parts)
        if self._disk is not None and body is not None:
            self._disk.write(self._case, body)
        return self.stages.to_json()

    def bones(self, loaded: LoadedCase, progress: Callable[[str], None]) -> BonesRead:
        """The bones of a case, read now or earlier; of scans, which are kept beside the case, in this process only.

        Raises
        ------
        PsiCadError
        """
        stamps = stamps_of(loaded)
        said = loaded.case.model_dump(mode="json", exclude=OTHER)
        files = {name: digest(sha) for name, sha in inputs_of(loaded).items() if not name.startswith("cut[")}
        parts = {"settings of the bone": digest(str(loaded.path), said), **files}
        surfaces = all(bone.surface is not None for bone in loaded.case.bones)

        def read() -> BonesRead:
            found = read_bones(loaded, progress=progress)
            refuse_changed(loaded, stamps)  # else it would be kept under the hash of another
            return found

        return self._bones.piece("read the bone", parts, read, on_disk=surfaces)

    def drawn(self, guides: Sequence[str]) -> bool:
        """Whether guides with these hashes, of all that they are made from, were drawn by this process."""
        return set(guides) <= self._drawn

    def pictured(self, parts: Mapping[str, bytes]) -> bool:
        """Whether a picture was made of these parts, whatever was measured; it may have gone since."""
        return digest(dict(parts)) in self._pictured

    def picture(self, parts: Mapping[str, bytes], make: Callable[[], bytes], *, guide: str = "") -> bytes:
        """A guide's picture, as its file, made now or earlier by this process, of parts with these digests; `guide`: its hash."""
        self._drawn.add(guide)
        found = self._pictures.piece("picture", parts, make, on_disk=False)
        self._pictured.add(digest({name: parts[name] for name in parts if name not in MEASURED}))
        return found
