"""Everything that is wrong in a case file or a catalogue, told at once: one sentence for each mistake, in the file's order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from psi_cad.errors import CaseError, InputError

__all__ = ["ONE", "SEVERAL", "Mistake", "complaints", "mistakes_of", "place_in", "raise_all"]

Step: TypeAlias = int | str
Location: TypeAlias = tuple[Step, ...]
TRIPLES: Final = ("origin", "normal", "approach", "seed", "entry", "direction")
_TAGS: Final = {
    "Blade",
    "Printer",
    "Tool",
    "Implant",
    "int",
    "str",
    "float",
    "bool",
}  # what pydantic writes into a location for a choice
ONE: Final = "(one)"
SEVERAL: Final = "(several)"  # what it writes where a key holds a table or a list of them; no key is called so
_TEXT_BRANCH: Final = ("constrained-str", "str", "function-")


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: its `key` in the file, a whole sentence, where it stands (for the order), and its kind of error."""

    key: str
    message: str
    place: tuple[int, ...] = ()
    kind: type[InputError] = CaseError


def raise_all(mistakes: Iterable[Mistake]) -> None:
    """Raise one error that tells of all mistakes, a line for each; nothing where there are none.

    Raises
    ------
    InputError
        Of the mistakes' own kind, or `CaseError` where they are of several.
    """
    told = list({mistake.message: mistake for mistake in sorted(mistakes, key=lambda mistake: mistake.place)}.values())
    if not told:
        return
    kinds = {mistake.kind for mistake in told}
    kind = kinds.pop() if len(kinds) == 1 else CaseError
    raise kind("\n".join(mistake.message for mistake in told), errors=[{"key": mistake.key, "message": mistake.message} for mistake in told])


def mistakes_of(error: InputError, *, key: str, place: tuple[int, ...] = ()) -> list[Mistake]:
    """The mistakes that an error tells of; `key` where it names none."""
    listed = error.errors or ({"key": key, "message": str(error)},)
    return [Mistake(one["key"], one["message"], place, type(error)) for one in listed]


def place_in(data: Any, location: Location) -> tuple[int, ...]:
    """Where in the file something stands, as numbers that sort; what is missing comes after its table's other keys."""
    found = []
    for step in location:
        if isinstance(data, dict) and isinstance(step, str):
            keys = list(data)
            found.append(keys.index(step) if step in keys else len(keys))
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int):
            found.append(step)
            data = data[step] if step < len(data) else None
    return tuple(found)


def complaints(
    error: ValidationError,
    data: dict[str, Any],
    model: type[BaseModel],
    *,
    name: str,
    what: str = "a case file",
    hint: str = " (add it; 'psi-cad new DIR' shows a whole case)",
    at: Location = (),
    place: tuple[int, ...] = (),
    kind: type[InputError] = CaseError,
) -> list[Mistake]:
    """A sentence for each real mistake among pydantic's complaints of `data` against `model`.

    Of a choice (an id or a table) only the complaints of the branch that was meant count; a key that is missing because
    it is misspelt is told once, as the misspelling.

    Parameters
    ----------
    name : str
        The file, for the sentences.
    what : str
        What the file is, for keys that it does not know.
    hint : str
        After a key that is missing.
    at, place : location and its place, optional
        Where in the file `data` stands.
    """
    every: list[ErrorDetails] = error.errors(include_url=False, include_input=True)
    for detail in every:
        detail["loc"] = tuple(step for step in detail["loc"] if step not in (ONE, SEVERAL))
    details = [d for d in every if _meant(d["loc"], data)]
    misspelt = {(*d["loc"][:-1], near) for d in details if d["type"] == "extra_forbidden" for near in _near(d["loc"], model)}
    found: dict[str, Mistake] = {}
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] in misspelt:
            continue
        sentence = _sentence(detail, model, what=what, hint=hint, at=at)
        key = _place((*at, *_keys(detail)))
        if detail["type"] == "missing" and isinstance(detail["loc"][-1], int):
            key = _place((*at, *_keys(detail)[:-1]))  # one of three numbers
        found.setdefault(key if detail["loc"] else sentence, Mistake(key, f"{name}: {sentence}", (*place, *place_in(data, detail["loc"])), kind))
    return list(found.values())


