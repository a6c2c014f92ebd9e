"""The files and folders that a case names, by the key that names each, and what identifies them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Case
from psi_cad.errors import CaseError
from psi_cad.intake.work import digest_of

__all__ = ["BONE", "bone_key", "inputs_of", "named_in", "there"]

BONE: Final = "bone"


def bone_key(case: Case, number: int) -> str:
    """The key of a bone in the case file."""
    return f"{BONE}[{number}]" if isinstance(case.bone, tuple) else BONE


def inputs_of(loaded: LoadedCase) -> dict[str, str]:
    """SHA-256 of everything that a case names (of a folder: of all its files), by the key that names it.

    Raises
    ------
    CaseError
        If something is not there.
    """
    return {key: digest_of(there(loaded, name, key=key)) for key, name in named_in(loaded).items()}


def named_in(loaded: LoadedCase) -> dict[str, str]:
    """Every path that a case names, by the key that names it."""
    case, named = loaded.case, {}
    bones = {bone_key(case, number): bone for number, bone in enumerate(case.bones)}
    sources = {**bones, "tumour": case.tumour, **{f"avoid[{number}]": avoid for number, avoid in enumerate(case.avoid)}}
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
