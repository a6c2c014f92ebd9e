"""What a batch is asked for, as single jobs: one guide of one case for one blade, or one part, with a hash of all it is made from."""

from __future__ import annotations

import glob
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.named import named_in, there
from psi_cad.errors import CaseError, InputError, PsiCadError
from psi_cad.intake.jobs import job_facts, job_hash, part_facts
from psi_cad.intake.loading import load, resolved_guides
from psi_cad.intake.prepare import planes_of, works_of
from psi_cad.intake.work import digest_of
from psi_cad.making.asked import resolved_part
from psi_cad.sawing.kerfs import sawings

__all__ = ["Asked", "Task", "case_files", "dealt", "tasks_of", "values_of"]

CASE_FILE: Final = "case.toml"
PRINTER: Final = "printer"
PRINTER_KEY: Final = "guide.printer"
UNSAFE: Final = re.compile(r"[^A-Za-z0-9.]+")
SPECIAL: Final = re.compile(r"[^A-Za-z0-9.-]|^[-.]|[-.]$|--")
LONGEST: Final = 60  # letters of a folder's name
MARK: Final = 6  # letters of a hash that stands for what is too long for a name


@dataclass(frozen=True)
class Asked:
    """What the user asks for; an empty tuple leaves what the case says."""

    cases: tuple[str, ...]
    blades: tuple[str, ...] = ()
    printers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()  # "key=a,b,c"
    catalogue: Path | None = None


@dataclass(frozen=True)
class Task:
    """One guide for one blade, or one part: what it takes to make it, where it goes, and the hash of all it is made from."""

    case: Path
    case_id: str
    guide: str  # empty of a part
    blade: str  # or the id of its tool; empty of a part
    printer: str
    saws: bool
    named: bool  # the blade was named on the command line
    settings: tuple[str, ...]  # as `--set` of one build
    levels: tuple[str, ...]  # folders between the output folder and the case's
    job: str
    part: str = ""  # of a bone's body; empty of a guide

    @property
    def called(self) -> str:
        """What it makes, in words."""
        return f"part {self.part}" if self.part else f"{self.guide} for {self.blade}"

    @property
    def folder(self) -> str:
        """The case's folder, relative to the output folder."""
        return "/".join((*self.levels, self.case_id))

    @property
    def blades(self) -> list[str]:
        """As `--blade` of one build."""
        return [self.blade] if self.saws and self.named else []


def values_of(setting: str) -> tuple[str, list[str]]:
    """The key of a `--set` and its values; a comma in brackets or quotes parts nothing.

    >>> values_of("params.clearance=0.1,0.15")
    ('params.clearance', ['0.1', '0.15'])
    >>> values_of("cut.A.origin=[1,2,3]")
    ('cut.A.origin', ['[1,2,3]'])

    Raises
    ------
    CaseError
    """
    key, sign, text = setting.partition("=")
    values, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        if letter == "," and depth == 0 and not quote:
            values.append("")
        else:
            values[-1] += letter
    found = [value.strip() for value in values]
    if not sign or not key.strip() or not all(found):
        raise CaseError(f"--set {setting}: write key=value or key=value,value, such as params.clearance=0.10,0.15.")
    return key.strip(), list(dict.fromkeys(found))


def case_files(named: Sequence[str]) -> list[Path]:
    """The case files that files, folders and patterns name, each once: of a folder without a case.toml, every case.toml below it.

    Raises
    ------
    CaseError
    """
    found: dict[Path, None] = {}
    for name in named:
        path = Path(name)
        matches = [path] if path.exists() or not glob.has_magic(name) else [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207  # a pattern may be absolute
        files: list[Path] = []
        for match in matches:
            below = sorted(match.rglob(CASE_FILE)) if match.is_dir() and not (match / CASE_FILE).is_file() else []
            files += below or ([match / CASE_FILE] if (match / CASE_FILE).is_file() else [match] if match.is_file() else [])
        if not files:
            raise CaseError(f"{name}: there is no case file here; name a case file, a folder that holds {CASE_FILE}, or a pattern such as 'cases/*'.")
        found |= dict.fromkeys(file.resolve() for file in files)
    return list(found)


def level(key: str, value: str) -> str:
    """The folder of one of several values: `<key>-<value>`, with letters that are safe in every file system.

    >>> level("params.clearance", "0.12")
    'params.clearance-0.12'
    """
    name = f"{key}-{'minus' if value.startswith('-') else ''}{UNSAFE.sub('-', value).strip('-.')}"
    plain = not SPECIAL.search(value.removeprefix("-"))  # then no other value gives the same name
    if plain and len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - MARK - 1]}-{hashlib.sha256(value.encode()).hexdigest()[:MARK]}"


