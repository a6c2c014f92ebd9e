"""The verbs for scans in Python: bones of a CT, an MRI onto a CT, the tumour's surface. Patient frame, LPS, mm; the command line only calls these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psi_cad.errors import CaseError, ImageError
from psi_cad.units import Array, Mm

if TYPE_CHECKING:
    from psi_cad.voxels.volume import Volume

__all__ = ["register", "segment", "tumour"]

Point = Sequence[float] | Array
Progress = Callable[[str], None]


def segment(
    ct: Path | str,
    out: Path | str,
    *,
    bones: Mapping[str, Sequence[Point]] | None = None,
    labels: Path | str | None = None,
    wanted: Mapping[str, int | str] | None = None,
    cut_here: Sequence[Point] = (),
    join: Sequence[Point] = (),
    keep_in: Path | str | None = None,
    keep: Mapping[str, int | str] | None = None,
    close_holes: Mm | None = None,
    with_totalsegmentator: bool = False,
    series: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Bones of a CT as closed surfaces with pictures in the folder `out`; the report, whose `rejected` says whether any is not to be used.

    Parameters
    ----------
    ct : path
        A DICOM folder or zip, or a NIfTI, NRRD or MetaImage file; `series` chooses one of a folder.
    bones : mapping of name to points (3,)
        One or more points in each bone; without any, all large bones are taken.
    labels, wanted : path, mapping of name to number or segment name
        A ready mask instead, and what is wanted of it.
    cut_here, join : sequence of points (3,)
        Where two bones were left as one, and where one bone was cut in two.
    keep_in, keep : path, mapping of name to number or segment name
        A rough mask that a person painted: a bone is what of all bone lies in it.
    close_holes : float, optional
        Close holes of less than so many mm across.
    with_totalsegmentator : bool
        Take points from TotalSegmentator, where it is installed; those in `bones` go before its.
    progress : callable, optional
        Told each step.

    Raises
    ------
    PsiCadError
    """
    seeds, wanted, keep = dict(bones or {}), dict(wanted or {}), dict(keep or {})
    if bool(labels) != bool(wanted):
        raise CaseError("--labels FILE and --label NAME=N go together: name the file, and the labels that you want of it.")
    if bool(keep_in) != bool(keep):
        raise CaseError("--keep-in FILE and --keep NAME=N go together: name the file, and the label of each bone in it.")
    if labels and (cut_here or join or keep or close_holes is not None):
        raise CaseError(
            "--labels takes masks as they are; --cut-here, --join, --keep-in and --close-holes change what psi-cad finds itself: leave one out."
        )
    if labels and (seeds or with_totalsegmentator):
        raise CaseError("--labels, and --bone or --with-totalsegmentator, exclude each other; give one of them.")
    import numpy as np

    from psi_cad.bones.segment import check_name, segment_bone, segmentation_of_labels, write_segmentation
    from psi_cad.imaging.label_files import read_labels
    from psi_cad.imaging.scan_files import read_volume
    from psi_cad.segmentation.correcting import Corrections

    for name in (*seeds, *wanted):
        check_name(name)
    scan = read_volume(Path(ct), kind="ct", series=series, progress=progress)
    if labels:
        found = segmentation_of_labels(read_labels(Path(labels), reference=scan), wanted, scan=scan)
    else:
        if with_totalsegmentator:
            seeds = {**_proposed_seeds(scan, progress), **seeds}
        points = {name: np.asarray(one, dtype=np.float64) for name, one in seeds.items()}
        painted = read_labels(Path(keep_in), reference=scan) if keep_in is not None else None
        masks = {name: painted.occupancy(label) for name, label in keep.items()} if painted is not None else {}
        corrections = Corrections(tuple(map(_three, cut_here)), tuple(map(_three, join)), masks)
        found = segment_bone(scan, points, corrections=corrections, close_holes=close_holes, progress=progress)
    return write_segmentation(Path(out), found, progress=progress).to_json()


