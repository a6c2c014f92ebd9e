"""Where each guide of a case goes, and where else it could go: what the planning process and the build process both ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from psi_cad import __version__
from psi_cad.case.load import LoadedCase
from psi_cad.case.model import Blade, GuideRequest
from psi_cad.case.sleeves import SlotSleeve
from psi_cad.drilling.ways import Drilling, about_ways, checked_ways
from psi_cad.findings import Check
from psi_cad.frames import unit
from psi_cad.grafting.donor import DonorRead
from psi_cad.guides.params import GuideParams, SeatParams
from psi_cad.guides.registry import lay_out, load_template, told_as_ours
from psi_cad.guides.seating import Tried
from psi_cad.guides.site import Avoided, Site, make_site
from psi_cad.making.stem_sites import onto_bone, stem_site
from psi_cad.reconstruction.retained import Retained
from psi_cad.reconstruction.site import StemSite
from psi_cad.resection.corners import past_corners
from psi_cad.resection.depth import slot_depth
from psi_cad.sawing.kerfs import Sawing, shifts_of
from psi_cad.scene.bodies import Grounds, Scene, on
from psi_cad.scene.cuts import PlannedCut
from psi_cad.siting.about import About, AboutCuts
from psi_cad.siting.axis import SeatingAxis
from psi_cad.stages.workshop import Workshop
from psi_cad.units import Mm

__all__ = ["Siting", "blade_reach", "guided_height", "step_of"]

GUIDED_MM: Final[Mm] = 10.0  # the binding height of a guide, where its template has no such parameter


class Siting:
    """Finds sites for the guides of one case; what sites share is made once, in `workshop`.

    `own`: how the case itself saws each cut; `avoid`: what trajectories' tools and leaning wires keep from. For guides on a `donor`, scene and cuts
    are the donor's, and so is the approach that they are given. For guides on the bones that stay (`stays`) the scene is theirs.
    """

    def __init__(
        self,
        loaded: LoadedCase,
        scene: Scene,
        cuts: Mapping[str, PlannedCut],
        own: Sequence[Sawing],
        avoid: Sequence[Avoided] = (),
        *,
        workshop: Workshop,
        donor: DonorRead | None = None,
        stays: Retained | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.loaded, self.scene, self.cuts, self.own, self.avoid = loaded, scene, dict(cuts), own, avoid
        self._workshop, self._donor, self._stays = workshop, donor, stays
        self._grounds, self._progress = Grounds(scene), progress

    def site(self, work: Sawing | Drilling, *, but: Sequence[Tried] = ()) -> Site:
        """Where a guide goes; `but` are ways to sit that turned out bad.

        Raises
        ------
        PsiCadError
        """
        request, params, case = work.request, work.params, self.loaded.case
        sawing = work if isinstance(work, Sawing) else None
        shifts = shifts_of(case, sawing, self.own)
        name = case.bone_of(request)
        own = on(name, self.cuts)
        bone, caster = self._grounds.of(name)
        template = load_template(request.template, where=f"guide '{request.name}'.template")

        about: About
        stems: StemSite | None = None
        said: tuple[str, ...] = ()  # a template with sleeves knows what to say of each
        if isinstance(work, Drilling):
            alone = self.scene.body(name).bone
            if self._stays is not None:
                work = onto_bone(work, self._stays, name)
            ways = checked_ways(work, alone, caster, self.avoid)
            stems = None if self._stays is None else stem_site(self.loaded, replace(work, ways=ways), self._stays, name)
            about, sawn = about_ways(work, alone), []
        else:
            moved = self.scene.moved(own, {name: shift for name, shift in shifts.items() if name in request.cuts})
            sawn = [moved[name] for name in request.cuts]
            about, ways, said = AboutCuts(tuple(sawn), side=work.params.stands_on), (), (_blade_said(params, work.blade),)

        sleeve = request.slot_sleeve if isinstance(request.slot_sleeve, SlotSleeve) else None

        def laid_out(site: Site) -> None:
            with told_as_ours(request.template, site.frame):
                lay_out(template, replace(site, stems=stems, slot_sleeve=sleeve), params, self._workshop)

        def short(axis: SeatingAxis, gap: Mm) -> str:
            checks = [blade_reach(params, sawing.blade, cut, axis, gap) for cut in sawn] if sawing is not None else []
            told = next((f"the blade reaches {check.value:.1f} mm deep, bone there is {check.limit:.1f}" for check in checks if not check.passed), "")
            return told or next((str(error) for error in past_corners(sawn, own, axis.direction)), "")

        def closer(count: int) -> None:
            if self._progress is not None:
                self._progress(step_of(request, work.tool_id, f"find the seat, {count} tried"))

        whose = f"{case.id} {case.side[0].upper()}"
        if self._donor is not None:
            whose = f"{case.id} {self._donor.source.name} {self._donor.source.side[0].upper()}"
        with told_as_ours(request.template):
            params.refuse()
        site = make_site(
            bone,
            caster,
            about,
            list(own.values()) if stems is None else [],  # which are sawn by then, and in nothing's way
            approach=np.array(request.approach),
            params=params,
            blade=None if sawing is None else sawing.blade,
            ways=ways,
            avoid=self.avoid if isinstance(params, GuideParams) and (params.wires_lean or request.hole) else (),
            printer=self.loaded.printer(request.printer, where="guide.printer"),
            label=(whose, request.name, *said, f"v{__version__}"),
            shifts=shifts,
            workshop=self._workshop,
            laid_out=laid_out,
            short=short,
            but=but,
            closer=closer,
            order=tuple(self.cuts),
            holes=[(one.name, np.array(one.point), -unit(np.array(one.direction))) for one in request.hole],
        )
        for error in past_corners(sawn, own, site.axis.direction):
            raise error
        if self._donor is None or sawing is None:
            return replace(site, stems=stems, slot_sleeve=sleeve)
        return replace(site, graft=self._donor.graft(self.loaded, sawing, self.own))


def step_of(guide: GuideRequest, tool: str, step: str) -> str:
    """A step of the work on one guide, as progress tells it; `tool`: the id of its blade or tool."""
    return f"{guide.name} {tool}: {step}"


def guided_height(params: SeatParams) -> Mm:
    """Over which a slot guides its blade, mm."""
    told = params.guided_height if isinstance(params, GuideParams) else None
    return GUIDED_MM if told is None else float(told)


def blade_reach(params: SeatParams, blade: Blade, cut: PlannedCut, axis: SeatingAxis, gap: Mm) -> Check:
    """Whether the blade gets through the bone below its slot, as far as that is known without a solid."""
    height = guided_height(params)
    reach, deepest = blade.usable_length - height - gap, slot_depth(cut, axis.direction).deepest
    note = f"blade {blade.id}: usable length {blade.usable_length:g} less {height:g} guided and {gap:g} gap, against the deepest bone below the slot"
    return Check(f"blade_reach[{cut.name}]", round(reach, 3), "mm", ">=", round(deepest, 3), reach >= deepest, note)


def _blade_said(params: SeatParams, blade: Blade) -> str:
    """What a label says of the blade: its id, and the clearance of its slot, which blades of one id may differ by; or that it has none."""
    if isinstance(params, GuideParams) and params.one_wall:
        return f"{blade.id} ledge"
    clearance = params.slot_clearance if isinstance(params, GuideParams) else None
    return blade.id if clearance is None else f"{blade.id} c{max(f'{clearance:.2f}', f'{clearance:g}', key=len)}"
