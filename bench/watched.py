"""Run a command and watch it: wall time, when each of its steps began, and the most memory that it and all below it held at a time."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

__all__ = ["DOCS", "PSI_CAD", "Ran", "busy", "held_mib", "keep", "ran"]

DOCS = Path(__file__).resolve().parent.parent / "docs"
KEPT = DOCS / "speed.json"
PSI_CAD = [sys.executable, "-m", "psi_cad"]
os.environ["PSI_CAD_CACHE"] = "off"  # every build that is measured is the first
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # and, but for a warm-up, of a program that Python has compiled, as it is on a user's computer
EVERY_S = 0.4
LOOKS = 4  # at processor times in between
STEP = re.compile(r"^\s*([0-9.]+) s\s+(.*)$")


@dataclass
class Ran:
    """What a command took: wall seconds, MiB (proportional set size of all its processes together), and its steps with when each began."""

    code: int
    seconds: float
    peak_mib: float
    steps: list[tuple[float, str]] = field(default_factory=list)
    said: str = ""
    cpu_s: float = 0.0  # processor time of all of them
    cpu_at: list[float] = field(default_factory=list)  # the same, when each step began

    def at(self, word: str) -> float:
        """When the step began that holds `word`."""
        return next(seconds for seconds, step in self.steps if word in step)


def held_mib(process: psutil.Process) -> dict[int, float]:
    """Proportional set size of a process and of each below it, by number: what they share counts once. It holds each of them up for some 10 ms."""
    found: dict[int, float] = {}
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):  # it has just ended
                found[one.pid] = one.memory_full_info().pss / 2**20
    return found


def cpu_of(process: psutil.Process) -> float:
    """Processor seconds that a process and all below it have spent by now."""
    total = 0.0
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += sum(one.cpu_times()[:2])
    return total


def ran(command: list[str], *, every_s: float = EVERY_S, look: Callable[[psutil.Process, dict[int, float]], None] | None = None) -> Ran:
    """Run a command to its end.

    Parameters
    ----------
    every_s : float
        How often memory is looked at, which takes time from the command, and more from a large one. 0: never, and then its memory and the
        processor time at its steps are not known: what is timed is not watched.
    look : callable, optional
        Told each time what each process holds.
    """
    begun = time.perf_counter()
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
    process, peak, over = psutil.Process(started.pid), [0.0], threading.Event()

    seen: dict[tuple[int, float], float] = {}  # processor time of each process; those that end with another are nobody's children

    def watch() -> None:
        rounds = 0
        while not over.wait(every_s / LOOKS):
            with suppress(psutil.Error):
                for one in [process, *process.children(recursive=True)]:
                    with suppress(psutil.Error):
                        seen[one.pid, one.create_time()] = sum(one.cpu_times()[:2])
            rounds += 1
            if rounds % LOOKS == 0:
                held = held_mib(process)
                peak[0] = max(peak[0], sum(held.values()))
                if look is not None:
                    look(process, held)

    thread = threading.Thread(target=watch, daemon=True)
    if every_s:
        thread.start()
    assert started.stderr is not None
    lines, steps, spent = [], [], []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for line in started.stderr:
        lines.append(line)
        found = STEP.match(line)
        if found:
            steps.append((float(found[1]), found[2]))
            spent.append(cpu_of(process) if every_s else 0.0)
    code = started.wait()
    seconds = time.perf_counter() - begun
    over.set()
    if every_s:
        thread.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = max(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, sum(seen.values()))
    return Ran(code, seconds, peak[0], steps, "".join(lines), cpu, spent)


def busy() -> dict[str, Any]:
    """What else a time depends on: the load of the machine while it was measured, and its cores."""
    return {
        "load": round(os.getloadavg()[1], 1),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "at": time.strftime("%Y-%m-%d"),
    }


def keep(name: str, found: dict[str, Any]) -> None:
    """Write what was measured into docs/speed.json, under its name."""
    known = json.loads(KEPT.read_text("utf-8")) if KEPT.is_file() else {}
    KEPT.write_text(json.dumps({**known, name: found}, indent=2) + "\n", "utf-8")
