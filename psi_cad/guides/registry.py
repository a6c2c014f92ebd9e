"""Find templates: the shipped ones, and a user's own folder."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final, cast

import numpy as np

from psi_cad.errors import CaseError, DesignError, EnvironmentProblem, PsiCadError
from psi_cad.files import sha256_of
from psi_cad.findings import Caution
from psi_cad.frames import Frame, triple
from psi_cad.guides.contract import BODY, FREE, SEAT, BodyTemplate, FreeTemplate, Needs, SiteKind, Template
from psi_cad.guides.params import GuideParams, Parameters, SleeveParams, StemParams, range_of
from psi_cad.guides.site import Site
from psi_cad.stages.workshop import CODE, Workshop

__all__ = [
    "any_template",
    "base_sha256",
    "lay_out",
    "load_body",
    "load_free",
    "load_template",
    "loaded_sha256",
    "needs_of",
    "site_of",
    "summary",
    "template_files",
    "template_sha256",
    "told_as_ours",
]

_HERE: Final = Path(__file__).resolve().parent.parent
FOLDER_VARIABLE: Final = "PSI_CAD_TEMPLATES"
OF_BASE: Final = "__base__"
BASE: Final = re.compile(rb'^BASE\b[^=\n]*= *"([a-z0-9-]+)"', re.MULTILINE)


def _folders() -> list[Path]:
    shipped = _HERE / "templates"  # in an installed wheel
    found = [shipped if shipped.is_dir() else _HERE.parent / "templates"]
    own = os.environ.get(FOLDER_VARIABLE)
    return [Path(own), *found] if own else found


def template_files() -> dict[str, Path]:
    """Template name to file; a user's own folder (PSI_CAD_TEMPLATES) wins; names with '_' in front are not templates."""
    found: dict[str, Path] = {}
    for folder in reversed(_folders()):
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                found[path.stem.replace("_", "-")] = path
    return dict(sorted(found.items()))


def _base_in(source: bytes) -> str | None:
    """The template that a file is derived from, as its constant `BASE` names it."""
    found = BASE.search(source)
    return None if found is None else found[1].decode()


def base_sha256(name: str) -> str | None:
    """SHA-256 of the file of the template that the template `name` is derived from; None where it stands alone."""
    path = template_files().get(name)
    base = None if path is None else _base_in(path.read_bytes())
    return None if base is None else template_sha256(base)


def _key(path: Path) -> str:
    """The name of a template's module."""
    return f"psi_cad_template_{path.stem}"


def load_template(name: str, *, where: str) -> Template:
    """The template of a guide called `name`.

    Raises
    ------
    CaseError
        If there is none, or if it makes no guide.
    EnvironmentProblem
        If its file does not define `Params` and `build`, or does not import.
    """
    found = any_template(name, where=where)
    if site_of(found) == BODY:
        raise CaseError(f"{where}: '{name}' makes no guide, but a part of a bone's body; name it under [[part]], or name another template.")
    if site_of(found) != SEAT:
        raise CaseError(f"{where}: '{name}' makes no guide, for it sits on no bone; name another template, or see 'psi-cad {name} --help'.")
    return cast(Template, found)


def load_body(name: str, *, where: str) -> BodyTemplate:
    """The template of a part called `name`, which is about a bone's body.

    Raises
    ------
    CaseError
        If there is none, or if it is made for another site.
    EnvironmentProblem
    """
    found = any_template(name, where=where)
    if site_of(found) != BODY:
        under = "it needs a seat; name it under [[guide]]" if site_of(found) == SEAT else f"it sits on no bone; see 'psi-cad {name} --help'"
        raise CaseError(f"{where}: '{name}' makes no part of a bone's body, for {under}, or name another template.")
    return cast(BodyTemplate, found)


def load_free(name: str) -> FreeTemplate:
    """The template called `name`, which needs no bone.

    Raises
    ------
    CaseError, EnvironmentProblem
    """
    found = any_template(name, where="template")
    if site_of(found) != FREE:
        raise CaseError(f"template: '{name}' needs a bone to sit on; name it in a case.")
    return cast(FreeTemplate, found)


def lay_out(template: Template, site: Site, params: Parameters, workshop: Workshop) -> tuple[Caution, ...]:
    """What a template knows of a guide without making its solid; one that has no `lay_out` tells by its build only.

    Raises
    ------
    PsiCadError
        Where there is no room; whatever else the template raises.
    """
    own = getattr(template, "lay_out", None)
    if own is None:
        return ()
    shares = len(inspect.signature(own).parameters) > len(("site", "params"))  # a template of a user may be older than that
    return tuple(own(site, params, workshop) if shares else own(site, params))


