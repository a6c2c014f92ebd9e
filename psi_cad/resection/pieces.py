"""The resection as it would be sawn: the bone falls apart along the cut faces and nowhere else.

The bone is divided by all planes into cells. Two cells that touch across a plane stay one body wherever the plane's
section there is no part of a cut. So an infinite plane never cuts bone that was not meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
import shapely.affinity
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from psi_cad.errors import CaseError
from psi_cad.resection.torn import Tear, tear_between
from psi_cad.scene.cuts import PlannedCut, half_plane
from psi_cad.surface.section import section_parts
from psi_cad.surface.solids import joined, mesh_of, pieces_of, winding
from psi_cad.surface.trust import at
from psi_cad.units import Array, Mm

__all__ = ["CRUMB_MM3", "Resection", "resect", "together"]

BRIDGE_MM2: Final = 0.01  # uncut bone with less section than this is rounding, no bridge
CRUMB_MM3: Final = 1.0  # a loose piece smaller than this is rounding at a surface, no piece of bone
OFF_PLANE_MM: Final[Mm] = 1e-3
ONE_PLANE_MM: Final[Mm] = 0.02  # far less than a saw's width


@dataclass(frozen=True)
class Resection:
    """What the cuts leave: solids (Manifold) of the specimen and of the bone that stays; patient mm.

    Attributes
    ----------
    specimens : mapping of group to solid
        One piece for each group; groups that free the same piece share it. Of several bones together, "bone/group" to solid.
    retained : tuple of solids
        The pieces that stay, largest first.
    crumbs : tuple of solids
        What else the planes cut off, too small to be a piece: with it all of the bone is accounted for.
    dust : tuple of solids
        What the saw turns to dust; none where it is taken as a plane.
    """

    specimens: Mapping[str, Any]
    retained: tuple[Any, ...]
    crumbs: tuple[Any, ...] = ()
    dust: tuple[Any, ...] = ()

    @property
    def kerf(self) -> float:
        """The volume of bone that the saw turns to dust, mm³."""
        return sum(float(solid.volume()) for solid in self.dust)

    @property
    def specimen(self) -> Any:
        """Everything that is removed, as one solid."""
        different: list[Any] = []
        for solid in self.specimens.values():
            if not any(solid is other for other in different):
                different.append(solid)
        return joined(different)

    @property
    def pieces(self) -> int:
        """How many separate pieces are removed."""
        return len({id(solid) for solid in self.specimens.values()})


@dataclass(frozen=True)
class _Contact:
    """Two cells that touch across a plane: where (patient mm), on how much section (mm²), and by which cut if it is sawn.

    `tear`: where it is not sawn, the hole in thin bone that parts it from what a cut of its plane takes.
    """

    above: int
    below: int
    place: Array
    area: float
    plane: str
    sawn: bool
    tear: Tear | None = None


def resect(bone: Any, mesh: trimesh.Trimesh, cuts: Mapping[str, PlannedCut]) -> Resection:
    """Saw `bone` (a Manifold, with its surface `mesh`) along the faces of `cuts`.

    Raises
    ------
    CaseError
        Where the cuts do not free one piece for each group, with the place where bone stays attached.
    """
    planes = _planes(cuts)
    leaders = [members[0] for members in planes]
    cells = _cells(bone, leaders)
    contacts = [contact for number in range(len(planes)) for contact in _contacts(mesh, leaders, planes[number], number, cells)]
    kept = [(c.above, c.below) for c in contacts if not c.sawn]
    graph = _graph(kept, len(cells))
    _, body = connected_components(graph, directed=False)
    freed = _freed(contacts, cuts, body, graph)
    solids: dict[int, Any] = {}
    for number in np.unique(body):
        solids[int(number)] = joined([cell for n, (_, cell) in enumerate(cells) if body[n] == number])
    for group, number in freed.items():
        if solids[number].volume() < CRUMB_MM3:
            cut = next(cut for cut in cuts.values() if cut.group == group)
            raise CaseError(
                f"cut '{cut.name}' frees only {solids[number].volume():.2g} mm³ of bone near {at(cut.origin)}; "
                "move it away from the end of the bone, or turn its normal round.",
                where=cut.origin,
            )
    removed = set(freed.values())
    staying = sorted((solid for number, solid in solids.items() if number not in removed), key=lambda solid: -solid.volume())
    retained = tuple(solid for solid in staying if solid.volume() >= CRUMB_MM3)
    return Resection({group: solids[number] for group, number in freed.items()}, retained, tuple(staying[len(retained) :]))


def together(parts: Mapping[str | None, Resection]) -> Resection:
    """The resections of several bones, by name, as one; of a single bone its own."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    every = list(parts.values())
    retained = sorted((solid for part in every for solid in part.retained), key=lambda solid: -solid.volume())
    return Resection(
        {f"{name}/{group}": solid for name, part in parts.items() for group, solid in part.specimens.items()},
        tuple(retained),
        tuple(solid for part in every for solid in part.crumbs),
        tuple(solid for part in every for solid in part.dust),
    )


