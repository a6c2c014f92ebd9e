"""Faults to plant in a finished guide, each at a known place: what it does to the solid, where it lies, which checks fail of it.

A guide is given as its solid and its entry of the report (patient frame, mm).
"""

import cadquery as cq
import numpy as np
import shapely
from OCP.BRep import BRep_Builder
from OCP.TopoDS import TopoDS_Shell, TopoDS_Solid

from psi_cad.export.meshes import triangulated, write_stl
from psi_cad.export.step import write_step
from psi_cad.inspection.inspect import bone_probe
from psi_cad.promises.expected import Expected
from psi_cad.verify.checks import measure_files


def solid_in(path):
    return cq.Solid(cq.importers.importStep(str(path)).val().Solids()[0].wrapped)


def point_in(guide, key, number=0):
    """A point of what else was promised of a guide, and the axes of the guide frame, patient frame."""
    plan = guide["plan"]
    axes = np.array(plan["axes"])
    return np.array(plan["origin"]) + np.array(guide["features"][number][key]) @ axes, axes


def rod_at(place, radius, low, high, beside=(0.0, 0.0)):
    """A cylinder along the seating axis, from `low` to `high` above a place that `point_in` gave, or beside it."""
    point, axes = place
    start = point + beside[0] * axes[0] + beside[1] * axes[1] + low * axes[2]
    return cq.Solid.makeCylinder(radius, high - low, cq.Vector(*start), cq.Vector(*axes[2]))


def failed_in(step, stl, plan, bone):
    """The checks that fail, by id, of a guide's files, as promised by `plan`."""
    return {check.id: check for check in measure_files(step, stl, Expected.from_json(plan), bone_probe(bone)).checks if not check.passed}


def failed_with(shape, plan, bone, folder):
    """The same of a guide whose files hold `shape`."""
    step, stl, whole = folder / "x.step", folder / "x.stl", cq.Solid(shape.Solids()[0].wrapped)
    write_step(step, whole, product="x", faces={}, software="test")
    write_stl(stl, triangulated(whole), header="x")
    return failed_in(step, stl, plan, bone)


def failed_in_stl(shape, step, plan, bone, folder):
    """The same of a guide of which the STL alone holds `shape`."""
    stl = folder / "x.stl"
    write_stl(stl, triangulated(cq.Solid(shape.Solids()[0].wrapped)), header="x")
    return failed_in(step, stl, plan, bone)


def frame_of(guide):
    plan = guide["plan"]
    origin, x, z = (cq.Vector(*plan["origin"]), cq.Vector(*plan["axes"][0]), cq.Vector(*plan["axes"][2]))
    return cq.Plane(origin, x, z)


def slab(guide, thickness, at=0.0, size=300.0):
    """A slab parallel to the planned cut, `at` from it."""
    slot = guide["plan"]["slots"][0]
    normal = cq.Vector(*slot["normal"]).normalized()
    plane = cq.Plane(cq.Vector(*slot["origin"]) + normal * (at - thickness / 2), None, normal)
    return cq.Solid.makeBox(size, size, thickness, cq.Vector(-size / 2, -size / 2, 0)).moved(cq.Location(plane))


def rotated(solid, guide, degrees, axis):
    plane = frame_of(guide)
    direction = {"x": plane.xDir, "z": plane.zDir}[axis]
    return solid.rotate(plane.origin, plane.origin + direction, degrees)


def fence(solid, guide):
    """All of the guide beside the cut: where a fault of the whole slot lies."""
    return solid.intersect(slab(guide, 6.0))


def stations(guide):
    """(origin, along, blade, normal) of the slot, patient frame."""
    slot = guide["plan"]["slots"][0]
    normal = np.array(slot["normal"]) / np.linalg.norm(slot["normal"])
    blade = np.array(guide["slots"][0]["blade_direction"])
    return np.array(slot["origin"]), np.cross(blade, normal), blade, normal


