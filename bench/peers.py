"""What else a guide could be made with, beside psi-cad, on one bone in one run: `python bench/peers.py`; `--keep` writes docs/speed.json.

- VTK's own Boolean filter: a block less the bone, at many places of the bone. A result counts as
  failed where it is empty, not closed, or its volume is off that of Manifold by more than 1 %.
- The bone's facets sewn into a B-rep, as users of a CAD program try first: import the STL, make a solid, subtract it from the guide's block.
  That is measured on bones of few triangles and extrapolated by the power law that they follow.
- psi-cad's own build, with all measuring, on the bone as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from watched import PSI_CAD, busy, keep, ran

CASE = Path(__file__).resolve().parent.parent / "cases" / "phantom-type1" / "case.toml"
PLACES = 24
MERGED_MM = 1e-3  # points of its result that are nearer are one: else hardly any is closed
OFF = 0.01  # of the volume: more than this is another shape
FACETS = (500, 1000, 2000, 4000)
LIMIT_S = 300.0


def polydata(mesh: trimesh.Trimesh) -> Any:
    """A mesh as VTK has it."""
    import vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

    count = len(mesh.faces)
    points, cells, data = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetData(numpy_to_vtk(np.asarray(mesh.vertices), deep=True))
    starts, corners = np.arange(0, 3 * count + 1, 3, dtype=np.int64), np.asarray(mesh.faces, dtype=np.int64).ravel()
    cells.SetData(numpy_to_vtkIdTypeArray(starts, deep=True), numpy_to_vtkIdTypeArray(corners, deep=True))
    data.SetPoints(points)
    data.SetPolys(cells)
    return data


def from_polydata(data: Any) -> trimesh.Trimesh:
    """A mesh from VTK."""
    import vtk
    from vtkmodules.util.numpy_support import vtk_to_numpy

    clean = vtk.vtkCleanPolyData()
    clean.ToleranceIsAbsoluteOn()
    clean.SetAbsoluteTolerance(MERGED_MM)
    clean.SetInputData(data)
    clean.Update()
    found = clean.GetOutput()
    if found.GetNumberOfPolys() == 0:
        return trimesh.Trimesh()
    faces = vtk_to_numpy(found.GetPolys().GetConnectivityArray()).reshape(-1, 3)  # of triangles, as the filters here make
    return trimesh.Trimesh(vtk_to_numpy(found.GetPoints().GetData()), faces, process=True)


def decimated(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    """A mesh of about so many triangles."""
    import vtk

    filtered = vtk.vtkQuadricDecimation()
    filtered.SetInputData(polydata(mesh))
    filtered.SetTargetReduction(1.0 - faces / len(mesh.faces))
    filtered.Update()
    return from_polydata(filtered.GetOutput())


def slabs(bone: trimesh.Trimesh) -> list[trimesh.Trimesh]:
    """Blocks as a guide's plate lies on the bone, each at another place of it."""
    chance = np.random.default_rng(1)
    found = []
    for point in trimesh.sample.sample_surface(bone, PLACES, seed=1)[0]:
        place = trimesh.transformations.random_rotation_matrix(chance.random(3))
        place[:3, 3] = point
        found.append(trimesh.creation.box((30.0, 20.0, 8.0), place))
    return found


def vtk_boolean(bone: trimesh.Trimesh) -> dict[str, Any]:
    """Each block less the bone, by VTK and by Manifold."""
    import vtk

    vtk.vtkObject.GlobalWarningDisplayOff()
    data, failed, took, right = polydata(bone), [], 0.0, 0.0
    for number, slab in enumerate(slabs(bone)):
        begun = time.perf_counter()
        wanted = trimesh.boolean.difference([slab, bone], check_volume=False)
        right += time.perf_counter() - begun
        begun = time.perf_counter()
        less = vtk.vtkBooleanOperationPolyDataFilter()
        less.SetOperationToDifference()
        finer = slab.subdivide().subdivide()  # it fails on long triangles more often
        less.SetInputData(0, polydata(finer))
        less.SetInputData(1, data)
        less.Update()
        found = from_polydata(less.GetOutput())
        took += time.perf_counter() - begun
        if len(found.faces) == 0:
            failed.append([number, "empty"])
        elif not found.is_watertight:
            failed.append([number, "not closed"])
        elif abs(found.volume - wanted.volume) > OFF * wanted.volume:
            failed.append([number, "another volume"])
    each = {"places": PLACES, "failed": len(failed), "how": failed}
    return {**each, "seconds_each": round(took / PLACES, 2), "manifold_each": round(right / PLACES, 3)}


