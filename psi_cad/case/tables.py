"""A case file as it was read, whatever is wrong in it: its tables, and what its cuts and guides say of the bone that they are on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Apart", "bones_apart", "bones_in", "tables_in"]

Apart: TypeAlias = tuple[str, tuple[int | str, ...], str]
"""What does not fit together: its key, its location, and a sentence without a full stop."""


def tables_in(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tables of a list in a case file as read, whatever else is wrong in it; an empty one for what is no table."""
    entries = data.get(key)
    return [entry if isinstance(entry, dict) else {} for entry in entries] if isinstance(entries, list | tuple) else []


def bones_in(data: Mapping[str, Any]) -> list[tuple[str, tuple[int | str, ...], dict[str, Any]]]:
    """The bones of a case file as read: the key, location and table of [bone], or of each [[bone]]."""
    if isinstance(data.get("bone"), dict):
        return [("bone", ("bone",), data["bone"])]
    return [(f"bone[{number}]", ("bone", number), table) for number, table in enumerate(tables_in(data, "bone"))]


def bones_apart(data: Mapping[str, Any]) -> list[Apart]:
    """Bones without a name or named twice, cuts, guides and parts on no bone of the case, guides whose cuts lie on another bone."""
    bones = bones_in(data)
    if not bones:
        return []
    many = not isinstance(data.get("bone"), dict)
    found = _of_bones(bones, many=many)
    names = [table["name"] for _, _, table in bones if isinstance(table.get("name"), str)]
    if many and (len(set(names)) < len(bones) or "bone" in names):
        return found  # whatever says where it is would be told to be nowhere
    for kind in ("cut", "guide", "part"):
        for number, entry in enumerate(tables_in(data, kind)):
            told = _on_bone(f"{kind}[{number}].bone", entry.get("bone"), names, several=len(bones) > 1)
            if told is not None:
                found.append((f"{kind}[{number}].bone", (kind, number, "bone"), told))
    on = {cut.get("name"): cut.get("bone") for cut in tables_in(data, "cut")}
    for number, guide in enumerate(tables_in(data, "guide")):
        cuts, mine = guide.get("cuts"), guide.get("bone")
        for name in dict.fromkeys(cuts) if isinstance(cuts, list | tuple) and len(bones) > 1 and all(isinstance(c, str) for c in cuts) else ():
            if mine in names and on.get(name) in names and on[name] != mine:
                key = f"guide[{number}].cuts"
                text = f"{key} names '{name}', which is on bone '{on[name]}', but the guide is on '{mine}'; make one guide for each bone"
                found.append((key, ("guide", number, "cuts"), text))
    return found


def _of_bones(bones: list[tuple[str, tuple[int | str, ...], dict[str, Any]]], *, many: bool) -> list[Apart]:
    found: list[Apart] = []
    if not many:
        (key, place, table) = bones[0]
        if table.get("side") is not None:
            text = "bone.side belongs to one of several bones ([[bone]]); with a single one, side stands at the top of the case"
            found.append((f"{key}.side", (*place, "side"), text))
        return found
    scans: dict[tuple[str, str], str] = {}
    for key, place, table in bones:
        if table.get("name") is None:
            text = f'{key}.name is missing: each [[bone]] needs a name, such as "ilium", by which cuts and guides say on which they are'
            found.append((f"{key}.name", (*place, "name"), text))
        elif table["name"] == "bone":  # among the seeds of a scan that is the wanted one
            found.append((f"{key}.name", (*place, "name"), f"{key}.name = 'bone' tells it from no other; give it a name such as \"ilium\""))
        if isinstance(table.get("ct"), str):
            scan = (table["ct"], str(table.get("series")))
            scans.setdefault(scan, key)
            first = next(iter(scans))
            if scan != first:
                text = f"{key}.ct is another scan than {scans[first]}.ct: bones move between two scans, so all that come from a CT must come from one"
                found.append((f"{key}.ct", (*place, "ct"), text))
    return found


def _on_bone(key: str, given: Any, names: list[str], *, several: bool) -> str | None:
    """What is wrong with the bone that a cut or guide names, or does not; None where nothing is."""
    if given is None:
        return f"{key} is missing: with several bones each cut and guide says on which it is, one of {', '.join(names)}" if several else None
    if not isinstance(given, str) or given in names:
        return None
    if not names:
        return f"{key} names '{given}', but the case's bone has no name; remove the key, or write name = \"{given}\" under [bone]"
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    advice = f"the nearest is '{near[0]}'" if near else f"the case has {', '.join(dict.fromkeys(names))}"
    return f"{key} names '{given}', which is no bone of the case; {advice}"
