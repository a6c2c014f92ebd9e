"""What is written over a picture: title, orientation letters, scale, marks and arrows, legend; all on top, nothing hides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from psi_cad.files import whole_file
from psi_cad.report.views import Colour, Pixels, View
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

__all__ = ["GAP", "Arrow", "Label", "Mark", "Panel", "Place", "Swatch", "edge_letters", "plain", "save_sheet", "scale_length"]

Place: TypeAlias = tuple[float, float, float]
Ink: TypeAlias = tuple[int, int, int]

INK: Final[Ink] = (25, 25, 25)
FAINT: Final[Ink] = (170, 170, 170)
WHITE: Final[Ink] = (255, 255, 255)
ALARM: Final[Ink] = (205, 0, 60)
ARROW: Final[Ink] = (190, 70, 0)
EITHER_WAY: Final[Ink] = (125, 40, 150)
TITLE_PX: Final = 30
TEXT_PX: Final = 22
SMALL_PX: Final = 18
GAP: Final = 10
BAR_SHARE: Final = 0.3  # a scale bar takes at most this share of a panel's width
BAR_MM: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
SECOND_LETTER: Final = 0.35  # an edge that looks this much towards a second end of the body names it too
LETTERS: Final = (("R", "L"), ("A", "P"), ("I", "S"))  # at −1 and +1 of x, y, z in the patient frame (LPS)
TRIPOD_PX: Final = 38
# what Pillow's own font lacks, in words that it has; units first
PLAIN: Final = {"mm²": "sq mm", "cm³": "cc", "²": "^2", "³": "^3", "≥": ">=", "≤": "<=", "−": "-", "–": "-", "→": "->", "×": "x", "μ": "u"}


def plain(text: str) -> str:
    """`text` in letters that the pictures' font has.

    >>> plain("96 mm² of 3 × 4 cm³")
    '96 sq mm of 3 x 4 cc'
    """
    for lacking, said in PLAIN.items():
        text = text.replace(lacking, said)
    return text


@dataclass(frozen=True)
class Mark:
    """A place (patient mm) to point at, and what is to be said of it; `number` where it has one already: by default its place in the row of marks."""

    place: Place
    text: str
    number: int | None = None


@dataclass(frozen=True)
class Arrow:
    """A direction to show: it starts at `start` (patient mm) and points along `direction` (any length).

    One that holds `either_way` has two heads about its start, is thinner and of another colour, so that nobody takes it for a way to push.
    """

    start: Place
    direction: Place
    text: str
    either_way: bool = False

    @property
    def ink(self) -> Ink:
        """Its colour."""
        return EITHER_WAY if self.either_way else ARROW


@dataclass(frozen=True)
class Swatch:
    """One entry of a legend."""

    colour: Colour
    text: str


@dataclass(frozen=True)
class Label:
    """Words at a place (patient mm) of a panel."""

    place: Array
    text: str
    colour: Colour


@dataclass(frozen=True)
class Panel:
    """One view with its caption, and lines (patient points (n, 3)) and words drawn over it.

    Attributes
    ----------
    axes : (3, 3), optional
        Patient directions to the right, up and towards the eye, where the view's own coordinates are not the patient's.
    marks : tuple of int, optional
        Which marks (from 1) belong in it; all of them by default.
    arrows : bool
        Whether arrows are drawn in it.
    thin : bool
        On a scan: lines as fine as they go, for they hide what they are judged by, and letters at the edges alone.
    letters : bool
        Whether it lies in the patient frame, and the letters of the patient's ends stand in it.
    """

    view: View
    pixels: Pixels
    caption: str
    lines: tuple[tuple[Array, Colour], ...] = ()
    labels: tuple[Label, ...] = ()
    legend: tuple[Swatch, ...] = ()
    axes: Array | None = None
    marks: tuple[int, ...] | None = None
    arrows: bool = True
    thin: bool = False
    letters: bool = True


def font(size: int) -> Any:
    """The letters that come with Pillow, in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def edge_letters(direction: Array) -> str:
    """The end of the patient to which `direction` (3,) points, as radiology writes it: "A", or "LA" between two, the nearer first."""
    direction = np.asarray(direction) / np.linalg.norm(direction)
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        LETTERS[axis][int(direction[axis] > 0.0)] for number, axis in enumerate(order[:2]) if number == 0 or abs(direction[axis]) > SECOND_LETTER
    )


