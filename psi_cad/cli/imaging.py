"""`import-ct` and `import-mri`: scans to one image file in the patient frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from psi_cad.voxels.volume import Volume

__all__ = ["register"]

BONE_HU = 300.0  # clearly bone on any kernel; only for telling whether bone leaves the scanned field

Source = Annotated[Path, typer.Argument(help="DICOM folder, zip archive or file; or a NIfTI, NRRD or MetaImage file.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="Image to write: .nii.gz, .nrrd or .mha; notes go beside it as .json, a picture as .png.")
]
Chosen = Annotated[str | None, typer.Option("--series", help="Series to read: its number in --list, or the start of its SeriesInstanceUID.")]
Fill = Annotated[bool, typer.Option("--fill-gap", help="Interpolate one missing slice.")]
Listing = Annotated[bool, typer.Option("--list", help="Only list the series.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("import-ct")(import_ct)
    app.command("import-mri")(import_mri)


def import_ct(
    source: Source,
    out: Out = None,
    series: Chosen = None,
    fill_gap: Fill = False,
    force: Annotated[bool, typer.Option("--force", help="Allow guides on slices above 2.5 mm; it shows in every report.")] = False,
    list_only: Listing = False,
    json: Json = False,
) -> None:
    """Read a CT into one image file: by patient position, gantry tilt straightened, gaps refused.

    Example: psi-cad import-ct scans/ --series 2 -o ct.nii.gz
    """
    _import(source, out, kind="ct", series=series, fill_gap=fill_gap, force=force, list_only=list_only, json=json)


def import_mri(
    source: Source,
    out: Out = None,
    series: Chosen = None,
    fill_gap: Fill = False,
    list_only: Listing = False,
    json: Json = False,
) -> None:
    """Read an MRI into one image file, by patient position.

    Example: psi-cad import-mri mri.zip -o mri.nii.gz
    """
    _import(source, out, kind="mr", series=series, fill_gap=fill_gap, force=False, list_only=list_only, json=json)


def _import(source: Path, out: Path | None, *, kind: str, series: str | None, fill_gap: bool, force: bool, list_only: bool, json: bool) -> None:
    from psi_cad.cli.showing import progress
    from psi_cad.errors import ImageError
    from psi_cad.imaging.image_files import WRITTEN, stem_of

    if list_only:
        _list(source, json)
        return
    if out is None:
        raise ImageError("-o is missing: name the image to write, such as ct.nii.gz, or give --list.")
    if not out.name.lower().endswith(WRITTEN):
        raise ImageError(f"-o {out.name}: the suffix must be one of {', '.join(WRITTEN)}.")
    with progress(quiet=json) as tell:
        from psi_cad.imaging.scan_files import read_volume, write_volume
        from psi_cad.report.slices import write_scan_picture

        volume = read_volume(source, kind=kind, series=series, fill_gap=fill_gap, progress=tell)
        if kind == "ct":
            volume = _with_edges(volume)
        if tell is not None:
            tell("write the image")
        said = write_volume(out, volume, forced=force)
        if tell is not None:
            tell("draw the picture")
        picture = out.with_name(stem_of(out) + ".png")
        write_scan_picture(picture, volume, title=f"{'CT' if kind == 'ct' else 'MRI'} as read, through the middle")
    _show(out, {**said, "picture": str(picture)}, json)


def _with_edges(volume: Volume) -> Volume:
    from psi_cad.findings import Caution
    from psi_cad.imaging.judge import bone_at_edges
    from psi_cad.imaging.scan_files import told_of

    return told_of(volume, [Caution("scan-edge", touch.sentence) for touch in bone_at_edges(volume, BONE_HU)])


def _list(source: Path, json: bool) -> None:
    from psi_cad.cli.showing import progress, say_json, table
    from psi_cad.dicom.volume import list_series
    from psi_cad.errors import ImageError
    from psi_cad.imaging.image_files import is_image_file

    if is_image_file(source):
        raise ImageError("--list is for DICOM folders and archives; an image file holds one volume.")
    with progress(quiet=json) as tell:
        found = list_series(source, progress=tell)
    if json:
        say_json({"series": [one.facts for one in found.series], "other_files": found.others})
        return
    rows = [[one.index, one.line, one.problem or "usable"] for one in found.series]
    typer.echo(table(rows, ["series", "what", ""]))


def _show(out: Path, said: dict[str, Any], json: bool) -> None:
    from psi_cad.cli.showing import say_json
    from psi_cad.wording.telling import caution_lines, cautions_of

    if json:
        say_json({"image": str(out), **said})
        return
    size, spacing = said["size"], said["spacing_mm"]
    typer.echo(f"{out}: {size[0]} x {size[1]} x {size[2]} voxels of {spacing[0]:.3f} x {spacing[1]:.3f} x {spacing[2]:.3f} mm")
    typer.echo(f"  {said['picture']}: three planes through its middle; look at it")
    kinds = {caution["text"] for caution in said["cautions"]}
    for note in said["notes"]:
        if note not in kinds:
            typer.echo(f"  {note}")
    if said["forced"]:
        typer.echo("  Forced: guides may be built on it all the same, and every report says so.")
    if said["cautions"]:
        typer.echo("\n".join(caution_lines(cautions_of(said["cautions"]), more_in="the .json beside it")))
