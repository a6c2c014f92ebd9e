"""Draw a guide's picture in a process of its own, beside the measurement: `python -m psi_cad.report.draw`, one request on stdin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import trimesh

from psi_cad.errors import BuildError
from psi_cad.frames import Frame
from psi_cad.report.pictures import picture_of_guide

__all__ = ["Drawing"]

LIMIT_S = 120.0


class Drawing:
    """A picture that is being drawn from files; a graphics driver that crashes takes only this process with it."""

    def __init__(self, picture: Path, *, guide: Path, bone: Path, tumour: Path | None, frame: Frame) -> None:
        self.picture = picture
        request = {
            "picture": str(picture),
            "guide": str(guide),
            "bone": str(bone),
            "tumour": str(tumour) if tumour is not None else None,
            "origin": frame.origin.tolist(),
            "axes": frame.axes.tolist(),
        }
        self._process = subprocess.Popen(
            (sys.executable, "-m", "psi_cad.report.draw"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode())
        self._process.stdin.close()

    def finished(self) -> None:
        """Wait for the picture.

        Raises
        ------
        BuildError
            If it could not be drawn.
        """
        try:
            code = self._process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.dropped()
            code = -1
        if code != 0 or not self.picture.is_file():
            raise BuildError(f"The picture '{self.picture.name}' could not be drawn (exit {code}); off-screen OpenGL is missing or broken.")

    def dropped(self) -> None:
        """Stop drawing and leave no picture."""
        self._process.kill()
        self._process.wait()
        self.picture.unlink(missing_ok=True)


def main() -> None:
    """Serve one request."""
    request = json.loads(sys.stdin.read())
    frame = Frame(origin=np.array(request["origin"]), axes=np.array(request["axes"]))
    tumour = trimesh.load_mesh(request["tumour"]) if request["tumour"] else None
    guide, bone = trimesh.load_mesh(request["guide"]), trimesh.load_mesh(request["bone"])
    picture_of_guide(Path(request["picture"]), guide, bone, frame, tumour=tumour)


if __name__ == "__main__":
    main()