def scale_length(millimetres: Mm) -> Mm:
    """The longest round length that fits into `millimetres`."""
    return max((length for length in BAR_MM if length <= millimetres), default=BAR_MM[0])


def save_sheet(
    path: Path,
    panels: Sequence[Panel],
    *,
    title: str,
    columns: int,
    legend: Sequence[Swatch] = (),
    marks: Sequence[Mark] = (),
    arrows: Sequence[Arrow] = (),
    notes: Sequence[str] = (),
) -> None:
    """A PNG of `panels` in `columns`, under a title and over a legend that tells each mark's and arrow's text; whole or not at all."""
    from PIL import Image, ImageDraw

    tiles = [_finished(panel, marks, arrows) for panel in panels]
    rows = _rows(tiles, min(columns, len(panels)))
    width = max(sum(tile.width for tile in row) + GAP * (len(row) - 1) for row in rows)
    words = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    head = _wrapped(words, title, font(TITLE_PX), width - 2 * GAP) if title else []
    told = [f"{number if mark.number is None else mark.number}: {mark.text}" for number, mark in enumerate(marks, 1)]
    lines = [line for text in (*told, *notes) for line in _wrapped(words, text, font(TEXT_PX), width - 2 * GAP)]
    top = GAP + (TITLE_PX + 8) * len(head)
    body = sum(max(tile.height for tile in row) + GAP for row in rows)
    swatches = [*legend, *(Swatch(_share(arrow.ink), arrow.text) for arrow in arrows)]
    below = _legend_height(words, swatches, width) + (TEXT_PX + 8) * len(lines) + GAP
    sheet = Image.new("RGB", (width, top + body + below), WHITE)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(head):
        draw.text((GAP, GAP // 2 + number * (TITLE_PX + 8)), line, font=font(TITLE_PX), fill=INK)
    y = top
    for row in rows:
        x = 0
        for tile in row:
            sheet.paste(tile, (x, y))
            x += tile.width + GAP
        y += max(tile.height for tile in row) + GAP
    y = _legend(draw, swatches, width, y)
    for line in lines:
        draw.text((GAP, y), line, font=font(TEXT_PX), fill=ALARM if line.split(":")[0].isdigit() else INK)
        y += TEXT_PX + 8
    with whole_file(path) as temporary:
        sheet.save(temporary, format="PNG", compress_level=1)  # a fifth larger, in half the time


def _rows(tiles: Sequence[Image.Image], columns: int) -> list[list[Image.Image]]:
    """Tiles side by side, as wide together as `columns` of the first."""
    width = columns * (tiles[0].width + GAP)
    rows: list[list[Image.Image]] = [[]]
    for tile in tiles:
        if rows[-1] and sum(other.width + GAP for other in rows[-1]) + tile.width > width:
            rows.append([])
        rows[-1].append(tile)
    return rows


def _share(ink: Ink) -> Colour:
    return ink[0] / 255.0, ink[1] / 255.0, ink[2] / 255.0


def _ink(colour: Colour) -> Ink:
    return round(255 * colour[0]), round(255 * colour[1]), round(255 * colour[2])


def _wrapped(draw: ImageDraw.ImageDraw, text: str, face: Any, width: float) -> list[str]:
    """`text` in lines no wider than `width` pixels, in letters that the font has."""
    lines = []
    for part in plain(text).splitlines() or [""]:
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if line and draw.textlength(longer, font=face) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _finished(panel: Panel, marks: Sequence[Mark], arrows: Sequence[Arrow]) -> Image.Image:
    from PIL import Image, ImageDraw

    image = Image.fromarray(panel.pixels)
    draw = ImageDraw.Draw(image)
    for points, colour in panel.lines:
        draw.line([(float(x), float(y)) for x, y in panel.view.project(points)], fill=_ink(colour), width=1 if panel.thin else 3)
    for label in panel.labels:
        if panel.view.shows(label.place):
            at = np.clip(panel.view.project(label.place[None, :])[0], (80.0, 60.0), np.array(panel.view.size) - (90.0, 60.0))
            _haloed(draw, at, label.text, TEXT_PX, _ink(label.colour))
    for arrow in arrows if panel.arrows else ():
        _arrow(draw, panel.view, arrow)
    for number, mark in enumerate(marks, 1):
        if (panel.marks is None or number in panel.marks) and panel.view.shows(np.array(mark.place)):
            _mark(draw, panel.view.project(np.array([mark.place]))[0], str(number if mark.number is None else mark.number), panel.view.size)
    if panel.letters:
        _letters(draw, panel.view.size, panel.view.axes if panel.axes is None else panel.axes, tripod=not panel.thin)
    _scale(draw, panel.view)
    for number, swatch in enumerate(panel.legend):
        low = panel.view.size[1] - 70 - 26 * (len(panel.legend) - number)
        draw.rectangle((10, low, 32, low + 22), fill=_ink(swatch.colour), outline=INK)
        draw.text((40, low), plain(swatch.text), font=font(SMALL_PX), fill=INK, stroke_width=3, stroke_fill=WHITE)
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline=FAINT)
    return _captioned(image, panel.caption)


def _captioned(image: Image.Image, caption: str) -> Image.Image:
    """`image` under the lines of its caption."""
    from PIL import Image, ImageDraw

    words = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = _wrapped(words, caption, font(TEXT_PX), image.width - 8)
    strip = (TEXT_PX + 6) * len(lines) + 4
    whole = Image.new("RGB", (image.width, image.height + strip), WHITE)
    whole.paste(image, (0, strip))
    draw = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        draw.text((4, number * (TEXT_PX + 6)), line, font=font(TEXT_PX), fill=INK)
    return whole


def _haloed(draw: ImageDraw.ImageDraw, middle: Array, text: str, size: int, ink: Ink) -> None:
    draw.text((float(middle[0]), float(middle[1])), plain(text), font=font(size), fill=ink, anchor="mm", stroke_width=3, stroke_fill=WHITE)


def _mark(draw: ImageDraw.ImageDraw, at: Array, number: str, size: tuple[int, int]) -> None:
    """A ring about the place, a dot on it, and the number beside it, towards the middle of the panel."""
    x, y = float(at[0]), float(at[1])
    for radius, width, ink in ((18, 8, WHITE), (16, 4, ALARM)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=width)
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=ALARM, outline=WHITE)
    x += 32.0 if x < size[0] / 2.0 else -32.0
    y += 24.0 if y < size[1] / 2.0 else -24.0
    draw.ellipse((x - 15, y - 15, x + 15, y + 15), fill=ALARM, outline=WHITE, width=2)
    draw.text((x, y), number, font=font(TEXT_PX), fill=WHITE, anchor="mm")


