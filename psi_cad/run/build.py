"""Build every guide of a case into a folder: design, export, measure the files, report. Runs in the build process."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cadquery as cq
import numpy as np
import trimesh

from psi_cad import __version__
from psi_cad.brep import checked
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.errors import KernelError
from psi_cad.export.meshes import triangulated, write_3mf, write_stl
from psi_cad.export.safely import sha256_of
from psi_cad.export.step import write_step
from psi_cad.frames import Frame
from psi_cad.guides.contract import Design, Workshop
from psi_cad.guides.params import GuideParams, resolve_params
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import Site, make_site, slot_room
from psi_cad.planning.cuts import PlannedCut, plan_cuts
from psi_cad.report.pictures import picture_of_guide
from psi_cad.surface.rays import RayCaster
from psi_cad.surface.read import read_surface
from psi_cad.surface.repair import Bone, checked_bone
from psi_cad.verify.checks import Measured, measure_files
from psi_cad.verify.expected import Expected, ExpectedSlot
from psi_cad.verify.seat import BoneProbe

__all__ = ["BONE_FILE", "Progress", "build_case", "read_bone", "validate_case"]

BONE_FILE: Final = "bone.stl"
SOFTWARE: Final = f"psi-cad {__version__}"
ATTEMPTS: Final = 3
KERNEL_CHECKS: Final = {"step_solids", "step_valid", "stl_watertight", "stl_bodies", "stl_volume", "stl_place"}
NOT_A_DEVICE: Final = "Engineering output, not a medical device; qualified people must approve it before any use."
Progress = Callable[[str], None]


def read_bone(loaded: LoadedCase) -> tuple[Bone, dict[str, Any]]:
    """The checked bone of a case, and what the report says of it."""
    source = loaded.case.bone
    assert source.surface is not None and source.coordinates is not None  # the loader has refused anything else
    path = loaded.resolve(source.surface)
    mesh = read_surface(path, units=source.units, coordinates=source.coordinates, key="bone.surface")
    bone = checked_bone(mesh, name=path.name, units=source.units)
    said = {
        "file": path.name,
        "sha256": sha256_of(path),
        "triangles": len(bone.mesh.faces),
        "extent_mm": [round(float(v), 3) for v in bone.mesh.extents],
        "repairs": [dataclasses.asdict(repair) for repair in bone.repairs],
        "kept_clear_of": [dataclasses.asdict(defect) for defect in bone.defects],
    }
    return bone, said


def _read_tumour(loaded: LoadedCase) -> trimesh.Trimesh | None:
    source = loaded.case.tumour
    if source is None or source.surface is None or source.coordinates is None:
        return None
    path = loaded.resolve(source.surface)
    return read_surface(path, units=source.units, coordinates=source.coordinates, key="tumour.surface")


def validate_case(loaded: LoadedCase) -> dict[str, Any]:
    """Everything that can be known of a case without building: its bone, its cuts, its guides' parameters.

    Raises
    ------
    InputError
    """
    bone, said = read_bone(loaded)
    _read_tumour(loaded)
    cuts = _planned(loaded, bone)
    for number, guide in enumerate(loaded.case.guide):
        template = load_template(guide.template, where=f"{loaded.path.name}: guide[{number}].template")
        resolve_params(template.Params, guide.params, where=f"{loaded.path.name}: guide[{number}].params")
    return {
        "case": loaded.case.id,
        "bone": said,
        "cuts": [
            {
                "name": cut.name,
                "section_area_mm2": round(float(cut.section.area), 3),
                "cut_short_by": list(cut.neighbours),
                "other_bone_in_plane": len(cut.others),
            }
            for cut in cuts.values()
        ],
        "guides": [guide.name for guide in loaded.case.guide],
    }


def _planned(loaded: LoadedCase, bone: Bone) -> dict[str, PlannedCut]:
    return plan_cuts(bone, [(cut.name, *cut.plane, cut.extent) for cut in loaded.case.cut])


@dataclass(frozen=True)
class _Made:
    """One guide as designed, before measurement."""

    request: GuideRequest
    blade: Blade
    params: GuideParams
    site: Site
    design: Design


def build_case(loaded: LoadedCase, folder: Path, *, blades: list[str], progress: Progress) -> dict[str, Any]:
    """Build every guide (for every blade) into `folder`, and return the report.

    Parameters
    ----------
    folder : Path
        An empty folder; a guide that fails a check leaves only `…_REJECTED.step` there.
    blades : list of str
        Blade ids instead of the case's own; several give several variants of each guide.
    progress : callable
        Told each step before it begins.

    Raises
    ------
    PsiCadError
    """
    case = loaded.case
    progress("read the bone")
    bone, bone_said = read_bone(loaded)
    tumour = _read_tumour(loaded)
    progress("plan the cuts")
    cuts = _planned(loaded, bone)
    caster = RayCaster(bone.mesh)
    probe = BoneProbe(bone.mesh)
    folder.mkdir(parents=True, exist_ok=True)
    write_stl(folder / BONE_FILE, bone.mesh, header=f"{case.id} bone as used, mm, SPACE=LPS")
    guides = []
    for number, request in enumerate(case.guide):
        where = f"{loaded.path.name}: guide[{number}]"
        template = load_template(request.template, where=f"{where}.template")
        params = resolve_params(template.Params, request.params, where=f"{where}.params")
        workshop, site = Workshop(), None
        wanted_blades: list[str | Blade] = [*blades] or [request.blade]
        for wanted in wanted_blades:
            blade = loaded.blade(wanted, where="--blade" if blades else f"{where}.blade")

            def told(step: str, name: str = f"{request.name} {blade.id}") -> None:
                progress(f"{name}: {step}")

            checked.listen(told)
            told("find the seat")
            site = _site(loaded, request, params, blade, bone, caster, cuts, site)
            for attempt in range(ATTEMPTS):
                last = attempt == ATTEMPTS - 1
                try:
                    site = dataclasses.replace(site, attempt=attempt)
                    made = _Made(request, blade, params, site, template.build(site, params, workshop))
                    said = _release(loaded, made, folder, bone, probe, tumour, list(cuts.values()), told, final=last)
                except KernelError:
                    if last:
                        raise
                    said = None
                if said is not None:
                    guides.append(said)
                    break
                workshop = Workshop()  # the kernel stumbled on this shape: draw its outlines a little otherwise
    return {
        "schema": 1,
        "software": {"psi-cad": __version__, "cadquery": cq.__version__, "python": platform.python_version()},
        "notice": NOT_A_DEVICE,
        "case": {"id": case.id, "side": case.side, "file": loaded.path.name, "sha256": loaded.sha256},
        "bone": {**bone_said, "used": BONE_FILE, "used_sha256": sha256_of(folder / BONE_FILE)},
        "guides": guides,
        "status": "passed" if all(guide["status"] == "passed" for guide in guides) else "rejected",
    }


def _site(
    loaded: LoadedCase,
    request: GuideRequest,
    params: GuideParams,
    blade: Blade,
    bone: Bone,
    caster: RayCaster,
    cuts: dict[str, PlannedCut],
    before: Site | None,
) -> Site:
    """Where a guide goes; what an earlier blade's site shares is taken over."""
    case = loaded.case
    return make_site(
        bone,
        caster,
        [cuts[name] for name in request.cuts],
        list(cuts.values()),
        approach=np.array(request.approach),
        params=params,
        blade=blade,
        printer=loaded.printer(request.printer, where="guide.printer"),
        label=(f"{case.id} {case.side[0].upper()}", request.name, blade.id, f"v{__version__}"),
        reuse=before,
    )