def _planes(cuts: Mapping[str, PlannedCut]) -> list[list[PlannedCut]]:
    """Cuts by plane: several may saw different pieces of bone along one plane.

    Planes count as one where their sections lie less than `ONE_PLANE_MM` from the other's plane: as one plane typed twice does.
    """
    planes: list[list[PlannedCut]] = []
    for cut in cuts.values():
        for members in planes:
            if max(_off(cut, members[0]), _off(members[0], cut)) < ONE_PLANE_MM:
                members.append(cut)
                break
        else:
            planes.append([cut])
    return planes


def _off(cut: PlannedCut, other: PlannedCut) -> Mm:
    """How far the section of a cut comes from the plane of another."""
    return float(np.abs((cut.patient(shapely.get_coordinates(cut.whole)) - other.origin) @ other.normal).max())


def _section_in(plane: PlannedCut, cut: PlannedCut) -> shapely.Geometry:
    """The section of a cut in (s, u) of another cut's plane, with which it coincides."""
    matrix, offset = plane.axes[:2] @ cut.axes[:2].T, plane.axes[:2] @ (cut.origin - plane.origin)
    return shapely.affinity.affine_transform(cut.section, [*matrix.ravel(), *offset])


def _cells(bone: Any, planes: list[PlannedCut]) -> list[tuple[tuple[int, ...], Any]]:
    """The pieces of bone between all planes, each with the side (+1, −1) of every plane it lies on."""
    cells: list[tuple[tuple[int, ...], Any]] = [((), bone)]
    for plane in planes:
        normal, offset = tuple(float(v) for v in plane.normal), float(plane.normal @ plane.origin)
        parts = []
        for sides, solid in cells:
            above, below = solid.split_by_plane(normal, offset)
            parts += [((*sides, sign), part) for sign, part in ((1, above), (-1, below)) if not part.is_empty()]
        cells = parts
    return [(sides, piece) for sides, solid in cells for piece in pieces_of(solid)]


def _contacts(
    mesh: trimesh.Trimesh, planes: list[PlannedCut], members: list[PlannedCut], number: int, cells: list[tuple[tuple[int, ...], Any]]
) -> list[_Contact]:
    """Every place where two cells meet across plane `number`, sawn by one of its `members` or not."""
    plane = planes[number]
    whole = shapely.union_all(section_parts(mesh, origin=plane.origin, axes=plane.axes))
    sections = [_section_in(plane, cut) for cut in members]
    found = []
    for others, region in _divided(whole, plane, [p for n, p in enumerate(planes) if n != number]):
        parts: list[tuple[PlannedCut | None, shapely.Geometry]] = [
            (cut, region.intersection(section)) for cut, section in zip(members, sections, strict=True)
        ]
        parts.append((None, region.difference(shapely.union_all(sections))))
        for cut, part in parts:
            for piece in shapely.get_parts(part):
                if not isinstance(piece, shapely.Polygon) or piece.area < BRIDGE_MM2:
                    continue
                middle = shapely.maximum_inscribed_circle(piece, tolerance=0.01).coords[0]
                place = plane.patient(np.array([middle]))[0]
                turned = cut is not None and float(cut.normal @ plane.normal) < 0.0
                ends = [
                    _cell_at(cells, (*others[:number], side, *others[number:]), place + side * OFF_PLANE_MM * plane.normal)
                    for side in ((-1, 1) if turned else (1, -1))
                ]
                if ends[0] is not None and ends[1] is not None:
                    name = plane.name if cut is None else cut.name
                    tear = tear_between(shapely.union_all(sections), piece, plane) if cut is None else None
                    found.append(_Contact(ends[0], ends[1], place, float(piece.area), name, cut is not None, tear))
    return found


def _divided(region: shapely.Geometry, plane: PlannedCut, others: list[PlannedCut]) -> list[tuple[list[int], shapely.Geometry]]:
    """`region` of a plane split by all other planes, each part with its sides of them."""
    parts: list[tuple[list[int], shapely.Geometry]] = [([], region)]
    for other in others:
        inward = half_plane(plane, other)
        split = []
        for sides, part in parts:
            for sign, piece in ((1, part.intersection(inward)), (-1, part.difference(inward))):
                if piece.area >= BRIDGE_MM2:
                    split.append(([*sides, sign], piece))
        parts = split
    return parts


