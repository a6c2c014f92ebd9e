"""A picture of a part that has no seat: from above, from the front, from the side, and aslant."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from psi_cad.files import whole_file
from psi_cad.report.lettering import font
from psi_cad.report.views import GUIDE, Body, Studio, view_onto

__all__ = ["picture_of_part"]

SIZE: Final = (900, 700)
HEAD_PX: Final = 48
CAPTION_PX: Final = 24
# what is seen, the way to the eye, and what is up
VIEWS: Final = (
    ("from above, as it lies on the printer's bed", (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    ("from the front", (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the right", (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("aslant", (0.8, -1.0, 0.9), (0.0, 0.0, 1.0)),
)
# the same of what lies in the patient frame, LPS
PATIENT_VIEWS: Final = (
    ("from the head", (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
    ("from the front", (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the patient's left", (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ("from the patient's right", (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
)


def picture_of_part(path: Path, mesh: trimesh.Trimesh, *, title: str, in_patient: bool = False) -> None:
    """A PNG of `mesh` (mm, standing on z = 0, or in the patient frame) from four sides, whole or not at all."""
    from PIL import Image, ImageDraw

    studio, body = Studio(), Body(mesh, GUIDE, edges=True)
    sheet = Image.new("RGB", (2 * SIZE[0], HEAD_PX + 2 * (SIZE[1] + CAPTION_PX)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((12, 8), title, font=font(28), fill="black")
    for number, (caption, direction, up) in enumerate(PATIENT_VIEWS if in_patient else VIEWS):
        x, y = number % 2 * SIZE[0], HEAD_PX + number // 2 * (SIZE[1] + CAPTION_PX)
        view = view_onto(np.asarray(mesh.vertices), np.array(direction), size=SIZE, up=np.array(up))
        draw.text((x + 12, y), caption, font=font(18), fill="black")
        sheet.paste(Image.fromarray(studio.drawn(view, [body])), (x, y + CAPTION_PX))
    studio.close()
    with whole_file(path) as temporary:
        sheet.save(temporary)
