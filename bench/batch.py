"""A batch over five bones with one worker and with two: `python bench/batch.py --jobs 100`; `--keep` writes it into docs/speed.json.

The bones are the phantom, made a little larger and smaller, so that each is read and seated anew; the jobs on each differ in blade and
clearance. Told are the ratio of the two runs, the most memory that one worker held with all that it started, whether a sample of the guides is
the same to the byte as built one by one, and how long a second run takes that has nothing to do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import trimesh
from watched import PSI_CAD, busy, keep, ran

from psi_cad.export.meshes import write_stl

PHANTOM = Path(__file__).resolve().parent.parent / "cases"
SCALES = (0.96, 0.98, 1.0, 1.02, 1.04)
BLADES = ("generic-25x0.89", "generic-25x1.27")
WORKER = "spawn_main"  # in the command line of a worker process
SAMPLE = 2
LOOK_S = 5.0  # a look holds the workers up and takes 0.07 s of a core: every 0.4 s, twice, it was a third of a core that two workers wanted
BARS = {"ratio": 1.8, "worker_mib": 1024.0, "nothing_s": 5.0}


def cases(folder: Path) -> list[Path]:
    """A case file on each bone."""
    text = (PHANTOM / "phantom-type1" / "case.toml").read_text("utf-8")
    bone = trimesh.load_mesh(PHANTOM / "phantom" / "bone.stl")
    found = []
    for number, scale in enumerate(SCALES):
        there = folder / f"case-{number}"
        there.mkdir()
        scaled = bone.copy()
        scaled.apply_transform(trimesh.transformations.scale_matrix(scale, [-96.0, -8.0, 35.0]))
        write_stl(there / "bone.stl", scaled, header="phantom, mm, SPACE=LPS")
        said = text.replace("../phantom/bone.stl", "bone.stl").replace('id = "phantom-type1"', f'id = "case-{number}"')
        lesion, after = said.index("[tumour]"), said.index("[[cut]]")
        (there / "case.toml").write_text(said[:lesion] + said[after:], "utf-8")
        found.append(there / "case.toml")
    return found


def settings(jobs: int) -> list[str]:
    """`--blade` and `--set` for about so many jobs on all bones together."""
    each = max(1, jobs // len(SCALES))
    blades = BLADES if each % len(BLADES) == 0 else BLADES[:1]
    clearances = ",".join(f"{0.10 + 0.01 * number:.2f}" for number in range(each // len(blades)))
    return [*itertools.chain.from_iterable(("--blade", blade) for blade in blades), "--set", f"params.clearance={clearances}"]


class Memory:
    """The most that a worker with all below it held, over all workers of a run; and the processor time of the process that gives out the jobs."""

    def __init__(self) -> None:
        self.most, self.main_s = 0.0, 0.0

    def __call__(self, process: psutil.Process, held: dict[int, float]) -> None:
        with suppress(psutil.Error):
            times = process.cpu_times()
            self.main_s = times.user + times.system
            for below in process.children():
                if WORKER in " ".join(below.cmdline()):
                    self.most = max(self.most, sum(held.get(one.pid, 0.0) for one in [below, *below.children(recursive=True)]))


def run(found: list[Path], words: list[str], out: Path, workers: int) -> dict[str, Any]:
    """One batch, and what it took."""
    memory = Memory()
    took = ran([*PSI_CAD, "batch", *map(str, found), *words, "-o", str(out), "--workers", str(workers)], every_s=LOOK_S, look=memory)
    said = json.loads((out / "batch.json").read_text("utf-8"))
    each = [row["seconds"] for row in said["tasks"]]
    row = {
        "workers": workers,
        "seconds": round(took.seconds, 1),
        "worker_mib": round(memory.most),
        "all_mib": round(took.peak_mib),
        "cpu_s": round(took.cpu_s),
        "main_cpu_s": round(memory.main_s, 1),
    }
    ended = [seconds for seconds, step in took.steps if "start the workers" not in step]
    return {**row, "counts": said["counts"], "in_jobs_s": round(sum(each), 1), "first_end_s": ended[0] if ended else 0.0, "exit": took.code}


def same(out: Path, found: list[Path], folder: Path) -> dict[str, bool]:
    """Whether a sample of the guides is the same as built by itself, by its STEP file."""
    said = json.loads((out / "batch.json").read_text("utf-8"))["tasks"]
    told = {}
    for number, row in enumerate(said[:: max(1, len(said) // SAMPLE)][:SAMPLE]):
        case = next(path for path in found if path.parent.name == row["case"])
        alone = folder / f"alone-{number}"
        words = [*itertools.chain.from_iterable(("--set", setting) for setting in row["settings"]), "--blade", row["blade"], "--no-suggest"]
        subprocess.run([*PSI_CAD, "build", str(case), "-o", str(alone), *words], capture_output=True, check=False)
        names = [Path(name).name for name in row["files"].values()]
        there = out / Path(row["files"]["stl"]).parent
        told[row["files"]["stl"]] = all((alone / row["case"] / name).read_bytes() == (there / name).read_bytes() for name in names)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    words = settings(arguments.jobs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = cases(folder)
        runs = []
        for workers in (2, 1):
            runs.append(run(found, words, folder / f"out-{workers}", workers))
            print(json.dumps(runs[-1]), flush=True)
        begun = time.perf_counter()
        subprocess.run([*PSI_CAD, "batch", *map(str, found), *words, "-o", str(folder / "out-2")], capture_output=True, check=False)
        nothing = round(time.perf_counter() - begun, 1)
        equal = same(folder / "out-2", found, folder)
        files = [path.relative_to(folder / "out-1") for path in (folder / "out-1").rglob("*") if path.suffix in (".step", ".stl", ".3mf", ".png")]
        alike = all((folder / "out-2" / path).read_bytes() == (folder / "out-1" / path).read_bytes() for path in files)
    two, one = runs
    told = {
        "runs": runs,
        "ratio": round(one["seconds"] / two["seconds"], 2),
        "nothing_s": nothing,
        "as_alone": equal,
        "one_as_two": alike,
        "bars": BARS,
        **busy(),
    }
    print(json.dumps({key: value for key, value in told.items() if key != "runs"}, indent=2))
    if arguments.keep:
        keep("batch", told)


if __name__ == "__main__":
    main()