def _release(
    loaded: LoadedCase,
    made: _Made,
    folder: Path,
    bone: Bone,
    probe: BoneProbe,
    tumour: trimesh.Trimesh | None,
    cuts: list[PlannedCut],
    told: Progress,
    *,
    final: bool,
) -> dict[str, Any] | None:
    """Export one guide, measure the files, and keep them under a clean name only if every check passed.

    Where only the kernel's own soundness failed and this is not the `final` attempt, nothing is kept: None.
    """
    case, frame = loaded.case, made.site.frame
    stem = f"{made.request.name}_{made.blade.id}"
    expected = _expected(made, cuts)
    placed = cq.Solid(made.design.solid.wrapped).moved(_location(frame))
    step, stl = folder / f"{stem}.step", folder / f"{stem}.stl"
    told("write STEP")
    solid = cq.Solid(placed.wrapped)
    write_step(step, solid, product=f"{case.id}_{stem}", faces=_named_faces(solid, expected), software=SOFTWARE)
    told("write STL")
    mesh = triangulated(made.design.solid)
    mesh.vertices = frame.patient(np.asarray(mesh.vertices))
    write_stl(stl, mesh, header=f"{case.id} {stem} mm SPACE=LPS")
    told("measure the files")
    measured = measure_files(step, stl, expected, probe)
    failed = {check.id for check in measured.checks if not check.passed}
    if failed and failed <= KERNEL_CHECKS and not final:
        step.unlink()
        stl.unlink()
        return None
    if measured.passed:
        told("write 3MF and picture")
        facts = {"case": case.id, "side": case.side, "blade": made.blade.id, "frame": "patient LPS, mm", "notice": NOT_A_DEVICE}
        write_3mf(folder / f"{stem}.3mf", mesh, title=f"{case.id} {stem}", software=SOFTWARE, metadata=facts)
        picture_of_guide(folder / f"{stem}.png", mesh, bone.mesh, frame, tumour=tumour)
        files = {kind: f"{stem}.{kind}" for kind in ("step", "stl", "3mf", "png")}
    else:
        step.replace(folder / f"{stem}_REJECTED.step")
        stl.unlink()
        files = {"step": f"{stem}_REJECTED.step"}
    return _said(made, measured, expected, files, folder)


