"""Template parameters: one declaration with unit, range, default, help and reference feeds the case file, CLI, docs, forms and tests."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from psi_cad.errors import CaseError
from psi_cad.reconstruction.cup import ANY_TOOTH
from psi_cad.resection.margins import RUN_OUT_MM
from psi_cad.units import Mm

__all__ = [
    "GuideParams",
    "Parameters",
    "SeatParams",
    "SleeveParams",
    "StemParams",
    "described",
    "param",
    "possible",
    "range_of",
    "resolve_params",
    "value_of",
]

P = TypeVar("P", bound="Parameters")
CUP_ANGLES: Final = "radiographic, as Murray 1993 defines them; the values are common ones, not a recommendation"
SLANT_MM: Final[Mm] = 4.0  # of a sleeve's foot, beside its radius: rough bone, and the whole millimetre that a stop is raised to


def param(
    default: float | int | bool | str,
    *,
    unit: str,
    help: str,
    low: float | None = None,
    high: float | None = None,
    reference: str = "",
    switch: str = "",
    choices: Sequence[str] = (),
    bars: Mapping[str, str] | None = None,
) -> Any:
    """A field of a template's `Params`.

    Parameters
    ----------
    default : float, int, bool or str
        Its type is the parameter's type.
    unit : str
        "mm", "deg", "" for none.
    low, high : float, optional
        Inclusive range of a number; `resolve_params` holds values against it.
    reference : str
        Where the default or the range comes from, if it is no choice of the template's own.
    switch : str
        The parameter without which this one means nothing: to set this one alone is refused.
    choices
        The words that a text may be.
    bars
        Parameters that it can't go with, each with the reason: where both are set to more than 0, or to a word, it is refused.
    """
    said: dict[str, Any] = {"unit": unit, "minimum": low, "maximum": high, "reference": reference, "switch": switch, "enum": list(choices)}
    said["bars"] = dict(bars or {})
    return Field(default, description=help, json_schema_extra={key: value for key, value in said.items() if value not in (None, "", [], {})})


class Parameters(BaseModel):
    """Parameters of any template. `model_json_schema()` gives them with unit, range, default and help, for a form."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def override_key(cls) -> dict[str, str]:
        """Parameters whose range may be left when another, named parameter says so."""
        return {}

    def overrides(self, name: str) -> bool:
        """Whether the parameter that lets `name` leave its range is set."""
        return getattr(self, self.override_key().get(name, ""), False) is True

    def refuse(self) -> None:
        """Refuse values that go together on no bone, before one is looked at.

        Raises
        ------
        DesignError
            It names the parameter.
        """


class _Where(Parameters):  # apart from those below, so that reports and lists of parameters keep their order
    axis_search: float = param(15.0, unit="deg", low=0.0, high=30.0, help="cone about the approach that is searched; 0: as given")  # fmt: skip
    slope_limit: float = param(55.0, unit="deg", low=20.0, high=65.0, help="steepest bone that counts as contact")  # fmt: skip
    footplate_reach: float = param(
        18.0, unit="mm", low=8.0, high=70.0, help="how far a footplate reaches from the cut; further where the guide would slide"
    )
    seat_gap: float = param(0.2, unit="mm", low=0.0, high=0.6, help="gap between guide and bone, along the bone's normal")


class _Sawn(_Where):
    run_out: float = param(RUN_OUT_MM, unit="mm", low=0.0, high=15.0, help="slot beyond the bone at each free end")


class SeatParams(_Where):
    """What every template on a bone needs to have its site made: where the guide may sit and along which axis it comes off."""

    allow_sliding: bool = param(False, unit="", help="pass a guide that can slide on the bone; the report shows it, and it is placed by hand")

    @property
    def least_wall(self) -> Mm | None:
        """The thinnest wall beside a slot or bore that a printer has to print, mm; None where the template does not tell."""
        return None


