"""The name of a guide in a case's folder: NAME_BLADE, or NAME_BLADE_VARIANT where a guide made otherwise holds that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from psi_cad.case.model import Blade, GuideRequest, Printer
from psi_cad.errors import InputError
from psi_cad.outputs.overrides import MARK, decisive, mark_of, parted
from psi_cad.outputs.subject import hash_of, stem_of
from psi_cad.records.guide import Guide

__all__ = ["Making", "Naming", "check_variant", "differences", "making_of", "name_at_first", "name_for", "recorded_making"]

# lower case, since Windows takes Tight and tight for one file; no '_', which parts name, blade and variant
VARIANT: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?", re.ASCII)
RESERVED: Final = "rejected"  # NAME_BLADE_REJECTED.step is the plain guide's
LONGEST: Final = 40
OF_CASE: Final = ("cuts", "approach", "trajectories", "holes", "slot_sleeve")
AS_IN_CASE: Final = "what the case says"

Making = dict[str, Any]
"""All that a case lets one choose for a guide on given inputs: template, cuts, approach, params, blade and printer, as JSON values."""


@dataclass(frozen=True)
class Naming:
    """A guide's variant name (None: it has the plain name), what differs from the plain one, in words, and whether a person named it."""

    variant: str | None = None
    differs: tuple[str, ...] = ()
    given: bool = False
    mark: str | None = None  # of what --set overrides, on the label of a guide whose name says nothing of it

    @property
    def letters(self) -> tuple[str, ...]:
        """What a label says of it."""
        said = self.variant or self.mark
        return () if said is None else (said,)


def check_variant(variant: str) -> None:
    """Refuse a name of a variant that is not safe in a file name.

    Raises
    ------
    InputError
    """
    if not VARIANT.fullmatch(variant) or variant == RESERVED:
        raise InputError(
            f"--variant {variant[:60]!r}: must be lower-case letters, digits, '-' and '.', at most {LONGEST}, with a letter or digit at both "
            f"ends, and not '{RESERVED}'; such as tight-slot."
        )


def making_of(
    request: GuideRequest,
    params: Mapping[str, Any],
    blade: Blade | None,
    printer: Printer,
    *,
    ways: Sequence[Mapping[str, Any]] = (),
    overrides: Sequence[str] = (),
) -> Making:
    """How a guide is to be made; `params` are the resolved ones, `ways` its trajectories as a report holds them, `overrides` what `--set` changed."""
    entries: dict[str, Any] = {"blade": None if blade is None else blade.model_dump(mode="json"), "printer": printer.model_dump(mode="json")}
    if ways:
        entries["trajectories"] = list(ways)
    if request.hole:
        entries["holes"] = [one.model_dump(mode="json") for one in request.hole]
    if request.slot_sleeve is not None:
        entries["slot_sleeve"] = request.slot_sleeve if isinstance(request.slot_sleeve, str) else request.slot_sleeve.model_dump(mode="json")
    if made_other := decisive(overrides):
        entries["settings"] = list(made_other)
    making = {"template": request.template, "cuts": list(request.cuts), "approach": list(request.approach), "params": dict(params), **entries}
    return dict(json.loads(json.dumps(making)))


def recorded_making(guide: Guide) -> Making | None:
    """How a report's guide was made; None where the report is too old to tell."""
    said = guide.to_json()
    keys = {"template": "template", "cuts": "cuts", "approach": "approach", "params": "params", "blade": "blade_entry", "printer": "printer_entry"}
    if any(key not in said for key in keys.values()):
        return None
    keys |= {key: key for key in ("trajectories", "holes", "slot_sleeve") if said.get(key)}  # as `making_of` has them
    changed = decisive(guide.settings or ())
    return {name: said[key] for name, key in keys.items()} | ({"settings": list(changed)} if changed else {})