def _cell_at(cells: list[tuple[tuple[int, ...], Any]], sides: tuple[int, ...], point: Array) -> int | None:
    candidates = [n for n, (known, _) in enumerate(cells) if known == sides]
    if len(candidates) == 1:
        return candidates[0]
    return next((n for n in candidates if winding(mesh_of(cells[n][1]), point) > 0.5), None)


def _graph(pairs: list[tuple[int, int]], size: int) -> Any:
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size)).tocsr()


def _freed(contacts: list[_Contact], cuts: Mapping[str, PlannedCut], body: Array, graph: Any) -> dict[str, int]:
    """The body that each group of cuts frees; every cut of a group must have it above, and another body below.

    Raises
    ------
    CaseError
    """
    freed: dict[str, int] = {}
    first: dict[str, _Contact] = {}
    sawn = sorted((c for c in contacts if c.sawn), key=lambda c: -c.area)
    idle = sorted(set(cuts) - {contact.plane for contact in sawn})
    if idle:
        place = cuts[idle[0]].patient(np.array(cuts[idle[0]].section.representative_point().coords))[0]
        raise CaseError(f"cut '{idle[0]}' divides no bone near {at(place)}; move it into the bone, or remove it.", where=place)
    for contact in sawn:
        group = cuts[contact.plane].group
        if body[contact.above] == body[contact.below]:
            bridge = _bridge(contacts, contact, graph)
            beyond = _beyond_tear(contacts, contact)
            if beyond is not None and beyond.tear is not None:
                raise CaseError(_torn(contact, beyond, beyond.tear, group), where=beyond.tear.middle)
            raise CaseError(
                f"cut '{contact.plane}' does not free the specimen: bone stays attached near {at(bridge.place)}"
                f" ({bridge.area:.0f} mm² in the plane of cut '{bridge.plane}' that no cut takes); raise extent, or add a cut there"
                f" to group '{group}', whose piece has to lie on the normal's side of each of its cuts (one that does not is another group).",
                where=bridge.place,
            )
        number = int(body[contact.above])
        if group in freed and freed[group] != number:
            raise CaseError(
                f"cuts '{first[group].plane}' and '{contact.plane}' of group '{group}' free separate pieces, near {at(first[group].place)} and "
                f"{at(contact.place)}; turn the normal that looks away from the specimen, or give the cuts different groups.",
                where=contact.place,
            )
        freed.setdefault(group, number)
        first.setdefault(group, contact)
    for contact in sawn:
        group = cuts[contact.plane].group
        if int(body[contact.below]) == freed[group]:
            raise CaseError(
                f"cut '{contact.plane}' has the specimen of group '{group}' on its other side near {at(contact.place)}; turn its normal round.",
                where=contact.place,
            )
    return freed


def _beyond_tear(contacts: list[_Contact], cut: _Contact) -> _Contact | None:
    """The nearest bone in a cut's plane beyond a hole in thin bone; None where there is none.

    The same two cells meet on both sides of the gap: bone goes all around it, so it is a hole and no notch.
    """
    cells = {cut.above, cut.below}
    torn = [c for c in contacts if c.tear is not None and {c.above, c.below} == cells]
    return min(torn, key=lambda c: 0.0 if c.tear is None else c.tear.across, default=None)


def _torn(cut: _Contact, bridge: _Contact, tear: Tear, group: str) -> str:
    """The sentence for a cut that ends at a hole in thin bone."""
    size = int(np.ceil(tear.across)) + 2  # a hole is a little wider than a plane beside its middle shows
    return (
        f"cut '{cut.plane}' does not free the specimen: its plane meets a hole in the bone's surface near {at(tear.middle)}, "
        f"{tear.across:.1f} mm across in bone only {tear.bone:.1f} mm thick, and bone stays attached beyond it near {at(bridge.place)} "
        f"({bridge.area:.0f} mm²); if thin bone was lost there, close the hole (psi-cad segment --close-holes {size}, or close_holes = {size} under "
        f"[bone.segment]) or move the cut, and only if it is a foramen add a cut beyond it to group '{group}'."
    )


def _bridge(contacts: list[_Contact], cut: _Contact, graph: Any) -> _Contact:
    """The narrowest uncut bone on the way round a cut from its one side to the other."""
    _, before = breadth_first_order(graph, cut.above, directed=False)
    steps, here = [], cut.below
    while here != cut.above and before[here] >= 0:
        steps.append({int(before[here]), int(here)})
        here = int(before[here])
    on_the_way = [c for c in contacts if not c.sawn and {c.above, c.below} in steps]
    return min(on_the_way, key=lambda c: c.area, default=cut)
