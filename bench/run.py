"""Time and memory of whole commands, beside a guide made by mesh Booleans with the same libraries: `python bench/run.py`.

Prints medians over several runs and ratios. The peer (`bench/mesh_guide.py`) is what one would write without a CAD
kernel: the bone's triangles offset and subtracted with Manifold, no STEP, nothing measured.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from watched import PSI_CAD

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
DEFAULT = ROOT / "cases" / "phantom-type1" / "case.toml"


def peak_memory_mib(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident MiB of a command and its children (largest single process)."""
    code = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode\n"
        "print(done, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, encoding="utf-8", check=True)
    status, seconds, memory = result.stdout.split()
    if int(status) != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    return float(seconds), float(memory)


def measure(name: str, command: list[str], runs: int) -> tuple[float, float]:
    peak_memory_mib(command)  # warm-up
    rows = [peak_memory_mib(command) for _ in range(runs)]
    seconds = [row[0] for row in rows]
    memory = max(row[1] for row in rows)
    print(f"{name:42s} {statistics.median(seconds):7.2f} s  ({min(seconds):.2f}–{max(seconds):.2f})  {memory:7.0f} MiB", flush=True)
    return statistics.median(seconds), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=Path, default=DEFAULT)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print(time.strftime("measured with"), f"Python {sys.version.split()[0]}, {arguments.runs} runs, medians (least–most), peak memory\n")
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        case = str(arguments.case)
        blades = ["--blade", "generic-25x1.27", "--blade", "generic-20x1.27"]
        measure("psi-cad --help", [*PSI_CAD, "--help"], arguments.runs)
        one, _ = measure("build, one blade", [*PSI_CAD, "build", case, "-o", out, *blades[:2]], arguments.runs)
        two, _ = measure("build, two blades", [*PSI_CAD, "build", case, "-o", out, *blades], arguments.runs)
        check, _ = measure("check (two guides)", [*PSI_CAD, "check", out], arguments.runs)
        peer, _ = measure("mesh Booleans, nothing measured", [sys.executable, str(HERE / "mesh_guide.py"), case, folder], arguments.runs)
    print(f"\nsecond blade / first: {(two - one) / one:.2f}")
    print(f"build / mesh Booleans: {one / peer:.2f}   check of one guide / mesh Booleans: {check / 2 / peer:.2f}")


if __name__ == "__main__":
    main()
