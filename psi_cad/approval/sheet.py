"""`psi-cad sheet`: one printable page for each instrument, from its report and from what the hospital has entered for its printer."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from psi_cad.approval.acceptance import cautions_told, ordered
from psi_cad.approval.comparing import NOT_SOUND, changed, standing_in, state_of
from psi_cad.case.tools import Processing
from psi_cad.errors import InputError
from psi_cad.files import whole_file
from psi_cad.options.told import option_lines
from psi_cad.outputs.notice import CASE_NOT_READ, NOT_A_DEVICE
from psi_cad.outputs.subject import case_folders, made_in, not_printed, read_report, section_of
from psi_cad.reconstruction.lines import stem_lines
from psi_cad.records.guide import Guide
from psi_cad.records.parts import BodyPart
from psi_cad.records.report import BuildReport
from psi_cad.records.sheet import InstrumentSheet, Sheet, SheetPart

__all__ = ["SHEET", "renew_sheet", "sheet_of", "state_in", "write_sheets"]

SHEET: Final = "sheet.html"
ENTERED: Final = tuple(Processing.model_fields)
SIGNED: Final = ("printed", "gauge measured, and fits", "post-processed and inspected", "washed and packed", "sterilised", "received in theatre")
RELEASED: Final = {"released": "yes", NOT_SOUND: NOT_SOUND}  # else no
HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>psi-cad processing sheet</title><style>
@page{size:A4;margin:1.2cm}
body{font:12px/1.3 system-ui,sans-serif;margin:1.5em;color:#000;background:#fff}
@media print{body{margin:0}}
section{max-width:19cm;break-after:page}
h1{font-size:1.3em;margin:.2em 0}
table{border-collapse:collapse;width:100%;margin:.6em 0}
th,td{border:1px solid #999;padding:.2em .5em;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{width:30%;font-weight:600}
.open{background:#fff3c4}.stop{color:#b3261e;font-weight:700}
code{font-size:.85em}
</style></head><body>
"""


def write_sheets(path: Path) -> dict[Path, Sheet]:
    """Write `sheet.html` into the folder of each case below `path`; what each says.

    Raises
    ------
    InputError
        Where there is no report of `build`.
    """
    found = {}
    for folder in case_folders(path):
        report = read_report(folder)
        if report is not None:
            found[folder / SHEET] = sheet_of(folder, report)
    if not found:
        raise InputError(f"{path}: there is no report.json here or one folder below; build first.")
    for file, sheet in found.items():
        with whole_file(file) as fresh:
            fresh.write_text(_page(sheet), "utf-8", newline="\n")
    return found


def renew_sheet(folder: Path) -> None:
    """Write the sheet in a case's folder again, if there is one: it tells who approved what. One that cannot be written again goes."""
    if not (folder / SHEET).is_file():
        return
    try:
        write_sheets(folder)
    except InputError:
        (folder / SHEET).unlink(missing_ok=True)


def sheet_of(folder: Path, report: BuildReport) -> Sheet:
    """What the sheet of a case's output folder says."""
    standing = standing_in(folder)
    instruments = []
    for made in made_in(report):
        section = section_of(made)
        stands, printer = standing[section], made.printer_entry or {}
        processing, told = printer.get("processing") or {}, cautions_told(report.cautions, [made])
        instruments.append(
            InstrumentSheet(
                instrument=section,
                template=made.template,
                job=made.job,
                status="changed" if changed(folder, made) else made.status,
                approved=stands.approved,
                released=stands.released,
                sound=stands.sound,
                tool=made.blade if isinstance(made, Guide) else None,
                printer=made.printer,
                process=printer.get("process"),
                material=printer.get("material"),
                calibrated=bool(printer.get("calibrated")),
                gauge=_gauge(made),
                label=_label(made),
                stems=[line.strip() for line in (stem_lines(made.stems) if isinstance(made, Guide) else ())],
                parts=_parts(made),
                options=option_lines(made.features) if isinstance(made, Guide) else [],
                **{name: processing.get(name) for name in ENTERED},
                cautions=list(ordered(caution.id for caution in told if caution.blocks_release)),
                other_cautions=list(ordered(caution.id for caution in told if not caution.blocks_release)),
                files={name: made.sha256.get(name, "") for name in made.files.values()},
                not_printed=not_printed(made),
            )
        )
    return Sheet(notice=NOT_A_DEVICE, case=report.case.id, side=report.case.side, case_sha256=report.case.sha256, instruments=instruments)