def _meant(location: Location, data: Any) -> bool:
    """Whether a complaint is about the branch of a choice that the file's author meant: text for an id, a table for an entry."""
    for step in location:
        if isinstance(step, str) and step.startswith(_TEXT_BRANCH) and not (isinstance(data, dict) and step in data):
            return not isinstance(data, dict)
        if step in ("Blade", "Printer", "Tool"):
            return isinstance(data, dict)
        if isinstance(data, dict) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
    return True


def _model_at(location: Location, model: type[BaseModel]) -> type[BaseModel]:
    """The model whose keys are valid at a place in the file."""
    for step in location:
        if not isinstance(step, str):
            continue
        field = model.model_fields.get(step) or next((f for f in model.model_fields.values() if f.alias == step), None)
        options = _classes(field.annotation) if field is not None else []
        branch = next((o for o in options if o.__name__ == step), None)
        model = branch or next(iter(options), model)
    return model


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for option in getattr(annotation, "__args__", ()) for found in _classes(option)]


def _known(location: Location, model: type[BaseModel]) -> list[str]:
    return [f.alias or key for key, f in _model_at(location[:-1], model).model_fields.items()]


def _near(location: Location, model: type[BaseModel]) -> list[str]:
    """The known key that an unknown one is nearest to, if one is near."""
    return difflib.get_close_matches(str(location[-1]), _known(location, model), n=1, cutoff=0.5)


def _keys(detail: ErrorDetails) -> Location:
    """A complaint's location without what pydantic adds to it."""
    location, last = detail["loc"], len(detail["loc"]) - 1
    return tuple(
        step
        for number, step in enumerate(location)
        if isinstance(step, int)
        or (number == last and detail["type"] == "extra_forbidden")
        or not (step in _TAGS or step.startswith(("constrained-str", "function-", "nullable", "tuple")))
    )


def _place(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "the file"


_RULES: Final = {
    "missing": "is missing",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "dict_attributes_type": "must be a table",
}


def _sentence(detail: ErrorDetails, model: type[BaseModel], *, what: str, hint: str, at: Location) -> str:
    location = (*at, *_keys(detail))
    place, kind = _place(location), detail["type"]
    if kind == "extra_forbidden":
        near = _near(detail["loc"], model)
        advice = f"did you mean '{near[0]}'?" if near else f"the keys here are {', '.join(_known(detail['loc'], model))}."
        return f"'{place}' is no key of {what}; {advice}"
    if kind == "value_error":
        return f"{'' if place == 'the file' else place + ' '}{detail['ctx']['error']!s}."
    if kind == "missing" and place == "side":
        return 'side is missing: write side = "left", "right" or "midline", the side of the patient that the bone is of.'
    if kind in ("missing", "too_short", "too_long") and location and isinstance(location[-1], int):
        return f"{_place(location[:-1])} must be three numbers."
    if kind == "string_pattern_mismatch":
        return (
            f"{place} = {_shown(detail)} is no valid name; use letters, digits and '-' (ids and guide names in lower case), "
            "no spaces or slashes, at most 40."
        )
    if kind == "literal_error":
        return f"{place} must be {detail['ctx']['expected']}, not {_shown(detail)}."
    if kind in ("too_short", "too_long"):
        if location[-1] in TRIPLES:
            return f"{place} must be three numbers."
        bound = f"at least {detail['ctx']['min_length']}" if kind == "too_short" else f"at most {detail['ctx']['max_length']}"
        return f"{place} must have {bound} entries."
    if kind == "string_too_short":
        return f"{place} must have at least {detail['ctx']['min_length']} letters, not {_shown(detail)}."
    rule = "must be three numbers" if kind == "tuple_type" and location[-1] in TRIPLES else _RULES.get(kind)
    if rule is None:
        message = detail["msg"].replace("Input should be", "must be")
        message = message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
        rule = message[:1].lower() + message[1:]
    return f"{place} {rule}{hint if kind == 'missing' else f', not {_shown(detail)}'}."


def _shown(detail: ErrorDetails) -> str:
    text = repr(detail["input"])
    return text if len(text) <= 40 else text[:37] + "…"