def _arrow(draw: ImageDraw.ImageDraw, view: View, arrow: Arrow) -> None:
    """An arrow a fifth of the panel long where it is seen from the side; where it points at the eye or away, a target."""
    start, way = np.array(arrow.start), np.array(arrow.direction)
    if not view.shows(start):
        return
    way = 0.45 * view.half * way / np.linalg.norm(way)
    tail, tip = view.project(np.array([start - 0.5 * way, start + 0.5 * way] if arrow.either_way else [start, start + way]))
    run = tip - tail
    long = float(np.linalg.norm(run))
    if long < 14.0:  # along the line of sight: a dot comes towards the eye, a cross goes away
        x, y = float(tail[0]), float(tail[1])
        draw.ellipse((x - 14, y - 14, x + 14, y + 14), outline=arrow.ink, width=4, fill=WHITE)
        if float(way @ view.axes[2]) > 0.0 or arrow.either_way:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=arrow.ink)
        else:
            draw.line((x - 8, y - 8, x + 8, y + 8), fill=arrow.ink, width=3)
            draw.line((x - 8, y + 8, x + 8, y - 8), fill=arrow.ink, width=3)
        return
    run = run / long
    across = np.array([-run[1], run[0]])
    head = 20.0 if long > 44.0 else 0.4 * long
    heads = [(tip, run), (tail, -run)] if arrow.either_way else [(tip, run)]
    (x0, y0), (x1, y1) = tail + (head * run if arrow.either_way else 0.0), tip - head * run
    for width, ink in ((9, WHITE), (4, arrow.ink)) if arrow.either_way else ((13, WHITE), (7, arrow.ink)):
        draw.line((float(x0), float(y0), float(x1), float(y1)), fill=ink, width=width)
    for point, along in heads:
        neck = point - head * along
        corners = [point, neck + 0.65 * head * across, neck - 0.65 * head * across]
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=arrow.ink, outline=WHITE)


