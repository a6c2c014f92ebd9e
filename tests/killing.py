"""Batches whose processes are killed at random, and a watch on the folder they write into: `python tests/killing.py --kills 50`.

Only processes that were started here are killed. A round goes on in one folder until nothing is left to do; what lies there then must be the same
to the byte as after a run that nothing disturbed. The results are printed, one line of JSON for each round.
"""

import argparse
import ctypes
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

CASES = Path(__file__).resolve().parent.parent / "cases"
PSI_CAD = [sys.executable, "-m", "psi_cad"]
ASKED = [str(CASES / "phantom-type1"), "--set", "params.clearance=0.1,0.15"]
BY_TIME = {"batch.json", "batch.csv", "index.html"}  # which tell seconds
WHOLE = (".step", ".stl", ".3mf", ".png")  # of which there is one right content for each name
LONGEST_S = 900.0
WRITTEN, FOLDER = 0x2 | 0x8, 0x40000000  # of inotify: modified, or closed after writing; it is a folder
NEW = 0x100 | 0x80  # made here, or moved here
KINDS = {"psi_cad.batch.child": "job child", "psi_cad.builder.worker": "kernel", "spawn_main": "worker", "dask worker": "worker"}


class Watch:
    """Sees every file below a folder that is made or written to under the name it is to keep; whole ones are moved there."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(os.O_NONBLOCK)
        self.folders: dict[int, Path] = {}
        self._over = threading.Event()
        self._add(folder)
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _add(self, folder: Path) -> None:
        number = self._libc.inotify_add_watch(self._inotify, os.fsencode(folder), NEW | WRITTEN)
        if number < 0 or number in self.folders:
            return
        self.folders[number] = folder
        for below in folder.iterdir():  # made before they could be watched
            if below.is_dir() and not below.name.startswith("."):
                self._add(below)

    def _look(self) -> None:
        while not self._over.wait(0.002):
            try:
                data = os.read(self._inotify, 1 << 16)
            except BlockingIOError:
                continue
            at = 0
            while at < len(data):
                number, mask, _, length = struct.unpack_from("iIII", data, at)
                name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
                at += 16 + length
                if not name or name.startswith(".") or name.endswith(".lock") or number not in self.folders:
                    continue
                path = self.folders[number] / name
                if mask & FOLDER:
                    self._add(path)
                elif mask & (0x100 | WRITTEN):
                    self.seen.append(str(path))

    def close(self) -> list[str]:
        """Stop, and tell what was seen."""
        time.sleep(0.5)  # it has seen by then all that there was
        self._over.set()
        self._thread.join()
        os.close(self._inotify)
        return self.seen


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there; not of those that tell times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in BY_TIME]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def half(folder: Path, right: dict[str, str]) -> list[str]:
    """Files with a clean name that are not whole."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        data = path.read_bytes()
        if path.suffix in WHOLE and hashlib.sha256(data).hexdigest() != right.get(str(name)):
            found.append(str(name))
        if path.suffix == ".json":
            json.loads(data)
    return found


class Cluster:
    """A Dask scheduler and two workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, []
        self.start()

    def _dask(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-m", "dask", *words], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        """Start all of it."""
        told = self.folder / "scheduler.json"
        told.unlink(missing_ok=True)
        self.scheduler = self._dask("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
        while True:
            try:
                self.address = json.loads(told.read_text("utf-8"))["address"]
                break
            except (OSError, ValueError):
                time.sleep(0.1)
        self.workers = []
        self.fill()

    def fill(self) -> None:
        """Start a worker in the place of each that died."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            self.workers.append(self._dask("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"))

    def close(self) -> None:
        """End all of it."""
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


