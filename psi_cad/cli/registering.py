"""`register` and `tumour`: MRI onto CT, and the tumour's surface in the CT's frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psi_cad.errors import ImageError

if TYPE_CHECKING:
    import numpy as np

    from psi_cad.units import Array
    from psi_cad.voxels.volume import Volume

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
    from psi_cad.cli.showing import progress, say_json
    from psi_cad.files import write_json
    from psi_cad.imaging.label_files import read_labels
    from psi_cad.imaging.scan_files import read_volume
    from psi_cad.registration.register import register as registered
    from psi_cad.registration.rigid import read_landmarks, read_transform, write_transform
    from psi_cad.report.fused import FUSED_TITLE, write_fused

    if out.suffix.lower() != ".tfm":
        raise ImageError(f"--out: '{out.name}' must end in .tfm, an ITK transform.")
    if landmarks is not None and start is not None:
        raise ImageError("--landmarks and --start both say where to begin; give one of them.")
    with progress(quiet=json) as tell:
        begin = read_transform(start) if start is not None else None
        pairs = read_landmarks(landmarks) if landmarks is not None else None
        ct, mri = read_volume(fixed, kind="ct", progress=tell), read_volume(moving, kind="mr", progress=tell)
        region = read_labels(mask, reference=ct).flat() if mask is not None else None
        found = registered(ct, mri, start=begin, landmarks=pairs, mask=region, progress=tell)
        if tell is not None:
            tell("draw the picture")
        write_fused(out.with_suffix(".png"), ct, mri, moving_from_fixed=found.moving_from_fixed, box=found.box, title=FUSED_TITLE)
    report = {"schema": 1, **found.report()}
    write_json(out.with_suffix(".json"), report)
    write_transform(out, found.moving_from_fixed, centre=found.centre)
    if json:
        say_json(report)
        return
    typer.echo(f"{out}: moved {found.moved_mm:.1f} mm and turned {found.turned_deg:.1f}° from the start")
    typer.echo(
        f"  {found.agreeing} of {found.starts} starts agree within {found.spread_mm:.2f} mm; there and back {found.inverse_mm:.2f} mm; "
        f"evidence {found.evidence_at_start:.3f} → {found.evidence:.3f}"
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
    import numpy as np

    from psi_cad.cli.showing import progress, say_json
    from psi_cad.cli.telling import caution_lines
    from psi_cad.extraction.tumour import diameters, grown, tumour_surface
    from psi_cad.files import write_json
    from psi_cad.findings import Caution
    from psi_cad.imaging.tumour import PROPOSAL, shape_interpolated
    from psi_cad.registration.rigid import inverse, read_transform

    if out.suffix.lower() != ".stl":
        raise ImageError(f"--out: '{out.name}' must end in .stl.")
    if labels is None and image is None:
        raise ImageError("Give either --labels (a mask) or --image with --seed and --box (a proposal).")
    if labels is not None and (seed or box is not None):
        raise ImageError("--seed and --box propose an outline on --image; with --labels the outline is there already, so leave them out.")
    if margin is not None and not 0.0 < margin <= 100.0:
        raise ImageError(f"--margin {margin:g} must be above 0 and at most 100 mm.")
    with progress(quiet=json) as tell:
        say = tell or (lambda _: None)
        matrix = None if transform is None else inverse(read_transform(transform))
        say("read the mask" if labels is not None else "propose an outline")
        mask = _mask_of(labels, label, image) if labels is not None else _proposed(image, seed, box, out)
        say("make the surface")
        found = tumour_surface(shape_interpolated(mask), fixed_from_moving=matrix)
        sizes, axes = diameters(found.mesh)
        kind = "PROPOSAL tumour" if found.proposal else "tumour"
        _write(out, found.mesh, f"psi-cad {kind}, mm, SPACE=LPS")
        if margin is not None:
            say("grow the margin")
            _write(out.with_name(f"{out.stem}_margin{margin:g}.stl"), grown(found.mesh, margin), f"psi-cad {kind} margin {margin:g} mm, SPACE=LPS")
    report: dict[str, Any] = {
        "schema": 1,
        "proposal": found.proposal,
        "frame": "LPS mm of the mask" if transform is None else "LPS mm of the fixed scan of the transform",
        "volume_cm3": round(found.volume_mm3 / 1000.0, 3),
        "mask_volume_cm3": round(found.mask_volume_mm3 / 1000.0, 3),
        "diameters_mm": np.round(sizes, 2).tolist(),
        "diameter_axes": np.round(axes, 4).tolist(),
        "parts": found.parts,
        "level_mm": round(found.level_mm, 3),
        "margin_mm": margin,
        "cautions": [Caution("tumour-proposed", PROPOSAL).to_json()] if found.proposal else [],
        "notes": [PROPOSAL] if found.proposal else [],
    }
    write_json(out.with_suffix(".json"), report)
    if json:
        say_json(report)
        return
    typer.echo(
        f"{out}: {found.volume_mm3 / 1000:.2f} cm³ (mask {found.mask_volume_mm3 / 1000:.2f}), {sizes[0]:.1f} × {sizes[1]:.1f} × {sizes[2]:.1f} mm, "
        f"{found.parts} part{'s' if found.parts > 1 else ''}"
    )
    if report["cautions"]:
        typer.echo("\n".join(caution_lines(report["cautions"])))


def _write(path: Path, mesh: Any, header: str) -> None:
    from psi_cad.export.meshes import write_stl

    write_stl(path, mesh, header=header)


def _mask_of(path: Path, label: str | None, image: Path | None) -> Volume:
    """The mask in `path`; contours are drawn on the grid of `image`."""
    from psi_cad.imaging.label_files import read_labels
    from psi_cad.imaging.scan_files import read_volume

    found = read_labels(path, reference=None if image is None else read_volume(image))
    if label is None and len(found.segments) > 1:
        listed = ", ".join(str(one.number) for one in found.segments[:12])
        raise ImageError(f"--label: '{path.name}' holds {len(found.segments)} labels ({listed}); say which is the tumour.")
    return found.mask(found.segments[0].number if label is None else label)


def _proposed(image: Path | None, seeds: list[str] | None, box: str | None, out: Path) -> Volume:
    """The proposed mask, written beside `out` so that a person can correct it."""
    import SimpleITK as sitk  # noqa: N813

    from psi_cad.files import whole_file
    from psi_cad.imaging.scan_files import read_volume
    from psi_cad.imaging.tumour import propose_tumour

    assert image is not None
    if not seeds or box is None:
        raise ImageError("--image needs at least one --seed x,y,z and a --box x0,y0,z0,x1,y1,z1.")
    points = [_numbers(text, 3, "--seed") for text in seeds]
    mask = propose_tumour(read_volume(image), seeds=_stack(points), box=_numbers(box, 6, "--box").reshape(2, 3))
    with whole_file(out.with_name(f"{out.stem}_PROPOSAL.nrrd")) as temporary:
        sitk.WriteImage(mask.to_sitk(), str(temporary), useCompression=True)
    return mask


def _stack(points: list[Array]) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.stack(points)


def _numbers(text: str, count: int, option: str) -> Array:
    import numpy as np

    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise ImageError(f"{option}: '{text}' must be {count} numbers with commas between them, patient mm (LPS).")
    return np.array(values)
