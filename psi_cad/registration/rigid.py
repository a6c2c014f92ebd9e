"""Rigid transforms between two scans: 4 x 4 matrices in patient millimetres (LPS), fitted, averaged, kept as ITK files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psi_cad.errors import ImageError
from psi_cad.files import whole_file
from psi_cad.units import Array, Deg, Mm

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = [
    "apply",
    "distance",
    "inverse",
    "itk_rigid",
    "midway",
    "read_landmarks",
    "read_transform",
    "rigid_from_itk",
    "rigid_from_points",
    "rotation",
    "turn_deg",
    "write_transform",
]

RIGID_TOLERANCE: Final = 1e-4  # of a rotation matrix written with six digits
LINE_RATIO: Final = 0.05  # landmarks narrower than this share of their length are a line: the turn about it is open
_DIGITS: Final = 9  # of a written transform: far below what is known, and the same on every machine


def apply(matrix: Array, points: Array) -> Array:
    """Points (n, 3) moved by a 4 x 4 matrix."""
    return np.asarray(np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def inverse(matrix: Array) -> Array:
    """The inverse of a rigid 4 x 4 matrix."""
    found = np.eye(4)
    found[:3, :3] = matrix[:3, :3].T
    found[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return found


def rotation(vector: Array, *, about: Array, shift: Array | None = None) -> Array:
    """The 4 x 4 matrix that turns about the point `about` (3,) by the rotation vector `vector` (3,), radians, then shifts by mm."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    matrix[:3, 3] = about - matrix[:3, :3] @ about + (0.0 if shift is None else shift)
    return matrix


def turn_deg(matrix: Array) -> Deg:
    """The angle of a rigid matrix's rotation."""
    from scipy.spatial.transform import Rotation

    return float(np.degrees(Rotation.from_matrix(matrix[:3, :3]).magnitude()))


def distance(one: Array, other: Array, *, at: Array) -> Array:
    """How far apart (n,) two transforms take the points `at` (n, 3), mm."""
    return np.asarray(np.linalg.norm(apply(one, at) - apply(other, at), axis=1))


def midway(one: Array, other: Array, *, about: Array) -> Array:
    """The rigid transform half-way between two, taken at the point `about` (3,)."""
    from scipy.spatial.transform import Rotation

    first = Rotation.from_matrix(one[:3, :3])
    half = Rotation.from_rotvec(0.5 * (Rotation.from_matrix(other[:3, :3]) * first.inv()).as_rotvec()) * first
    matrix = np.eye(4)
    matrix[:3, :3] = half.as_matrix()
    target = 0.5 * (apply(one, about[None])[0] + apply(other, about[None])[0])
    matrix[:3, 3] = target - matrix[:3, :3] @ about
    return matrix


def rigid_from_points(fixed: Array, moving: Array) -> tuple[Array, Mm]:
    """The rigid matrix that takes `fixed` (n, 3) nearest to `moving` (n, 3), and the root mean square of what remains.

    Least squares by singular values, never a mirror image (Umeyama 1991, IEEE PAMI 13(4):376).

    Raises
    ------
    ImageError
        If there are fewer than three pairs, or they lie on a line.
    """
    from scipy.spatial.transform import Rotation

    if len(fixed) < 3 or len(fixed) != len(moving):
        raise ImageError(f"landmarks: {min(len(fixed), len(moving))} pairs do not fix a rigid transform; give at least three, not on one line.")
    for points, scan in ((fixed, "fixed"), (moving, "moving")):
        widths = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if not widths[1] > LINE_RATIO * widths[0]:
            raise ImageError(f"landmarks: the points on the {scan} scan lie on one line; add one well off it.")
    centre = fixed.mean(axis=0)
    turn, _ = Rotation.align_vectors(moving - moving.mean(axis=0), fixed - centre)
    matrix = rotation(turn.as_rotvec(), about=centre, shift=moving.mean(axis=0) - centre)
    return matrix, float(np.sqrt((distance_to(matrix, fixed, moving) ** 2).mean()))


