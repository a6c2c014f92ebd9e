"""What a value holds, as a digest: pieces of a build are known by the digests of all that they are made from."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import shapely
import trimesh
from pydantic import BaseModel

from psi_cad.surface.rays import RayCaster

__all__ = ["digest"]

NUMBERS: Final = "fiub"  # kinds of arrays that are read where they lie


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
        plain = np.ascontiguousarray(value)
        state.update(plain.data if plain.size and plain.dtype.kind in NUMBERS else plain.tobytes())
    elif isinstance(value, trimesh.Trimesh):
        _feed(state, np.asarray(value.vertices))
        _feed(state, np.asarray(value.faces))
    elif isinstance(value, RayCaster):
        _feed(state, value.frame)
        _feed(state, value.vertices)
        _feed(state, value.faces)
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