def _location(frame: Frame) -> cq.Location:
    from psi_cad.brep.patch import vector

    return cq.Location(cq.Plane(origin=vector(frame.origin), xDir=vector(frame.axes[0]), normal=vector(frame.axes[2])))


def _expected(made: _Made, cuts: list[PlannedCut]) -> Expected:
    """The plan of one guide as numbers that files can be held against."""
    site, design = made.site, made.design
    values = dataclasses.asdict(made.params)
    slots = []
    for feature, cut in zip(design.slots, site.cuts, strict=True):
        planned = next(c for c in cuts if c.name == feature.cut)
        slots.append(
            ExpectedSlot(
                name=feature.cut,
                origin=_triple(planned.origin),
                normal=_triple(planned.normal),
                thickness=made.blade.thickness,
                clearance=float(values["clearance"]),
                compensation=site.printer.slot_compensation,
                height=feature.height,
                wall=feature.wall,
                chord_low=cut.low,
                chord_high=cut.high,
                run_out=made.params.run_out,
                joined=feature.joined,
                free_low=all(end != -1 for _, end in cut.neighbours),
                free_high=all(end != 1 for _, end in cut.neighbours),
                room=slot_room(made.blade),
                bridge=float(values["bridge_width"]),
            )
        )
    return Expected(
        origin=_triple(site.frame.origin),
        axes=tuple(_triple(axis) for axis in site.frame.axes),
        slots=tuple(slots),
        planes=tuple((_triple(cut.origin), _triple(cut.normal)) for cut in cuts),
        outlines=tuple(tuple((round(float(x), 4), round(float(y), 4)) for x, y in ring) for ring in design.outlines),
        gap=made.params.seat_gap,
        wire=design.pins[0].wire,
        bore=design.pins[0].diameter,
        wire_depth=float(values["wire_depth"]),
        wires=tuple((*pin.centre, pin.depth) for pin in design.pins),
        wire_top=float(values["sleeve_height"]),
        pins=len(design.pins),
        pin_clearance=float(values["pin_clearance"]),
        edge_break=float(values["edge_break"]),
        build_volume=site.printer.build_volume,
        minimum_wall=site.printer.minimum_wall,
        slope_limit=made.params.slope_limit,
        clearance_overridden="clearance" in design.overrides,
    )


