"""Random points of a template's declared space: `python bench/points.py TEMPLATE [CASE] --points 30`.

Point 0 is the case as it is. Every other point sets parameters of the case's first guide or part of that template: point 1, 5, 9… all of
them, and the three that follow each with a chance of one in ten, three in ten and one in ten. A number lies anywhere in its declared range, a word is
one of its choices, and a parameter with a switch is set only where its switch is. The coupon needs no case. Each point is built in one
session, so its seconds (wall, and processor time of all processes) are those of a warm build.

What becomes of a point: it *passed*, it was *refused* (with the parameters of the template that the sentence names), *rejected* (built, and a check
failed on its files: that should have been foreseen), or it *crashed* (no sentence of psi-cad's). The exit code is 1 where a point was rejected or
crashed, was refused without naming a parameter, or a file with a clean name lies beside a guide that did not pass.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

import psi_cad
from psi_cad.errors import PsiCadError
from psi_cad.guides.params import Parameters, range_of
from psi_cad.guides.registry import any_template

SHARES = (0.1, 1.0, 0.1, 0.3)  # of the parameters that a point sets, by its number
DIGITS = 3
COUPON = "coupon"
REJECTED = "REJECTED"  # how the files of what did not pass are called
FOR_COUPON = {"blade": "generic-25x0.89", "printer": "fdm-ultem1010"}


def spent() -> float:
    """Processor seconds of this process and all that it started, those that have ended among them."""
    total = 0.0
    for one in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            total += sum(one.cpu_times()[:4])
    return total


def extra(params: type[Parameters], name: str) -> dict[str, Any]:
    """What a parameter declares beside its default and help."""
    found = params.model_fields[name].json_schema_extra
    return found if isinstance(found, dict) else {}


def drawn(params: type[Parameters], *, number: int, seed: int) -> dict[str, Any]:
    """The values that a point sets, each in its declared range; none at point 0."""
    values: dict[str, Any] = {}
    if number == 0:
        return values
    rng = random.Random(f"{seed}/{number}")
    for name, field in params.model_fields.items():
        default, said = field.default, extra(params, name)
        low, high = range_of(params, name)
        chance, switch = rng.random(), said.get("switch", "")
        if isinstance(default, bool):
            value: Any = rng.random() < 0.5
        elif "enum" in said:
            value = rng.choice(said["enum"])
        elif isinstance(default, int | float) and low is not None and high is not None:
            value = rng.randint(int(low), int(high)) if isinstance(default, int) else round(rng.uniform(low, high), DIGITS)
        else:
            continue  # free text
        if chance < SHARES[number % len(SHARES)] and (not switch or values.get(switch, params.model_fields[switch].default)):
            values[name] = value
    return values


def as_text(value: Any) -> str:
    """A value as a case file has it."""
    return json.dumps(value)


def named(sentence: str, params: type[Parameters]) -> list[str]:
    """The parameters that a sentence names: with `params.` before them, with a value, after a verb, or by a name that is no word."""
    found = []
    for name in params.model_fields:
        word = re.escape(name)
        told = rf"params\.{word}\b|\b{word} = |'{word}'|\b(?:raise|lower|set|give|without|leave|or|and|longer|shorter|of) {word}\b"
        if re.search(rf"\b{word}\b" if "_" in name else told, sentence):
            found.append(name)
    return found


def subject(case: Path, template: str) -> tuple[str, str]:
    """The kind ("guide" or "part") and name of what a case makes with a template."""
    said = tomllib.loads(case.read_text("utf-8"))
    for kind in ("guide", "part"):
        for one in said.get(kind, ()):
            if one["template"] == template:
                return kind, str(one["name"])
    raise SystemExit(f"{case}: has no guide or part of template '{template}'.")


def outcome(report: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """What a build's report tells of one guide or part."""
    for entry in report.get(f"{kind}s", ()):
        if entry["name"] == name and not entry.get("kept"):
            checks = [*entry["checks"], *(check for part in entry.get("parts", ()) for check in part.get("checks", ()))]
            failed = [check for check in checks if not check["passed"]]
            told = [f"{check['id']} {check['value']} {check['rule']} {check['limit']}" for check in failed]
            files = sorted({str(file) for file in entry["files"].values()})
            left = [trial["left"] for trial in (entry.get("seating") or {}).get("tried", ())]
            built = [why for why in left if "` failed at" in why]  # on another seat, before this one
            return {"outcome": entry["status"], "said": "; ".join(dict.fromkeys(told)), "files": files, "built_before": built}
    for entry in report.get("refused", ()):
        if name in (entry.get("guide"), entry.get("part"), entry.get("name")):
            return not_made(str(entry["error"]), str(entry["message"]))
    return {"outcome": "crashed", "said": f"the report tells nothing of '{name}'", "files": []}


