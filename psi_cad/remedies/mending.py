"""What a failed check means in words, and which changes of a guide may mend it: data, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psi_cad.remedies.changes import (
    ALONG,
    FEWER_PINS,
    FINER,
    FOLLOW_LESS,
    GRAFT,
    KERNEL,
    LARGER,
    LEAST_REACH,
    LEAST_RUN_OUT,
    LESS_END_WALL,
    LESS_REACH,
    LESS_RUN_OUT,
    LESS_SLOPE,
    LONGER,
    MORE_GAP,
    MORE_REACH,
    MORE_RUN_OUT,
    MORE_SLOPE,
    MOST_SLOPE,
    MUCH_LESS_REACH,
    MUCH_MORE_REACH,
    NARROWER,
    OTHER_EDGES,
    OUTWARD,
    REFUSALS,
    SHALLOWER,
    SLIDES,
    THICKER,
    THINNER_WIRE,
    TURNED,
    TURNED_BACK,
    WIDER_BRIDGE_OVER,
    Change,
    Mending,
)

__all__ = ["CHECKS", "REFUSALS", "Change", "Mending", "base_id", "sentence"]

TOO_SHORT: Final = Mending(
    "the blade is too short: {value:.1f} mm of it reach there, {limit:.1f} are needed", "a longer blade", (LONGER, OUTWARD, TURNED, TURNED_BACK)
)
CHECKS: Final[Mapping[str, Mending]] = {
    "step_schema_ap242": Mending("the STEP file is not AP242", "the file was changed: build again"),
    "step_solids": Mending("the STEP file holds {value:g} solids instead of one", KERNEL, OTHER_EDGES),
    "step_valid": Mending("the kernel finds the solid unsound", KERNEL, OTHER_EDGES),
    "stl_outward": Mending("the mesh is inside out, or holds no volume", "turn its faces round"),
    "slot_width": Mending("the slot's width is off by {value:.3f} mm", KERNEL, OTHER_EDGES),
    "slot_clearance_least": Mending("the slot leaves the blade only {value:.3f} mm", "clearance between 0.10 and 0.20 mm", OTHER_EDGES),
    "slot_clearance_most": Mending("the slot leaves the blade {value:.3f} mm", "clearance between 0.10 and 0.20 mm", OTHER_EDGES),
    "slot_plane_angle": Mending("the slot is turned against the planned plane by {value:.3f}°", KERNEL, OTHER_EDGES),
    "slot_plane_offset": Mending("the slot lies {value:.3f} mm off the planned plane", KERNEL, OTHER_EDGES),
    "slot_printed": Mending("a side of the slot lies {value:.3f} mm elsewhere in the STL than in the STEP", KERNEL, OTHER_EDGES),
    "slot_wall": Mending("the wall beside the slot is only {value:.2f} mm thick", "a thicker wall, or another footplate_reach", OTHER_EDGES),
    "slot_height": Mending(
        "the blade is guided over only {value:.2f} mm",
        "an approach closer to the bone's outward direction, or a smaller run_out",
        (LESS_RUN_OUT, LESS_SLOPE, OUTWARD, MUCH_LESS_REACH),
    ),
    "slot_blocked": Mending(
        "material stands in the blade's way ({value:g} lines of the blade meet it)", "another run_out or footplate_reach", OTHER_EDGES
    ),
    "slot_covers_bone": Mending(
        "the slot ends {value:.2f} mm beyond the bone", "more run_out, or a smaller end_wall", (MORE_RUN_OUT, LESS_END_WALL, OUTWARD)
    ),
    "slot_past": Mending("the slot goes {value:.2f} mm past the cut that it ends on, into bone that is not to be sawn", KERNEL, OTHER_EDGES),
    "slot_blade_room": Mending(
        "the slot gives the blade {value:.1f} mm to swing, it needs {limit:.1f}",
        "a narrower blade, or a larger bridge_over",
        (WIDER_BRIDGE_OVER, NARROWER, MORE_RUN_OUT),
    ),
    "slot_bridge": Mending(
        "the bridge is only {value:.2f} mm wide", "a larger bridge_over, so that no bridge is needed", (WIDER_BRIDGE_OVER, MORE_RUN_OUT)
    ),
    "blade_reach": TOO_SHORT,
    "ledge_angle": Mending("the ledge is turned against the planned plane by {value:.3f}°", KERNEL, OTHER_EDGES),
    "ledge_offset": Mending("the ledge lies {value:.3f} mm off where the blade is to run", KERNEL, OTHER_EDGES),
    "ledge_height": Mending(
        "the blade lies on only {value:.2f} mm of the ledge",
        "an approach closer to the bone's outward direction, or a smaller run_out",
        (LESS_RUN_OUT, LESS_SLOPE, OUTWARD, MUCH_LESS_REACH),
    ),
    "ledge_wall": Mending("the wall behind the ledge is only {value:.2f} mm thick", "a thicker wall, or another footplate_reach", OTHER_EDGES),
    "ledge_open": Mending("material stands {value:.2f} mm past the ledge, on the side that is to be open", "another footplate_reach", OTHER_EDGES),
    "ledge_hangs": Mending(
        "the ledge's wall stands alone over {value:.0f} mm, and {limit:.0f} is the most",
        "a thicker wall, more footplate_reach, or less run_out",
        (LESS_RUN_OUT, MORE_REACH),
    ),
    "ledge_covers_bone": Mending("the ledge ends {value:.2f} mm beyond the bone", "more run_out", (MORE_RUN_OUT, OUTWARD)),
    "ledge_blade_room": Mending(
        "the ledge is {value:.1f} mm long, the swinging blade needs {limit:.1f}", "a narrower blade, or more run_out", (NARROWER, MORE_RUN_OUT)
    ),
    "ledge_reach": TOO_SHORT,
    "liner_width": Mending("the pocket of a metal sleeve is {value:.3f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "liner_length": Mending("the pocket of a metal sleeve is {value:.3f} mm longer or shorter than it should be", KERNEL, OTHER_EDGES),
    "liner_depth": Mending("a metal sleeve would stand out of its pocket, or sink in it, by {value:.2f} mm", KERNEL, OTHER_EDGES),
    "liner_flush": Mending("the fence's top round a metal sleeve is uneven by {value:.2f} mm", "another end_wall or footplate_reach", OTHER_EDGES),
    "liner_angle": Mending("the pocket of a metal sleeve is turned against the planned plane by {value:.3f}°", KERNEL, OTHER_EDGES),
    "liner_offset": Mending("the pocket of a metal sleeve lies {value:.3f} mm off where the blade is to run", KERNEL, OTHER_EDGES),
    "liner_wall": Mending("only {value:.2f} mm are printed beside a metal sleeve", "a thicker wall, or another footplate_reach", OTHER_EDGES),
    "liner_end": Mending("only {value:.2f} mm are printed at the end of a metal sleeve", "more end_wall, or another footplate_reach", OTHER_EDGES),
    "liner_floor": Mending("only {value:.2f} mm are printed between a metal sleeve and the bone", "another footplate_reach", OTHER_EDGES),
    "liner_clear": Mending("print stands in the slot of a metal sleeve ({value:g} lines through it meet it)", "another footplate_reach", OTHER_EDGES),
    "liner_clearance_least": Mending("the slot of the metal sleeve leaves the blade only {value:.3f} mm", "a sleeve with a wider slot"),
    "liner_clearance_most": Mending("the slot of the metal sleeve leaves the blade {value:.3f} mm", "a sleeve with a narrower slot"),
    "liner_height": Mending("the metal sleeve guides the blade over only {value:.2f} mm", "a higher sleeve"),
    "liner_covers_bone": Mending("the slot of the metal sleeve ends {value:.2f} mm beyond the bone", "a longer sleeve", (OUTWARD,)),
    "liner_blade_room": Mending(
        "the slot of the metal sleeve is {value:.1f} mm long, the blade needs {limit:.1f}",
        "a narrower blade, or a longer sleeve",
        (NARROWER,),
    ),
    "liner_reach": TOO_SHORT,
    "gap_width": Mending("the gap's width is off by {value:.3f} mm", KERNEL, OTHER_EDGES),
    "gap_open": Mending("material stands in the gap ({value:g} lines through it meet it)", KERNEL, OTHER_EDGES),
    "gap_printed": Mending("the gap's width in the STL is off by {value:.3f} mm", KERNEL, OTHER_EDGES),
    "bore": Mending("the hole is {value:.3f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "flat": Mending("the flat face lies {value:.3f} mm off its place", KERNEL, OTHER_EDGES),
    "web": Mending("the thin wall is {value:.3f} mm thicker or thinner than it should be", KERNEL, OTHER_EDGES),
    "graft_area": Mending("only {value:.0%} of the graft's face is there", GRAFT),
    "graft_gap": Mending("the gap between graft and host is {value:.3f} mm wider or narrower than the fit that was asked for", GRAFT),
    "stem_wall": Mending(
        "only {value:.1f} mm of bone lie between the hole for the stem and the outside of the bone", "another trajectory, or a thinner stem"
    ),
    "cup_off": Mending("the cup's axis lies {value:.1f}° from that of the wanted angles", "another tooth, trajectory or implant"),
    "trial_in_bone": Mending(
        "the trial reaches {value:.2f} mm into the bone that stays", "trial_cup = false, or an implant with a larger cup_offset"
    ),
    "bore_diameter": Mending("the bore is {value:.3f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "bore_angle": Mending("the bore is turned against the planned direction by {value:.3f}°", KERNEL, OTHER_EDGES),
    "bore_entry": Mending("the bore's axis passes the planned entry by {value:.3f} mm", KERNEL, OTHER_EDGES),
    "bore_open": Mending("material stands in the tool's way ({value:g} lines of the tool meet it)", "another footplate_reach", OTHER_EDGES),
    "sleeve_guided": Mending(
        "the tool is guided over only {value:.2f} mm",
        "an approach nearer to the trajectories, or another footplate_reach",
        (ALONG, OUTWARD, *OTHER_EDGES),
    ),
    "sleeve_wall": Mending("the sleeve's wall is only {value:.2f} mm thick", "a thicker sleeve_wall, or another footplate_reach", OTHER_EDGES),
    "sleeve_stop": Mending("the stop face lies {value:.2f} mm off where it should be from the planned tip", KERNEL, OTHER_EDGES),
    "sleeve_square": Mending("the stop face is {value:.2f} mm out of square", "another footplate_reach or guided length", OTHER_EDGES),
    "tool_reach": Mending("the tool is too short: {value:.1f} mm of it reach there, {limit:.1f} are needed", "a longer tool, or less guided length"),
    "tool_apart": Mending(
        "the tool comes within {value:.2f} mm of another or of a wire", "less wire_depth, or trajectories further apart", (SHALLOWER, OUTWARD)
    ),
    "tool_avoid": Mending("the tool comes within {value:.2f} mm of the structure", "another trajectory, or less depth"),
    "sliding_lock": Mending(
        "the guide can slide on the bone (lock {value:.3f}, wanted {limit:g})",
        "more footplate_reach, so that the guide meets a prominence; an approach that sees one",
        (MORE_REACH, TURNED, TURNED_BACK, SLIDES, MUCH_MORE_REACH, MOST_SLOPE),
    ),
    "pins": Mending("a wire hole is missing", "more footplate_reach, or fewer pins", (LESS_REACH, MORE_REACH, FEWER_PINS)),
    "pin_lever": Mending(
        "the wires stand nearly in a line ({value:.1f} mm)", "more footplate_reach", (MORE_REACH, MUCH_MORE_REACH, THINNER_WIRE, SHALLOWER)
    ),
    "pin_bore": Mending("a wire hole is off its diameter by {value:.3f} mm", KERNEL, OTHER_EDGES),
    "pin_clearance": Mending(
        "a wire comes within {value:.2f} mm of a cut plane", "a smaller wire_depth, or more footplate_reach", (SHALLOWER, MORE_REACH, OUTWARD)
    ),
    "pin_axis": Mending("a leaning wire's hole is turned by {value:.2f}° against what was asked", KERNEL, OTHER_EDGES),
    "pin_foot": Mending("a leaning wire's hole lies {value:.2f} mm off its place", KERNEL, OTHER_EDGES),
    "pin_open": Mending("material stands in a leaning wire's way ({value:.0f} lines of the wires meet it)", "another footplate_reach", OTHER_EDGES),
    "pin_apart": Mending(
        "two wires come within {value:.2f} mm of each other", "less pin_divergence or wire_depth, or more footplate_reach", (SHALLOWER, MORE_REACH)
    ),
    "pin_lock": Mending("with its wires in, the guide can be moved {value:.1f} mm", "more pin_divergence, or less wire_clearance"),
    "pin_avoid": Mending(
        "a wire comes within {value:.2f} mm of the structure",
        "less wire_depth or pin_divergence, or another footplate_reach",
        (SHALLOWER, MORE_REACH),
    ),
    "plated_axis": Mending("a wire passes the hole of the plate by {value:.2f} mm", KERNEL, OTHER_EDGES),
    "plated_turn": Mending("a wire is turned by {value:.2f}° against the hole of the plate", KERNEL, OTHER_EDGES),
    "flap_thickness": Mending("the flap is {value:.2f} mm thicker or thinner than it should be", KERNEL, OTHER_EDGES),
    "flap_angle": Mending("the flap leans {value:.2f}° otherwise than it should", KERNEL, OTHER_EDGES),
    "flap_rim": Mending("the flap's rim is not rounded as it should be", KERNEL, OTHER_EDGES),
    "flap_width": Mending("the flap is {value:.2f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "flap_top": Mending("the flap's rim lies {value:.2f} mm off its height", KERNEL, OTHER_EDGES),
    "flap_height": Mending("the flap stands only {value:.1f} mm above the footplate", "another footplate_reach or flap_side", OTHER_EDGES),
    "flap_clear": Mending("the flap comes within {value:.1f} mm of where the saw runs", "another footplate_reach or flap_side", OTHER_EDGES),
    "grip_size": Mending("the grip's head is {value:.2f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "grip_shaft": Mending("the grip's shaft is only {value:.1f} mm thick", KERNEL, OTHER_EDGES),
    "grip_height": Mending("the grip is {value:.2f} mm higher or lower than it should be", KERNEL, OTHER_EDGES),
    "grip_clear": Mending("the grip comes within {value:.1f} mm of where the saw runs", "another footplate_reach, or the other side", OTHER_EDGES),
    "grip_wire": Mending("the grip comes within {value:.1f} mm of a wire, which is driven there", "another footplate_reach", OTHER_EDGES),
    "insert_seat": Mending("the seat of a metal sleeve is {value:.3f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "insert_axis": Mending("the seat of a metal sleeve lies {value:.2f} mm off its wire's axis", KERNEL, OTHER_EDGES),
    "insert_depth": Mending("the seat of a metal sleeve is {value:.2f} mm deeper or shallower than it should be", KERNEL, OTHER_EDGES),
    "insert_wall": Mending("only {value:.2f} mm are printed round a metal sleeve", "a thicker sleeve_wall, or another footplate_reach", OTHER_EDGES),
    "window_size": Mending("the window is {value:.2f} mm wider or narrower than it should be", KERNEL, OTHER_EDGES),
    "window_place": Mending("the window lies {value:.2f} mm off its place", KERNEL, OTHER_EDGES),
    "window_open": Mending("something stands over the window ({value:.0f} lines meet it)", "fewer windows, or another window_size", OTHER_EDGES),
    "window_wall": Mending("only {value:.1f} mm are left beside the window", "a smaller window_size, or more footplate_reach", (MORE_REACH,)),
    "stop_through": Mending(
        "with its hub on the stop, the tip ends only {value:.2f} mm past the bone", "more stop_allowance, or another footplate_reach", OTHER_EDGES
    ),
    "stop_past": Mending(
        "with its hub on the stop, the tip ends {value:.2f} mm past the bone, and {limit:.2f} is the most", "another footplate_reach", OTHER_EDGES
    ),
    "mark_true": Mending("a number of the depth scale is off by {value:.1f} mm", "another depth_scale or footplate_reach", OTHER_EDGES),
    "mark_read": Mending("the digits of a number are not those that belong there", KERNEL, OTHER_EDGES),
    "order_face": Mending("the number of a cut lies {value:.2f} mm off its place on the fence", KERNEL, OTHER_EDGES),
    "order_read": Mending("the number on a cut's fence is not the one that belongs there", KERNEL, OTHER_EDGES),
    "opening_free": Mending(
        "something closes the open end of the slot ({value:.0f} lines of the blade meet it)", "another footplate_reach", OTHER_EDGES
    ),
    "opening_hangs": Mending(
        "at the open end a wall of the slot stands alone over {value:.0f} mm, and {limit:.0f} is the most",
        "a thicker wall, more footplate_reach, less run_out, or the other open_end",
        (LESS_RUN_OUT, MORE_REACH),
    ),
    "opening_pinned": Mending("no wire holds one of the two leaves of the slot", "more footplate_reach, or more pins", (MORE_REACH,)),
    "opening_joined": Mending("the two leaves of the slot are joined by only {value:.1f} mm", "another run_out, or bridge_over", OTHER_EDGES),
    "standing_past": Mending(
        "the guide reaches {value:.1f} mm past its cuts, onto the side that it is not to stand on", "another footplate_reach", OTHER_EDGES
    ),
    "seat_rms": Mending("the seat misses the bone by {value:.3f} mm RMS, most of all there", "a smaller footplate_reach or slope_limit", FOLLOW_LESS),
    "seat_max": Mending("the seat misses the bone by {value:.2f} mm there", "a smaller footplate_reach or slope_limit", FOLLOW_LESS),
    "seat_overlap": Mending(
        "the guide reaches {value:.2f} mm into bone",
        "a larger seat_gap, a smaller slope_limit or run_out",
        (MORE_GAP, LESS_SLOPE, LESS_RUN_OUT, *FOLLOW_LESS),
    ),
    "relief_least": Mending(
        "the relief of a footplate comes within {value:.2f} mm of the bone, and {limit:.2f} is the least",
        "a smaller footplate_reach or slope_limit, or another relief_depth",
        FOLLOW_LESS,
    ),
    "relief_most": Mending(
        "the relief of a footplate lies {value:.2f} mm off the bone, and {limit:.2f} is the most",
        "a smaller footplate_reach or slope_limit",
        FOLLOW_LESS,
    ),
    "contact_area": Mending(
        "only {value:.0f} mm² of the seat touch the bone",
        "more footplate_reach or slope_limit",
        (MORE_REACH, MORE_SLOPE, MUCH_MORE_REACH, MOST_SLOPE, OUTWARD),
    ),
    "contact_share": Mending(
        "only {value:.2f} of the footprint touch the bone",
        "a smaller footplate_reach or slope_limit",
        (LESS_REACH, LESS_SLOPE, MUCH_LESS_REACH, OUTWARD),
    ),
    "pull_off": Mending(
        "bone stands {value:.2f} mm in the guide's way when it is pulled off",
        "a larger seat_gap, a smaller slope_limit or run_out, another approach",
        (MORE_GAP, LESS_SLOPE, LESS_RUN_OUT, *FOLLOW_LESS),
    ),
    "other_bone_overlap": Mending(
        "the guide reaches {value:.2f} mm into another bone of the case",
        "a smaller footplate_reach or run_out, another approach",
        (LESS_REACH, LESS_RUN_OUT, MUCH_LESS_REACH, LEAST_RUN_OUT, OUTWARD, TURNED, TURNED_BACK),
    ),
    "other_bone_pull_off": Mending(
        "another bone of the case stands {value:.2f} mm in the guide's way when it is pulled off",
        "another approach, a smaller footplate_reach or run_out",
        (LESS_REACH, LESS_RUN_OUT, OUTWARD, TURNED, TURNED_BACK, MUCH_LESS_REACH),
    ),
    "stl_watertight": Mending("the STL is open", KERNEL, OTHER_EDGES),
    "stl_bodies": Mending("the STL holds {value:g} bodies instead of one", KERNEL, OTHER_EDGES),
    "stl_volume": Mending("the STL's volume is off the STEP's by {value:.2%}", KERNEL, OTHER_EDGES),
    "stl_faces": Mending("a face lies {value:.3f} mm elsewhere in the STL than in the STEP", KERNEL, OTHER_EDGES),
    "stl_place": Mending("the STL lies {value:.2f} mm off the STEP", KERNEL, OTHER_EDGES),
    "printer_room": Mending(
        "the guide sticks {value:.0f} mm out of the printer",
        "a larger printer, or a smaller footplate_reach",
        (LARGER, MUCH_LESS_REACH, LESS_RUN_OUT, LEAST_REACH),
    ),
    "printer_wall": Mending("the wall of {value:.2f} mm is thinner than the printer prints", "a thicker wall, or another printer", (THICKER, FINER)),
    "files_unchanged": Mending("{value:g} files are not those that were built", "restore the files, or build again"),
    "bone_unchanged": Mending("the bone is not the one that the guide was built on", "restore bone.stl, or build again"),
}
"""Every check of a guide by its id, without the cut or trajectory in brackets."""


def base_id(check: str) -> str:
    """A check's id without the cut in brackets.

    >>> base_id("slot_wall[A]")
    'slot_wall'
    """
    return check.split("[", 1)[0]


def sentence(check: Mapping[str, Any]) -> str:
    """What a failed check of a report says, with its place: half a sentence without a full stop."""
    known = CHECKS.get(base_id(check["id"]))
    value = float(check["value"])
    found = abs(value) < 1e8  # a number that could not be measured stands as 1e9
    said = known.said.format(value=value, limit=float(check["limit"])) if known is not None and found else "it could not be measured"
    if known is None and found:
        said = f"{value:g} {check['unit']}, wanted {check['rule']} {check['limit']:g}"
    place = f" at ({', '.join(f'{v:.0f}' for v in check['where'])})" if check.get("where") else ""
    return f"`{check['id']}` failed{place}: {said}"
