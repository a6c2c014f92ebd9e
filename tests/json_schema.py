"""Holds JSON against a JSON schema, for the words of such schemas that ours use; another word is an error, so that nothing is passed over."""

from collections.abc import Iterator
from typing import Any

TELLING = {"$schema", "$defs", "title", "description"}
TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def misfits(value: Any, schema: dict, whole: dict, at: str = "") -> Iterator[str]:
    """What of a value the schema refuses."""
    for word, said in schema.items():
        if word in TELLING:
            continue
        yield from RULES[word](value, said, schema, whole, at)


def _ref(value, said, schema, whole, at):
    found = whole
    for part in said.removeprefix("#/").split("/"):
        found = found[part]
    return misfits(value, found, whole, at)


def _type(value, said, schema, whole, at):
    if not any(TYPES[one](value) for one in ([said] if isinstance(said, str) else said)):
        yield f"{at}: is no {said}"


def _properties(value, said, schema, whole, at):
    if isinstance(value, dict):
        for key in value.keys() & said.keys():
            yield from misfits(value[key], said[key], whole, f"{at}.{key}")


def _additional(value, said, schema, whole, at):
    if isinstance(value, dict) and said is not True:
        for key in value.keys() - schema.get("properties", {}).keys():
            yield from [f"{at}.{key}: no such key"] if said is False else misfits(value[key], said, whole, f"{at}.{key}")


def _names(value, said, schema, whole, at):
    for key in value if isinstance(value, dict) else ():
        yield from misfits(key, said, whole, f"{at}.{key}")


def _required(value, said, schema, whole, at):
    if isinstance(value, dict):
        yield from (f"{at}.{key}: is missing" for key in said if key not in value)


def _items(value, said, schema, whole, at):
    for number, one in enumerate(value if isinstance(value, list) else ()):
        yield from misfits(one, said, whole, f"{at}[{number}]")


def _one_of_several(least, most):
    def rule(value, said, schema, whole, at):
        found = [list(misfits(value, one, whole, at)) for one in said]
        fits = sum(not one for one in found)
        if not least <= fits <= most:
            yield from min(found, key=len) or [f"{at}: fits {fits} shapes"]

    return rule


RULES = {
    "$ref": _ref,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "required": _required,
    "items": _items,
    "enum": lambda value, said, schema, whole, at: [] if value in said else [f"{at}: is none of {said}"],
    "const": lambda value, said, schema, whole, at: [] if value == said else [f"{at}: is not {said}"],
    "minItems": lambda value, said, schema, whole, at: [f"{at}: too short"] if isinstance(value, list) and len(value) < said else [],
    "maxItems": lambda value, said, schema, whole, at: [f"{at}: too long"] if isinstance(value, list) and len(value) > said else [],
    "anyOf": _one_of_several(1, 1_000),
    "oneOf": _one_of_several(1, 1),
}
