"""`templates`, `blades`, `drills`, `printers`: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Own = Annotated[Path | None, typer.Option("--catalogue", help="Your own blades, tools and printers (TOML), shown with the shipped ones.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(templates)
    app.command()(blades)
    app.command()(drills)
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
    from psi_cad.case.catalogue import catalogue_with
    from psi_cad.cli.showing import say_json, table

    entries = catalogue_with(catalogue)
    if json:
        say_json([blade.model_dump() for blade in entries.blades.values()])
        return
    rows = [
        [
            b.id,
            b.thickness,
            b.cutting_width,
            b.usable_length,
            b.oscillation_half_angle,
            f"{b.room:.1f}",
            "not measured" if b.kerf is None else b.kerf,
            "nominal" if b.nominal else "measured",
            b.reference,
        ]
        for b in entries.blades.values()
    ]
    typer.echo(table(rows, ["id", "thickness", "width", "length", "swing ±°", "room", "kerf", "status", "reference"]))
    typer.echo("\nmm. room: length of slot that the swinging blade needs. A kerf that is not measured is taken as thickness and clearance.")
    typer.echo("Nominal entries are starting points: measure your blade and add it in a catalogue file of your own.")


def drills(json: Json = False, catalogue: Own = None) -> None:
    """List drills, wires and reamers, which trajectories name as their tool: diameter and usable length.

    Example: psi-cad drills --catalogue mine.toml
    """
    from psi_cad.case.catalogue import catalogue_with
    from psi_cad.cli.showing import say_json, table

    entries = catalogue_with(catalogue)
    if json:
        say_json([tool.model_dump() for tool in entries.tools.values()])
        return
    rows = [[t.id, t.kind, t.diameter, t.usable_length, "nominal" if t.nominal else "measured", t.reference] for t in entries.tools.values()]
    typer.echo(table(rows, ["id", "kind", "diameter", "usable length", "status", "reference"]))
    typer.echo("\nmm. usable length: as much as can stick out of the chuck or collar that stops on a sleeve. Measure your tool.")


def printers(json: Json = False, catalogue: Own = None) -> None:
    """List printers: build volume, layer, least wall, and what is added to slots and holes.

    Example: psi-cad printers --catalogue mine.toml
    """
    from psi_cad.case.catalogue import catalogue_with
    from psi_cad.cli.showing import say_json, table

    entries = catalogue_with(catalogue)
    if json:
        say_json([printer.model_dump(mode="json") for printer in entries.printers.values()])
        return
    rows = [
        [p.id, p.process, p.material, "×".join(f"{v:g}" for v in p.build_volume), p.layer, p.tolerance, p.minimum_wall, p.slot_compensation,
         p.hole_compensation, "calibrated" if p.calibrated else "uncalibrated"]
        for p in entries.printers.values()
    ]  # fmt: skip
    typer.echo(table(rows, ["id", "process", "material", "build volume", "layer", "±", "least wall", "slot +", "hole +", "status"]))
    typer.echo("\nmm. Compensations of an uncalibrated printer are 0: print and measure a gauge on your machine first.")