class GuideParams(SeatParams, _Sawn):
    """The same for a template that makes a slot for each cut.

    What psi-cad has to know of a slot before there is one, a template says by its parameters `clearance`, `height` and `wall`, or these properties.
    """

    @property
    def slot_clearance(self) -> Mm | None:
        """Added to the blade's thickness to give a slot's width, mm; None where the template does not tell."""
        return getattr(self, "clearance", None)

    @property
    def graft_fit(self) -> Mm:
        """How far a graft's face is to lie from the host's, mm; of a template whose guides sit on a donor's bone, by its parameter `fit`."""
        return float(getattr(self, "fit", 0.0))

    @property
    def wires_lean(self) -> bool:
        """Whether wires may leave the seating axis: then structures to avoid are read, and wires keep off them."""
        return False

    @property
    def one_wall(self) -> bool:
        """Whether the blade is guided by one wall only, and not in a slot."""
        return False

    @property
    def stands_on(self) -> int:
        """On which side of its cuts the guide stands: 1 where the specimen is, -1 where bone stays, 0 on both."""
        return 0

    @property
    def guided_height(self) -> Mm | None:
        """Over which the blade is guided, mm; None where the template does not tell."""
        return getattr(self, "height", None)

    @property
    def least_wall(self) -> Mm | None:
        """See `SeatParams`."""
        return getattr(self, "wall", None)


class SleeveParams(SeatParams):
    """The same for a template that carries a sleeve for each trajectory: the sleeve stands where nothing else may."""

    footplate_reach: float = param(
        18.0, unit="mm", low=8.0, high=70.0, help="how far a footplate reaches from the entry points; further where the guide would slide"
    )
    bore_clearance: float = param(0.1, unit="mm", low=0.05, high=0.4, help="added to the tool's diameter to give the bore")
    sleeve_wall: float = param(2.0, unit="mm", low=2.0, high=5.0, help="least thickness of a sleeve's wall")
    guided: float = param(15.0, unit="mm", low=10.0, high=40.0, help="least length over which a sleeve guides its tool")
    lean_limit: float = param(45.0, unit="deg", low=10.0, high=60.0, help="greatest angle between a trajectory and the seating axis")
    tool_clearance: float = param(2.0, unit="mm", low=0.5, high=20.0, help="least distance between two tools, and from a tool to a fixation wire")

    @property
    def least_wall(self) -> Mm | None:
        """See `SeatParams`."""
        return self.sleeve_wall

    def outer_radius(self, diameter: Mm) -> Mm:
        """Of the sleeve for a tool of this diameter, mm, before what a printer closes up."""
        return (diameter + self.bore_clearance) / 2.0 + self.sleeve_wall

    def most_rise(self, diameter: Mm) -> Mm:
        """How far the stop face of such a sleeve may lie above the entry, mm: the bone may slope under it as steeply as its radius is wide."""
        return self.guided + self.outer_radius(diameter) + SLANT_MM


class StemParams(SleeveParams):
    """The same for a template whose sleeve is for the reamer of a stem that carries a cup."""

    stem_wall: float = param(2.0, unit="mm", low=0.5, high=10.0, help="least bone between the hole and the outside of the bone, all along it")
    inclination: float = param(40.0, unit="deg", low=20.0, high=60.0, help="of the cup, wanted", reference=CUP_ANGLES)
    anteversion: float = param(15.0, unit="deg", low=-10.0, high=40.0, help="of the cup, wanted", reference=CUP_ANGLES)
    cup_index: int = param(ANY_TOOTH, unit="", low=ANY_TOOTH, high=119, help="tooth of the cup; -1: the one that comes nearest to these angles")
    cup_tolerance: float = param(10.0, unit="deg", low=1.0, high=30.0, help="how far the cup's axis may lie from these angles")


