"""Time and memory of import, segmentation and surface on a 512 x 512 x 400 CT, beside plain SimpleITK and scikit-image calls.

Each side runs in its own process: `python bench/segment.py CT.nii.gz`; a file that is not there is made first: a synthetic pelvis.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SIZE, SPACING = (400, 512, 512), (0.75, 0.75, 0.75)
SEEDS = {"hip": (-82.0, 24.0, -10.0), "femur": (-103.0, -7.0, -6.0), "sacrum": (-40.0, 74.0, 60.0)}


def make(path: Path) -> None:
    """Two phantom halves in a body, 512 x 512 x 400, noise 20 HU."""
    import SimpleITK as sitk  # noqa: N813

    from psi_cad.phantom.scene import PHANTOM_BOX, phantom_ct
    from psi_cad.voxels.volume import Volume

    part = phantom_ct(low=PHANTOM_BOX[0], high=PHANTOM_BOX[1], spacing=SPACING, noise_sd=0.0)
    matrix = np.diag([*SPACING, 1.0])
    matrix[:3, 3] = [-0.75 * 255.5, -0.75 * 255.5, -120.0]
    whole = np.full(SIZE, -1000, dtype=np.int16)
    j, i = np.meshgrid(np.arange(512) - 255.5, np.arange(512) - 255.5, indexing="ij")
    whole[:, np.hypot(i / 250.0, j / 180.0) < 1.0] = -95
    start = np.rint((part.origin - matrix[:3, 3]) / SPACING).astype(int)
    matrix[:3, 3] = part.origin - start * SPACING
    nz, ny, nx = part.values.shape
    for block, first in ((part.values, start[0]), (part.values[:, :, ::-1], round(float(-part.origin[0] - matrix[0, 3]) / 0.75) - nx + 1)):
        at = whole[start[2] : start[2] + nz, start[1] : start[1] + ny, first : first + nx]
        np.maximum(at, block, out=at)
    rng = np.random.default_rng(0)
    for layer in whole:
        layer += rng.normal(0.0, 20.0, layer.shape).astype(np.int16)
    sitk.WriteImage(Volume(whole, matrix).to_sitk(), str(path))


def ours(path: Path, out: Path) -> dict[str, float]:
    from psi_cad.bones.segment import segment_bone, write_segmentation
    from psi_cad.imaging.scan_files import read_volume

    start = time.perf_counter()
    volume = read_volume(path, kind="ct")
    read = time.perf_counter()
    found = segment_bone(volume, SEEDS)
    done = time.perf_counter()
    write_segmentation(out, found)
    return {"read_s": read - start, "segment_s": done - read, "write_s": time.perf_counter() - done}


def plain(path: Path, out: Path) -> dict[str, float]:
    """The usual recipe: threshold, component at the seed, close, fill, marching cubes, smooth. Bones that touch stay together."""
    import SimpleITK as sitk  # noqa: N813
    import trimesh
    from skimage.measure import marching_cubes

    out.mkdir(exist_ok=True)
    start = time.perf_counter()
    image = sitk.ReadImage(str(path))
    read = time.perf_counter()
    parts = sitk.ConnectedComponent(image > 250)
    for name, seed in SEEDS.items():
        at = image.TransformPhysicalPointToIndex(seed)
        reach = 35
        box = sitk.GetArrayViewFromImage(parts)[at[2] - reach : at[2] + reach, at[1] - reach : at[1] + reach, at[0] - reach : at[0] + reach]
        number = int(np.bincount(box[box > 0]).argmax())
        mask = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(parts == number, [3, 3, 3]))
        points, faces, _, _ = marching_cubes(sitk.GetArrayFromImage(mask), 0.5, spacing=image.GetSpacing()[::-1])
        mesh = trimesh.Trimesh(points[:, ::-1], faces[:, ::-1])
        trimesh.smoothing.filter_taubin(mesh, iterations=10)
        mesh.export(out / f"{name}.stl")
    return {"read_s": read - start, "segment_s": time.perf_counter() - read}


def main() -> None:
    if sys.argv[1] in ("ours", "plain"):
        import resource

        import SimpleITK as sitk  # noqa: N813

        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
        result = {"ours": ours, "plain": plain}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
        result["total_s"] = sum(result.values())
        result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({key: round(value, 2) for key, value in result.items()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1])
        if not path.exists():
            make(path)
        results = {}
        for side in ("ours", "plain"):
            done = subprocess.run([sys.executable, __file__, side, path, Path(folder) / side], capture_output=True, encoding="utf-8", check=True)
            results[side] = json.loads(done.stdout)
            print(side, results[side])
        print(f"psi-cad takes {results['ours']['total_s'] / results['plain']['total_s']:.2f} of the time of the plain calls")


if __name__ == "__main__":
    main()
