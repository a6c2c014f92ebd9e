"""Gauge coupon: slots, bores and webs in steps, upright and flat, to see what a printer makes of them.

Purpose
    A blade goes into the first slot that a printer leaves wide enough, a wire into the first bore. Which these are, or what a caliper
    says, gives the printer's compensation: `psi-cad calibrate`.
Datum
    The part's frame: it stands on z = 0 as it is to be printed, not turned; slots of the block are upright, those of the tower lie flat.
    Widths are drawn without any compensation.
Limits
    It tells of one machine, material and orientation on one day. Print it in the corner of the bed that guides are printed in.
Files
    `coupon.step`, `.stl`, `.3mf` and `.png`; `measured.csv`, to be filled in.
Source
    Steps of 0.05 mm over the clearance of 0.1 to 0.2 mm that psi-cad follows; webs about the least wall published for FDM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import shapely

from psi_cad.brep import checked, label, patch
from psi_cad.guides.contract import Bore, FreeDesign, FreeSite, Gap, Label, Web, Workshop
from psi_cad.guides.params import Parameters, param

if TYPE_CHECKING:
    import cadquery as cq

from psi_cad.frames import Frame
from psi_cad.units import Mm

SITE: Final = "free"
LETTERS: Final[Mm] = 2.5
SUNK: Final[Mm] = 0.5
STRIP: Final[Mm] = 9.0  # of the block before its slots, for their values
BORES: Final[Mm] = 13.0  # ... and behind them, for bores and their values
END: Final[Mm] = 3.0  # closes a slot
PITCH_LEAST: Final[Mm] = 4.0  # so that values stand apart
BORE_PITCH: Final[Mm] = 5.5
BASE: Final[Mm] = 3.0
WEBS: Final = (0.4, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0)
WEB_PITCH: Final[Mm] = 5.0
WEB_LENGTH: Final[Mm] = 15.0
UP, FLAT = "upright", "flat"
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Params(Parameters):
    """Parameters of the gauge coupon."""

    step: float = param(0.05, unit="mm", low=0.02, high=0.2, help="between one slot or bore and the next")
    most: float = param(0.5, unit="mm", low=0.2, high=1.0, help="added to the blade's thickness, and to the wire, for the widest")
    height: float = param(10.0, unit="mm", low=5.0, high=20.0, help="length over which a slot guides the blade")
    slot_length: float = param(0.0, unit="mm", low=0.0, high=60.0, help="length of the slots; 0: as wide as the blade and 2 mm")
    wall: float = param(2.0, unit="mm", low=1.0, high=5.0, help="least material between two slots")
    wire_diameter: float = param(2.0, unit="mm", low=1.0, high=4.0, help="K-wire of the narrowest bore")


def build(site: FreeSite, params: Params, workshop: Workshop) -> FreeDesign:  # noqa: ARG001  (nothing here is worth sharing)
    """A block with upright slots, a tower beside it with flat ones, and a plate with webs."""
    steps = [round(number * params.step, 4) for number in range(int(params.most / params.step + 1e-6) + 1)]
    length = params.slot_length or site.blade.cutting_width + 2.0
    pitch = max(site.blade.thickness + params.most + params.wall, PITCH_LEAST)
    across = params.wall + max(len(steps) * pitch, len(steps) * BORE_PITCH)
    deep = STRIP + length + 2.0 * END + BORES
    top = params.height + params.wall + max(len(steps) * pitch, len(steps) * BORE_PITCH) + params.wall
    middle = STRIP + END + length / 2.0
    behind = STRIP + length + 2.0 * END
    block = _box((0.0, across), (0.0, deep), (0.0, params.height))
    tower = _box((across, across + params.height), (0.0, deep), (0.0, top))
    plate = _box((-len(WEBS) * WEB_PITCH - END, 0.0), (0.0, WEB_LENGTH + 2.0 * END), (0.0, BASE))
    level = (BASE + params.height) / 2.0
    webs = [
        Web(f"web {thick:g}", (-(number + 0.5) * WEB_PITCH - END / 2.0, END + WEB_LENGTH / 2.0, level), X, thick) for number, thick in enumerate(WEBS)
    ]
    fins = [
        _box((web.point[0] - web.thickness / 2.0, web.point[0] + web.thickness / 2.0), (END, END + WEB_LENGTH), (BASE - 0.5, params.height))
        for web in webs
    ]
    body = checked.fuse("bodies", block, tower, plate, *fins)
    gaps, bores, values = [], [], []
    for number, more in enumerate(steps):
        width, wide, said = site.blade.thickness + more, params.wire_diameter + more, f"{round(100.0 * more):02d}"
        x, z = params.wall + (number + 0.5) * pitch, params.height + params.wall + (number + 0.5) * pitch
        gaps.append(Gap(f"{UP} {more:.2f}", (x, middle, params.height / 2.0), X, Z, width, length, params.height))
        gaps.append(Gap(f"{FLAT} {more:.2f}", (across + params.height / 2.0, middle, z), Z, X, width, length, params.height))
        values.append((_face((x, STRIP / 2.0, params.height), Y, Z), said))
        values.append((_face((across + params.height, STRIP / 2.0, z), Y, X), said))
        x, z = params.wall + (number + 0.5) * BORE_PITCH, params.height + params.wall + (number + 0.5) * BORE_PITCH
        bores.append(Bore(f"{UP} {more:.2f}", (x, behind + 3.0, params.height / 2.0), Z, wide))
        bores.append(Bore(f"{FLAT} {more:.2f}", (across + params.height / 2.0, behind + 3.0, z), X, wide))
        values.append((_face((x, behind + 8.5, params.height), Y, Z), said))
        values.append((_face((across + params.height, behind + 8.5, z), Y, X), said))
    lines = site.label
    tools = [_slot(gap) for gap in gaps] + [_hole(bore, params.height) for bore in bores]
    tools += [tool for face, said in values for tool in _sunk(face, (said,))]
    front = _face((across / 2.0, 0.0, params.height / 2.0), X, (0.0, -1.0, 0.0))
    tools += _sunk(front, lines, narrow=min(1.0, (across - 2.0) / (LETTERS * max(label.text_width(line) for line in lines))))
    return FreeDesign(checked.cut("slots, bores and values", body, *tools), (*gaps, *bores, *webs), Label(lines, LETTERS))


def _box(x: tuple[Mm, Mm], y: tuple[Mm, Mm], z: tuple[Mm, Mm]) -> cq.Solid:
    import cadquery as cq

    return cq.Solid.makeBox(x[1] - x[0], y[1] - y[0], z[1] - z[0], cq.Vector(x[0], y[0], z[0]))


def _slot(gap: Gap) -> cq.Solid:
    """The block that is taken out for a gap, a little beyond both ends of its way through."""
    half = np.array([gap.length, gap.length, gap.length]) / 2.0
    half = np.where(np.abs(gap.normal) > 0.5, gap.width / 2.0, np.where(np.abs(gap.through) > 0.5, gap.depth / 2.0 + 1.0, half))
    low, high = np.array(gap.point) - half, np.array(gap.point) + half
    return _box((low[0], high[0]), (low[1], high[1]), (low[2], high[2]))


def _hole(bore: Bore, depth: Mm) -> cq.Solid:
    import cadquery as cq

    way = np.array(bore.direction)
    start = np.array(bore.point) - (depth / 2.0 + 1.0) * way
    return cq.Solid.makeCylinder(bore.diameter / 2.0, depth + 2.0, patch.vector(start), patch.vector(way))


def _face(origin: tuple[Mm, Mm, Mm], along: tuple[float, float, float], out: tuple[float, float, float]) -> Frame:
    """A flat face: lines run `along` it, it looks `out`."""
    x, z = np.array(along), np.array(out)
    return Frame(origin=np.array(origin), axes=np.stack([x, np.cross(z, x), z]))


def _sunk(face: Frame, lines: tuple[str, ...], *, narrow: float = 1.0) -> list[cq.Solid]:
    """The grooves of letters in a face."""
    import cadquery as cq

    found = []
    for part in shapely.get_parts(label.text_shape(lines, height=LETTERS, condensed=narrow)):
        rings = [np.asarray(ring.coords)[:-1] for ring in (part.exterior, *part.interiors)]
        wires = [
            cq.Wire.makePolygon([patch.vector(p) for p in face.patient(np.column_stack([r, np.full(len(r), -SUNK)]))], close=True) for r in rings
        ]
        found.append(cq.Solid.extrudeLinear(wires[0], wires[1:], patch.vector((SUNK + 1.0) * face.axes[2])))
    return found
