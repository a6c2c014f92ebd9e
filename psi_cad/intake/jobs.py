"""What one guide or part is made from, resolved before anything is read or computed, and the hash that goes by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Case, PartRequest
from psi_cad.drilling.ways import Drilling
from psi_cad.guides.registry import base_sha256, template_sha256
from psi_cad.outputs.naming import making_of
from psi_cad.outputs.overrides import decisive, mark_of, overrides_of, overrides_of_part
from psi_cad.outputs.software import DECISIVE, build_software
from psi_cad.sawing.kerfs import Sawing, graft_terms, kerfs_of, run_outs_of, shifts_of
from psi_cad.units import Array

__all__ = ["job_facts", "job_hash", "part_facts"]

SCHEMA: Final = 1  # what the facts are has changed
RESOLVED: Final = (".markups", "catalogue")  # inputs whose content stands in the facts: planes, a blade, a printer


def job_facts(
    loaded: LoadedCase, work: Sawing | Drilling, own: list[Sawing], *, planes: Mapping[str, tuple[Array, Array]], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """All that the files of one guide are made from, as JSON values: no path is in it, and nothing that changes no file.

    A variant's name, which its label carries, is not in it: that is a matter of the folder it lies in.

    Parameters
    ----------
    own : list of Sawing
        How the case itself saws each cut.
    planes : mapping
        (origin, unit normal) of every cut by name, patient mm.
    inputs : mapping
        SHA-256 of everything that the case names, by the key that names it.
    """
    request = work.request
    sawing = work if isinstance(work, Sawing) else None
    shifts = {name: {"shift": shift} for name, shift in shifts_of(loaded.case, sawing, own).items()}
    ways = [way.to_json() for way in work.ways] if isinstance(work, Drilling) else []
    kept = (
        {"avoid": [[avoid.name, avoid.distance] for avoid in loaded.case.avoid]}
        if ways or request.hole or (sawing is not None and sawing.params.wires_lean)
        else {}
    )
    sawn: dict[str, Any] = {}
    if any(way.implant is not None for way in (work.ways if isinstance(work, Drilling) else ())):  # it sits on what the saw leaves
        sawn = {"sawn": _saw_said(loaded.case, own)}
    printer, changed = loaded.printer(request.printer, where="guide.printer"), overrides_of(loaded.settings, request.name)
    mark = None if decisive(changed) else mark_of(changed)
    base = base_sha256(request.template)
    graft: dict[str, Any] = {}
    if sawing is not None and sawing.on_donor and loaded.case.donor is not None:
        terms = {name: asdict(term) for name, term in graft_terms(loaded.case, sawing, own).items()}
        tumour = None if loaded.case.tumour is None else _without_files(loaded.case.tumour.model_dump(mode="json"))
        graft = {"donor": _without_files(loaded.case.donor.model_dump(mode="json")), "terms": terms, "tumour": tumour}
    else:
        inputs = _of_patient(inputs)
    return {
        **_case_facts(loaded, shifts, planes=planes, inputs=inputs),
        **graft,
        **sawn,
        **({} if base is None else {"base_sha256": base}),
        "guide": request.name,
        **({"bone": request.bone} if len(loaded.case.bones) > 1 else {}),
        "template_sha256": template_sha256(request.template),
        "making": making_of(request, work.params.model_dump(), None if sawing is None else sawing.blade, printer, ways=ways, overrides=changed),
        **({} if mark is None else {"mark": mark}),  # a guide of this is labelled with it
        **kept,
    }


def part_facts(
    loaded: LoadedCase,
    request: PartRequest,
    params: Mapping[str, Any],
    own: Sequence[Sawing],
    *,
    planes: Mapping[str, tuple[Array, Array]],
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """All that the files of one part of a bone's body are made from; `params` are the resolved ones, for the rest see `job_facts`."""
    saw, mark = _saw_said(loaded.case, own), mark_of(overrides_of_part(loaded.settings, request.name))
    printer = loaded.printer(request.printer, where="part.printer")
    return {
        **_case_facts(loaded, saw, planes=planes, inputs=_of_patient(inputs)),
        "part": request.name,
        "tumour": None if loaded.case.tumour is None else _without_files(loaded.case.tumour.model_dump(mode="json")),
        **({"bone": request.bone} if len(loaded.case.bones) > 1 else {}),
        "template_sha256": template_sha256(request.template),
        "making": {"template": request.template, "params": dict(params), "printer": printer.model_dump(mode="json")},
        **({} if mark is None else {"mark": mark}),
    }


def _saw_said(case: Case, own: Sequence[Sawing]) -> dict[str, dict[str, Any]]:
    """How wide the saw cuts at each cut, on which side of its plane, and how far past the bone."""
    run_outs = run_outs_of(case, own)
    return {name: {"kerf": [kerf.side, kerf.width], "run_out": run_outs[name]} for name, kerf in kerfs_of(case, own).items()}


def _case_facts(
    loaded: LoadedCase, saw: Mapping[str, dict[str, Any]], *, planes: Mapping[str, tuple[Array, Array]], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """What everything of a case is made from; `saw`: what is told of the saw at each cut."""
    case, software = loaded.case, build_software()
    several = len(case.bones) > 1
    cuts = [
        {
            "name": cut.name,
            "origin": [float(v) for v in planes[cut.name][0]],
            "normal": [float(v) for v in planes[cut.name][1]],
            "extent": cut.extent,
            "group": cut.group,
            **saw[cut.name],
            **({"bone": cut.bone} if several else {}),
        }
        for cut in case.cut
    ]
    settings = case.model_dump(mode="json", include={"side_confirmed", "landmarks"})
    bones = [_without_files(bone.model_dump(mode="json", exclude=None if several else {"name", "side"})) for bone in case.bones]
    return {
        "schema": SCHEMA,
        "software": {name: software[name] for name in DECISIVE},
        "case": {"id": case.id, "side": case.side, **settings, "bone": bones if several else bones[0]},
        "inputs": {key: digest for key, digest in sorted(inputs.items()) if not key.endswith(RESOLVED)},
        "cuts": cuts,
    }


def _of_patient(inputs: Mapping[str, str]) -> dict[str, str]:
    """Inputs without those of a donor, which change nothing that is made for the patient's own bones."""
    return {key: digest for key, digest in inputs.items() if not key.startswith("donor.")}


def _without_files(value: Any) -> Any:
    """A dumped source without the paths in it: what lies there counts, not where."""
    if not isinstance(value, dict):
        return value
    return {key: _without_files(entry) for key, entry in value.items() if key not in ("surface", "labels", "ct", "keep_in", "mri", "transform")}


def job_hash(facts: Mapping[str, Any]) -> str:
    """SHA-256 of what a guide or part is made from; where it is equal, the files come out equal to the byte, on the same machine."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()