@contextmanager
def told_as_ours(name: str, frame: Frame | None = None) -> Iterator[None]:
    """Around a call of the template `name`: whatever it raises becomes an error of one guide, which ends no other.

    A template on a seat knows the guide's `frame` only: where something is wrong there, is told in the patient's.

    Raises
    ------
    PsiCadError
        As the template raised it; `DesignError` for all else.
    """
    try:
        yield
    except PsiCadError as error:
        if error.where is not None and frame is not None:
            error.where = triple(np.round(frame.patient(np.array(error.where)), 2))
        raise
    except (Exception, SystemExit) as error:  # a user's own template may fail in any way, and may even ask to end the program
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = str(error).splitlines()[0] if str(error) else "no message"
        where = f"{Path(place.filename).name}, line {place.lineno}"
        raise DesignError(f"The template '{name}' failed, {type(error).__name__} in {where}: {said}; mend it, or take another.") from error


def site_of(template: ModuleType) -> SiteKind:
    """What kind of site a template is made for; of a guide where it does not say."""
    return cast(SiteKind, getattr(template, "SITE", SEAT))


def needs_of(template: object) -> Needs:
    """What a template on a seat takes; cuts where it does not say."""
    return cast(Needs, getattr(template, "NEEDS", Needs()))


def any_template(name: str, *, where: str) -> ModuleType:
    """The template called `name`, whatever it sits on.

    Raises
    ------
    CaseError
        If there is none; the nearest name is given.
    EnvironmentProblem
        If its file does not define `Params` and `build`, or does not import.
    """
    known = template_files()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise CaseError(f"{where}: there is no template '{name}'; {hint}'psi-cad templates' lists them.")
    key, source = _key(known[name]), known[name].read_bytes()
    digest, base = hashlib.sha256(source).hexdigest(), _base_in(source)
    of_base = None if base is None or base == name else getattr(any_template(base, where=where), CODE)  # loaded again where it has changed
    if getattr(sys.modules.get(key), CODE, None) == digest and getattr(sys.modules.get(key), OF_BASE, None) == of_base:
        return sys.modules[key]
    module = ModuleType(key)
    module.__file__ = str(known[name])
    setattr(module, OF_BASE, of_base)
    setattr(module, CODE, digest)  # one that has changed since is loaded again
    sys.modules[key] = module  # where dataclasses look for it
    try:
        exec(compile(source, str(known[name]), "exec"), module.__dict__)  # these very bytes, and no compiled file of earlier ones
    except (Exception, SystemExit) as error:  # a user's own template may fail in any way, and may even ask to end the program
        del sys.modules[key]
        raise EnvironmentProblem(f"The template file '{known[name].name}' does not load: {type(error).__name__}: {error}.") from error
    problem = _unfit(module)
    if problem:  # it is not kept, or the next who asks would get it unseen
        del sys.modules[key]
        raise EnvironmentProblem(f"The template file '{known[name].name}' {problem}.")
    return module


def _unfit(module: ModuleType) -> str:
    """Why nothing can be made with a template: the rest of a sentence; empty where something can."""
    for needed in ("Params", "build"):
        if not hasattr(module, needed):
            return f"defines no '{needed}'; copy _template.py to start one"
    if not isinstance(module.Params, type) or dataclasses.is_dataclass(module.Params) or not issubclass(module.Params, Parameters):
        return "has 'Params' that are no plain class derived from GuideParams or Parameters; derive them from one, without @dataclass"
    if site_of(module) not in (SEAT, BODY, FREE):
        return f"has SITE = {site_of(module)!r}, and a site is '{SEAT}', '{BODY}' or '{FREE}'"
    if site_of(module) != SEAT:
        return ""
    needs = needs_of(module)
    if not isinstance(needs, Needs):
        return "has a NEEDS that is no Needs(cuts=(least, most), trajectories=(least, most))"
    if (needs.cuts[1] > 0) == (needs.trajectories[1] > 0):
        return "has NEEDS that no site has: a guide takes either cuts or trajectories"
    if needs.stem and (needs.donor or not needs.trajectories[1]):
        return "has NEEDS that no site has: a guide for a stem takes trajectories, and sits on no donor"
    wanted = StemParams if needs.stem else SleeveParams if needs.trajectories[1] else GuideParams
    if not issubclass(module.Params, wanted):
        return f"has Params that are no {wanted.__name__}; derive them from that class"
    return _wider(module.Params, wanted)


def _wider(params: type[Parameters], house: type[Parameters]) -> str:
    """Whether a template declares a parameter of psi-cad's own anew, with a range that reaches further: the rest of a sentence."""
    for name in house.model_fields:
        (low, high), (least, most) = range_of(params, name), range_of(house, name)
        if (least is not None and (low is None or low < least)) or (most is not None and (high is None or high > most)):
            return f"declares '{name}' with a range beyond {least:g} to {most:g}, which psi-cad requires; keep within it"
    return ""


def summary(path: Path) -> str:
    """The first line of a template's docstring, read without running it."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.splitlines()[0] if text else ""


def loaded_sha256(name: str) -> str | None:
    """SHA-256 of the file from which the template `name` was loaded in this process; it may have changed since."""
    path = template_files().get(name)
    return None if path is None else getattr(sys.modules.get(_key(path)), CODE, None)


def template_sha256(name: str) -> str | None:
    """SHA-256 of a template's file as it is now; None where there is none of that name."""
    path = template_files().get(name)
    return sha256_of(path) if path is not None else None