def _axes(asked: Asked) -> list[tuple[str, str, list[str]]]:
    """Every key that is set: its name in folders, the key, and its values.

    Raises
    ------
    InputError
    """
    axes: list[tuple[str, str, list[str]]] = []
    for setting in asked.settings:
        key, values = values_of(setting)
        if any(key == other for _, other, _ in axes):
            raise InputError(f"--set {setting}: '{key}' is set twice; write its values in one, such as --set {key}=a,b.")
        if key.startswith("id"):
            raise InputError(f"--set {setting}: a batch finds its cases by their id; give each case file an id of its own.")
        axes.append((key, key, values))
    if asked.printers:
        if any(key in (PRINTER_KEY, PRINTER) for _, key, _ in axes):
            raise InputError(f"--printer {asked.printers[0]}: --set {PRINTER_KEY} names a printer too; leave one of them out.")
        axes.append((PRINTER, PRINTER_KEY, list(dict.fromkeys(asked.printers))))
    return axes


class _Digests:
    """SHA-256 of files and folders, each read once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, loaded: LoadedCase) -> dict[str, str]:
        """As `inputs_of`."""
        found = {}
        for key, name in named_in(loaded).items():
            path = there(loaded, name, key=key)
            if path not in self._known:
                self._known[path] = digest_of(path)
            found[key] = self._known[path]
        return found


def tasks_of(asked: Asked) -> list[Task]:
    """Every job that is asked for, in the order of cases, settings, guides and blades.

    Raises
    ------
    PsiCadError
        With a line for each mistake in each case; nothing is begun then.
    """
    axes, files, digests = _axes(asked), case_files(asked.cases), _Digests()
    tasks: list[Task] = []
    wrong: dict[str, PsiCadError] = {}
    ids: dict[str, Path] = {}
    for path in files:
        for chosen in itertools.product(*(values for _, _, values in axes)):
            settings = tuple(f"{key}={value}" for (_, key, _), value in zip(axes, chosen, strict=True))
            levels = tuple(level(name, value) for (name, _, values), value in zip(axes, chosen, strict=True) if len(values) > 1)
            try:
                loaded = load(path, settings=settings, catalogue=asked.catalogue)
                found = list(_of_case(loaded, asked, settings, levels, digests.of(loaded)))
            except PsiCadError as error:
                for line in str(error).splitlines():
                    wrong.setdefault(line if path.parent.name in line else f"{path.parent.name}/{line}", error)
                continue
            other = ids.setdefault(loaded.case.id, path)
            if other != path:
                raise InputError(f"{path}: id '{loaded.case.id}' is that of {other} too, so one would overwrite the other; give each its own.")
            tasks += found
    if wrong:
        kind = type(next(iter(wrong.values())))
        told = [{"key": str(one.get("key", "")), "message": str(one["message"])} for error in dict.fromkeys(wrong.values()) for one in error.errors]
        raise kind("\n".join(wrong), errors=told)
    return tasks


def _of_case(loaded: LoadedCase, asked: Asked, settings: tuple[str, ...], levels: tuple[str, ...], inputs: Mapping[str, str]) -> list[Task]:
    case, own, planes = loaded.case, sawings(loaded), planes_of(loaded)
    blades = list(dict.fromkeys(asked.blades))
    tasks = []
    for number, (request, params) in enumerate(zip(case.guide, resolved_guides(loaded), strict=True)):
        for work in works_of(loaded, number, params, blades):
            facts: dict[str, Any] = job_facts(loaded, work, own, planes=planes, inputs=inputs)
            printer = loaded.printer(request.printer, where=f"{loaded.path.name}: guide[{number}].printer").id
            saws = request.blade is not None
            tasks.append(Task(loaded.path, case.id, request.name, work.tool_id, printer, saws, bool(blades), settings, levels, job_hash(facts)))
    for number, part in enumerate(case.part):  # once, whatever the blades: it is cut as the case itself saws
        where = f"{loaded.path.name}: part[{number}]"
        facts = part_facts(loaded, part, resolved_part(loaded, number).model_dump(), own, planes=planes, inputs=inputs)
        printer = loaded.printer(part.printer, where=f"{where}.printer").id
        tasks.append(Task(loaded.path, case.id, "", "", printer, False, False, settings, levels, job_hash(facts), part.name))
    return tasks


def dealt(tasks: Sequence[Task], hands: int) -> list[Task]:
    """The same tasks in such an order that so many workers, each of whom takes the next one, mostly have a case each.

    Who takes a job of a case that it has not had yet has its bone to read, and a seat to find.
    """
    of_case: dict[Path, list[Task]] = {}
    for task in tasks:
        of_case.setdefault(task.case, []).append(task)
    lanes: list[list[Task]] = [[] for _ in range(max(1, hands))]
    for same in of_case.values():
        min(lanes, key=len).extend(same)
    return [task for row in itertools.zip_longest(*lanes) for task in row if task is not None]
