"""Does a proposed change pass when it is pasted? `python bench/pasted.py CASE.toml…` spoils each guide in many ways and pastes what is proposed.

Each spoiled guide is built with the tries on. Where it is refused or rejected, every change that is proposed is given to a build of its own,
and that guide has to pass there. The table counts, by failed check or reason of a refusal: how often it came, how often something
was proposed, and how many of the pasted changes passed. `--seed` and `--count` choose among the ways to spoil.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from psi_cad.remedies.mending import base_id

LIMIT_S = 400.0
WAYS = (  # settings of a guide that ask for trouble, each in its declared range
    "params.footplate_reach=8",
    "params.footplate_reach=40",
    "params.slope_limit=20",
    "params.slope_limit=65",
    "params.seat_gap=0",
    "params.run_out=0",
    "params.run_out=15",
    "params.axis_search=0",
    "params.wire_depth=60",
    "params.wire_diameter=3",
    "params.pins=4",
    "params.bridge_over=20",
    "params.height=20",
    "params.wall=5",
    "params.end_wall=8",
    "params.allow_sliding=false",
    "blade=short",
    "blade=wide",
    "printer=other",
    "approach=tilted",
    "approach=across",
    "approach=behind",
)
BLADES = """
[[blade]]
id = "short"
thickness = 0.6
cutting_width = 10.0
usable_length = 16.0
reference = "made up"

[[blade]]
id = "wide"
thickness = 1.27
cutting_width = 45.0
usable_length = 90.0
reference = "made up"
"""
PRINTERS = """
[[printer]]
id = "other"
process = "SLA"
material = "resin"
build_volume = [70, 50, 40]
minimum_wall = 2.6
layer = 0.1
tolerance = 0.1
reference = "made up"
slot_compensation = 0.0
hole_compensation = 0.0
"""


def built(case: Path, settings: list[str], catalogue: Path, *, suggest: bool) -> dict[str, Any]:
    """What `psi-cad build --json` says of a case with some settings."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "psi_cad", "build", str(case), "-o", name, "--json", "--catalogue", str(catalogue)]
        command += [part for setting in settings for part in ("--set", setting)]
        ran = subprocess.run([*command, *([] if suggest else ["--no-suggest"])], capture_output=True, encoding="utf-8", timeout=LIMIT_S, check=False)
    return dict(json.loads(ran.stdout))


def spoiled(guide: dict[str, Any], way: str, rng: random.Random) -> str:
    """The setting that spoils a guide in one way."""
    key, value = way.split("=")
    if key == "approach":
        turn = {"tilted": (0.3, 0.8), "across": (1.5, 2.5), "behind": (-2.2, -1.8)}[value]
        amount, other = rng.uniform(*turn), [rng.gauss(0.0, 1.0) for _ in range(3)]
        approach = [a + (amount * b if amount > 0 else amount * a) for a, b in zip(guide["approach"], other, strict=True)]
        return f"guide.{guide['name']}.approach=[{','.join(f'{v:.3f}' for v in approach)}]"
    return f"guide.{guide['name']}.{key}={value}" if key.startswith("params") else f'guide.{guide["name"]}.{key}="{value}"'


def reasons(said: dict[str, Any], name: str) -> tuple[list[str], list[str], str]:
    """Why a guide did not pass (nothing: it did), what is proposed, and the sentence of a refusal."""
    if "error" in said:
        error = said["error"]
        return [str(error.get("reason") or "refused")], list(error["remedies"]), str(error["message"])
    guide = next(one for one in said["guides"] if one["name"] == name)
    failed = sorted({base_id(check["id"]) for check in guide["checks"] if not check["passed"]})
    return failed, [one["set"][0] for one in guide.get("remedies", ())], ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=len(WAYS), help="ways to spoil, for each guide")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    with tempfile.TemporaryDirectory() as name:
        catalogue = Path(name) / "own.toml"
        catalogue.write_text(BLADES + PRINTERS, "utf-8")
        for case in arguments.cases:
            for guide in tomllib.loads(case.read_text("utf-8"))["guide"]:
                for way in rng.sample(WAYS, arguments.count):
                    setting = spoiled(guide, way, rng)
                    why, proposed, said = reasons(built(case, [setting], catalogue, suggest=True), guide["name"])
                    passed = [not reasons(built(case, [setting, one], catalogue, suggest=False), guide["name"])[0] for one in proposed]
                    for one in why:
                        row = table[one]
                        row[0], row[1], row[2], row[3] = row[0] + 1, row[1] + bool(proposed), row[2] + len(passed), row[3] + sum(passed)
                    print(
                        f"{case.parent.name:22} {setting:48} {', '.join(why) or 'passes':40} {dict(zip(proposed, passed, strict=True))} {said}",
                        flush=True,
                    )
    print(f"{'check or reason':24} {'came':>5} {'proposed':>9} {'pasted':>7} {'passed':>7}")
    for one, row in sorted(table.items()):
        print(f"{one:24} {row[0]:5} {row[1]:9} {row[2]:7} {row[3]:7}")


if __name__ == "__main__":
    main()
