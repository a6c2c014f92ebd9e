"""What every kind of feature of a part has: a name, and a file of this folder, or of `options`, that defines it and finds, measures and checks it."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np

from psi_cad.errors import DesignError, InputError
from psi_cad.findings import Check
from psi_cad.units import Array
from psi_cad.verify.held import held

if TYPE_CHECKING:
    from psi_cad.promises.expected import Expected
    from psi_cad.readback.part import Part
    from psi_cad.readback.printed import Printed
    from psi_cad.verify.features.seat import BoneProbe

__all__ = ["Feature", "Triple", "feature_from_json", "kept", "kind_of", "measured", "place", "told", "told_of", "way"]

Triple: TypeAlias = tuple[float, float, float]
ROOMS: Final = (__name__.rpartition(".")[0], f"{__name__.partition('.')[0]}.options")  # whose files define kinds of features


class Feature(Protocol):
    """What a part was promised to have: a frozen dataclass of plain values, in the part's frame, mm. It loads no kernel.

    Its file has `find(feature, faces)`, `measure(feature, part, printed)` and `checks(feature, values)`; a part that is a mesh has no
    STEP to be read back (`part` is None). It may have `measure_on_bone(feature, printed, expected, probe)`, for what is measured against a bone.
    """

    @property
    def name(self) -> str:
        """Of which there is one of its kind in a part."""
        ...


def kind_of(feature: Feature) -> ModuleType:
    """The file that defines a feature's kind, and finds, measures and checks it.

    Raises
    ------
    DesignError
        If it is none of this folder or of `options`: then nothing could be measured of it.
    """
    module = type(feature).__module__
    if module.rpartition(".")[0] not in ROOMS:
        raise DesignError(f"'{type(feature).__name__}' is no kind of feature that psi-cad can measure; give it a file in verify/features or options.")
    return importlib.import_module(module)


def told(feature: Feature) -> dict[str, Any]:
    """As a report holds what was promised."""
    return {"kind": type(feature).__name__.lower(), **asdict(feature)}  # type: ignore[call-overload]  # a Protocol cannot ask for a dataclass


def feature_from_json(data: dict[str, Any]) -> Feature:
    """What `told` gave, after a trip through a file; what was measured, beside it, is left out.

    Raises
    ------
    InputError
    """
    try:
        kind = str(data["kind"])
        here = Path(__file__).parent
        folders = dict(zip(ROOMS, (here, here.parent.parent / "options"), strict=True))
        room = next((room for room, folder in folders.items() if kind.isidentifier() and (folder / f"{kind}.py").is_file()), None)
        if room is None:
            raise KeyError(kind)
        made = getattr(importlib.import_module(f"{room}.{kind}"), kind.capitalize())
        values = {name: tuple(data[name]) if isinstance(data[name], list) else data[name] for name in made.__dataclass_fields__}
        return made(**values)  # type: ignore[no-any-return]  # the class is found by its name
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("report.json: features: this is not what this version of psi-cad measures against; build again.") from error


def measured(
    features: tuple[Feature, ...], part: Part | None, printed: Printed, *, on: tuple[Expected, BoneProbe] | None = None
) -> list[tuple[Feature, dict[str, Any], list[Check]]]:
    """Every feature with what was measured of it and the checks of that; `on`: of a guide, what is expected of it, and its bone."""
    found = []
    for feature in features:
        kind = kind_of(feature)
        values = kind.measure(feature, part, printed)
        if on is not None and hasattr(kind, "measure_on_bone"):
            values |= kind.measure_on_bone(feature, printed, *on)
        found.append((feature, values, kind.checks(feature, values)))
    return found


def told_of(features: list[tuple[Feature, dict[str, Any], list[Check]]]) -> tuple[dict[str, Any], ...]:
    """What `measured` gave, as a report holds it."""
    return tuple({**told(feature), **values} for feature, values, _ in features)


def way(printed: Printed, starts: Array, direction: Array) -> Array:
    """How far (n,) it is from each start to the first triangle; infinite where none is met."""
    found, _ = printed.caster.first(starts, direction)
    return np.asarray(found)


def place(point: Triple) -> Triple:
    """A feature's own point, as a check tells it."""
    return (float(point[0]), float(point[1]), float(point[2]))


def kept(name: str, value: float | None, unit: str, rule: Literal["<=", "=="], limit: float, where: Triple) -> Check:
    """The check of a value of a feature, which fails where it was not found."""
    return held(name, value, unit, rule, limit, "" if value is not None else "not found in the file", where=where)
