"""Time of `psi-cad plan` and `--optimise` on a bone of about 250k triangles and a tumour of 20k: `python bench/plan.py --case CASE`.

The case's own bone is refined to that many triangles (its shape stays), and its tumour is replaced by a ball of its size.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from psi_cad.case.load import load_case
from psi_cad.case.write import case_with_planes, write_case
from psi_cad.plans.patient import read_patient
from psi_cad.surface.solids import mesh_of

ROOT = Path(__file__).resolve().parent.parent
TRIANGLES = 250_000
LIMITS_S = {"plan": 3.0, "plan --optimise": 60.0}


def refined(solid: Any, wanted: int) -> trimesh.Trimesh:
    low, high = 0.2, 8.0
    for _ in range(12):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if solid.refine_to_length(middle).num_tri() > wanted else (low, middle)
    return mesh_of(solid.refine_to_length(high))


def measured(name: str, command: list[str], runs: int) -> float:
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        if done.returncode != 0:
            raise SystemExit(f"failed: {' '.join(command)}\n{done.stderr}")
        seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds[1:])
    print(f"{name:24s} {middle:6.2f} s  ({min(seconds[1:]):.2f}–{max(seconds[1:]):.2f})", flush=True)
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=Path, default=ROOT / "cases" / "phantom-type1")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    loaded = load_case(arguments.case)
    patient = read_patient(loaded, progress=lambda _: None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bone = refined(patient.solid, TRIANGLES)
        bone.export(folder / "bone.stl")
        middle = np.asarray(patient.tumour.mesh.bounds).mean(axis=0)
        ball = trimesh.creation.icosphere(subdivisions=5, radius=float(np.ptp(patient.tumour.vertices, axis=0).min() / 2))
        ball.apply_translation(middle)
        ball.export(folder / "tumour.stl")
        data = case_with_planes(loaded, {cut.name: cut.plane for cut in loaded.case.cut}, folder=folder)
        data["bone"].update(surface="bone.stl", units="mm", coordinates="LPS")
        data["tumour"].update(surface="tumour.stl", units="mm", coordinates="LPS")
        write_case(folder / "case.toml", data, comment="refined for timing")
        print(f"bone {len(bone.faces)} triangles, tumour {len(ball.faces)}; medians (least–most) of {arguments.runs} runs after one to warm up\n")
        command = [sys.executable, "-m", "psi_cad", "plan", str(folder / "case.toml")]
        plain = measured("plan", command, arguments.runs)
        better = measured("plan --optimise", [*command, "--optimise"], arguments.runs)
    for what, took in (("plan", plain), ("plan --optimise", better)):
        print(f"{what}: {'within' if took <= LIMITS_S[what] else 'OVER'} {LIMITS_S[what]:g} s")


if __name__ == "__main__":
    main()