def state_in(one: InstrumentSheet) -> str:
    """What an instrument of a sheet counts as: "released", "NOT SOUND", "approved" or "no"."""
    return state_of(approved=one.approved, released=one.released, sound=one.sound, status=one.status)


def _gauge(made: Guide | BodyPart) -> str:
    """The gauge to be printed in the same job."""
    blade = f" --blade {made.blade}" if isinstance(made, Guide) and made.cuts_bone else ""
    return f"psi-cad coupon{blade} --printer {made.printer}, with --catalogue where one of them is your own"


def _label(made: Guide | BodyPart) -> list[str]:
    if isinstance(made, Guide):
        return [] if made.label is None else list(made.label.lines)
    return [" / ".join(part.label) for part in made.parts if part.label]


def _parts(made: Guide | BodyPart) -> list[SheetPart]:
    """The parts that come beside a guide, each with its picture."""
    if not isinstance(made, Guide):
        return []
    return [
        SheetPart(name=one.name, label=list(one.label), picture=made.files.get(f"png-{one.name}"), printed=one.printed is not False)
        for one in made.parts
    ]


def _page(sheet: Sheet) -> str:
    """The whole page."""
    return HEAD + "\n".join(_section(sheet, one) for one in sheet.instruments) + "\n</body></html>\n"


def _section(sheet: Sheet, one: InstrumentSheet) -> str:
    state = state_in(one)
    why = (
        "this instrument is not released"
        if state != NOT_SOUND
        else f"{NOT_SOUND}: the release of this instrument does not hold; psi-cad check says why"
    )
    stop = "" if state == "released" else f'<p class="stop">DO NOT USE: {why}. The sheet is for preparation only.</p>'
    rows = [
        ("case, side", f"{sheet.case}, {sheet.side}"),
        ("case file", f"SHA-256 as it was built: {sheet.case_sha256}; for this sheet {CASE_NOT_READ}"),
        ("instrument", f"{one.instrument}, by template {one.template}"),
        ("checks", one.status),
        ("approved, released", f"{'yes' if one.approved else 'no'}, {RELEASED.get(state, 'no')}"),
        ("blade or tool", one.tool or "none"),
        ("printer, process", f"{one.printer}, {one.process or 'not told'}"),
        ("material", one.material),
        ("calibrated", "yes" if one.calibrated else "no: slots and holes are as drawn, and the print has not been measured"),
        ("label", " | ".join(one.label) or "none"),
        *((("stem and cup", " | ".join(one.stems)),) if one.stems else ()),
        ("options", "; ".join(one.options) or "none"),
        ("gauge in the same job", one.gauge),
        ("orientation in the printer", one.orientation),
        ("post-processing", one.post_processing),
        ("washing", one.washing),
        ("packing", one.packing),
        ("sterilisation", one.sterilisation),
        ("cautions to accept", ", ".join(one.cautions) or "none"),
        ("other cautions", ", ".join(one.other_cautions) or "none"),
        ("job", one.job),
    ]
    body = "".join(_row(name, value) for name, value in rows)
    parts = "".join(
        f"<tr><td>{escape(part.name)}</td><td>{escape(' / '.join(part.label) or 'none: known by its picture')}</td><td>"
        + (f'<img src="{escape(part.picture)}" alt="{escape(part.name)}" style="width:9cm">' if part.picture else "none")
        + "</td></tr>"
        for part in one.parts
    )
    beside = f"<table><tr><th>part beside it</th><th>label</th><th>picture</th></tr>{parts}</table>" if parts else ""
    files = "".join(
        f"<tr><td>{escape(name)}{' (sawn of bone, not printed)' if name in one.not_printed else ''}</td><td><code>{escape(digest)}</code></td></tr>"
        for name, digest in one.files.items()
    )
    signed = "".join(f"<tr><th>{escape(what)}</th><td></td><td></td><td></td></tr>" for what in SIGNED)
    return (
        f"<section><h1>Processing sheet: {escape(one.instrument)}</h1><p>{escape(sheet.notice)}</p>{stop}<table>{body}</table>{beside}"
        f"<table><tr><th>file</th><th>SHA-256</th></tr>{files}</table>"
        f"<table><tr><th>step</th><td>date, time</td><td>name, signature</td><td>remarks</td></tr>{signed}</table></section>"
    )


def _row(name: str, value: str | None) -> str:
    if value is None:
        return f'<tr><th>{escape(name)}</th><td class="open">open: ____________________</td></tr>'
    return f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