def in_slot(guide, s, *, length, thickness=None, up=(-40.0, 60.0), off=0.0):
    """A block in the slot about `s` along it (mm from the cut's origin), `length` long; `up` along the blade from the cut's origin."""
    origin, along, blade, normal = stations(guide)
    thick = thickness if thickness is not None else guide["slots"][0]["width_mm"] + 0.4
    place = origin + s * along + up[0] * blade + off * normal
    plane = cq.Plane(cq.Vector(*place), cq.Vector(*along), cq.Vector(*blade))
    return cq.Solid.makeBox(length, thick, up[1] - up[0], cq.Vector(-length / 2, -thick / 2, 0)).moved(cq.Location(plane))


def plug(solid, guide, s, length):
    """A plug of the slot about `s`, over all of its height."""
    low, high = guided(solid, guide, s)
    return in_slot(guide, s, length=length, thickness=2 * half(guide) + 1.6, up=(low - 4.0, high + 4.0))


def guided(solid, guide, s):
    """Where (low, high) along the blade the slot's wall stands at `s`."""
    origin, along, blade, normal = stations(guide)
    start = origin + s * along + (guide["slots"][0]["width_mm"] / 2 + 0.3) * normal
    line = cq.Edge.makeLine(cq.Vector(*(start - 60 * blade)), cq.Vector(*(start + 60 * blade)))
    found = line.intersect(solid)
    heights = [(np.array(v.toTuple()) - start) @ blade for v in found.Vertices()]
    return min(heights), max(heights)


def spots(guide):
    """Two places (patient) on the seat, clear of fence and wires, on either side of the cut: with the seating axis's foot there."""
    plan = guide["plan"]
    axes, origin = np.array(plan["axes"]), np.array(plan["origin"])
    point, _, _, normal = stations(guide)
    area = shapely.union_all([shapely.Polygon(ring) for ring in plan["outlines"]]).buffer(-4)
    wires = shapely.union_all([shapely.Point(*pin["centre_mm"]).buffer(5.5) for pin in guide["pins"]])
    n, o = (axes @ normal)[:2], (axes @ (point - origin))[:2]
    t = np.array([-n[1], n[0]])
    strip = shapely.LineString([o - 200 * t, o + 200 * t]).buffer(9.0)
    parts = sorted(shapely.get_parts(area.difference(wires).difference(strip)), key=lambda part: -part.area)
    inner = [shapely.maximum_inscribed_circle(part, tolerance=0.1).coords[0] for part in parts[:2]]
    return [origin + np.append(xy, 0.0) @ axes for xy in inner]


def seat_at(solid, guide, place):
    """The point of the seat over `place` along the seating axis."""
    z = np.array(guide["plan"]["axes"][2])
    line = cq.Edge.makeLine(cq.Vector(*(place - 60 * z)), cq.Vector(*(place + 60 * z)))
    return place + min((np.array(v.toTuple()) - place) @ z for v in line.intersect(solid).Vertices()) * z


def ball(point, radius):
    return cq.Solid.makeSphere(radius, cq.Vector(0, 0, 0), cq.Vector(0, 0, 1), -90, 90, 360).translate(cq.Vector(*point))


def rod(solid, guide, number, radius):
    """A cylinder in the bore of a wire, from a little below the seat to a little above the sleeve."""
    plane = frame_of(guide)
    x, y = guide["pins"][number]["centre_mm"]
    beside = cq.Edge.makeLine(plane.toWorldCoords((x + 2.0, y, -80.0)), plane.toWorldCoords((x + 2.0, y, 120.0)))
    heights = [plane.toLocalCoords(v.Center()).z for v in beside.intersect(solid).Vertices()]
    low, high = min(heights) - 2.5, max(heights) + 0.5
    return cq.Solid.makeCylinder(radius, high - low, cq.Vector(x, y, low)).moved(cq.Location(plane))


def windows(guide, more):
    """Blocks that widen the slot by `more` all along."""
    ends = guide["slots"][0]["windows_mm"]
    return [in_slot(guide, (low + high) / 2, length=high - low - 0.2, thickness=2 * half(guide) + more) for low, high in ends]


def stray(guide, radius=None):
    """A cylinder along the seating axis whose middle runs 3 mm beside the cut plane."""
    point, along, _, normal = stations(guide)
    low, high = guide["slots"][0]["windows_mm"][1]
    plane = frame_of(guide)
    place = plane.toLocalCoords(cq.Vector(*(point + (low + 0.7 * (high - low)) * along + 3.0 * normal)))
    radius = guide["pins"][0]["diameter_mm"] / 2 if radius is None else radius
    return cq.Solid.makeCylinder(radius, 200.0, cq.Vector(place.x, place.y, -100.0)).moved(cq.Location(plane))


