"""The files of a DICOM folder or zip archive: named, opened and read whole, with every failure as one sentence."""

from __future__ import annotations

import logging
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from psi_cad.errors import ImageError

__all__ = ["DicomFiles", "UnreadableFileError", "parsed", "quiet_pydicom"]

MOST_FILES: Final = 200_000  # more than any study; a folder above it is a mistake such as the root of a disk
LARGEST_FILE: Final = 6 << 30  # bytes; an enhanced CT of 8,000 frames has 4 GiB
PREAMBLE: Final = 132
# the first group of a data set without preamble, little and big endian: file meta (0002) or identification (0008)
FIRST_GROUPS: Final = (b"\x08\x00", b"\x02\x00", b"\x00\x08", b"\x00\x02")


class UnreadableFileError(Exception):
    """A single file that is no readable DICOM object; the caller decides whether that matters."""


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """No warnings or log lines of pydicom: they quote values of the file, and so identity."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


class DicomFiles:
    """A folder (with all below it), a zip archive or a single file, as a list of named files.

    The names stay inside the reader: they may carry identity.

    Raises
    ------
    ImageError
        If `path` does not exist, or is a zip archive that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            found = []
            for one in path.rglob("*"):
                if one.is_file():
                    found.append(one.relative_to(path).as_posix())
                if len(found) > MOST_FILES:
                    raise ImageError(f"The folder holds more than {MOST_FILES} files; give the folder of one study.")
            self.names = sorted(found)
        elif not path.is_file():
            raise ImageError(f"'{path}' does not exist; give a DICOM folder, a zip archive of one, or an image file.")
        elif zipfile.is_zipfile(path):
            try:
                self._zip = zipfile.ZipFile(path)
                members = [one for one in self._zip.infolist() if not one.is_dir()]
            except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):  # all that zipfile raises on damage
                raise ImageError("The zip archive is damaged; make it again from the DICOM folder.") from None
            if any(one.flag_bits & 0x1 for one in members):
                self.close()
                raise ImageError("The zip archive is encrypted; unpack it first and give the folder.")
            self.names = sorted({one.filename for one in members})
        else:
            self.names = [""]

    def open(self, name: str) -> IO[bytes]:
        """The file called `name`, opened.

        Raises
        ------
        UnreadableFileError
            If the system or the archive refuses it.
        """
        try:
            if self._zip is None:
                place = self.path / name if name else self.path
                if place.stat().st_size > LARGEST_FILE:
                    raise UnreadableFileError
                return place.open("rb")
            if self._zip.getinfo(name).file_size > LARGEST_FILE:
                raise UnreadableFileError
            return self._zip.open(name)
        except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError):  # encrypted or packed strangely too
            raise UnreadableFileError from None

    def dataset(self, name: str, **options: Any) -> Any:
        """The pydicom data set of the file called `name`; `options` go to `pydicom.dcmread`.

        Raises
        ------
        UnreadableFileError
            If it is no DICOM object.
        """
        with self.open(name) as stream:
            try:
                start = stream.read(PREAMBLE)
                if start[128:] != b"DICM" and start[:2] not in FIRST_GROUPS:
                    raise UnreadableFileError
                # a zip member has no cheap seek
                source = BytesIO(start + stream.read()) if self._zip is not None else stream
            except (OSError, zipfile.BadZipFile, zlib.error, EOFError, MemoryError):
                raise UnreadableFileError from None
            source.seek(0)
            return parsed(source, **options)

    def close(self) -> None:
        """Close the archive."""
        if self._zip is not None:
            with suppress(OSError):
                self._zip.close()

    def __enter__(self) -> DicomFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def parsed(stream: IO[bytes], **options: Any) -> Any:
    """`pydicom.dcmread` of `stream`, with or without file meta header.

    Raises
    ------
    UnreadableFileError
        If it is no DICOM object. A damaged file can make pydicom raise nearly anything.
    """
    import pydicom

    try:
        return pydicom.dcmread(stream, force=True, **options)
    except Exception:  # any file may come in here; what pydicom raises on one that is no DICOM is not bounded
        raise UnreadableFileError from None
