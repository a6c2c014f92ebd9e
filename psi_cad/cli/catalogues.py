"""`templates`, `blades`, `drills`, `implants`, `printers`: what there is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from psi_cad.case.catalogue import Catalogue
    from psi_cad.case.model import Blade, Implant, Tool

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Own = Annotated[Path | None, typer.Option("--catalogue", help="Your own blades, tools, implants and printers (TOML), shown with the shipped ones.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(templates)
    app.command()(blades)
    app.command()(drills)
    app.command()(implants)
    app.command()(printers)


def templates(
    name: Annotated[str | None, typer.Argument(help="Only this template.")] = None,
    json: Json = False,
) -> None:
    """List templates with their parameters, units and ranges.

    Example: psi-cad templates osteotomy
    """
    from psi_cad.cli.showing import say_json, table
    from psi_cad.guides.params import described
    from psi_cad.guides.registry import any_template, needs_of, site_of, summary, template_files

    files = template_files()
    wanted = [name] if name is not None else list(files)
    found: list[dict[str, Any]] = []
    for one in wanted:
        template = any_template(one, where="templates")
        needs = {"needs": needs_of(template).to_json()} if site_of(template) == "seat" else {}
        found.append({"name": one, "site": site_of(template), **needs, "summary": summary(files[one]), "params": described(template.Params)})
    if json:
        say_json(found)
        return
    for entry in found:
        typer.echo(f"{entry['name']}: {entry['summary']}\n")
        rows = []
        for p in entry["params"]:
            span = f"{p['low']:g}–{p['high']:g}" if p["low"] is not None else ""
            rows.append([p["name"], p["default"], p["unit"], span, p["help"]])
        typer.echo(table(rows, ["parameter", "default", "unit", "range", "what"]) + "\n")


def blades(json: Json = False, catalogue: Own = None) -> None:
    """List saw blades: measures, the slot length each needs, and its kerf.

    Example: psi-cad blades --catalogue mine.toml
    """
    entries = list(_catalogue(catalogue).blades.values())
    rows = [
        [b.id, b.thickness, b.cutting_width, b.usable_length, b.oscillation_half_angle, f"{b.room:.1f}",
         "not measured" if b.kerf is None else b.kerf, _status(b), b.reference]
        for b in entries
    ]  # fmt: skip
    heads = ["id", "thickness", "width", "length", "swing ±°", "room", "kerf", "status", "reference"]
    _list(entries, rows, heads, json=json)
    if not json:
        typer.echo("\nmm. room: length of slot that the swinging blade needs. A kerf that is not measured is taken as thickness and clearance.")
        typer.echo("Nominal entries are starting points: measure your blade and add it in a catalogue file of your own.")


def drills(json: Json = False, catalogue: Own = None) -> None:
    """List drills, wires and reamers, which trajectories name as their tool: diameter and usable length.

    Example: psi-cad drills --catalogue mine.toml
    """
    entries = list(_catalogue(catalogue).tools.values())
    rows = [[t.id, t.kind, t.diameter, t.usable_length, _status(t), t.reference] for t in entries]
    _list(entries, rows, ["id", "kind", "diameter", "usable length", "status", "reference"], json=json)
    if not json:
        typer.echo("\nmm. usable length: as much as can stick out of the chuck or collar that stops on a sleeve. Measure your tool.")


def implants(json: Json = False, catalogue: Own = None) -> None:
    """List implants, which trajectories of stems name: the stem, and the cup that it carries.

    Example: psi-cad implants --catalogue mine.toml
    """
    entries = list(_catalogue(catalogue).implants.values())
    rows = [[i.id, i.stem_diameter, i.stem_length, i.cup_diameter, i.cup_offset, i.cup_angle, i.teeth, _status(i), i.reference] for i in entries]
    _list(entries, rows, ["id", "stem", "length", "cup", "offset", "angle °", "teeth", "status", "reference"], json=json)
    if not json:
        typer.echo("\nmm. offset: the cup's centre before the sawn face; angle: between stem and cup. Enter the sizes of your own implant.")


def printers(json: Json = False, catalogue: Own = None) -> None:
    """List printers: build volume, layer, least wall, and what is added to slots and holes.

    Example: psi-cad printers --catalogue mine.toml
    """
    entries = list(_catalogue(catalogue).printers.values())
    rows = [
        [p.id, p.process, p.material, "×".join(f"{v:g}" for v in p.build_volume), p.layer, p.tolerance, p.minimum_wall, p.slot_compensation,
         p.hole_compensation, "calibrated" if p.calibrated else "uncalibrated"]
        for p in entries
    ]  # fmt: skip
    _list(entries, rows, ["id", "process", "material", "build volume", "layer", "±", "least wall", "slot +", "hole +", "status"], json=json)
    if not json:
        typer.echo("\nmm. Compensations of an uncalibrated printer are 0: print and measure a gauge on your machine first.")


def _catalogue(own: Path | None) -> Catalogue:
    from psi_cad.case.catalogue import catalogue_with

    return catalogue_with(own)


def _status(entry: Blade | Tool | Implant) -> str:
    return "nominal" if entry.nominal else "measured"


def _list(entries: Sequence[BaseModel], rows: list[list[Any]], heads: list[str], *, json: bool) -> None:
    from psi_cad.cli.showing import say_json, table

    if json:
        say_json([entry.model_dump(mode="json") for entry in entries])
    else:
        typer.echo(table(rows, heads))
