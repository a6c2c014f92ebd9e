"""`coupon` and `calibrate`: a gauge to print, and what its print tells of the printer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(coupon)
    app.command()(calibrate)


def coupon(
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; a folder named by blade and printer is made in it.")] = Path("out"),
    blade: Annotated[str, typer.Option("--blade", help="Blade id; its slots start at its thickness.")] = "generic-25x0.89",
    printer: Annotated[str, typer.Option("--printer", help="Printer id.")] = "fdm-ultem1010",
    set_: Annotated[list[str] | None, typer.Option("--set", help="A parameter, such as params.step=0.02; may be repeated.")] = None,
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades and printers (TOML).")] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", min=1.0, help="Seconds before it is ended.")] = 300.0,
    json: Json = False,
) -> None:
    """Make a gauge to print: slots, bores and thin walls in steps, upright and flat, without any compensation.

    Example: psi-cad coupon -o gauges --blade generic-25x0.89 --printer fdm-ultem1010
    """
    from psi_cad.api import coupon as run
    from psi_cad.cli.showing import progress, say_json

    with progress(quiet=json) as tell:
        report = run(out, blade=blade, printer=printer, settings=set_ or [], catalogue=catalogue, progress=tell, time_limit=time_limit)
    failed = [check for check in report["checks"] if not check["passed"]]
    if json:
        say_json(report)
    else:
        count = {kind: sum(one["kind"] == kind for one in report["features"]) for kind in ("gap", "bore", "web")}
        typer.echo(f"{count['gap']} slots, {count['bore']} bores, {count['web']} thin walls; {len(report['checks']) - len(failed)} checks passed")
        typer.echo(f"files: {report['folder']}")
        if not failed:
            typer.echo("Print it as it stands. Then see which slot the blade goes into first, or measure all, and run psi-cad calibrate.")
    if failed:
        for check in failed[:10]:
            typer.echo(f"psi-cad: `{check['id']}` failed: {check['value']:g} {check['unit']}, wanted {check['rule']} {check['limit']:g}", err=True)
        raise typer.Exit(1)


def calibrate(
    coupon: Annotated[Path, typer.Argument(help="The folder that 'coupon' made, or its coupon.json.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The catalogue file to write (TOML).")] = Path("printer.toml"),
    id_: Annotated[str, typer.Option("--id", help="Id of the printer's new entry.")] = "my-printer",
    measured: Annotated[Path | None, typer.Option("--measured", help="The sheet beside the coupon, filled in with measured widths (mm).")] = None,
    fits: Annotated[
        list[str] | None,
        typer.Option("--fits", help="The first slot the blade went into: upright=0.15, or 15 as engraved; repeat it."),
    ] = None,
    wire_fits: Annotated[list[str] | None, typer.Option("--wire-fits", help="The first bore the wire went into: upright=0.10; repeat it.")] = None,
    json: Json = False,
) -> None:
    """Write a printer's entry from what was measured of a printed coupon.

    Example: psi-cad calibrate gauges/coupon_generic-25x0.89_fdm-ultem1010 --fits upright=0.15 --wire-fits upright=0.10 -o printer.toml
    """
    from psi_cad.api import calibrate as run
    from psi_cad.cli.showing import say_json

    found = run(coupon, out, id=id_, measured=measured, fits=fits or [], wire_fits=wire_fits or [])
    if json:
        say_json(found)
        return
    for one in found["closings"]:
        by = ", ".join(f"{name} {value:.3f}" for name, value in one["by_orientation_mm"].items())
        way = "narrow" if one["mean_mm"] >= 0.0 else "wide"
        scatter = f", ± {one['spread_mm']:.3f}" if one["spread_mm"] else ""
        typer.echo(f"{one['kind']}s are printed {abs(one['mean_mm']):.3f} mm too {way}{scatter} (values: {one['count']}; too narrow by: {by})")
        if one["orientations_differ"]:
            typer.echo("  ! the orientations differ; print guides in the one you calibrate for, and give that one alone")
    if not found["calibrated"]:
        lacking = ({"slot", "hole"} - {one["kind"] for one in found["closings"]}).pop()
        typer.echo(f"  ! {lacking}s were not measured, so the printer stays uncalibrated")
    typer.echo(f"{found['file']}: printer '{found['printer']['id']}'; name it in your case, and this file as its catalogue or with --catalogue")