def register(
    fixed: Path | str,
    moving: Path | str,
    out: Path | str,
    *,
    landmarks: Path | str | None = None,
    mask: Path | str | None = None,
    start: Path | str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Where an MRI (`moving`) lies on a CT (`fixed`) of one patient; writes the transform `out` (.tfm), and report and picture beside it.

    Parameters
    ----------
    landmarks : path, optional
        Lines of x,y,z on the CT and x,y,z on the MRI, at least three.
    mask : path, optional
        A mask on the CT: the fit is judged only there.
    start : path, optional
        A transform to search around.

    Raises
    ------
    PsiCadError
        In doubt too; nothing is written then.
    """
    from psi_cad.files import write_json
    from psi_cad.imaging.label_files import read_labels
    from psi_cad.imaging.scan_files import read_volume
    from psi_cad.records.scans import RegistrationReport
    from psi_cad.registration.register import register as registered
    from psi_cad.registration.rigid import read_landmarks, read_transform, write_transform
    from psi_cad.report.fused import FUSED_TITLE, write_fused

    out = Path(out)
    if out.suffix.lower() != ".tfm":
        raise ImageError(f"--out: '{out.name}' must end in .tfm, an ITK transform.")
    if landmarks is not None and start is not None:
        raise ImageError("--landmarks and --start both say where to begin; give one of them.")
    begin = read_transform(Path(start)) if start is not None else None
    pairs = read_landmarks(Path(landmarks)) if landmarks is not None else None
    ct, mri = read_volume(Path(fixed), kind="ct", progress=progress), read_volume(Path(moving), kind="mr", progress=progress)
    region = read_labels(Path(mask), reference=ct).flat() if mask is not None else None
    found = registered(ct, mri, start=begin, landmarks=pairs, mask=region, progress=progress)
    if progress is not None:
        progress("draw the picture")
    write_fused(out.with_suffix(".png"), ct, mri, moving_from_fixed=found.moving_from_fixed, box=found.box, title=FUSED_TITLE)
    report = RegistrationReport.model_validate({"schema": 1, **found.report().to_json()}).to_json()
    write_json(out.with_suffix(".json"), report)
    write_transform(out, found.moving_from_fixed, centre=found.centre)
    return report


def tumour(
    out: Path | str,
    *,
    labels: Path | str | None = None,
    label: int | str | None = None,
    image: Path | str | None = None,
    seeds: Sequence[Point] = (),
    box: Sequence[Point] | Array | None = None,
    transform: Path | str | None = None,
    margin: Mm | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The tumour's closed surface `out` (.stl) in the CT's frame, from a mask, or proposed from points in a box; the report, written beside it.

    Parameters
    ----------
    labels, label : path, number or segment name
        A mask on the MRI or CT, and which of it.
    image, seeds, box : path, points (3,), two opposite corners (2, 3)
        A scan, points well inside the tumour, and a box around all of it, for a proposal; or only the scan of an RTSTRUCT in `labels`.
    transform : path, optional
        From `register`: brings the surface into the CT's frame.
    margin : float, optional
        Also write the surface grown by this many mm.

    Raises
    ------
    PsiCadError
    """
    import numpy as np

    from psi_cad.export.meshes import write_stl
    from psi_cad.extraction.tumour import diameters, grown, tumour_surface
    from psi_cad.files import write_json
    from psi_cad.findings import Caution
    from psi_cad.imaging.tumour import PROPOSAL, shape_interpolated
    from psi_cad.records.scans import TumourReport
    from psi_cad.records.shared import cautions_said
    from psi_cad.registration.rigid import inverse, read_transform

    out, say = Path(out), progress or (lambda _: None)
    if out.suffix.lower() != ".stl":
        raise ImageError(f"--out: '{out.name}' must end in .stl.")
    if labels is None and image is None:
        raise ImageError("Give either --labels (a mask) or --image with --seed and --box (a proposal).")
    if labels is not None and (seeds or box is not None):
        raise ImageError("--seed and --box propose an outline on --image; with --labels the outline is there already, so leave them out.")
    if margin is not None and not 0.0 < margin <= 100.0:
        raise ImageError(f"--margin {margin:g} must be above 0 and at most 100 mm.")
    matrix = None if transform is None else inverse(read_transform(Path(transform)))
    say("read the mask" if labels is not None else "propose an outline")
    scan = None if image is None else Path(image)
    mask = _mask_of(Path(labels), label, scan) if labels is not None else _proposed(scan, seeds, box, out)
    say("make the surface")
    found = tumour_surface(shape_interpolated(mask), fixed_from_moving=matrix)
    sizes, axes = diameters(found.mesh)
    kind = "PROPOSAL tumour" if found.proposal else "tumour"
    write_stl(out, found.mesh, header=f"psi-cad {kind}, mm, SPACE=LPS")
    if margin is not None:
        say("grow the margin")
        grown_to = out.with_name(f"{out.stem}_margin{margin:g}.stl")
        write_stl(grown_to, grown(found.mesh, margin), header=f"psi-cad {kind} margin {margin:g} mm, SPACE=LPS")
    report = TumourReport(
        schema_=1,
        proposal=found.proposal,
        frame="LPS mm of the mask" if transform is None else "LPS mm of the fixed scan of the transform",
        volume_cm3=round(found.volume_mm3 / 1000.0, 3),
        mask_volume_cm3=round(found.mask_volume_mm3 / 1000.0, 3),
        diameters_mm=np.round(sizes, 2).tolist(),
        diameter_axes=np.round(axes, 4).tolist(),
        parts=found.parts,
        level_mm=round(found.level_mm, 3),
        margin_mm=margin,
        cautions=cautions_said([Caution("tumour-proposed", PROPOSAL)] if found.proposal else []),
        notes=[PROPOSAL] if found.proposal else [],
    ).to_json()
    write_json(out.with_suffix(".json"), report)
    return report


def _three(point: Point) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in point)
    return x, y, z


