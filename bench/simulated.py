"""CTs of real bone meshes with known truth: cortex, marrow, soft tissue, blur, slices, noise, joint gaps, an open growth plate.

The meshes come from the folder that the environment variable `PSI_CAD_DATA` names. Nothing of psi_cad's segmentation is used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
import trimesh
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree

FINE = 0.4  # mm, the grid on which bones are drawn
MARGIN = 10.0  # mm of soft tissue around
SOFT, CORTEX = 45.0, 1250.0


@dataclass(frozen=True)
class Scene:
    """One simulated scan: which bones (a set of `meshes`), and how they are drawn."""

    name: str
    bones: str
    marrow: float
    cortex: float
    noise: float
    spacing: tuple[float, float, float]
    gap: float = 0.4  # mm, the least between two bones
    shift: float = 0.0  # mm, the femur moved into its socket
    plate: bool = False  # an open growth plate under the femoral head
    texture: float = 0.0  # HU; standard deviation of the marrow, over some 2 mm
    uneven: float = 0.0  # share by which the cortex's thickness varies along the bone (standard deviation, over some 15 mm)
    seed: int = 1


SCENES = (
    Scene("hip-280", "hip", 280, 1.6, 20, (0.7, 0.7, 1.0)),
    Scene("hip-100", "hip", 100, 0.9, 40, (0.8, 0.8, 1.0)),
    Scene("hf-180", "hf", 180, 1.6, 20, (0.7, 0.7, 1.0)),
    Scene("hf-tight", "hf", 250, 1.2, 20, (0.8, 0.8, 1.5), gap=0.6, shift=2.0),
    Scene("hf-plate", "hf", 300, 1.0, 15, (0.7, 0.7, 1.0), plate=True),
    Scene("hfs-300", "hfs", 300, 1.6, 26, (0.7, 0.7, 1.0), gap=0.8),
    Scene("hfs-60", "hfs", 60, 1.2, 28, (0.7, 0.7, 0.6), gap=0.8),
    Scene("hfs14-400", "hfs14", 400, 1.6, 38, (0.8, 0.8, 0.8), gap=0.8),
    Scene("hfs14-160", "hfs14", 160, 1.0, 19, (0.7, 0.7, 0.7), gap=0.7),
    Scene("hfs27-220", "hfs27", 220, 0.8, 10, (0.8, 0.8, 1.25), gap=1.0),
    Scene("hf-tight-350", "hf", 350, 1.0, 30, (0.7, 0.7, 1.25), gap=0.5, shift=2.0, texture=40),
    Scene("hf-tight-150", "hf", 150, 1.6, 35, (0.9, 0.9, 1.0), gap=0.4, shift=2.5),
    Scene("hfs3-250", "hfs3", 250, 1.2, 25, (0.75, 0.75, 1.0), gap=0.7, texture=60),
    Scene("hfs47-350", "hfs47", 350, 1.4, 30, (0.7, 0.7, 1.25), gap=0.8, texture=90, uneven=0.25),
    Scene("rhfs3-120", "rhfs3", 120, 0.9, 35, (0.8, 0.8, 1.0), gap=0.6, uneven=0.2),
    Scene("rhfs47-200", "rhfs47", 200, 1.3, 20, (0.65, 0.65, 0.8), gap=0.5, shift=1.0, texture=60, uneven=0.3),
    Scene("hfs27-450", "hfs27", 450, 1.2, 22, (0.7, 0.7, 1.0), gap=0.8, texture=80, seed=5),
    Scene("rhfs14-300", "rhfs14", 300, 1.5, 15, (0.7, 0.7, 2.0), gap=1.0, texture=50, uneven=0.2),
)


def fresh(number: int) -> Scene:
    """A scene drawn by lot: a person's left or right hip with femur and sacrum, and how the scan shows them; the same for the same number."""
    rng = np.random.default_rng([number, 11])
    bones = f"{rng.choice(['', 'r'])}hfs{rng.choice([3, 14, 27, 47])}"
    pixel, step = round(float(rng.uniform(0.6, 0.95)), 2), round(float(rng.choice([0.6, 0.8, 1.0, 1.25, 1.5, 2.0])), 2)
    return Scene(
        f"fresh-{number}", bones, round(float(rng.uniform(60, 450))), round(float(rng.uniform(0.8, 1.7)), 1), round(float(rng.uniform(10, 40))),
        (pixel, pixel, step), gap=round(float(rng.uniform(0.5, 1.0)), 1), shift=round(float(rng.choice([0.0, 0.0, 1.0, 2.0])), 1),
        texture=round(float(rng.choice([0.0, 40.0, 80.0]))), uneven=round(float(rng.choice([0.0, 0.15, 0.3])), 2), seed=number,
    )  # fmt: skip


