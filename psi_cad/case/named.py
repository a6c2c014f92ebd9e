"""The files and folders that a case names, by the key that names each, and what tells that one of them has changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Case
from psi_cad.errors import BuildError, CaseError

__all__ = ["BONE", "Stamps", "bone_key", "named_in", "refuse_changed", "stamps_of", "there"]

BONE: Final = "bone"

Stamps = dict[str, tuple[tuple[str | int, ...], ...]]
"""Of each input, by its key: of each of its files the name, number, size and times, which no change leaves as they were."""


def bone_key(case: Case, number: int) -> str:
    """The key of a bone in the case file."""
    return f"{BONE}[{number}]" if isinstance(case.bone, tuple) else BONE


def named_in(loaded: LoadedCase) -> dict[str, str]:
    """Every path that a case names, by the key that names it."""
    case, named = loaded.case, {}
    bones = {bone_key(case, number): bone for number, bone in enumerate(case.bones)}
    sources = {**bones, "tumour": case.tumour, "donor": case.donor, **{f"avoid[{number}]": avoid for number, avoid in enumerate(case.avoid)}}
    for place, source in sources.items():
        for key in ("surface", "labels", "ct", "mri", "transform"):
            named[f"{place}.{key}"] = getattr(source, key, None)
    named |= {f"{key}.segment.keep_in": bone.segment.keep_in for key, bone in bones.items() if bone.segment is not None}
    named |= {f"cut[{number}].markups": cut.markups for number, cut in enumerate(case.cut)}
    named["catalogue"] = case.catalogue
    return {key: name for key, name in named.items() if name is not None}


def there(loaded: LoadedCase, relative: str, *, key: str) -> Path:
    """A path that the case names under `key`.

    Raises
    ------
    CaseError
        If nothing is there.
    """
    path = loaded.resolve(relative)
    if not path.exists():
        raise CaseError(f"{loaded.path.name}: {key}: '{relative}' is not there; paths are taken from the case file's folder.")
    return path


def stamps_of(loaded: LoadedCase) -> Stamps:
    """What tells, without reading them, whether the inputs of a case have been written to, replaced or taken away in between."""
    found: Stamps = {}
    for key, name in named_in(loaded).items():
        path = loaded.resolve(name)
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        states = []
        with suppress(OSError):  # it is not there, or has gone meanwhile
            states = [(str(file), file.stat()) for file in files]
        found[key] = tuple((file, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for file, state in states)
    return found


def refuse_changed(loaded: LoadedCase, before: Stamps) -> None:
    """Refuse what was made of inputs that have changed since `before`: what was read may be another content than the one that is hashed.

    Raises
    ------
    BuildError
    """
    named, now = named_in(loaded), stamps_of(loaded)
    for key, stamp in before.items():
        if now.get(key) != stamp:
            raise BuildError(
                f"{loaded.path.name}: {key}: '{named.get(key, '')}' changed while it was being read; wait until it is whole, and try again."
            )