def differences(new: Making, old: Making) -> dict[str, tuple[Any, Any]]:
    """What differs between two makings: a label to its new and its old value.

    Of two printers only the ids are told, and of two templates only the parameters that both have.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for label in ("template", *OF_CASE):
        if new.get(label) != old.get(label):
            found[label] = (new.get(label), old.get(label))
    ours, theirs = (dict(parted(one) for one in making.get("settings", ())) for making in (new, old))
    for key in dict.fromkeys([*ours, *theirs]):
        if ours.get(key, AS_IN_CASE) != theirs.get(key, AS_IN_CASE) and key not in found:
            found[key] = (ours.get(key, AS_IN_CASE), theirs.get(key, AS_IN_CASE))
    if new["printer"]["id"] != old["printer"]["id"]:
        found["printer"] = (new["printer"]["id"], old["printer"]["id"])
    for label in ("blade", "printer"):
        if label not in found:
            found.update(_fields(new[label] or {}, old[label] or {}, prefix=f"{label} "))
    params = _fields(new["params"], old["params"], prefix="")
    if "template" in found:
        params = {key: values for key, values in params.items() if key in new["params"] and key in old["params"]}
    return {**found, **params}


def _fields(new: Mapping[str, Any], old: Mapping[str, Any], *, prefix: str) -> dict[str, tuple[Any, Any]]:
    keys = dict.fromkeys([*new, *old])
    return {f"{prefix}{key}": (new.get(key), old.get(key)) for key in keys if new.get(key) != old.get(key)}


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _words(found: Mapping[str, tuple[Any, Any]]) -> tuple[str, ...]:
    return tuple(f"{label} {_said(new)} instead of {_said(old)}" for label, (new, old) in found.items())


def _made_up(found: Mapping[str, tuple[Any, Any]], making: Making) -> str:
    """A variant's name made from what differs: the same for the same difference, and no longer than a name may be."""
    parts = []
    for label, (new, _) in found.items():
        text = _said(new) if isinstance(new, bool | int | float | str) or new is None else hash_of(new)[:MARK]
        parts.append(f"{label.replace('.', '-')}-{text.replace('-', 'minus', 1) if text.startswith('-') else text}")
    name = re.sub(r"[^a-z0-9.]+", "-", "-".join(parts).lower()).strip("-.")
    return name if VARIANT.fullmatch(name) and name != RESERVED else _marked(name, making)


def _marked(name: str, making: Making) -> str:
    """`name`, shortened to end in a hash of the making."""
    kept = name[: LONGEST - MARK - 1].rstrip("-.") or "variant"
    return f"{kept}-{hash_of(making)[:MARK]}"


def name_for(making: Making, others: Sequence[tuple[Guide, bool]], *, wanted: str | None = None) -> Naming:
    """The name of a guide that is to be made among `others` of its name and blade.

    It has its own name again where it was made before (but for a name that `--variant` gave), the plain name where that is
    free, or held by a guide that no longer stands, and else a name made from what differs from the plain one. Where `--set` changed what it is
    made from, parameters and the like apart, it never has the plain name: that belongs to the guide of the case itself.

    Parameters
    ----------
    others : sequence of (report's guide, whether it stands)
        A guide stands if it passed, and its inputs are still those of the case.
    wanted : str, optional
        The name that `--variant` gives.

    Raises
    ------
    InputError
        Where the wanted name is held by a standing guide that was made otherwise.
    """
    held = {guide.variant: (guide, stands) for guide, stands in others}
    plain = held.get(None)
    before = recorded_making(plain[0]) if plain is not None else None
    if before is not None and "settings" in before:  # an earlier version gave the plain name to such a guide
        plain = before = None
    if "settings" in making:  # these say what differs of it, whatever has the plain name
        before = {**(before or making), **{key: making.get(key) for key in OF_CASE}, "settings": []}
    found = differences(making, before) if before is not None else {}
    if wanted is not None:
        guide, stands = held.get(wanted, (None, False))
        if guide is not None and stands and (one := recorded_making(guide)) is not None and one != making:
            raise InputError(
                f"--variant {wanted}: {stem_of(guide)} lies there and was made with other values ({', '.join(_words(differences(making, one)))}); "
                f"remove it with 'psi-cad remove OUT {stem_of(guide)}', or give another name."
            )
        return Naming(wanted, _words(found), given=True)
    own = [guide.variant for guide, _ in others if not guide.variant_given and recorded_making(guide) == making]
    own = [name for name in own if name is not None or "settings" not in making]
    if own:
        variant = None if None in own else min(name for name in own if name is not None)
        return Naming(variant, () if variant is None else _words(found))
    if "settings" not in making and (plain is None or not plain[1] or not found):
        return Naming()
    variant = _made_up(found, making)
    return Naming(_marked(variant, making) if variant in held and held[variant][1] else variant, _words(found))


def name_at_first(making: Making, overrides: Sequence[str]) -> Naming:
    """The name of a guide that is to be made, as if nothing lay beside it; `overrides`: all that `--set` changed of what it is made from."""
    return replace(name_for(making, []), mark=mark_of(overrides))