def data_folder() -> Path:
    """Where the meshes are."""
    return Path(os.environ.get("PSI_CAD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def meshes(bones: str) -> dict[str, trimesh.Trimesh]:
    """The closed meshes of a set, patient mm: the hip that came with its femur, or hip and sacrum of the atlas with that femur brought in.

    `hfs14` is the left hip of person 14, `rhfs14` the right one, with the femur mirrored.
    """
    folder = data_folder()
    hip, femur = (trimesh.load(folder / "hip_femur_meshes" / f"{name}_left.stl", force="mesh") for name in ("hip", "femur"))
    if bones in ("hip", "hf"):
        return {"hip": hip, "femur": femur} if bones == "hf" else {"hip": hip}
    right, number = bones.startswith("r"), bones.lstrip("r")[3:] or "14"
    if right:
        for mesh in (hip, femur):
            mesh.apply_transform(np.diag([-1.0, 1.0, 1.0, 1.0]))  # trimesh turns the faces round
    theirs, sacrum = (_atlas(folder / "pelvis_atlas_meshes" / f"{kind}{number}_cpd.vtk") for kind in ("RightHip" if right else "LeftHip", "Sacrum"))
    there = _registered(hip, theirs)
    if bones == "hfs":  # the atlas's sacrum brought to our hip
        sacrum.apply_transform(np.linalg.inv(there))
        return {"hip": hip, "femur": femur, "sacrum": sacrum}
    femur.apply_transform(there)
    return {"hip": theirs, "femur": femur, "sacrum": sacrum}


def _atlas(path: Path) -> trimesh.Trimesh:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader

    reader = vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    out = reader.GetOutput()
    faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    mesh = trimesh.Trimesh(vtk_to_numpy(out.GetPoints().GetData()).astype(float), faces, process=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    trimesh.repair.fill_holes(mesh)
    trimesh.repair.fix_normals(mesh)
    return mesh


def _registered(mesh: trimesh.Trimesh, target: trimesh.Trimesh) -> Any:
    """The similarity (4, 4) that brings `mesh` onto `target`, by closest points."""
    start = np.eye(4)
    start[:3, 3] = target.bounds.mean(axis=0) - mesh.bounds.mean(axis=0)
    points = mesh.sample(4000, seed=0)
    moved = trimesh.transform_points(points, start)
    found, tree = start, cKDTree(target.sample(100_000, seed=0))
    for _ in range(60):
        near = tree.data[tree.query(moved)[1]]
        step, moved, _ = trimesh.registration.procrustes(moved, near, reflection=False, scale=True)
        found = step @ found
    return found


def _inside(mesh: trimesh.Trimesh, low: Any, shape: tuple[int, int, int]) -> Any:
    """Voxels (nz, ny, nx) of the fine grid inside of `mesh`."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

    points, cells, poly = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.vertices), deep=True))
    table = np.column_stack([np.full(len(mesh.faces), 3), mesh.faces]).astype(np.int64)
    cells.SetCells(len(mesh.faces), numpy_to_vtkIdTypeArray(table.ravel(), deep=True))
    poly.SetPoints(points)
    poly.SetPolys(cells)
    stencil, image = vtkPolyDataToImageStencil(), vtkImageStencilToImage()
    stencil.SetInputData(poly)
    stencil.SetOutputOrigin(*low)
    stencil.SetOutputSpacing(FINE, FINE, FINE)
    stencil.SetOutputWholeExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    return vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(shape) > 0


def _depth(mask: Any) -> Any:
    """Signed distance (nz, ny, nx) in mm to the mask's border, positive inside."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([FINE] * 3)
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True))


def simulate(scene: Scene, path: Path) -> None:
    """Write `path` (the CT) and `…_truth.nii.gz` beside it: 1, 2, 3 for the bones in their order, on the fine grid."""
    bones = meshes(scene.bones)
    if scene.shift:  # along the line from the head to the socket's middle
        places = bones["hip"].sample(100_000, seed=0)
        away, nearest = cKDTree(places).query(bones["femur"].vertices)
        way = (places[nearest] - bones["femur"].vertices)[away < 8.0].mean(axis=0)
        bones["femur"].apply_translation(scene.shift * way / np.linalg.norm(way))
    core = bones.get("hip") or next(iter(bones.values()))
    low = np.min([m.bounds[0] for m in bones.values()], axis=0) - MARGIN
    high = np.max([m.bounds[1] for m in bones.values()], axis=0) + MARGIN
    low[2] = max(low[2], core.bounds[0][2] - 55.0)  # a shaft goes on beyond the scan
    shape = tuple(int(n) for n in np.ceil((high - low) / FINE)[::-1])
    truth, hu = np.zeros(shape, np.uint8), np.full(shape, SOFT, np.float32)
    rng = np.random.default_rng([scene.seed, 7])
    for number, (name, mesh) in enumerate(bones.items(), start=1):
        first = np.clip(((mesh.bounds[0] - low) / FINE).astype(int) - 12, 0, None)
        last = ((mesh.bounds[1] - low) / FINE).astype(int) + 12
        box = tuple(slice(a, min(b, n)) for a, b, n in zip(first[::-1], last[::-1], shape, strict=True))
        mask = _inside(mesh, low + FINE * first, truth[box].shape)
        if (truth[box] > 0).any():
            mask &= _depth(truth[box] > 0) < -scene.gap
        deep = _depth(mask)
        thick = scene.cortex * np.clip(1.0 + scene.uneven * _cloud(rng, mask.shape, 15.0), 0.4, 2.0) if scene.uneven else scene.cortex
        marrow = scene.marrow + scene.texture * _cloud(rng, mask.shape, 2.0) if scene.texture else scene.marrow
        values = np.where(deep < thick, CORTEX, marrow).astype(np.float32)
        if scene.plate and name == "femur":
            values = np.where(_plate(mesh, low + FINE * first, values.shape), 110.0, values)
        hu[box][mask] = values[mask]
        truth[box][mask] = number
    sp = np.array(scene.spacing)
    hu = gaussian_filter(hu, np.array([max(0.5, 0.35 * sp[2]), 0.5, 0.5]) / FINE, truncate=3.0)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([FINE] * 3)
    image.SetOrigin([float(v) for v in low])
    size = [int(v) for v in np.floor((np.array(shape[::-1]) * FINE) / sp)]
    scan = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [float(v) for v in sp], image.GetDirection(), SOFT)
    values = sitk.GetArrayFromImage(scan)
    noise = gaussian_filter(np.random.default_rng(scene.seed).normal(0.0, 1.0, values.shape).astype(np.float32), 0.6)
    out = sitk.GetImageFromArray((values + noise * (scene.noise / noise.std())).astype(np.int16))
    out.CopyInformation(scan)
    sitk.WriteImage(out, str(path))
    labels = sitk.GetImageFromArray(truth)
    labels.CopyInformation(image)
    sitk.WriteImage(labels, str(path).replace(".nii.gz", "_truth.nii.gz"))


