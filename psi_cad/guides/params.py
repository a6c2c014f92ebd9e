"""Template parameters: one declaration with unit, range, default and help feeds the case file, CLI, docs and tests."""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psi_cad.errors import CaseError
from psi_cad.resection.margins import RUN_OUT_MM

__all__ = ["GuideParams", "Parameters", "described", "param", "resolve_params"]

P = TypeVar("P", bound="Parameters")


def param(default: float | int | bool | str, *, unit: str, help: str, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field of a template's `Params`.

    Parameters
    ----------
    default : float, int, bool or str
        Its type is the parameter's type.
    unit : str
        "mm", "deg", "" for none.
    low, high : float, optional
        Inclusive range of a number.
    """
    return field(default=default, metadata={"unit": unit, "help": help, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameters of any template."""

    @classmethod
    def override_key(cls) -> dict[str, str]:
        """Parameters whose range may be left when another, named parameter says so."""
        return {}


@dataclass(frozen=True, kw_only=True)
class GuideParams(Parameters):
    """What every template needs to have its site made: where the guide may sit and along which axis it comes off."""

    axis_search: float = param(15.0, unit="deg", low=0.0, high=30.0, help="cone about the approach that is searched; 0: as given")  # fmt: skip
    slope_limit: float = param(55.0, unit="deg", low=20.0, high=65.0, help="steepest bone that counts as contact")  # fmt: skip
    footplate_reach: float = param(
        18.0, unit="mm", low=8.0, high=40.0, help="how far a footplate reaches from the cut; further where the guide would slide"
    )
    seat_gap: float = param(0.2, unit="mm", low=0.0, high=0.6, help="gap between guide and bone, along the bone's normal")
    run_out: float = param(RUN_OUT_MM, unit="mm", low=0.0, high=15.0, help="slot beyond the bone at each free end")

    allow_sliding: bool = param(False, unit="", help="pass a guide that can slide on the bone; the report shows it, and it is placed by hand")


def described(params: type[Parameters]) -> list[dict[str, Any]]:
    """Name, unit, default, range and help of each parameter, for the CLI, docs and tests."""
    return [
        {
            "name": f.name,
            "unit": f.metadata["unit"],
            "default": f.default,
            "low": f.metadata["low"],
            "high": f.metadata["high"],
            "help": f.metadata["help"],
        }
        for f in dataclasses.fields(params)
    ]


def resolve_params(params: type[P], given: dict[str, Any], *, where: str) -> P:
    """`params` with `given` values, each checked; the first wrong one is a `CaseError`.

    Parameters
    ----------
    where : str
        The place in the case file, for messages, such as "guide[0].params".

    Raises
    ------
    CaseError
    """
    fields = {f.name: f for f in dataclasses.fields(params)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(fields)}."
            raise CaseError(f"{where}.{key} is no parameter of this template; {hint}")
        values[key] = _typed(fields[key], value, f"{where}.{key}")
    resolved = params(**values)
    overrides = params.override_key()
    for name, f in fields.items():
        low, high = f.metadata["low"], f.metadata["high"]
        value = getattr(resolved, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        outside = (low is not None and value < low) or (high is not None and value > high)
        if outside and not (name in overrides and getattr(resolved, overrides[name]) and value > 0.0):
            unit = f" {f.metadata['unit']}" if f.metadata["unit"] else ""
            extra = f", or set {overrides[name]} = true" if name in overrides else ""
            raise CaseError(f"{where}.{name} = {value:g} is outside {low:g}–{high:g}{unit}; give a value in that range{extra}.")
    return resolved


def _typed(f: dataclasses.Field[Any], value: Any, where: str) -> Any:
    wanted = type(f.default)
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if wanted is not float and type(value) is wanted:
        return value
    names = {float: "a finite number", int: "a whole number", bool: "true or false", str: "text"}
    raise CaseError(f"{where} must be {names[wanted]}, not {value!r}.")
