"""Where each guide of a case goes, and where else it could go: what the planning process and the build process both ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade
from psi_cad.findings import Check
from psi_cad.guides.params import GuideParams
from psi_cad.guides.registry import load_template, told_as_ours
from psi_cad.guides.seating import Tried
from psi_cad.guides.sharing import Workshop
from psi_cad.guides.site import Site, make_site
from psi_cad.intake.kerfs import Sawing, shifts_of
from psi_cad.resection.depth import slot_depth
from psi_cad.scene.bodies import Grounds, Scene, on
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.axis import SeatingAxis
from psi_cad.units import Mm

__all__ = ["GUIDED_MM", "Siting", "blade_reach"]

GUIDED_MM: Final[Mm] = 10.0  # the binding height of a guide, where its template has no such parameter


class Siting:
    """Finds sites for the guides of one case; `own`: how the case itself saws each cut. What sites share is made once."""

    def __init__(self, loaded: LoadedCase, scene: Scene, cuts: Mapping[str, PlannedCut], own: Sequence[Sawing]) -> None:
        self.loaded, self.scene, self.cuts, self.own = loaded, scene, dict(cuts), own
        self._workshop = Workshop()
        self._grounds = Grounds(scene)

    def site(self, sawing: Sawing, *, but: Sequence[Tried] = ()) -> Site:
        """Where a guide goes; `but` are ways to sit that turned out bad.

        Raises
        ------
        PsiCadError
        """
        request, params, blade = sawing.request, sawing.params, sawing.blade
        case = self.loaded.case
        shifts = shifts_of(case, sawing, self.own)
        name = case.bone_of(request)
        own = on(name, self.cuts)
        moved = self.scene.moved(own, {name: shift for name, shift in shifts.items() if name in request.cuts})
        bone, caster = self._grounds.of(name)
        template = load_template(request.template, where=f"guide '{request.name}'.template")
        lay_out = getattr(template, "lay_out", None)  # a template need not have one: then only its build tells

        sawn = [moved[name] for name in request.cuts]

        def laid_out(site: Site) -> None:
            if lay_out is not None:
                with told_as_ours(request.template):
                    lay_out(site, params)

        def short(axis: SeatingAxis, gap: Mm) -> str:
            checks = [blade_reach(params, blade, cut, axis, gap) for cut in sawn]
            return next((f"the blade reaches {check.value:.1f} mm deep, bone there is {check.limit:.1f}" for check in checks if not check.passed), "")

        return make_site(
            bone,
            caster,
            sawn,
            list(own.values()),
            approach=np.array(request.approach),
            params=params,
            blade=blade,
            printer=self.loaded.printer(request.printer, where="guide.printer"),
            label=(f"{case.id} {case.side[0].upper()}", request.name, _blade_said(params, blade), f"v{__version__}"),
            shifts=shifts,
            workshop=self._workshop,
            laid_out=laid_out,
            short=short,
            but=but,
        )


def blade_reach(params: GuideParams, blade: Blade, cut: PlannedCut, axis: SeatingAxis, gap: Mm) -> Check:
    """Whether the blade gets through the bone below its slot, as far as that is known without a solid."""
    height: Mm = float(getattr(params, "height", GUIDED_MM))
    reach, deepest = blade.usable_length - height - gap, slot_depth(cut, axis.direction).deepest
    note = f"blade {blade.id}: usable length {blade.usable_length:g} less {height:g} guided and {gap:g} gap, against the deepest bone below the slot"
    return Check(f"blade_reach[{cut.name}]", round(reach, 3), "mm", ">=", round(deepest, 3), reach >= deepest, note)


def _blade_said(params: GuideParams, blade: Blade) -> str:
    """What a label says of the blade: its id, and the clearance that its slot was given, which blades of one id may differ by."""
    clearance = getattr(params, "clearance", None)
    return blade.id if clearance is None else f"{blade.id} c{max(f'{clearance:.2f}', f'{clearance:g}', key=len)}"