def sewn(path: Path) -> dict[str, Any]:
    """A bone's facets sewn into a solid, and a block less that solid; seconds of both."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
    from OCP.BRepBuilderAPI import BRepBuilderAPI_MakeFace, BRepBuilderAPI_MakePolygon, BRepBuilderAPI_MakeSolid, BRepBuilderAPI_Sewing
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.gp import gp_Pnt
    from OCP.TopoDS import TopoDS

    mesh = trimesh.load_mesh(path)
    begun = time.perf_counter()
    sewing = BRepBuilderAPI_Sewing(1e-4)
    for corners in mesh.triangles:
        outline = BRepBuilderAPI_MakePolygon(*(gp_Pnt(*map(float, corner)) for corner in corners), True)
        sewing.Add(BRepBuilderAPI_MakeFace(outline.Wire(), True).Face())
    sewing.Perform()
    solid = BRepBuilderAPI_MakeSolid(TopoDS.Shell_s(sewing.SewedShape())).Solid()
    made = time.perf_counter()
    low = mesh.bounds.mean(axis=0) - [10.0, 60.0, 15.0]
    cut = BRepAlgoAPI_Cut(BRepPrimAPI_MakeBox(gp_Pnt(*map(float, low)), 30.0, 120.0, 30.0).Shape(), solid)
    return {"triangles": len(mesh.faces), "sew_s": round(made - begun, 2), "cut_s": round(time.perf_counter() - made, 2), "done": bool(cut.IsDone())}


def facets(bone: trimesh.Trimesh, folder: Path) -> dict[str, Any]:
    """`sewn` on bones of few triangles, each in a process of its own, and what the bone as it is would take."""
    rows = []
    for count in FACETS:
        path = folder / f"{count}.stl"
        decimated(bone, count).export(path)
        took = ran([sys.executable, str(Path(__file__).resolve()), "--sewn", str(path)])
        found = json.loads(took.said.splitlines()[-1])
        rows.append({**found, "seconds": round(found["sew_s"] + found["cut_s"], 2), "peak_mib": round(took.peak_mib)})
        print(json.dumps(rows[-1]), flush=True)
    sizes, times, memory = (np.log([row[key] for row in rows]) for key in ("triangles", "seconds", "peak_mib"))
    power, start = np.polyfit(sizes, times, 1)
    slope, base = np.polyfit([row["triangles"] for row in rows], np.exp(memory), 1)
    whole = len(bone.faces)
    guess = {"triangles": whole, "seconds": round(float(np.exp(start + power * np.log(whole)))), "peak_mib": round(float(base + slope * whole))}
    return {"rows": rows, "power": round(float(power), 2), "extrapolated": guess}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--sewn", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sewn is not None:
        sys.stderr.write(json.dumps(sewn(arguments.sewn)) + "\n")
        return
    bone = trimesh.load_mesh(CASE.parent.parent / "phantom" / "bone.stl")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, Any] = {"triangles": len(bone.faces), "vtk": vtk_boolean(bone)}
        print(json.dumps(found["vtk"]), flush=True)
        found["sewn"] = facets(bone, folder)
        ours = [*PSI_CAD, "build", str(CASE), "-o", str(folder / "out"), "--no-suggest"]
        theirs = [sys.executable, str(Path(__file__).with_name("mesh_guide.py")), str(CASE), str(folder)]
        for name, command in (("psi_cad", ours), ("mesh_booleans", theirs)):
            timed, watched = ran(command, every_s=0.0), ran(command)
            found[name] = {"seconds": round(timed.seconds, 2), "peak_mib": round(watched.peak_mib), "exit": timed.code}
    found |= busy()
    found["sewn_per_build"] = round(found["sewn"]["extrapolated"]["seconds"] / found["psi_cad"]["seconds"], 1)
    print(json.dumps({key: value for key, value in found.items() if key not in ("vtk",)}, indent=1))
    if arguments.keep:
        keep("peers", found)


if __name__ == "__main__":
    main()
