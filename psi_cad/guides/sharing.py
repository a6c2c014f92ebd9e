"""Pieces that variants of one guide share, each known by the function that makes it and by all that function was given."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import shapely
import trimesh
from pydantic import BaseModel

from psi_cad.surface.rays import RayCaster

__all__ = ["Workshop", "digest"]

P = ParamSpec("P")
T = TypeVar("T")


class Workshop:
    """Makes each piece once, so that a guide is the same alone and in company.

    A piece is taken from the shelf only where the same function was called with equal values: what it makes may
    depend on nothing else. A piece is shared, so nobody may change it.
    """

    def __init__(self) -> None:
        self._pieces: dict[bytes, Any] = {}

    def made(self, function: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """What `function` makes of these values, now or earlier.

        Raises
        ------
        TypeError
            If `function` was not defined at the top of a module: what it holds on to would not show in its name.
        """
        name = getattr(function, "__qualname__", "")
        if not name or "." in name or "<" in name or getattr(function, "__closure__", None):
            raise TypeError(f"{function!r} cannot be shared: only a function at the top of a module depends on its values alone")
        key = digest(f"{function.__module__}.{name}", values, named)
        if key not in self._pieces:
            self._pieces[key] = function(*values, **named)
        return cast(T, self._pieces[key])


def digest(*values: Any) -> bytes:
    """A digest of the content of `values`: equal for equal content only; equal content may differ where its kind is not known."""
    state = hashlib.sha256()
    _feed(state, values)
    return state.digest()


def _feed(state: Any, value: Any) -> None:
    """Add one value: its kind, its length, its content, so that no two contents run into the same bytes."""
    kind = type(value)
    state.update(f"{kind.__module__}.{kind.__qualname__}:".encode())
    if isinstance(value, np.ndarray) and value.dtype != object:
        state.update(f"{value.dtype.str}{value.shape}:".encode())
        state.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, trimesh.Trimesh):
        _feed(state, np.asarray(value.vertices))
        _feed(state, np.asarray(value.faces))
    elif isinstance(value, RayCaster):
        _feed(state, value.frame)
        _feed(state, value.triangles)
    elif isinstance(value, BaseModel):
        _feed(state, value.model_dump())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            state.update(f"{part.name}=".encode())
            _feed(state, getattr(value, part.name))
    elif isinstance(value, Mapping):
        state.update(f"{len(value)}:".encode())
        for key, item in value.items():
            _feed(state, key)
            _feed(state, item)
    elif kind in (tuple, list):
        state.update(f"{len(value)}:".encode())
        for item in value:
            _feed(state, item)
    else:
        content = _plain(value)
        state.update(f"{len(content)}:".encode())
        state.update(content)


def _plain(value: Any) -> bytes:
    if isinstance(value, shapely.Geometry):
        return bytes(shapely.to_wkb(value, output_dimension=3))
    if value is None or type(value) in (str, bool, int, float):
        return repr(value).encode()
    return pickle.dumps(value)