def opened(solid, guide):
    """The solid without one of its faces: a shell that bounds nothing."""
    builder, shell, holder = BRep_Builder(), TopoDS_Shell(), TopoDS_Solid()
    builder.MakeShell(shell)
    lost = lost_face(solid, guide)
    for face in solid.Faces():
        if not face.isSame(lost):
            builder.Add(shell, face.wrapped)
    builder.MakeSolid(holder)
    builder.Add(holder, shell)
    return cq.Solid(holder)


def lost_face(solid, guide):
    """The side of the slot that is the larger."""
    _, _, _, normal = stations(guide)
    flat = [face for face in solid.Faces() if face.geomType() == "PLANE" and abs(abs(np.array(face.normalAt().toTuple()) @ normal) - 1) < 1e-9]
    return max(flat, key=lambda face: face.Area())


def middle_s(guide, window=0):
    return sum(guide["slots"][0]["windows_mm"][window]) / 2


def end_s(guide):
    return guide["slots"][0]["windows_mm"][-1][1]


def bridge_s(guide):
    first, second = guide["slots"][0]["windows_mm"]
    return (first[1] + second[0]) / 2


def half(guide):
    return guide["slots"][0]["width_mm"] / 2


def wall_bite(s, g):
    """A bite out of the fence's outside that leaves 0.9 mm of wall over 6 mm."""
    low, high = guided(s, g, middle_s(g))
    return in_slot(g, middle_s(g), length=6.0, thickness=6.0, up=(low + 3.0, high - 3.0), off=half(g) + 0.9 + 3.0)


def top_bite(s, g):
    """The upper 3 mm of the fence over 8 mm of the second window."""
    s_at = middle_s(g, 1)
    _, high = guided(s, g, s_at)
    return in_slot(g, s_at, length=8.0, thickness=20.0, up=(high - 3.0, high + 10.0))


def wider(guide):
    return in_slot(guide, middle_s(guide, 1), length=9.0, thickness=2 * half(guide) + 0.03)


def shim(solid, guide):
    """A leaf of 0.06 mm on one side of the slot."""
    low, high = guided(solid, guide, middle_s(guide))
    return in_slot(guide, middle_s(guide), length=9.0, thickness=0.5, up=(low + 0.2, high - 0.8), off=half(guide) + 0.25 - 0.06)


def pit(solid, guide):
    """A round hole into the seat, 1.2 mm deep: a ball across two tiles of the seat leaves the kernel no valid solid."""
    z = np.array(guide["plan"]["axes"][2])
    start = seat_at(solid, guide, spots(guide)[0]) - 1.2 * z
    return cq.Solid.makeCylinder(1.3, 2.4, cq.Vector(*start), cq.Vector(*z))


def bump(solid, guide):
    return ball(seat_at(solid, guide, spots(guide)[1]), 1.2)


def gone(solid, guide):
    """All of the footplates beyond the fence."""
    return cq.Compound.makeCompound([slab(guide, 60.0, at=30.0 + 5.5), slab(guide, 60.0, at=-30.0 - 12.0)])


def closed(solid, guide):
    return ball(
        stations(guide)[0] + middle_s(guide, 1) * stations(guide)[1] + np.mean(guided(solid, guide, middle_s(guide, 1))) * stations(guide)[2], 2.0
    )


def early(solid, guide):
    """A plug from well within the bone's chord to the slot's end."""
    chord = guide["plan"]["slots"][0]["chord_high"]
    return plug(solid, guide, (chord - 3.0 + end_s(guide)) / 2, end_s(guide) - chord + 3.0)


def pillar(solid, guide):
    low, high = guide["slots"][0]["windows_mm"][0]
    return plug(solid, guide, low + 0.6 * (high - low), 4.5)


def left_of_pillar(solid, guide):
    """The window that the pillar leaves too short."""
    low, high = guide["slots"][0]["windows_mm"][0]
    return in_slot(guide, low + 0.6 * (high - low) + 2.25 + (0.4 * (high - low) - 2.25) / 2, length=2.0)


