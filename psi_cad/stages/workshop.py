"""Pieces that builds share, each known by the function that makes it and by all that the function was given."""

from __future__ import annotations

import inspect
import pickle
import sys
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from psi_cad.stages.digests import digest
from psi_cad.stages.disk import Disk, held
from psi_cad.stages.told import IN_MEMORY, MADE, ON_DISK, Stages
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.repair import Bone

__all__ = ["CODE", "MOST_BYTES", "Pieces", "Shelf", "Workshop"]

CODE: Final = "__psi_cad_sha256__"  # of the file that a template's module was made from
MOST_BYTES: Final = 96 << 20  # in memory, as pickled
HEAVY: Final = 8 << 20  # what a piece that cannot be pickled is taken for
GIVEN_BYTES: Final = 64 << 10  # of a piece that another process is given: it would be held twice
KERNEL: Final = b"cadquery"  # stands in the pickle of a solid; read back it differs in its last bits, so whoever makes one goes on with that, too
WORTH_S: Final = 0.05  # what is made sooner is not worth a file

Pieces = dict[bytes, tuple[Any, int]]  # by key, each with its size
P = ParamSpec("P")
T = TypeVar("T")


class Shelf:
    """Pieces by key: those used last in memory, and on `disk` where there is one. Pieces are shared, so nobody may change them."""

    def __init__(self, disk: Disk | None = None, *, most: int = MOST_BYTES, stages: Stages | None = None) -> None:
        self.stages = stages if stages is not None else Stages()
        self._disk, self._most, self._size = disk, most, 0
        self._pieces: OrderedDict[bytes, tuple[Any, int]] = OrderedDict()
        self._asked: dict[bytes, None] = {}

    def piece(self, name: str, parts: Mapping[str, bytes], make: Callable[[], T], *, code: str = "", on_disk: bool = True) -> T:
        """What `make` makes of parts with these digests, now or earlier.

        Parameters
        ----------
        name : str
            Of the stage; `code` tells it from one of the same name that other code makes.
        on_disk : bool
            It may be kept there, where it took long to make.
        """
        start = time.perf_counter()
        key = digest(name, code, dict(parts))
        self._asked[key] = None
        found, how = self._found(key, on_disk)
        if how == MADE:
            found = make()
            taken = time.perf_counter() - start
            body = held(found)
            if body is not None and KERNEL in body:
                found = pickle.loads(body)
            if body is not None and on_disk and self._disk is not None and taken >= WORTH_S:
                self._disk.write(key, body)
            self._keep(key, found, HEAVY if body is None else len(body))
        self.stages.tell(name, parts, how, time.perf_counter() - start)
        return cast(T, found)

    def begin(self) -> None:
        """A build begins: what is asked for from now on is what it was made of."""
        self._asked = {}

    def given(self) -> Pieces:
        """The small pieces that this build has asked for, for another process that goes on with what was made of them; large ones it seldom needs."""
        return {key: self._pieces[key] for key in self._asked if key in self._pieces and self._pieces[key][1] <= GIVEN_BYTES}

    def take(self, pieces: Pieces) -> None:
        """Pieces that another process has made, as it gave them."""
        for key, (piece, size) in pieces.items():
            if key not in self._pieces:
                self._keep(key, piece, size)

    def _found(self, key: bytes, on_disk: bool) -> tuple[Any, str]:
        if key in self._pieces:
            self._pieces.move_to_end(key)
            return self._pieces[key][0], IN_MEMORY
        body = self._disk.read(key) if self._disk is not None and on_disk else None
        if body is not None:
            try:
                found = pickle.loads(body)
            except Exception:  # whatever is wrong with it, it is made again
                return None, MADE
            self._keep(key, found, len(body))
            return found, ON_DISK
        return None, MADE

    def _keep(self, key: bytes, piece: Any, size: int) -> None:
        self._pieces[key] = (piece, size)
        self._size += size
        while self._size > self._most and len(self._pieces) > 1:
            self._size -= self._pieces.popitem(last=False)[1][1]


class Workshop:
    """Makes each piece once, so that a guide is the same alone and in company.

    A piece is taken from the shelf only where the same function was called with equal values: what it makes may
    depend on nothing else. A piece is shared, so nobody may change it.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf if shelf is not None else Shelf()
        self._told: dict[int, tuple[weakref.ref[Any], bytes]] = {}

    def _digest(self, value: Any) -> bytes:
        """The digest of a value; of a bone and of what casts rays on it, which are large and change no more, it is made once."""
        if not isinstance(value, (Bone, RayCaster)):
            return digest(value)
        known, found = self._told.get(id(value), (None, b""))
        if known is None or known() is not value:
            self._told = {key: kept for key, kept in self._told.items() if kept[0]() is not None}
            found = digest(value)
            self._told[id(value)] = weakref.ref(value), found
        return found

    def made(self, function: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """What `function` makes of these values, now or earlier.

        Raises
        ------
        TypeError
            If `function` was not defined at the top of a module: what it holds on to would not show in its name.
        """
        return self._piece(function, lambda: function(*values, **named), inspect.signature(function).bind(*values, **named).arguments)

    def assembled(self, function: Callable[Concatenate[Workshop, P], T], *values: P.args, **named: P.kwargs) -> T:
        """As `made`, of a function that is given this workshop first, to make its own pieces with; what it makes depends on the values alone.

        Raises
        ------
        TypeError
        """
        _, *given = inspect.signature(function).bind(self, *values, **named).arguments.items()
        return self._piece(function, lambda: function(self, *values, **named), dict(given))

    def _piece(self, function: Callable[..., T], make: Callable[[], T], given: Mapping[str, Any]) -> T:
        name = getattr(function, "__qualname__", "")
        if not name or "." in name or "<" in name or getattr(function, "__closure__", None):
            raise TypeError(f"{function!r} cannot be shared: only a function at the top of a module depends on its values alone")
        parts = {one: self._digest(value) for one, value in given.items()}
        code = f"{function.__module__} {getattr(sys.modules.get(function.__module__), CODE, '')}"
        return self.shelf.piece(name.strip("_").replace("_", " "), parts, make, code=code)
