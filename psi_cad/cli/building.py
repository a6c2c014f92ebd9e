"""`build` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(build)
    app.command()(check)


def build(
    case: Annotated[Path, typer.Argument(help="Case file (TOML), or a folder that holds case.toml.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder; a folder named by the case's id is made in it.")] = Path("out"),
    blade: Annotated[list[str] | None, typer.Option("--blade", help="Blade id instead of the case's; repeat it for several variants.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key, such as params.clearance=0.12; may be repeated.")] = None,
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades and printers (TOML).")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Name of this variant in the files, such as tight-slot.")] = None,
    accept: Annotated[
        list[str] | None, typer.Option("--accept", help="A caution to accept by name, such as nominal-blade; repeat it, or part by commas.")
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="Mark as released; surgeon and engineer must have approved exactly this, cautions accepted.")
    ] = False,
    suggest: Annotated[bool, typer.Option(help="Where a guide is refused or rejected, try changes and tell those that pass.")] = True,
    time_limit: Annotated[float, typer.Option("--time-limit", min=1.0, help="Seconds before the build is ended.")] = 300.0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Build every guide of a case: STEP, STL, 3MF, a picture, and a report measured from the files.

    Example: psi-cad build cases/type1/case.toml -o out --blade generic-25x0.89 --blade generic-20x1.27
    """
    from psi_cad.api import build as run
    from psi_cad.case.load import load_case
    from psi_cad.cli.approving import acceptance_lines, release_lines
    from psi_cad.cli.rejected import rejection_lines
    from psi_cad.cli.showing import approval_lines, caution_lines, guide_lines, progress, say_json

    with progress(quiet=json) as tell:
        report = run(
            case,
            out,
            blades=blade or [],
            settings=set_ or [],
            catalogue=catalogue,
            accept=accept or [],
            variant=variant,
            release=release,
            suggest=suggest,
            progress=tell,
            time_limit=time_limit,
        )
    if json:
        say_json(report)
    else:
        for guide in report["guides"]:
            typer.echo("\n".join(guide_lines(guide)))
        told = [*report["cautions"], *(caution for guide in report["guides"] for caution in guide.get("cautions", ()))]
        typer.echo("\n".join([*caution_lines(told), *acceptance_lines(report, accept or [])]))
        typer.echo("\n".join([*approval_lines(report["approval"], released=report["release"]["released"]), *release_lines(report["release"])]))
        typer.echo(f"files: {out / load_case(case, settings=set_ or [], catalogue=catalogue).case.id}")
    if report["status"] != "passed":
        for guide in report["guides"]:
            typer.echo("\n".join(rejection_lines(guide)), err=True, nl=guide["status"] == "rejected")
        raise typer.Exit(1)


def check(
    path: Annotated[Path, typer.Argument(help="An output folder of a build, or a case file to validate without building.")],
    catalogue: Annotated[Path | None, typer.Option("--catalogue", help="Your own blades and printers (TOML), for a case file.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Of a case: a PNG to draw, the bone with its cuts and approaches.")] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", min=1.0, help="Seconds before the measurement is ended.")] = 300.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure an output folder again from its files and tell who approved it, or validate a case.

    Example: psi-cad check out/hip-left-type1
    """
    from psi_cad.api import measure, validate
    from psi_cad.cli.approving import standing_lines
    from psi_cad.cli.showing import approval_lines, guide_lines, progress, say_json
    from psi_cad.errors import InputError

    is_case = path.suffix.lower() == ".toml" or (path / "case.toml").is_file() or not path.exists() or path.is_file()
    if is_case:
        with progress(quiet=json) as tell:
            found = validate(path, catalogue=catalogue, picture=picture, progress=tell)
        if json:
            say_json(found)
        else:
            sections = ", ".join(f"{cut['name']} {cut['section_area_mm2']:.0f} mm²" for cut in found["cuts"])
            typer.echo(f"{found['case']}: the case is sound (bone {found['bone']['triangles']} triangles; sections: {sections})")
            typer.echo(f"picture: {picture}" if picture is not None else "a picture: --picture FILE.png; to turn it: psi-cad look")
            for repair in found["bone"]["repairs"]:
                typer.echo(f"  repaired: {repair['kind']} ({repair['count']}), {repair['size_mm']:.1f} mm")
        return
    if picture is not None:
        raise InputError("--picture is for a case; an output folder holds a picture of each guide.")
    with progress(quiet=json) as tell:
        found = measure(path, progress=tell, time_limit=time_limit)
    if json:
        say_json(found)
    else:
        for guide in found["guides"]:
            typer.echo("\n".join(guide_lines(guide)))
        for case in found["approvals"]:
            typer.echo(f"{case['case']}: " + "\n".join([*approval_lines(case, released=case["released"]), *standing_lines(case)]))
    if found["status"] != "passed":
        typer.echo("psi-cad: do not use what failed; restore the files, or build again from the case and check that.", err=True)
        raise typer.Exit(1)