def nick(guide):
    return in_slot(guide, bridge_s(guide) - 1.0, length=2.2, thickness=2 * half(guide))


def piece(guide):
    return cq.Solid.makeBox(5, 5, 5).translate(frame_of(guide).origin + frame_of(guide).zDir * 40)


def tip(solid, guide):
    """The far end of the handle."""
    x, y = guide["pins"][0]["centre_mm"]
    end = cq.Vector(x + 2.5, y, 704.0)
    return cq.Solid.makeSphere(2.5, cq.Vector(0, 0, 0), cq.Vector(0, 0, 1), -90, 90, 360).translate(frame_of(guide).toWorldCoords(end.toTuple()))


def handle(solid, guide, length):
    plane = frame_of(guide)
    x, y = guide["pins"][0]["centre_mm"]
    rod = cq.Solid.makeCylinder(2.0, length, cq.Vector(x, y, 0.0)).moved(cq.Location(plane))
    return rod.translate(plane.xDir * 2.5 + plane.zDir * 4.0)


# each fault: what it does to the solid, where it lies, and the checks that have to fail there
FAULTS = {
    "wider slot": (lambda s, g: s.cut(*windows(g, 0.07)), fence, {"slot_width", "slot_clearance_most"}),
    "wider in one place": (lambda s, g: s.cut(wider(g)), lambda s, g: wider(g), {"slot_width"}),
    "narrower in one place": (lambda s, g: s.fuse(shim(s, g)), shim, {"slot_width", "slot_clearance_least"}),
    "shifted": (lambda s, g: s.translate(cq.Vector(*g["plan"]["slots"][0]["normal"]) * 0.02), fence, {"slot_plane_offset"}),
    "turned": (lambda s, g: rotated(s, g, 0.03, "x"), fence, {"slot_plane_angle"}),
    "lifted": (lambda s, g: s.translate(frame_of(g).zDir * 0.9), None, {"seat_rms", "contact_area", "contact_share"}),
    "pit in the seat": (lambda s, g: s.cut(pit(s, g)), pit, {"seat_max"}),
    "bump on the seat": (lambda s, g: s.fuse(bump(s, g)), bump, {"seat_overlap", "pull_off"}),
    "much contact gone": (lambda s, g: s.cut(gone(s, g)), gone, {"contact_share"}),
    "thin wall": (lambda s, g: s.cut(wall_bite(s, g)), wall_bite, {"slot_wall", "printer_wall"}),
    "lower fence": (lambda s, g: s.cut(top_bite(s, g)), top_bite, {"slot_height"}),
    "slot closed": (lambda s, g: s.fuse(closed(s, g)), closed, {"slot_blocked"}),
    "slot ends early": (lambda s, g: s.fuse(early(s, g)), early, {"slot_covers_bone"}),
    "short window": (lambda s, g: s.fuse(pillar(s, g)), lambda s, g: left_of_pillar(s, g), {"slot_blade_room"}),
    "thin bridge": (lambda s, g: s.cut(nick(g)), lambda s, g: in_slot(g, bridge_s(g), length=4.0), {"slot_bridge"}),
    "one wire less": (lambda s, g: s.fuse(rod(s, g, 0, 1.3)), lambda s, g: rod(s, g, 0, 1.3), {"pins"}),
    "two wires less": (lambda s, g: s.fuse(rod(s, g, 2, 1.3)).fuse(rod(s, g, 3, 1.3)), lambda s, g: rod(s, g, 2, 1.3), {"pins", "pin_lever"}),
    "wider bore": (lambda s, g: s.cut(rod(s, g, 1, g["pins"][1]["diameter_mm"] / 2 + 0.008)), lambda s, g: rod(s, g, 1, 1.3), {"pin_bore"}),
    "a bore by the cut": (lambda s, g: s.cut(stray(g)), lambda s, g: stray(g, 1.0), {"pin_clearance"}),
    "two pieces": (lambda s, g: cq.Compound.makeCompound([s, piece(g)]), lambda s, g: piece(g), {"step_solids"}),
    "too large for the printer": (lambda s, g: s.fuse(handle(s, g, 700.0)), lambda s, g: tip(s, g), {"printer_room"}),
}  # fmt: skip