def _letters(draw: ImageDraw.ImageDraw, size: tuple[int, int], axes: Array, *, tripod: bool) -> None:
    """Letters at the four edges, and in the lower right corner the patient's axes: the ends that look at us dark, the others pale."""
    right, up, eye = axes
    wide, tall = size
    for direction, x, y in ((right, wide - 24, tall / 2), (-right, 24, tall / 2), (up, wide / 2, 20), (-up, wide / 2, tall - 22)):
        _haloed(draw, np.array([x, y]), edge_letters(direction), TEXT_PX + 2, INK)
    if not tripod:
        return
    middle = np.array([wide - TRIPOD_PX - 34.0, tall - TRIPOD_PX - 34.0])
    ends = sorted(((float(sign * eye[axis]), axis, sign) for axis in range(3) for sign in (-1, 1)), key=lambda end: end[0])
    for depth, axis, sign in ends:
        flat = sign * np.array([right[axis], -up[axis]])
        ink = INK if depth > -1e-9 else FAINT
        tip, word = middle + TRIPOD_PX * flat, middle + (TRIPOD_PX + 14) * flat
        draw.line((float(middle[0]), float(middle[1]), float(tip[0]), float(tip[1])), fill=ink, width=3)
        _haloed(draw, word, LETTERS[axis][int(sign > 0)], SMALL_PX, ink)


def _scale(draw: ImageDraw.ImageDraw, view: View) -> None:
    length = scale_length(BAR_SHARE * view.size[0] / view.pixels_per_mm)
    run, y = length * view.pixels_per_mm, view.size[1] - 16.0
    for grow, ink in ((3, WHITE), (0, INK)):
        draw.rectangle((12 - grow, y - 3 - grow, 12 + run + grow, y + 3 + grow), fill=ink)
    _haloed(draw, np.array([12 + run / 2.0, y - 20.0]), f"{length:g} mm", SMALL_PX, INK)


def _placed(draw: ImageDraw.ImageDraw, swatches: Sequence[Swatch], width: int) -> tuple[list[tuple[int, int]], int]:
    """Where each swatch goes, in rows; and the height of all."""
    x, y, places = GAP, 0, []
    for swatch in swatches:
        wide = 34 + int(draw.textlength(plain(swatch.text), font=font(TEXT_PX))) + 30
        if x > GAP and x + wide > width:
            x, y = GAP, y + TEXT_PX + 12
        places.append((x, y))
        x += wide
    return places, (y + TEXT_PX + 12 if swatches else 0)


def _legend_height(draw: ImageDraw.ImageDraw, swatches: Sequence[Swatch], width: int) -> int:
    return _placed(draw, swatches, width)[1]


def _legend(draw: ImageDraw.ImageDraw, swatches: Sequence[Swatch], width: int, top: int) -> int:
    places, tall = _placed(draw, swatches, width)
    for swatch, (x, y) in zip(swatches, places, strict=True):
        draw.rectangle((x, top + y + 2, x + 22, top + y + 24), fill=_ink(swatch.colour), outline=INK)
        draw.text((x + 32, top + y), plain(swatch.text), font=font(TEXT_PX), fill=INK)
    return top + tall