def distance_to(matrix: Array, fixed: Array, moving: Array) -> Array:
    """How far (n,) `fixed` points, once moved, lie from `moving` points."""
    return np.asarray(np.linalg.norm(apply(matrix, fixed) - moving, axis=1))


def itk_rigid(matrix: Array, *, centre: Array) -> sitk.VersorRigid3DTransform:
    """The ITK transform of a rigid 4 x 4 matrix, turning about `centre` (3,)."""
    import SimpleITK as sitk  # noqa: N813
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    versor = np.array([x, y, z]) * (1.0 if w >= 0 else -1.0)
    shift = apply(matrix, centre[None])[0] - centre
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter([float(v) for v in np.round(centre, _DIGITS)])
    transform.SetParameters([float(v) + 0.0 for v in np.round([*versor, *shift], _DIGITS)])
    return transform


def rigid_from_itk(transform: Any) -> Array:
    """The 4 x 4 matrix of an ITK transform, read off from where it takes four points.

    Raises
    ------
    ValueError
        If the transform is not rigid.
    """
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([np.array(transform.TransformPoint(tuple(100.0 * axis))) - origin for axis in np.eye(3)], axis=1) / 100.0
    matrix[:3, 3] = origin
    off = np.abs(matrix[:3, :3] @ matrix[:3, :3].T - np.eye(3)).max()
    linear = np.abs(np.array(transform.TransformPoint((37.0, -53.0, 71.0))) - apply(matrix, np.array([[37.0, -53.0, 71.0]]))[0]).max()
    if not (off < RIGID_TOLERANCE and linear < 1e-3 and np.linalg.det(matrix[:3, :3]) > 0 and np.isfinite(matrix).all()):
        raise ValueError("not rigid")
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    matrix[:3, :3] = u @ vt
    return matrix


def write_transform(path: Path, moving_from_fixed: Array, *, centre: Array) -> None:
    """An ITK transform file (VersorRigid3D) that takes points of the fixed scan to the moving one, LPS mm."""
    import SimpleITK as sitk  # noqa: N813

    with whole_file(path) as temporary:
        sitk.WriteTransform(itk_rigid(moving_from_fixed, centre=centre), str(temporary))


def read_transform(path: Path) -> Array:
    """The 4 x 4 matrix of an ITK transform file (.tfm, .txt, .h5), which has to be rigid.

    Raises
    ------
    ImageError
        If there is no such file, or it holds no rigid transform.
    """
    import SimpleITK as sitk  # noqa: N813

    if not path.is_file():
        raise ImageError(f"There is no transform '{path.name}'; give an ITK transform file, as 'psi-cad register' writes it.")
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise ImageError(f"'{path.name}' cannot be read as an ITK transform; give a .tfm as 'psi-cad register' writes it.") from error
    try:
        return rigid_from_itk(transform)
    except ValueError as error:
        raise ImageError(f"'{path.name}' scales, shears or bends; a transform between two scans of one patient has to be rigid.") from error
    except RuntimeError as error:
        raise ImageError(f"'{path.name}' holds no three-dimensional transform; give a rigid one.") from error


def read_landmarks(path: Path) -> tuple[Array, Array]:
    """Pairs of points: each line is x, y, z on the fixed scan and x, y, z on the moving one, LPS mm; '#' opens a comment.

    Raises
    ------
    ImageError
        If the file is missing or a line does not hold six numbers.
    """
    if not path.is_file():
        raise ImageError(f"There is no landmark file '{path.name}'; give lines of six numbers: x, y, z on the fixed and on the moving scan.")
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        text = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not text:
            continue
        try:
            row = [float(word) for word in text]
        except ValueError:
            row = []
        if len(row) != 6 or not np.isfinite(row).all():
            raise ImageError(f"'{path.name}', line {number}: wanted six numbers, x, y, z on the fixed and x, y, z on the moving scan (LPS, mm).")
        rows.append(row)
    pairs = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return pairs[:, :3], pairs[:, 3:]
