"""Make every guide of a job: design, export, measure the files, report. Runs in the build process."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cadquery as cq
import numpy as np
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform

from psi_cad import __version__
from psi_cad.brep import checked
from psi_cad.brep.patch import vector
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.errors import KernelError
from psi_cad.export.meshes import triangulated, write_3mf, write_stl
from psi_cad.export.safely import sha256_of
from psi_cad.export.step import write_step
from psi_cad.frames import Frame
from psi_cad.guides.contract import Design, Workshop
from psi_cad.guides.params import GuideParams
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import Site, slot_room
from psi_cad.planning.cuts import PlannedCut
from psi_cad.report.draw import Drawing
from psi_cad.run.plan import Job, Progress
from psi_cad.verify.checks import Measured, measure_files
from psi_cad.verify.expected import Expected, ExpectedSlot
from psi_cad.verify.seat import BoneProbe

__all__ = ["BONE_FILE", "build_case"]

BONE_FILE: Final = "bone.stl"
TUMOUR_FILE: Final = ".tumour.stl"
SOFTWARE: Final = f"psi-cad {__version__}"
ATTEMPTS: Final = 3
KERNEL_CHECKS: Final = {"step_solids", "step_valid", "stl_watertight", "stl_bodies", "stl_volume", "stl_place"}
NOT_A_DEVICE: Final = "Engineering output, not a medical device; qualified people must approve it before any use."


@dataclass(frozen=True)
class _Made:
    """One guide as designed, before measurement."""

    request: GuideRequest
    blade: Blade
    params: GuideParams
    site: Site
    design: Design


def build_case(job: Job, folder: Path, *, progress: Progress) -> dict[str, Any]:
    """Make every guide of a job in `folder`, and return the report.

    Parameters
    ----------
    folder : Path
        An empty folder; a guide that fails a check leaves only `…_REJECTED.step` there.
    progress : callable
        Told each step before it begins.

    Raises
    ------
    PsiCadError
    """
    loaded, bone = job.loaded, job.bone
    case = loaded.case
    probe = BoneProbe(bone.mesh)
    folder.mkdir(parents=True, exist_ok=True)
    write_stl(folder / BONE_FILE, bone.mesh, header=f"{case.id} bone as used, mm, SPACE=LPS")
    tumour = None
    if job.tumour is not None:
        tumour = folder / TUMOUR_FILE
        write_stl(tumour, job.tumour, header="tumour, for the picture")
    guides = []
    for number, guide in enumerate(job.guides):
        template = load_template(guide.request.template, where=f"{loaded.path.name}: guide[{number}].template")
        params = template.Params(**guide.params)
        workshop = Workshop()
        for planned in guide.sites:

            def told(step: str, name: str = f"{guide.request.name} {planned.blade.id}") -> None:
                progress(f"{name}: {step}")

            checked.listen(told)
            for attempt in range(ATTEMPTS):
                last = attempt == ATTEMPTS - 1
                try:
                    site = dataclasses.replace(planned, attempt=attempt)
                    made = _Made(guide.request, site.blade, params, site, template.build(site, params, workshop))
                    said = _release(loaded, made, folder, probe, tumour, list(job.cuts), told, final=last)
                except KernelError:
                    if last:
                        raise
                    said = None
                if said is not None:
                    guides.append(said)
                    break
                workshop = Workshop()  # the kernel stumbled on this shape: draw its outlines a little otherwise
    if tumour is not None:
        tumour.unlink()
    return {
        "schema": 1,
        "software": {"psi-cad": __version__, "cadquery": cq.__version__, "python": platform.python_version()},
        "notice": NOT_A_DEVICE,
        "case": {"id": case.id, "side": case.side, "file": loaded.path.name, "sha256": loaded.sha256},
        "bone": {**job.bone_said, "used": BONE_FILE, "used_sha256": sha256_of(folder / BONE_FILE)},
        "guides": guides,
        "status": "passed" if all(guide["status"] == "passed" for guide in guides) else "rejected",
    }


def _release(
    loaded: LoadedCase,
    made: _Made,
    folder: Path,
    probe: BoneProbe,
    tumour: Path | None,
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
    step, stl = folder / f"{stem}.step", folder / f"{stem}.stl"
    told("write STEP")
    solid = _placed(made.design.solid, frame)
    write_step(step, solid, product=f"{case.id}_{stem}", faces=_named_faces(solid, expected), software=SOFTWARE)
    told("write STL")
    mesh = triangulated(made.design.solid)
    mesh.vertices = frame.patient(np.asarray(mesh.vertices))
    write_stl(stl, mesh, header=f"{case.id} {stem} mm SPACE=LPS")
    drawing = Drawing(folder / f"{stem}.png", guide=stl, bone=folder / BONE_FILE, tumour=tumour, frame=frame)
    try:
        told("measure the files")
        measured = measure_files(step, stl, expected, probe)
        failed = {check.id for check in measured.checks if not check.passed}
        if failed:
            drawing.dropped()
        if failed and failed <= KERNEL_CHECKS and not final:
            step.unlink()
            stl.unlink()
            return None
        if measured.passed:
            told("write 3MF and picture")
            facts = {"case": case.id, "side": case.side, "blade": made.blade.id, "frame": "patient LPS, mm", "notice": NOT_A_DEVICE}
            write_3mf(folder / f"{stem}.3mf", mesh, title=f"{case.id} {stem}", software=SOFTWARE, metadata=facts)
            drawing.finished()
            files = {kind: f"{stem}.{kind}" for kind in ("step", "stl", "3mf", "png")}
        else:
            step.replace(folder / f"{stem}_REJECTED.step")
            stl.unlink()
            files = {"step": f"{stem}_REJECTED.step"}
    except BaseException:
        drawing.dropped()
        raise
    return _said(made, measured, expected, files, folder)


def _placed(solid: cq.Solid, frame: Frame) -> cq.Solid:
    """`solid` of the guide frame in the patient frame, its geometry moved: a mere location hides faces from their names."""
    plane = cq.Plane(origin=vector(frame.origin), xDir=vector(frame.axes[0]), normal=vector(frame.axes[2]))
    return cq.Solid(BRepBuilderAPI_Transform(solid.wrapped, cq.Location(plane).wrapped.Transformation(), True).Shape())


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