class Round:
    """One folder, and the kills on the way to its being done; `told` is what came of it."""

    def __init__(self, right: dict[str, str], *, kills: int, seed: int, cluster: bool, span: float) -> None:
        self.right, self.kills, self.span = right, kills, span
        self.random = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="killing-"))
        self.out = self.folder / "out"
        self.cluster = Cluster(self.folder) if cluster else None
        self.told = {"seed": seed, "cluster": cluster, "kills": [], "half": [], "made_in_place": [], "runs": 0, "same": False, "left": []}

    def run(self) -> dict:
        """Kill, go on, and compare in the end."""
        self.out.mkdir()
        watch, started = Watch(self.out), None
        try:
            while len(self.told["kills"]) < self.kills:
                started = started or self._start()
                self._wait(started, self.random.uniform(0.2, self.span))
                if started.poll() is not None:  # it ended before it was our turn
                    started = None
                    if self._whole():
                        self._again()
                    continue
                if self._kill(started):
                    started = None
                self.told["half"] += half(self.out, self.right)
            for _ in range(4):
                started = started or self._start()
                if self._ended(started) == 0:
                    break
                started = None
        finally:
            self.told["made_in_place"] += watch.close()
            if self.cluster is not None:
                self.cluster.close()
        found = contents(self.out)
        self.told["left"] = sorted(name for name in found if name.startswith(".") or "/." in name)
        self.told["same"] = found == self.right
        self.told["differ"] = sorted(name for name in found.keys() | self.right.keys() if found.get(name) != self.right.get(name))
        shutil.rmtree(self.folder)
        return self.told

    def _start(self) -> subprocess.Popen:
        where = ["--workers", "1"] if self.cluster is None else ["--scheduler", self.cluster.address]
        self.told["runs"] += 1
        return subprocess.Popen([*PSI_CAD, "batch", *ASKED, "-o", str(self.out), *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _wait(self, started: subprocess.Popen, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and started.poll() is None:
            time.sleep(0.02)

    def _ended(self, started: subprocess.Popen) -> int:
        return started.wait(timeout=LONGEST_S)

    def _whole(self) -> bool:
        return contents(self.out) == self.right

    def _again(self) -> None:
        """Have something to do once more."""
        for path in self.out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _victims(self, started: subprocess.Popen) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {"batch": [psutil.Process(started.pid)]}
        ours = [started] if self.cluster is None else [started, self.cluster.scheduler, *self.cluster.workers]
        if self.cluster is not None:
            found["scheduler"] = [psutil.Process(self.cluster.scheduler.pid)]
            found["worker"] = [psutil.Process(worker.pid) for worker in self.cluster.workers if worker.poll() is None]
        for process in [below for one in ours if one.poll() is None for below in psutil.Process(one.pid).children(recursive=True)]:
            try:
                words = " ".join(process.cmdline())
            except psutil.Error:
                continue
            for word, kind in KINDS.items():
                if word in words:
                    found.setdefault(kind, []).append(process)
        return found

    def _kill(self, started: subprocess.Popen) -> bool:
        """Kill one at random; whether the run is over with that."""
        victims = {kind: processes for kind, processes in self._victims(started).items() if processes}
        kind = self.random.choice(sorted(victims))
        victim = self.random.choice(victims[kind])
        below = psutil.Process(started.pid).children(recursive=True) if kind == "batch" else []
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        self.told["kills"].append(kind)
        if kind == "batch":
            self._ended(started)
            if psutil.wait_procs(below, timeout=60.0)[1]:
                self.told["left"].append("processes")
            return True
        if kind == "scheduler":
            assert self.cluster is not None
            self.cluster.scheduler.wait()
            if self._ended(started) == 0 and not self._whole():
                self.told["half"].append("a run without a scheduler said that all was done")
            self.cluster.close()
            self.cluster.start()
            return True
        if self.cluster is not None:
            self.cluster.fill()
        return False


def undisturbed(folder: Path) -> dict[str, str]:
    """What a batch that nothing disturbs leaves in a folder."""
    subprocess.run([*PSI_CAD, "batch", *ASKED, "-o", str(folder), "--workers", "1"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return contents(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--each", type=int, default=5, help="kills in one round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--span", type=float, default=20.0, help="seconds between two kills, at most")
    parser.add_argument("--right", type=Path, help="what a run that nothing disturbed left, from an earlier call")
    arguments = parser.parse_args()
    if arguments.right is not None and arguments.right.is_dir():
        right = contents(arguments.right)
    else:
        with tempfile.TemporaryDirectory() as name:
            right = undisturbed(arguments.right or Path(name))
    made = 0
    while made < arguments.kills:
        wanted, seed = min(arguments.each, arguments.kills - made), arguments.seed + made
        told = Round(right, kills=wanted, seed=seed, cluster=(seed // arguments.each) % 2 == 1, span=arguments.span).run()
        made += wanted
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
