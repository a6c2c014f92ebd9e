"""The folder that `plan` writes into: nothing of an earlier plan stays, nothing that somebody edited or still reads goes."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.named import named_in
from psi_cad.errors import InputError
from psi_cad.files import sha256_of
from psi_cad.outputs.subject import PLAN_FILE, read_json

__all__ = ["keep_safe", "move_all", "start_safe"]

OWN: Final = re.compile(r"(plan|proposal)(-[a-z-]+)?\.(stl|vtp|png|mrk\.json|toml)")  # whatever plan.json tells of, nothing else is removed
EDITED: Final = (".toml", ".mrk.json")  # what people open, change and save; the rest is made anew without asking


def keep_safe(folder: Path, loaded: LoadedCase, *, names: Collection[str]) -> None:
    """Refuse to plan where a file that would be replaced or removed is one that the case reads, or was edited by somebody.

    Parameters
    ----------
    names : collection of str
        The files that are to be written.

    Raises
    ------
    InputError
    """
    earlier = _earlier(folder)
    read = {loaded.path.resolve(), *(loaded.resolve(name) for name in named_in(loaded).values())}
    for name in sorted({*earlier, *names}):
        path = folder / name
        if not path.is_file():
            continue
        if path.resolve() in read:
            raise InputError(
                f"'{name}' in the output folder is read by this case, and 'plan' would replace it; copy it elsewhere, or name another -o."
            )
        if name.endswith(EDITED) and sha256_of(path) != earlier.get(name):
            raise InputError(f"'{name}' in the output folder was changed since 'plan' wrote it; to keep it, move or rename it, and plan again.")


def _earlier(folder: Path) -> dict[str, str]:
    """The files of the plan that lies in a folder, with the hashes that its plan.json tells."""
    try:
        plan = read_json(folder / PLAN_FILE) or {}
        digests = dict(plan.get("sha256", {}))
        names = [name for name in plan.get("files", {}).values() if isinstance(name, str) and OWN.fullmatch(name)]
    except (InputError, AttributeError, TypeError, ValueError):
        return {}
    return {name: str(digests.get(name)) for name in names}


def move_all(staging: Path, folder: Path, loaded: LoadedCase) -> None:
    """Move the files of a finished plan to their names, and remove what an earlier plan left; its report is written after this.

    Raises
    ------
    InputError
        As `keep_safe`: somebody may have edited a file meanwhile.
    """
    paths = sorted(staging.iterdir())
    names = {path.name for path in paths}
    keep_safe(folder, loaded, names=names)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _earlier(folder).keys() - names:
        (folder / name).unlink(missing_ok=True)
    for path in paths:
        path.replace(folder / path.name)


def start_safe(staging: Path, folder: Path) -> None:
    """Move the files of a starting plan to their names, unless others lie there: they are meant to be edited.

    Raises
    ------
    InputError
    """
    paths = sorted(staging.iterdir())
    for path in paths:
        there = folder / path.name
        if there.is_file() and sha256_of(there) != sha256_of(path):
            raise InputError(f"'{path.name}' in the output folder has other contents; to keep it, move or rename it, and start again.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.replace(folder / path.name)