def _cloud(rng: np.random.Generator, shape: tuple[int, ...], mm: float) -> Any:
    """Smooth noise (nz, ny, nx) of mean 0 and standard deviation 1 that varies over some `mm`."""
    step = max(int(mm / 2.0 / FINE), 1)
    coarse = gaussian_filter(rng.normal(size=tuple(n // step + 2 for n in shape)).astype(np.float32), 1.0)
    coarse = (coarse - coarse.mean()) / coarse.std()
    return zoom(coarse, step, order=1)[tuple(slice(n) for n in shape)]


def _plate(femur: trimesh.Trimesh, low: Any, shape: tuple[int, ...]) -> Any:
    """A slab of 1.6 mm across the neck under the femoral head, 12 mm from the head's centre, seen by the head's sphere."""
    top = femur.vertices[femur.vertices[:, 2] > femur.bounds[1][2] - 25.0]
    top = top[top[:, 0] < top[:, 0].min() + 45.0]  # the head, not the trochanter of a left femur
    rows = np.column_stack([2.0 * top, np.ones(len(top))])
    fit = np.linalg.lstsq(rows, (top**2).sum(axis=1), rcond=None)[0]
    centre, way = fit[:3], np.array([0.72, 0.12, -0.68])
    way = way / np.linalg.norm(way)
    z, y, x = (low[a] + FINE * np.arange(shape[2 - a]) for a in (2, 1, 0))
    along = (x - centre[0])[None, None, :] * way[0] + (y - centre[1])[None, :, None] * way[1] + (z - centre[2])[:, None, None] * way[2]
    far = (x - centre[0])[None, None, :] ** 2 + (y - centre[1])[None, :, None] ** 2 + (z - centre[2])[:, None, None] ** 2
    return (np.abs(along - 9.0) < 0.8) & (far < 30.0**2)
