"""Compressed frames, decoded in a process of their own: a decoder that crashes or hangs on damaged data ends only that process.

Run as `python -m psi_cad.dicom.decoder PATH`, it answers lines of `[name, frame]` with a line that describes the
frame, then its bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from psi_cad.errors import ImageError
from psi_cad.processes.own import running

__all__ = ["Decoder"]

TIME_LIMIT: Final = 60.0
"""Seconds for one frame, the start of the process included; a frame of 512 x 512 takes a twentieth of a second."""
MEMORY_LIMIT: Final = 4 << 30
"""Bytes the process may ask for (where the system can limit it): damaged data can claim any size."""


class Decoder:
    """The parent's end; use as a context.

    Raises
    ------
    ImageError
        From `frame`, where the data cannot be decoded.
    """

    def __init__(self, path: Path, *, time_limit: float = TIME_LIMIT, command: tuple[str, ...] = running("psi_cad.dicom.decoder")) -> None:
        self.time_limit = time_limit
        self.process = subprocess.Popen((*command, str(path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def frame(self, name: str, frame: int, *, rows: int, columns: int) -> npt.NDArray[Any]:
        """Stored numbers (rows, columns) of a frame of the file called `name`."""
        asked, answers = self.process.stdin, self.process.stdout
        assert asked is not None and answers is not None
        late = threading.Timer(self.time_limit, self.process.kill)
        late.daemon = True
        late.start()
        try:
            asked.write(json.dumps([name, frame]).encode() + b"\n")
            asked.flush()
            said = json.loads(answers.readline() or b"{}")
            data = answers.read(int(said.get("bytes", 0)))
        except (OSError, ValueError):
            said, data = {}, b""
        finally:
            late.cancel()
        if not data or len(data) != said["bytes"]:
            raise ImageError("The compressed pixels of a slice cannot be decoded; copy or export the series again, uncompressed if it persists.")
        if said["shape"] != [rows, columns]:
            raise ImageError("The compressed pixels of a slice have another size than its header says; export the series again.")
        return np.frombuffer(data, said["dtype"]).reshape(rows, columns)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _own_stdout() -> IO[bytes]:
    """The real standard output; whatever a decoder prints goes nowhere from now on."""
    private = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return os.fdopen(private, "wb")


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main() -> None:
    """Serve frames until standard input ends."""
    from psi_cad.dicom.files import DicomFiles, quiet_pydicom

    out = _own_stdout()
    _limit_memory()
    from pydicom.pixels import get_decoder

    held: tuple[str, Any] = ("", None)
    with DicomFiles(Path(sys.argv[1])) as files, quiet_pydicom():
        for line in sys.stdin.buffer:
            name, frame = json.loads(line)
            try:
                if held[1] is None or held[0] != name:
                    held = (name, files.dataset(name))
                data = held[1]
                found, _ = get_decoder(data.file_meta.TransferSyntaxUID).as_array(data, index=frame, raw=True)
                body = np.ascontiguousarray(found).tobytes()
                said = {"bytes": len(body), "dtype": found.dtype.str, "shape": list(found.shape)}
            except Exception:  # damaged data can raise anything; the parent says so in its own words
                body, said = b"", {"bytes": 0}
            out.write(json.dumps(said).encode() + b"\n" + body)
            out.flush()


if __name__ == "__main__":
    main()
