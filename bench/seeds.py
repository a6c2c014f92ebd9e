"""Random seeds in simulated CTs: is each bone right, refused, told of, or wrong without a word? `python bench/seeds.py --runs 4 [SCENE …]`

Every run puts one seed into each bone of a scene: anywhere in it, or up to 0.8 mm outside. Right: each bone's volume is within 2 % of
the truth, and its surface lies within 0.3 mm of it on average. Scenes and scans: `bench/simulated.py`, which needs `PSI_CAD_DATA`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]
OUTSIDE_MM = 0.8
VOLUME, DISTANCE_MM = 0.02, 0.3


class Truth:
    """The bones as drawn: voxels, surfaces and volumes."""

    def __init__(self, path: Path, names: list[str]) -> None:
        import SimpleITK as sitk  # noqa: N813

        from psi_cad.imaging.volume import Volume
        from psi_cad.surface.isosurface import surface_of_mask

        self.labels = Volume.from_sitk(sitk.ReadImage(str(path)))
        self.names = names
        self.voxel = float(np.prod(self.labels.spacing))
        self.volume = {n: float((self.labels.values == k).sum()) * self.voxel for k, n in enumerate(names, 1)}
        self.tree = {}
        for k, n in enumerate(names, 1):
            mesh = surface_of_mask(self.labels.values, k, patient_from_index=self.labels.patient_from_index, step=0.6)
            self.tree[n] = cKDTree(mesh.sample(400_000, seed=0))

    def seeds(self, rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
        """A random point in each bone, or a little outside of it."""
        out = {}
        for k, name in enumerate(self.names, 1):
            box = np.argwhere(self.labels.values[::2, ::2, ::2] == k)
            at = self.labels.patient(2.0 * box[rng.integers(len(box))][None, ::-1])[0]
            if rng.random() < 0.15:  # to the nearest surface, and out
                near = self.tree[name].data[self.tree[name].query(at)[1]]
                at = near + (near - at) / max(np.linalg.norm(near - at), 1e-6) * rng.uniform(0.0, OUTSIDE_MM)
            out[name] = tuple(round(float(v), 1) for v in at)
        return out

    def judge(self, meshes: dict[str, trimesh.Trimesh]) -> tuple[bool, str]:
        """Whether all bones are right, and their numbers in words."""
        right, words = True, []
        for name in self.names:
            mesh = meshes.get(name)
            if mesh is None:
                right = False
                words.append(f"{name} missing")
                continue
            share = float(mesh.volume) / self.volume[name]
            away = float(self.tree[name].query(mesh.sample(3000, seed=1))[0].mean())
            right &= abs(share - 1.0) <= VOLUME and away <= DISTANCE_MM
            words.append(f"{name} {share:.3f} {away:.2f}")
        return right, "; ".join(words)


def remember_surfaces() -> None:
    """Keep surfaces by the voxels they were made of: most seeds lead to the same ones."""
    import psi_cad.run.segment as room

    made, kept = room.bone_surface, {}

    def bone_surface(volume: Any, solid: Any, *, others: Any = None, **rest: Any) -> Any:
        key = hashlib.sha1(volume.patient_from_index.tobytes() + solid.tobytes() + (b"" if others is None else others.tobytes())).digest()
        if key not in kept:
            if len(kept) > 24:
                kept.clear()
            kept[key] = made(volume, solid, others=others, **rest)
        return kept[key]

    room.bone_surface = bone_surface


def one(volume: Any, truth: Truth, seeds: dict[str, Any], known: Any) -> tuple[str, str]:
    """What became of one run: its kind, and why."""
    from psi_cad.errors import PsiCadError
    from psi_cad.run.segment import segment_bone

    try:
        found = segment_bone(volume, seeds, **({} if known is None else {"known": known}))
    except PsiCadError as error:
        return "refused", str(error)
    right, words = truth.judge({bone.name: bone.mesh for bone in found.bones})
    doubts = [c.text for c in getattr(found, "doubts", ())]
    if doubts:
        return ("told, though right" if right else "told"), f"{words}; {doubts[0]}"
    return ("right" if right else "WRONG"), words


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, so that runs can be added")
    parser.add_argument("--folder", type=Path, default=Path("seeds-out"))
    asked = parser.parse_args()
    from simulated import SCENES, simulate

    from psi_cad.imaging.read import read_volume

    remember_surfaces()
    asked.folder.mkdir(parents=True, exist_ok=True)
    tallies = {}
    for scene in SCENES:
        if asked.scenes and scene.name not in asked.scenes:
            continue
        path = asked.folder / f"{scene.name}.nii.gz"
        if not path.exists():
            simulate(scene, path)
        volume = read_volume(path, kind="ct")
        truth = Truth(path.with_name(f"{scene.name}_truth.nii.gz"), ["hip", "femur", "sacrum"][: {"hip": 1, "hf": 2}.get(scene.bones, 3)])
        try:
            from psi_cad.imaging.parting import divided

            start = time.perf_counter()
            known = divided(volume)
            print(f"{scene.name}: divided in {time.perf_counter() - start:.1f} s", flush=True)
        except ImportError:
            known = None
        tally: Counter[str] = Counter()
        for run in range(asked.first, asked.first + asked.runs):
            seeds = truth.seeds(np.random.default_rng(1000 + run))
            start = time.perf_counter()
            kind, words = one(volume, truth, seeds, known)
            tally[kind] += 1
            shown = " ".join(f"{n}={p[0]:g},{p[1]:g},{p[2]:g}" for n, p in seeds.items())
            print(f"{scene.name} {run} {kind} [{shown}] {words} ({time.perf_counter() - start:.0f} s)", flush=True)
        tallies[scene.name] = dict(tally)
        print(scene.name, json.dumps(tallies[scene.name]), flush=True)
    total: Counter[str] = Counter()
    for tally_of in tallies.values():
        total.update(tally_of)
    print("all", json.dumps(total))


if __name__ == "__main__":
    main()
