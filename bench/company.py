"""Is a guide the same alone and in company? Every ordered pair of shipped blades on an example case: `python bench/company.py CASE…`.

Without `--kernel` everything that a guide's solid is made from is compared: its site, and all that the template gives to the
kernel. With `--kernel` the guides are built, and files and report entries compared byte by byte; `--first` and `--count`
choose a part of the pairs, `--keep` names a folder for what single blades gave. A refusal has to be the same as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psi_cad
from psi_cad.case.catalogue import shipped_catalogue
from psi_cad.case.load import load_case
from psi_cad.errors import PsiCadError
from psi_cad.guides.registry import load_template
from psi_cad.intake.prepare import plan_job
from psi_cad.stages.digests import digest
from psi_cad.stages.workshop import Workshop

ROOT = Path(__file__).resolve().parent.parent
CASES = [ROOT / "cases" / name for name in ("phantom-type1", "phantom-two-cut", "phantom-type3")]
Found = dict[tuple[str, str], Any] | str  # by guide and blade; or the sentence of a refusal


class _KernelReached(Exception):
    """The template has handed everything to the kernel."""


class _Watched(Workshop):
    """A workshop that stops where the solid would be made, and tells from what."""

    def made(self, function: Callable[..., Any], *values: Any, **named: Any) -> Any:
        if function.__name__ == "_body":
            raise _KernelReached(digest(values, named).hex())
        return super().made(function, *values, **named)


def _silent(step: str) -> None:
    """No progress."""


def designed(case: Path, blades: list[str]) -> Found:
    """A digest of all that each guide is made from."""
    found: dict[tuple[str, str], Any] = {}
    workshop = _Watched()
    try:
        for guide in plan_job(load_case(case), blades=blades, progress=_silent).guides:
            template = load_template(guide.request.template, where=str(case))
            for site in guide.sites:
                try:
                    template.build(site, template.Params(**guide.params), workshop)
                except _KernelReached as reached:
                    found[guide.request.name, site.blade.id] = digest(site).hex() + str(reached)
    except PsiCadError as error:
        return str(error)
    return found


def built(case: Path, blades: list[str]) -> Found:
    """The bytes of each guide's files, and its entry in the report."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = psi_cad.build(case, folder, blades=blades, suggest=False)
        except PsiCadError as error:
            return str(error)
        out = Path(folder) / report["case"]["id"]
        return {
            (guide["name"], guide["blade"]): json.dumps(guide, sort_keys=True)
            + digest(*((out / name).read_bytes() for kind, name in sorted(guide["files"].items()) if kind != "png")).hex()
            for guide in report["guides"]
        }


def differences(alone: list[Found], together: Found) -> list[str]:
    """What differs between two blades alone and both in one run."""
    refusals = [one for one in alone if isinstance(one, str)]
    if isinstance(together, str) or refusals:
        return [] if together in refusals else [f"refused otherwise: {together!r:.90} and {refusals!r:.180}"]
    return [f"{name} {blade}" for one in alone if not isinstance(one, str) for (name, blade), what in one.items() if together[name, blade] != what]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", type=Path, default=CASES)
    parser.add_argument("--kernel", action="store_true")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10**6)
    parser.add_argument("--keep", type=Path, help="a folder: single blades are not built again")
    arguments = parser.parse_args()
    measure = built if arguments.kernel else designed
    wrong, start = 0, time.perf_counter()
    for case in arguments.cases:
        names = sorted(shipped_catalogue().blades)
        pairs = list(itertools.permutations(names, 2))[arguments.first : arguments.first + arguments.count]
        alone: dict[str, Found] = {}
        for name in {name: None for pair in pairs for name in pair}:
            kept = arguments.keep / f"{case.name}_{name}_{arguments.kernel}.json" if arguments.keep else None
            if kept is not None and kept.is_file():
                said = json.loads(kept.read_text("utf-8"))
                alone[name] = said if isinstance(said, str) else {tuple(key): what for key, what in said}
                continue
            one = alone[name] = measure(case, [name])
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(one if isinstance(one, str) else [[list(key), what] for key, what in one.items()]), encoding="utf-8")
        refused = {name for name, one in alone.items() if isinstance(one, str)}
        for number, pair in enumerate(pairs, start=1):
            told = differences([alone[name] for name in pair], measure(case, list(pair)))
            wrong += len(told)
            print(f"{case.name} {number}/{len(pairs)} {' then '.join(pair)}: {'; '.join(told) or 'the same'}", flush=True)
        print(
            f"{case.name}: {len(pairs)} pairs, {len(refused)} of {len(alone)} blades refused alone, {time.perf_counter() - start:.0f} s", flush=True
        )
    print(f"{wrong} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