def _said(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def range_of(params: type[Parameters], name: str) -> tuple[float | None, float | None]:
    """The inclusive range of a parameter; None where it has no such end."""
    said = _said(params.model_fields[name])
    return said.get("minimum"), said.get("maximum")


def possible(params: Parameters, *ways: str) -> list[str]:
    """Those of `ways`, such as "raise footplate_reach" or "lower params.sleeve_wall", for which a parameter's range has room.

    >>> possible(SleeveParams(lean_limit=60.0, sleeve_wall=3.0), "raise params.lean_limit", "lower sleeve_wall")
    ['lower sleeve_wall']
    """
    found = []
    for way in ways:
        verb, _, said = way.partition(" ")
        name = said.removeprefix("params.")
        if name not in type(params).model_fields:
            continue
        low, high = range_of(type(params), name)
        end, value = high if verb == "raise" else low, getattr(params, name)
        if end is None or (value < end if verb == "raise" else value > end):
            found.append(way)
    return found


def value_of(params: Parameters, name: str) -> Any:
    """What a parameter is set to, of those that the template declares; None where it declares no such."""
    return params.model_dump().get(name)


def described(params: type[Parameters]) -> list[dict[str, Any]]:
    """Name, unit, default, range (`low` and `high`, and the same as `min` and `max`), help and reference of each parameter."""
    found = []
    for name, field in params.model_fields.items():
        low, high = range_of(params, name)
        found.append(
            {
                "name": name,
                "unit": _said(field).get("unit", ""),
                "default": field.default,
                "low": low,
                "high": high,
                "min": low,
                "max": high,
                "help": field.description,
                "reference": _said(field).get("reference", ""),
            }
        )
    return found


def resolve_params(params: type[P], given: dict[str, Any], *, where: str, beside: Collection[str] = ()) -> P:
    """`params` with `given` values, each checked; the first wrong one is a `CaseError`.

    Parameters
    ----------
    where : str
        The place in the case file, for messages, such as "guide[0].params".
    beside
        Names of parameters that are set there too, and not looked at.

    Raises
    ------
    CaseError
    """
    fields = params.model_fields
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(fields)}."
            raise CaseError(f"{where}.{key} is no parameter of this template; {hint}")
        values[key] = _typed(type(fields[key].default), value, f"{where}.{key}")
        switch = _said(fields[key]).get("switch", "")
        if switch and switch not in given and switch not in beside:
            raise CaseError(f"{where}.{key} = {values[key]!r} does nothing without {switch}; set {switch} too, or leave {key} out.")
        words = _said(fields[key]).get("enum")
        if words is not None and values[key] not in words:
            raise CaseError(f"{where}.{key} = '{values[key]}' is none of its words; give {', '.join(word or 'nothing' for word in words)}.")
    resolved = params(**values)
    overrides = params.override_key()
    for name, field in fields.items():
        low, high = range_of(params, name)
        value = getattr(resolved, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        outside = (low is not None and value < low) or (high is not None and value > high)
        if outside and not (name in overrides and getattr(resolved, overrides[name]) and value > 0.0):
            unit = f" {_said(field)['unit']}" if "unit" in _said(field) else ""
            extra = f", or set {overrides[name]} = true" if name in overrides else ""
            raise CaseError(f"{where}.{name} = {value:g} is outside {low:g}–{high:g}{unit}; give a value in that range{extra}.")
    _refuse_barred(resolved, where)
    return resolved


def _refuse_barred(params: Parameters, where: str) -> None:
    for name, field in type(params).model_fields.items():
        for other, why in _said(field).get("bars", {}).items():
            if getattr(params, name) and getattr(params, other, None):
                raise CaseError(f"{where}.{name} = {getattr(params, name)!r} can't go with {other}: {why}; leave one of the two out.")


def _typed(wanted: type, value: Any, where: str) -> Any:
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if wanted is not float and type(value) is wanted:
        return value
    names = {float: "a finite number", int: "a whole number", bool: "true or false", str: "text"}
    raise CaseError(f"{where} must be {names[wanted]}, not {value!r}.")
