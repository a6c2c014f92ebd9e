"""What becomes of many plans: `python bench/sweep.py CASE.toml…` builds each, and counts what passed, was rejected or refused, and why.

Each plan is built in a process of its own, in a folder that is thrown away unless `--keep` names one. Seconds are wall time of this run,
so they mean something only beside others of the same run.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LIMIT_S = 300.0


def tried(case: Path, keep: Path | None) -> dict[str, Any]:
    """What became of one plan: `outcome`, `why` (ids of failed checks, or the reason of a refusal), `said`, `seats` tried, `seconds`."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = keep or Path(name)
        command = [sys.executable, "-m", "psi_cad", "build", str(case), "-o", str(folder), "--json", "--no-suggest"]
        try:
            ran = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return {"case": case.parent.name, "seconds": LIMIT_S, "seats": 1, "outcome": "slow", "why": [f"not done in {LIMIT_S:g} s"], "said": ""}
    found: dict[str, Any] = {"case": case.parent.name, "seconds": round(time.perf_counter() - start, 1), "seats": 1}
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        return {**found, "outcome": "broken", "why": [f"exit {ran.returncode}"], "said": ran.stderr[-300:]}
    if "guides" not in said:
        error = said["error"]
        gist = re.split(r"[';,(]| near |, but", re.sub(r"'[^']*' ", "", error["message"]))[0]  # of one cause, without its names and numbers
        return {**found, "outcome": "refused", "why": [re.sub(r"[0-9.]+ mm[²]?", "…", gist).strip()], "said": error["message"]}
    failed = [check for guide in said["guides"] for check in guide["checks"] if not check["passed"]]
    found["seats"] = max(len(guide["seating"]["tried"]) or 1 for guide in said["guides"])
    ids = sorted({check["id"].split("[")[0] for check in failed})
    return {**found, "outcome": "rejected" if failed else "passed", "why": ids, "said": "; ".join(str(check["note"]) for check in failed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder that the outputs stay in")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        found = []
        for one in pool.map(lambda case: tried(case, arguments.keep), arguments.cases):
            found.append(one)
            print(
                f"{one['case']:24} {one['outcome']:9} {one['seconds']:6.1f} s  {one['seats']:2} seats  {', '.join(one['why'])}  {one['said'][:150]}",
                flush=True,
            )
    total = Counter((one["outcome"], ", ".join(one["why"])) for one in found)
    for (outcome, why), count in sorted(total.items(), key=lambda item: -item[1]):
        print(f"{count:4} {outcome} {why}")
    print(f"{sum(one['outcome'] == 'passed' for one in found)} of {len(found)} passed; slowest {max(one['seconds'] for one in found):.0f} s")


if __name__ == "__main__":
    main()
