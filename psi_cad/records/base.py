"""How a record of JSON is declared, read, written and held against what this version writes.

A record reads what earlier and later versions wrote: a key that came later has a default, and a key that nobody knows yet is kept, and written
again. A number stays as it stands in the file, 0 or 0.0, since approvals are hashes of these values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from psi_cad.errors import InputError

__all__ = [
    "KIND",
    "Count",
    "Direction",
    "Flag",
    "LabelId",
    "Number",
    "Pair",
    "Point",
    "Record",
    "at_times",
    "faults",
    "lately",
    "read_as",
    "schema_of",
]

KIND: Final = "<"  # begins the tag of one of several shapes, which is no key
OFTEN: Final = "always"  # marks a field whose key this version always writes, and an earlier one did not

R = TypeVar("R", bound="Record")


def _as_it_is(value: Any, check: Callable[[Any], Any]) -> Any:
    check(value)
    return value  # not the float it makes of a whole number


def _number_or_text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a whole number or text")
    return value


Number = Annotated[float, Strict(), AllowInfNan(False), WrapValidator(_as_it_is)]
Count = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
LabelId = Annotated[Any, AfterValidator(_number_or_text), WithJsonSchema({"type": ["integer", "string"]})]
Point = Annotated[list[Number], Field(min_length=3, max_length=3)]
"""Three numbers: a place in the patient frame (LPS), mm, where nothing else is said."""
Direction = Annotated[list[Number], Field(min_length=3, max_length=3)]
"""Three numbers of length 1, in the patient frame."""
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


def at_times(meaning: str, default: Any = None) -> Any:
    """A key that is there only at times; `default` is what its absence means."""
    return Field(default_factory=default, description=meaning) if callable(default) else Field(default, description=meaning)


def lately(meaning: str, default: Any = None) -> Any:
    """A key that this version always writes; `default` is what it means where an earlier version did not."""
    mark: dict[str, Any] = {OFTEN: True}
    if callable(default):
        return Field(default_factory=default, description=meaning, json_schema_extra=mark)
    return Field(default, description=meaning, json_schema_extra=mark)


def _key(field: str) -> str:
    """The key of a field: Python's own words end in '_' here, and its names hold no '-'."""
    return {"psi_cad": "psi-cad"}.get(field, field.rstrip("_"))


def _as_written(schema: dict[str, Any], _: type[BaseModel]) -> None:
    """The schema of what this version writes: each key that is always there, and any that a later version adds."""
    schema["additionalProperties"] = True
    properties = schema.get("properties", {})
    needed = [key for key, one in properties.items() if one.pop(OFTEN, False) or key in schema.get("required", ())]
    for one in properties.values():
        one.pop("title", None)
        one.pop("default", None)  # what a reader takes where the key is missing
    if needed:
        schema["required"] = needed


class Record(BaseModel):
    """One object of JSON. A field that was never given or set is a key that is not there."""

    model_config = ConfigDict(
        extra="allow", alias_generator=_key, populate_by_name=True, defer_build=True, json_schema_extra=_as_written, protected_namespaces=()
    )

    _order: tuple[str, ...] = PrivateAttr(())  # of the keys as they were given

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, data: Any, make: Callable[[Any], Any]) -> Any:
        found = make(data)
        if isinstance(data, dict):
            found._order = tuple(_key(name) for name in data)
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain values with the keys of the file: in the order in which they were given, those that were set later last."""
        fields = {_key(name): getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        values = {**fields, **(self.model_extra or {})}
        return {key: _plain(values[key]) for key in dict.fromkeys((*self._order, *values)) if key in values}

    def but(self: R, **changed: Any) -> R:
        """A copy with other values of some fields; what it holds is not copied."""
        return self.model_copy(update=changed)

    def more(self, kind: type[R], **fields: Any) -> R:
        """The same as a record that says more."""
        return kind.model_validate({**self.to_json(), **fields})


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def read_as(kind: type[R], data: Any, *, file: str, again: str) -> R:
    """The record that a file holds.

    Parameters
    ----------
    data : Any
        What the file's JSON says.
    file, again : str
        For the message: the file's name, and what to do.

    Raises
    ------
    InputError
        Where a key that is needed is missing, or a value is of another type; it names the first.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{file}: {_path(first['loc'])}{_said(dict(first))}; {again}.") from error


_WANTED: Final = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def _path(place: tuple[int | str, ...]) -> str:
    """Such as "guides[0].seat.max_mm: "; nothing for the whole file."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part.startswith(KIND):
            text += f".{part}"
    return f"{text.lstrip('.')}: " if text else ""


def _said(found: dict[str, Any]) -> str:
    kind, given, more = str(found["type"]), repr(found["input"]), found.get("ctx", {})
    given = given if len(given) <= 40 else f"{given[:37]}..."
    if kind == "missing":
        return "this key is missing"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {given}"
    if kind == "literal_error":
        return f"must be {more['expected']}, not {given}"
    if kind in ("too_short", "too_long"):
        return f"must hold {more.get('min_length', more.get('max_length'))} values, not {more['actual_length']}"
    return f"{found['msg']} (it is {given})"


def faults(record: Record, at: str = "") -> Iterator[str]:
    """What is not as this version writes it, a sentence each: keys that it does not know, and keys that only an earlier version left out."""
    here = f"{at}." if at else ""
    for key in record.model_extra or {}:
        yield f"{here}{key}: psi-cad does not write this key"
    for name, field in type(record).model_fields.items():
        mark, value = field.json_schema_extra, getattr(record, name)
        if isinstance(mark, dict) and mark.get(OFTEN) and name not in record.model_fields_set:
            yield f"{here}{_key(name)}: this key is missing"
        yield from _faults_in(value, f"{here}{_key(name)}")


def _faults_in(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, Record):
        yield from faults(value, at)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _faults_in(one, f"{at}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _faults_in(one, f"{at}[{number}]")


def schema_of(kind: type[Record], *, title: str, meaning: str) -> dict[str, Any]:
    """The JSON schema (2020-12) of a file as this version writes it."""
    said = kind.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **said, "title": title, "description": meaning}
