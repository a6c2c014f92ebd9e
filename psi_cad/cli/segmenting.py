"""`segment`: bones of a CT, or of ready masks, as closed surfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(segment)


def segment(
    ct: Annotated[Path, typer.Argument(help="DICOM folder or zip, or a NIfTI, NRRD or MetaImage file.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("segmented"),
    bone: Annotated[
        list[str] | None,
        typer.Option(
            "--bone",
            help="NAME=x,y,z: a point in this bone, patient mm (LPS). A name may be given several points: parts with the same name are one bone.",
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="A ready mask: NIfTI, NRRD, .seg.nrrd, DICOM SEG or RTSTRUCT.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=N: number or segment name in --labels; once per bone.")] = None,
    cut_here: Annotated[
        list[str] | None, typer.Option("--cut-here", help="x,y,z where two bones touch that psi-cad left as one: it is cut there. Repeatable.")
    ] = None,
    join: Annotated[
        list[str] | None, typer.Option("--join", help="x,y,z on a seam that psi-cad drew through one bone: both sides become one. Repeatable.")
    ] = None,
    keep_in: Annotated[
        Path | None, typer.Option("--keep-in", help="A rough mask, painted in another program: a bone is what of all bone lies in it; with --keep.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="NAME=N: number or segment name in --keep-in; once per bone.")] = None,
    close_holes: Annotated[
        float | None,
        typer.Option(
            "--close-holes", help="Close holes through a bone of less than so many mm across, where thin bone was lost; no guide sits there."
        ),
    ] = None,
    with_totalsegmentator: Annotated[
        bool, typer.Option("--with-totalsegmentator", help="Take the seeds from TotalSegmentator, if it is installed.")
    ] = False,
    series: Annotated[str | None, typer.Option("--series", help="Of a DICOM folder: number in the list, or start of its UID.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Segment bones of a CT: labels, one closed surface (STL, LPS mm) and one picture per bone, and a report.

    A seed says which bone is meant, wherever in the bone it lies. Bones are parted at their joints; without seeds all large ones are taken.

    If the parting is wrong, look at parts.png, and say where: --cut-here, --join, or a painted mask (--keep-in, --keep).

    Example: psi-cad segment ct.nii.gz -o bones --bone hip=-82,24,-10 --bone femur=-101,-7,-6 --bone sacrum=-40,74,60

    Example: psi-cad segment ct.nii.gz -o bones --bone hip=-82,24,-10 --bone femur=-101,-7,-6 --cut-here=-98,2,-14

    Example: psi-cad segment ct.nii.gz -o bones --keep-in painted.nrrd --keep hip=1

    Example: psi-cad segment ct.nii.gz -o bones --bone scapula=92,40,-310 --close-holes 8
    """
    from psi_cad import scans
    from psi_cad.cli.showing import progress, say_json
    from psi_cad.errors import CaseError
    from psi_cad.records.segmentation import SegmentationReport
    from psi_cad.wording.telling import caution_lines

    seeds: dict[str, list[Any]] = {}
    for name, point in map(_seed, bone or []):
        seeds.setdefault(name, []).append(point)
    wanted = dict(_named(text, "--label", "NAME=N") for text in label or [])
    if len(wanted) < len(label or []):
        raise CaseError("Two bones have the same name; give each its own.")
    painted = dict(_named(text, "--keep", "NAME=N") for text in keep or [])
    if len(painted) < len(keep or []):
        raise CaseError("Two of --keep have the same name; give each bone one mask.")
    cuts = tuple(_point(text, f"--cut-here '{text}'") for text in cut_here or [])
    joins = tuple(_point(text, f"--join '{text}'") for text in join or [])
    with progress(quiet=json) as tell:
        from psi_cad.bones.holes import hole_lines
        from psi_cad.bones.segment import REJECTED

        said = scans.segment(
            ct,
            out,
            bones=seeds,
            labels=labels,
            wanted=wanted,
            cut_here=cuts,
            join=joins,
            keep_in=keep_in,
            keep=painted,
            close_holes=close_holes,
            with_totalsegmentator=with_totalsegmentator,
            series=series,
            progress=tell,
        )
    report = SegmentationReport.model_validate(said)
    if json:
        say_json(said)
        raise typer.Exit(1 if report.rejected else 0)
    if report.scan.too_coarse:
        typer.echo(f"{report.scan.too_coarse} No accuracy of these surfaces is known.")
    for one in report.bones:
        sure = "" if one.within_mm is None or one.rejected else f", surface ± {one.within_mm:.2f} mm (95 %)"
        sure += f", accuracy not known: {one.no_accuracy}" if one.no_accuracy not in (None, report.scan.too_coarse) else ""
        file = f"{one.name}{REJECTED if one.rejected else ''}.stl"
        typer.echo(f"{out / file}: {one.volume_mm3 / 1000.0:.1f} cm³{sure}")
        for line in hole_lines(one):
            typer.echo(f"  {line}")
    left = sorted(path.name for path in out.glob("*.stl") if path.name not in report.files)
    if left:
        typer.echo(f"  not of this run, and left where they were: {', '.join(left)}")
    told = [*report.cautions, *(caution for one in report.bones for caution in one.cautions)]
    kinds = {caution.text for caution in told}
    for note in dict.fromkeys(note for note in report.notes if note not in kinds):
        typer.echo(f"  {note}")
    typer.echo(f"{out / 'report.json'}; look at the pictures beside it before the surfaces are used.")
    if told:
        typer.echo("\n".join(caution_lines(told)))
    if report.rejected:
        typer.echo("Rejected: do not use these bones. Look at the pictures, and correct the segmentation: seeds, --cut-here, --join or --keep-in.")
        raise typer.Exit(1)


def _named(text: str, option: str, form: str) -> tuple[str, str]:
    from psi_cad.errors import CaseError

    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise CaseError(f"{option} '{text}' must be {form}.")
    return name.strip(), value.strip()


def _seed(text: str) -> tuple[str, Any]:
    name, value = _named(text, "--bone", "NAME=x,y,z")
    return name, _point(value, f"--bone '{text}'", form="NAME=x,y,z", example="hip=-82,24,-10")


def _point(text: str, given: str, *, form: str = "x,y,z", example: str = "-82,24,-10") -> tuple[float, float, float]:
    import math

    from psi_cad.errors import CaseError

    try:
        point = tuple(float(part) for part in text.split(","))
    except ValueError:
        point = ()
    if len(point) != 3 or not all(map(math.isfinite, point)):
        raise CaseError(f"{given} must be {form} with three numbers in patient mm (LPS), such as {example}.")
    return point[0], point[1], point[2]