def _triple(values: Any) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))


def _named_faces(solid: cq.Solid, expected: Expected) -> dict[str, list[cq.Face]]:
    """Faces a reviewer looks for: the sides of each slot and the wires' holes, found in the placed solid."""
    found: dict[str, list[cq.Face]] = {}
    axis = np.array(expected.axes[2])
    for face in solid.Faces():
        kind = face.geomType()
        if kind == "PLANE":
            normal, point = np.array(face.normalAt().toTuple()), np.array(face.Center().toTuple())
            for slot in expected.slots:
                away = float((point - np.array(slot.origin)) @ np.array(slot.normal))
                if abs(abs(float(normal @ np.array(slot.normal))) - 1.0) < 1e-9 and abs(abs(away) - slot.width / 2.0) < 1e-6:
                    found.setdefault(f"slot {slot.name} {'specimen' if away > 0 else 'retained'} side", []).append(face)
        elif kind == "CYLINDER" and abs(2.0 * _radius(face) - expected.bore) < 1e-6:
            found.setdefault("pin hole", []).append(face)
        elif kind == "BSPLINE" and float(np.array(face.normalAt().toTuple()) @ axis) < 0.0:
            found.setdefault("seat", []).append(face)
    return found


def _radius(face: cq.Face) -> float:
    from OCP.BRepAdaptor import BRepAdaptor_Surface

    return float(BRepAdaptor_Surface(face.wrapped).Cylinder().Radius())


def _said(made: _Made, measured: Measured, expected: Expected, files: dict[str, str], folder: Path) -> dict[str, Any]:
    """One entry of the report's `guides`."""
    printer, blade = made.site.printer, made.blade
    notes = list(made.design.notes)
    if blade.nominal:
        notes.append(f"blade {blade.id} is a nominal catalogue entry: measure your blade")
    if not printer.calibrated:
        notes.append(f"printer {printer.id} is uncalibrated: slot and hole compensation are as entered, print a gauge first")
    if made.design.label.letter_height < 2.0:
        notes.append(f"label letters are {made.design.label.letter_height:.2f} mm high: check that your process prints them")
    if "clearance" in made.design.overrides:
        notes.append(f"slot clearance {expected.slots[0].clearance:g} mm lies outside 0.10–0.20 by explicit override")
    axis = made.site.axis
    return {
        "name": made.request.name,
        "template": made.request.template,
        "blade": blade.id,
        "printer": printer.id,
        "seating_axis": [round(float(v), 9) for v in axis.direction],
        "seating": {
            "tilt_from_approach_deg": round(axis.tilt, 3),
            "sliding_lock": round(axis.sliding_lock, 4),
            "directions_searched": axis.searched,
            "fit_rms_mm": round(made.site.seat.rms, 5),
            "fit_max_mm": round(made.site.seat.max, 5),
        },
        "files": files,
        "sha256": {name: sha256_of(folder / name) for name in files.values()},
        **measured.to_json(),
        "label": {"lines": list(made.design.label.lines), "letter_height_mm": made.design.label.letter_height},
        "pins": [
            {"name": pin.name, "centre_mm": [round(v, 4) for v in pin.centre], "diameter_mm": pin.diameter, "depth_mm": round(pin.depth, 2)}
            for pin in made.design.pins
        ],
        "params": dataclasses.asdict(made.params),
        "blade_entry": blade.model_dump(),
        "printer_entry": printer.model_dump(mode="json"),
        "notes": notes,
        "overrides": list(made.design.overrides),
        "plan": expected.to_json(),
    }