def _proposed_seeds(scan: Volume, progress: Progress | None) -> dict[str, Sequence[Point]]:
    from psi_cad.imaging.totalsegmentator import proposed_seeds

    if progress is not None:
        progress("TotalSegmentator")
    return {name: [_three(point)] for name, point in proposed_seeds(scan).items()}


def _mask_of(path: Path, label: int | str | None, image: Path | None) -> Volume:
    """The mask in `path`; contours are drawn on the grid of `image`."""
    from psi_cad.imaging.label_files import read_labels
    from psi_cad.imaging.scan_files import read_volume

    found = read_labels(path, reference=None if image is None else read_volume(image))
    if label is None and len(found.segments) > 1:
        listed = ", ".join(str(one.number) for one in found.segments[:12])
        raise ImageError(f"--label: '{path.name}' holds {len(found.segments)} labels ({listed}); say which is the tumour.")
    return found.mask(found.segments[0].number if label is None else label)


def _proposed(image: Path | None, seeds: Sequence[Point], box: Sequence[Point] | Array | None, out: Path) -> Volume:
    """The proposed mask, written beside `out` so that a person can correct it."""
    import numpy as np
    import SimpleITK as sitk  # noqa: N813

    from psi_cad.files import whole_file
    from psi_cad.imaging.scan_files import read_volume
    from psi_cad.imaging.tumour import propose_tumour

    assert image is not None
    if not seeds or box is None:
        raise ImageError("--image needs at least one --seed x,y,z and a --box x0,y0,z0,x1,y1,z1.")
    corners: Array = np.asarray(box, dtype=np.float64).reshape(2, 3)
    mask = propose_tumour(read_volume(image), seeds=np.asarray(seeds, dtype=np.float64).reshape(-1, 3), box=corners)
    with whole_file(out.with_name(f"{out.stem}_PROPOSAL.nrrd")) as temporary:
        sitk.WriteImage(mask.to_sitk(), str(temporary), useCompression=True)
    return mask
