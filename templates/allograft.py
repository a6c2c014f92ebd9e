"""Allograft: an osteotomy guide on a donor's bone for the planned cuts, and the graft that they free.

Purpose
    Cuts a graft that fills the defect: the donor's bone is fitted to the patient's, the planned planes are carried over to it, and shifted so
    that the graft's faces lie `fit` mm from the faces of the bone that stays. Along a cut's normal, towards specimen and graft, the middle of the
    donor's kerf lies fit − (kerf of the patient's saw + kerf of the donor's saw) / 2 from the middle of the patient's. The guide itself is that of
    `osteotomy`, with its parameters, checks and limits; the graft comes beside it as a part of its own.
Datum
    The donor's own frame, as its surface file has it; in it the guide frame of `osteotomy`. Cuts and `approach` of the case are the patient's.
Limits
    The graft is as right as the donor's surface, the fit of the two bones and the kerfs. Bones of two people differ: look at the steps at the cuts.
    A donor of the other side gives a mirror image of what would fill the defect. Not validated clinically.
Files
    `NAME_BLADE.step`, `.stl`, `.3mf` and `.png`; `-graft.stl` and `.3mf`, what is sawn of the donor; beside all `donor.stl`. All in the
    donor's frame.
Source
    Allografts cut with the planes of the resection, as in the series that psi-cad follows; the sum of kerfs and fit is plane geometry.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from psi_cad.findings import Caution
from psi_cad.grafting.graft import graft_parts
from psi_cad.guides.contract import Design, Needs, Workshop
from psi_cad.guides.params import GuideParams, param
from psi_cad.guides.registry import load_template
from psi_cad.guides.site import Site

BASE: Final = "osteotomy"
NEEDS = Needs(cuts=(1, 6), donor=True)
_osteotomy: Any = load_template(BASE, where="template 'allograft'")

if TYPE_CHECKING:
    _Params = GuideParams
else:
    _Params = _osteotomy.Params


class Params(_Params):
    """Parameters of the osteotomy guide, and the fit of the graft."""

    fit: float = param(
        0.0,
        unit="mm",
        low=-0.5,
        high=1.0,
        help="gap wanted between graft and host at each face, along the cut's normal; below 0 the graft is longer than the defect",
        reference="no published value; 0 mm is bone on bone at both faces",
    )


def build(site: Site, params: Params, workshop: Workshop) -> Design:
    """The guide of `osteotomy` on the donor's bone, and the graft beside it."""
    design: Design = _osteotomy.build(site, params, workshop)
    return replace(design, further=(*design.further, *graft_parts(site)))


def lay_out(site: Site, params: Params, workshop: Workshop) -> tuple[Caution, ...]:
    """As `osteotomy` lays it out."""
    told: tuple[Caution, ...] = _osteotomy.lay_out(site, params, workshop)
    return told
