"""`register` and `tumour`: MRI onto CT, and the tumour's surface in the CT's frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psi_cad.errors import ImageError

if TYPE_CHECKING:
    from psi_cad.units import Array

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("register")(register_scans)
    app.command()(tumour)


def register_scans(
    fixed: Annotated[Path, typer.Option("--fixed", help="CT: DICOM folder, NIfTI, NRRD or MHA.")],
    moving: Annotated[Path, typer.Option("--moving", help="MRI: DICOM folder, NIfTI, NRRD or MHA.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Transform to write (.tfm); report (.json) and picture (.png) go beside it.")],
    landmarks: Annotated[Path | None, typer.Option("--landmarks", help="Lines of x,y,z on the CT and x,y,z on the MRI (LPS mm); at least 3.")] = None,
    mask: Annotated[Path | None, typer.Option("--mask", help="Mask on the CT: the fit is judged only where it is not zero.")] = None,
    start: Annotated[Path | None, typer.Option("--start", help="Transform to search around (.tfm).")] = None,
    json: Json = False,
) -> None:
    """Find where an MRI lies on a CT of the same patient (rigid), and check the result; refuse when in doubt.

    Example: psi-cad register --fixed ct/ --moving mri/ -o ct_to_mri.tfm
    """
    from psi_cad import scans
    from psi_cad.cli.showing import progress, say_json
    from psi_cad.records.scans import RegistrationReport

    with progress(quiet=json) as tell:
        said = scans.register(fixed, moving, out, landmarks=landmarks, mask=mask, start=start, progress=tell)
    if json:
        say_json(said)
        return
    report = RegistrationReport.model_validate(said)
    checks = report.checks
    typer.echo(f"{out}: moved {report.moved_mm:.1f} mm and turned {report.turned_deg:.1f}° from the start")
    typer.echo(
        f"  {checks.agreeing} of {checks.starts} starts agree within {checks.spread_mm:.2f} mm; "
        f"there and back {checks.inverse_mm:.2f} mm; evidence {checks.evidence_at_start:.3f} → {checks.evidence:.3f}"
    )
    typer.echo(f"  {out.with_suffix('.png')}: look at it before you use the transform")


def tumour(
    out: Annotated[Path, typer.Option("-o", "--out", help="Surface to write (.stl, LPS mm); report (.json) goes beside it.")],
    labels: Annotated[Path | None, typer.Option("--labels", help="Mask on the MRI or CT: NIfTI, NRRD, .seg.nrrd, DICOM SEG, RTSTRUCT.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Number or name of the tumour in it.")] = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="Scan to propose an outline on (with --seed, --box), or the scan of an RTSTRUCT in --labels.")
    ] = None,
    seed: Annotated[list[str] | None, typer.Option("--seed", help="x,y,z well inside the tumour (LPS mm of the image); may be repeated.")] = None,
    box: Annotated[str | None, typer.Option("--box", help="x0,y0,z0,x1,y1,z1: opposite corners around all of it (LPS mm).")] = None,
    transform: Annotated[Path | None, typer.Option("--transform", help="From 'psi-cad register': brings the surface into the CT's frame.")] = None,
    margin: Annotated[float | None, typer.Option("--margin", help="Also write the surface grown by this many mm.")] = None,
    json: Json = False,
) -> None:
    """Make the tumour's closed surface in the CT's frame from a mask, or propose an outline from seeds in a box.

    Example: psi-cad tumour --labels mri_tumour.nii.gz --label 1 --transform ct_to_mri.tfm -o tumour.stl
    """
    from psi_cad import scans
    from psi_cad.cli.showing import progress, say_json, say_lines
    from psi_cad.records.scans import TumourReport
    from psi_cad.wording.telling import caution_lines

    points = [_numbers(text, 3, "--seed") for text in seed or []]
    corners = None if box is None else _numbers(box, 6, "--box").reshape(2, 3)
    with progress(quiet=json) as tell:
        said = scans.tumour(
            out, labels=labels, label=label, image=image, seeds=points, box=corners, transform=transform, margin=margin, progress=tell
        )
    if json:
        say_json(said)
        return
    report = TumourReport.model_validate(said)
    sizes = report.diameters_mm
    typer.echo(
        f"{out}: {report.volume_cm3:.2f} cm³ (mask {report.mask_volume_cm3:.2f}), {sizes[0]:.1f} × {sizes[1]:.1f} × {sizes[2]:.1f} mm, "
        f"{report.parts} part{'s' if report.parts > 1 else ''}"
    )
    if labels is not None and transform is None:
        typer.echo("  it lies in the frame of its mask, which is the CT's where it was drawn on the CT; for one drawn on the MRI give --transform")
    say_lines(caution_lines(report.cautions))


def _numbers(text: str, count: int, option: str) -> Array:
    import numpy as np

    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise ImageError(f"{option}: '{text}' must be {count} numbers with commas between them, patient mm (LPS).")
    return np.array(values)
