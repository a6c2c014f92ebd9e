"""Which blade saws each cut, how wide it cuts there, and how far from the planned plane it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, Case, GuideRequest
from psi_cad.errors import CaseError
from psi_cad.findings import Caution
from psi_cad.guides.params import GuideParams, SeatParams, resolve_params
from psi_cad.guides.registry import load_template, needs_of
from psi_cad.scene.kerf import CLEARANCE_MM, GraftTerm, Kerf, blade_kerf, blade_shift
from psi_cad.units import Mm

__all__ = [
    "Sawing",
    "clearance_of",
    "differing",
    "graft_terms",
    "kerf_caution",
    "kerfs_of",
    "resolved",
    "run_outs_of",
    "sawings",
    "shifts_of",
    "widest",
]


SAME_KERF: Final[Mm] = 1e-4


@dataclass(frozen=True)
class Sawing:
    """One guide with one blade; `clearance` of its slots in mm. `given`: `--blade` named it, for every guide of the run."""

    request: GuideRequest
    params: GuideParams
    blade: Blade
    given: bool = False

    @property
    def tool_id(self) -> str:
        """What the guide's files are named by."""
        return self.blade.id

    @property
    def on_donor(self) -> bool:
        """Whether it sits on the donor's bone, and saws nothing of the patient's."""
        return needs_of(load_template(self.request.template, where=f"guide '{self.request.name}'.template")).donor

    @property
    def clearance(self) -> Mm:
        """Added to the blade's thickness to give a slot's width, mm."""
        return clearance_of(self.params)

    @property
    def kerf(self) -> Mm:
        """How wide it cuts, mm."""
        return blade_kerf(self.blade, self.clearance)

    @property
    def measured(self) -> bool:
        """Whether that was measured."""
        return self.blade.kerf is not None


def clearance_of(params: SeatParams) -> Mm:
    """Added to a blade's thickness to give a slot's width, mm."""
    told = params.slot_clearance if isinstance(params, GuideParams) else None
    return CLEARANCE_MM if told is None else float(told)


def resolved(loaded: LoadedCase, number: int) -> SeatParams:
    """The parameters of a guide of the case, each checked.

    Raises
    ------
    PsiCadError
    """
    request, where = loaded.case.guide[number], f"{loaded.path.name}: guide[{number}]"
    template = load_template(request.template, where=f"{where}.template")
    return resolve_params(template.Params, request.params, where=f"{where}.params")


def sawings(loaded: LoadedCase, blades: Sequence[str] = ()) -> list[Sawing]:
    """Every guide of a case that saws, with each of `blades` (ids), or with its own.

    Raises
    ------
    PsiCadError
    """
    found = []
    for number, request in enumerate(loaded.case.guide):
        own = request.blade
        if not request.cuts or own is None:  # it saws nothing, or `resolved_guides` has told of it
            continue
        params = resolved(loaded, number)
        assert isinstance(params, GuideParams)  # the registry has refused a template with cuts and others
        where = "--blade" if blades else f"{loaded.path.name}: guide '{request.name}'.blade"
        wanted: Sequence[str | Blade] = list(dict.fromkeys(blades)) or [own]
        found += [Sawing(request, params, loaded.blade(blade, where=where), bool(blades)) for blade in wanted]
    return found


def widest(cut: str, sawings: Iterable[Sawing]) -> Sawing | None:
    """What saws a cut of the patient's bone widest; None where no guide takes it."""
    return max((sawing for sawing in sawings if cut in sawing.request.cuts and not sawing.on_donor), key=lambda sawing: sawing.kerf, default=None)


def differing(kerfs: Mapping[str, Kerf], sawings: Sequence[Sawing]) -> tuple[str, ...]:
    """The cuts that one of these guides saws with another kerf than told."""
    return tuple(
        name
        for name, kerf in kerfs.items()
        if any(name in one.request.cuts and not one.on_donor and abs(one.kerf - (kerf.width or 0.0)) > SAME_KERF for one in sawings)
    )


def kerfs_of(case: Case, sawings: Sequence[Sawing]) -> dict[str, Kerf]:
    """The kerf of every cut, by name: as wide as the widest that any of its guides saws."""
    found = {}
    for cut in case.cut:
        sawing = widest(cut.name, sawings)
        found[cut.name] = Kerf(cut.kerf_side, None if sawing is None else sawing.kerf)
    return found


def run_outs_of(case: Case, sawings: Sequence[Sawing]) -> dict[str, Mm]:
    """How far the saw runs past the bone at each cut, by name: as its guides say, else the templates' default."""
    default = GuideParams().run_out
    return {
        cut.name: max((one.params.run_out for one in sawings if cut.name in one.request.cuts and not one.on_donor), default=default)
        for cut in case.cut
    }


def graft_terms(case: Case, sawing: Sawing, own: Sequence[Sawing]) -> dict[str, GraftTerm]:
    """Where the donor is sawn for each cut of the bone that it replaces, as one guide on it needs it.

    Other guides, those on the patient's bone among them, count with the case's own blades; where `--blade` named its blade, with that one: then
    the host is sawn with it, too, and the graft is the same whatever other blades are built along with it.

    Raises
    ------
    CaseError
        Where a cut is not sawn on the patient, or not on the donor.
    """
    where, found = f"guide '{sawing.request.name}'", {}
    own = [replace(one, blade=sawing.blade) for one in own] if sawing.given else own
    for cut in case.cut:
        if case.bone_of(cut) != case.bone_of(sawing.request):
            continue
        patient = widest(cut.name, own)
        if patient is None:
            raise CaseError(f"{where}: no guide on the patient's bone takes cut '{cut.name}', so its kerf is not known; make a guide for it.")
        others = [one for one in own if one.on_donor and one.request.name != sawing.request.name and cut.name in one.request.cuts]
        donor = sawing if cut.name in sawing.request.cuts else max(others, key=lambda one: one.kerf, default=None)
        if donor is None:
            raise CaseError(
                f"{where}.cuts: no guide on the donor takes cut '{cut.name}', which bounds the graft too; name it here, or make a guide for it."
            )
        fit = sawing.params.graft_fit
        found[cut.name] = GraftTerm(cut.name, cut.kerf_side, fit, patient.blade.id, patient.kerf, donor.blade.id, donor.kerf)
    return found


def shifts_of(case: Case, sawing: Sawing | None, own: Sequence[Sawing]) -> dict[str, Mm]:
    """How far along each cut's normal the middle of its kerf lies from its plane, for one guide and blade (None: it saws nothing), mm.

    Cuts of other guides count with the case's `own` blades: a guide is the same whatever other blades are built along with it.
    """
    if sawing is not None and sawing.on_donor:
        terms = graft_terms(case, sawing, own)
        return {cut.name: terms[cut.name].shift if cut.name in terms else 0.0 for cut in case.cut}
    others = [other for other in own if sawing is None or other.request.name != sawing.request.name]
    found = {}
    for cut in case.cut:
        taken = sawing if sawing is not None and cut.name in sawing.request.cuts else widest(cut.name, others)
        found[cut.name] = 0.0 if taken is None else blade_shift(cut.kerf_side, taken.kerf)
    return found


def kerf_caution(blade: Blade, clearance: Mm) -> Caution | None:
    """What a person must know of a blade whose kerf nobody measured."""
    if blade.kerf is not None:
        return None
    kerf = blade_kerf(blade, clearance)
    text = f"the kerf of blade {blade.id} is not measured; psi-cad takes {kerf:.2f} mm, its thickness and the slot's clearance: measure a test cut"
    return Caution("kerf-not-measured", text)