def not_made(error: str, said: str) -> dict[str, Any]:
    """Refused, or crashed where the sentence is only what the last door makes of something unforeseen."""
    crashed = error == "KernelError" or re.match(r"An unexpected .* ended the |The template '.*' failed, ", said)
    return {"outcome": "crashed" if crashed else "refused", "said": said, "files": []}


def built(session: psi_cad.Session, template: str, case: Path | None, out: Path, values: dict[str, Any]) -> dict[str, Any]:
    """What became of one point."""
    try:
        if case is None:
            settings = [f"params.{key}={as_text(value)}" for key, value in values.items()]
            report = psi_cad.api.coupon(out, **FOR_COUPON, settings=settings)
            failed = [f"{check['id']} {check['value']} {check['rule']} {check['limit']}" for check in report["checks"] if not check["passed"]]
            return {"outcome": report["status"], "said": "; ".join(failed), "files": sorted(report["files"].values())}
        kind, name = subject(case, template)
        settings = [f"{kind}.{name}.params.{key}={as_text(value)}" for key, value in values.items()]
        return outcome(session.build(case, out, settings=settings).report, kind, name)
    except PsiCadError as error:
        return not_made(type(error).__name__, str(error))
    except Exception as error:  # whatever it is, it is what this looks for
        return {"outcome": "crashed", "said": f"{type(error).__name__}: {error}", "files": []}


def printed_clean(out: Path, stem: str) -> list[str]:
    """Files to print of a guide or part, in a folder where it did not pass."""
    return [path.name for path in out.rglob(f"{stem}*") if path.suffix in {".stl", ".3mf"} and not path.stem.endswith(f"_{REJECTED}")]


def tried(template: str, case: Path | None, folder: Path, *, points: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """Every point, told as soon as it is known."""
    params = any_template(template, where="TEMPLATE").Params
    found = list[dict[str, Any]]()
    stem = COUPON if case is None else f"{subject(case, template)[1]}_"
    with psi_cad.Session() as session:
        for number in points:
            values, out = drawn(params, number=number, seed=seed), folder / f"{number:03d}"
            shutil.rmtree(out, ignore_errors=True)  # what lies there is of another run
            start, before = time.perf_counter(), spent()
            became = built(session, template, case, out, values)
            took = {"seconds": round(time.perf_counter() - start, 1), "cpu_s": round(spent() - before, 1)}
            names = named(became["said"], params) if became["outcome"] == "refused" else []
            clean = [] if became["outcome"] == "passed" else printed_clean(out, stem)
            of = {"template": template, "case": case and case.parent.name, "point": number}
            found.append({**of, **became, **took, "names": names, "clean": clean, "values": values})
            row = f"{number:3} {became['outcome']:9} {took['seconds']:6.1f} s {took['cpu_s']:6.1f} s  "
            print(row + f"{', '.join(names)[:60]:60} {became['said'][:160]}", flush=True)
    return found


def bad(one: dict[str, Any]) -> bool:
    """Whether a point is what there must be none of."""
    return one["outcome"] in {"rejected", "crashed"} or bool(one["clean"]) or (one["outcome"] == "refused" and not one["names"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template")
    parser.add_argument("case", nargs="?", type=Path, help="a case.toml that has a guide or part of it; none for the coupon")
    parser.add_argument("--points", type=int, default=30, help="how many, beside point 0")
    parser.add_argument("--first", type=int, default=0, help="the number of the first point, to go on with")
    parser.add_argument("--only", type=int, nargs="+", help="these points alone")
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--keep", type=Path, help="a folder that the outputs stay in, one for each point")
    arguments = parser.parse_args()
    case = arguments.case / "case.toml" if arguments.case and arguments.case.is_dir() else arguments.case
    points = arguments.only if arguments.only is not None else range(arguments.first, arguments.points + 1)
    with tempfile.TemporaryDirectory() as scratch:
        found = tried(arguments.template, case, arguments.keep or Path(scratch), points=points, seed=arguments.seed)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    told = Counter(one["outcome"] for one in found)
    wrong = [one["point"] for one in found if bad(one)]
    slow = max((one["seconds"] for one in found if one["outcome"] == "refused"), default=0.0)
    counts = ", ".join(f"{count} {kind}" for kind, count in told.items())
    print(f"{arguments.template}: {counts}; slowest refusal {slow:.0f} s; to look at: {wrong or 'none'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
