"""The names of a solid's faces in its STEP file, from the very finders that measure them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psi_cad.readback.faces import AS_DRAWN, Faces, moved_into
from psi_cad.verify.features import pin, seat, sleeve, slot
from psi_cad.verify.features.feature import feature_from_json, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import cadquery as cq

    from psi_cad.promises.expected import Expected

__all__ = ["named_faces"]


def named_faces(solid: cq.Solid, expected: Expected) -> dict[str, list[cq.Face]]:
    """Faces of a solid (patient frame) that a reviewer looks for, by name: sides of slots, bores and stop faces of sleeves, wires' holes, the seat.

    A file's bytes follow the order: of the solid's faces, and for one face, of the names.
    """
    local = Faces(moved_into(solid, expected.frame))
    number = {id(face): count for count, face in enumerate(local.all)}
    rows: list[tuple[int, int, str]] = []

    def take(name: str, faces: Iterable[cq.Face]) -> None:
        rows.extend((number[id(face)], len(rows), name) for face in faces)

    for want in (one for one in expected.slots if one.printed):
        for sign, sides in slot.find(want, local, expected, within=AS_DRAWN).items():
            take(f"slot {want.name} {'specimen' if sign > 0 else 'retained'} side", [face for face, *_ in sides])
    for bore in expected.bores:
        take(f"stop {bore.name}", sleeve.find_stop(bore, local, expected, within=AS_DRAWN))
        take(f"bore {bore.name}", [one.face for one in sleeve.find(bore, local, expected, within=AS_DRAWN)])
    for feature in map(feature_from_json, expected.features):
        take(f"{type(feature).__name__.lower()} {feature.name}", [face for face, *_ in kind_of(feature).find(feature, local)])
    take("pin hole", [face for face, *_ in pin.find(local, expected, within=AS_DRAWN)])
    take("seat", seat.find(local))
    placed, found = list(solid.Faces()), dict[str, list["cq.Face"]]()
    for count, _, name in sorted(rows):
        found.setdefault(name, []).append(placed[count])
    return found
