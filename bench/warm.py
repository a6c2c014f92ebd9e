"""Warm rebuilds beside mesh Booleans, in one run: `python bench/warm.py --case CASE`.

An engineer turns one parameter after the other in a session. Each change is made several times, each time to another value, so that nothing
is only found again. Wall seconds until the files are checked, processor seconds of all processes, and both against the peer of
`bench/run.py`, which is run in turns with the changes.
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
import psutil
from watched import cpu_of, keep

import psi_cad
from psi_cad.case.load import load_case

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
DEFAULT = ROOT / "cases" / "phantom-type1" / "case.toml"
BARS = {"blade": 0.5, "clearance": 0.5, "wall": 1.5, "footplate": 1.5, "cut moved 1 mm": 2.5}


def changes(case: Path) -> dict[str, list[dict[str, Any]]]:
    """Of each kind of change, what a session is asked for: one after the other, each from the case as it is."""
    cut = load_case(case).case.cut[0]
    origin, normal = cut.plane
    across = np.cross(normal, [1.0, 0.0, 0.0])
    moves = [normal / np.linalg.norm(normal), -normal / np.linalg.norm(normal), across / np.linalg.norm(across)]
    moved = [f"cut.{cut.name}.origin=[{','.join(f'{value:.4f}' for value in origin + move)}]" for move in moves]
    return {
        "the same again": [{}] * 3,
        "variant's name": [{"variant": name} for name in ("one", "two", "three")],
        "blade": [{"blades": [name]} for name in ("generic-20x1.27", "generic-20x1.0", "generic-25x1.27")],
        "clearance": [{"settings": [f"params.clearance={value}"]} for value in (0.11, 0.12, 0.13)],
        "wall": [{"settings": [f"params.wall={value}"]} for value in (2.2, 2.4, 2.6)],
        "footplate": [{"settings": [f"params.footplate_thickness={value}"]} for value in (3.2, 3.4, 3.6)],
        "cut moved 1 mm": [{"settings": [setting]} for setting in moved],
    }


def peer(case: Path, folder: str) -> tuple[float, float]:
    """Wall and processor seconds of the mesh Booleans, the whole process."""
    before, start = psutil.Process().cpu_times(), time.perf_counter()
    subprocess.run([sys.executable, str(HERE / "mesh_guide.py"), str(case), folder], check=True)
    after = psutil.Process().cpu_times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, float(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=Path, default=DEFAULT)
    parser.add_argument("--only", nargs="*", help="kinds of change")
    parser.add_argument("--steps", action="store_true", help="when each step began")
    parser.add_argument("--keep", action="store_true", help="write the numbers into docs/speed.json")
    arguments = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {"mesh Booleans": []}
    me = psutil.Process()
    begun = time.perf_counter()

    def told(step: str) -> None:
        if arguments.steps:
            print(f"      {time.perf_counter() - begun:6.2f} s  {cpu_of(me) - spent:6.2f} cpu  {step}", flush=True)

    with tempfile.TemporaryDirectory() as folder, psi_cad.Session(progress=told) as session:
        peer(arguments.case, folder)
        asked = [("the first", {}), *((kind, one) for kind, every in changes(arguments.case).items() for one in every)]
        for kind, one in asked:
            if arguments.only and kind not in (*arguments.only, "the first"):
                continue
            begun, spent = time.perf_counter(), cpu_of(me)
            built = session.build(arguments.case, **one)
            rows.setdefault(kind, []).append((time.perf_counter() - begun, cpu_of(me) - spent))
            print(f"{kind:16s} {one}: {built.status}, {rows[kind][-1][0]:.2f} s wall, {rows[kind][-1][1]:.2f} s of processors", flush=True)
            if arguments.steps:
                for stage in built.stages:
                    if stage["seconds"] > 0.02 or stage["made"]:
                        print(f"          {stage['stage']:24s} {stage['made']} {stage['found']} {stage['seconds']:.3f} {stage['why']}")
            rows["mesh Booleans"].append(peer(arguments.case, folder))
    own = [statistics.median(column) for column in zip(*rows["mesh Booleans"], strict=True)]
    print(f"\n{'change':18s} {'wall':>6s} {'ratio':>6s} {'bar':>5s} {'processors':>10s} {'ratio':>6s}")
    said = []
    for kind, times in rows.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{kind:18s} {wall:6.2f} {wall / own[0]:6.2f} {BARS.get(kind, ''):>5} {cpu:10.2f} {cpu / own[1]:6.2f}")
        ratios = {"wall_ratio": round(wall / own[0], 2), "cpu_ratio": round(cpu / own[1], 2), "bar": BARS.get(kind)}
        said.append({"change": kind, "runs": len(times), "wall_s": round(wall, 2), "cpu_s": round(cpu, 2), **ratios})
    if arguments.keep:
        keep("warm", {"rows": said, "load": [round(value, 1) for value in psutil.getloadavg()], "cores": psutil.cpu_count()})


if __name__ == "__main__":
    main()
