"""Random seeds in simulated CTs: is each bone right, refused, told of, or wrong without a word? `python bench/seeds.py --runs 4 [SCENE …]`

Every run puts one seed into each bone of a scene: anywhere in it, or up to 0.8 mm outside. Right: each bone's volume is within 2 % of
the truth, and its surface lies within 0.3 mm of it on average. Scenes and scans: `bench/simulated.py`, which needs `PSI_CAD_DATA`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
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

        from psi_cad.extraction.isosurface import surface_of_mask
        from psi_cad.voxels.volume import Volume

        self.labels = Volume.from_sitk(sitk.ReadImage(str(path)))
        self.names = names
        self.voxel = float(np.prod(self.labels.spacing))
        self.volume = {n: float((self.labels.values == k).sum()) * self.voxel for k, n in enumerate(names, 1)}
        self.tree = {}
        self.known: dict[int, tuple[trimesh.Trimesh, float]] = {}
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

    def away(self, name: str, mesh: trimesh.Trimesh) -> float:
        """Mean distance in mm of a bone's surface from the truth."""
        if id(mesh) not in self.known:
            self.known[id(mesh)] = (mesh, float(self.tree[name].query(mesh.sample(3000, seed=1))[0].mean()))
        return self.known[id(mesh)][1]

    def judge(self, meshes: dict[str, trimesh.Trimesh], names: Iterable[str]) -> tuple[bool, str]:
        """Whether all bones of these names are right, and their numbers in words."""
        right, words = True, []
        for name in names:
            mesh = meshes.get(name)
            if mesh is None:
                right = False
                words.append(f"{name} missing")
                continue
            share = float(mesh.volume) / self.volume[name]
            away = self.away(name, mesh)
            right &= abs(share - 1.0) <= VOLUME and away <= DISTANCE_MM
            words.append(f"{name} {share:.3f} {away:.2f}")
        return right, "; ".join(words)


def remembered(made: Callable[..., Any], copies: bool = True) -> Callable[..., Any]:
    """`made` with its outcomes kept by what went in: most seeds lead to the same bones, and each step is a function of its input alone."""
    kept: dict[bytes, Any] = {}

    def told(value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            return hashlib.sha1(np.ascontiguousarray(value).tobytes()).digest()
        return hashlib.sha1(value.patient_from_index.tobytes() + value.values.tobytes()).digest() if hasattr(value, "patient_from_index") else b""

    def call(*arguments: Any, **rest: Any) -> Any:
        key = b"".join(told(value) for value in (*arguments, *rest.values())) + str([v for v in arguments if isinstance(v, int)]).encode()
        if key not in kept:
            if len(kept) > 24:
                kept.clear()
            kept[key] = made(*arguments, **rest)
        return copy.copy(kept[key]) if copies else kept[key]

    return call


def remember_steps() -> None:
    """Keep surfaces and labels by what they were made of."""
    import psi_cad.bones.segment as room
    import psi_cad.segmentation.segment as labels

    room.bone_surface = remembered(room.bone_surface, copies=False)
    for step in ("_flooded", "settled", "_solids"):
        setattr(labels, step, remembered(getattr(labels, step)))
    looked, kept = room.border_of, {}

    def border_of(mesh: Any, *rest: Any) -> Any:
        if id(mesh) not in kept:
            kept[id(mesh)] = (mesh, looked(mesh, *rest))  # the mesh too, so that no other gets its number
        return kept[id(mesh)][1]

    room.border_of = border_of


def one(volume: Any, truth: Truth, seeds: dict[str, Any], known: Any, cut: Any = None) -> tuple[str, str, Any]:
    """What became of one run: its kind, why, and the place that psi-cad names."""
    from psi_cad.bones.segment import segment_bone
    from psi_cad.errors import PsiCadError
    from psi_cad.segmentation.correcting import Corrections

    try:
        found = segment_bone(volume, seeds, known=known, corrections=None if cut is None else Corrections(cut_here=(cut,)))
    except PsiCadError as error:
        return "refused", str(error), getattr(error, "where", None)
    right, words = truth.judge({bone.name: bone.mesh for bone in found.bones}, seeds)
    words += "; blur " + " ".join(f"{bone.fit.sigma[0]:.2f} (own {bone.fit.own_sigma:.2f})" for bone in found.bones if bone.fit is not None)
    if found.doubts:
        place = next((c.where for c in found.doubts if c.where is not None), None)
        return ("told, though right" if right else "told"), f"{words}; {' '.join(c.text for c in found.doubts)}", place
    return ("right" if right else "WRONG"), words, None


def once_corrected(volume: Any, truth: Truth, seeds: dict[str, Any], known: Any, kind: str, words: str, place: Any) -> tuple[str, str]:
    """The run again with one correction, from what psi-cad says alone: `--cut-here` where a doubt or a refusal says, or the seed put elsewhere."""
    if place is None:
        return kind, "no place is told"
    if kind == "refused" and "--cut-here=" not in words:
        name = next((n for n in seeds if f"seed of {n} " in words), None)
        if name is None:
            return kind, "no seed is named"
        again = one(volume, truth, {**seeds, name: tuple(place)}, known)
    else:
        again = one(volume, truth, seeds, known, tuple(place))
    return again[0], again[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, so that runs can be added")
    parser.add_argument("--fresh", type=int, nargs="*", default=[], help="numbers of scenes drawn by lot")
    parser.add_argument("--alone", action="store_true", help="a seed in one bone of the scene only, each bone in turn")
    parser.add_argument("--json", type=Path, help="every run, written after each scene")
    parser.add_argument("--folder", type=Path, default=Path("seeds-out"))
    asked = parser.parse_args()
    from simulated import SCENES, fresh, simulate

    from psi_cad.imaging.scan_files import read_volume
    from psi_cad.segmentation.parting import divided

    remember_steps()
    asked.folder.mkdir(parents=True, exist_ok=True)
    tallies, runs = {}, []
    drawn = [fresh(number) for number in asked.fresh]
    for scene in [*drawn, *(one for one in SCENES if one.name in asked.scenes or not (asked.scenes or drawn))]:
        if scene in drawn:
            print(scene, flush=True)
        path = asked.folder / f"{scene.name}.nii.gz"
        if not path.exists():
            simulate(scene, path)
        volume = read_volume(path, kind="ct")
        truth = Truth(path.with_name(f"{scene.name}_truth.nii.gz"), ["hip", "femur", "sacrum"][: {"hip": 1, "hf": 2}.get(scene.bones, 3)])
        start = time.perf_counter()
        known = divided(volume)
        print(f"{scene.name}: divided in {time.perf_counter() - start:.1f} s", flush=True)
        tally: Counter[str] = Counter()
        for run in range(asked.first, asked.first + asked.runs):
            seeds = truth.seeds(np.random.default_rng(1000 + run))
            if asked.alone:
                seeds = dict([list(seeds.items())[run % len(seeds)]])
            start = time.perf_counter()
            kind, words, place = one(volume, truth, seeds, known)
            tally[kind] += 1
            if kind not in ("right", "WRONG"):
                after, said = once_corrected(volume, truth, seeds, known, kind, words, place)
                tally[f"corrected once: {after}"] += 1
                words += f" -> {after}: {said}"
            shown = " ".join(f"{n}={p[0]:g},{p[1]:g},{p[2]:g}" for n, p in seeds.items())
            runs.append({"scene": scene.name, "run": run, "kind": kind, "seeds": seeds, "said": words})
            print(f"{scene.name} {run} {kind} [{shown}] {words} ({time.perf_counter() - start:.0f} s)", flush=True)
        tallies[scene.name] = dict(tally)
        print(scene.name, json.dumps(tallies[scene.name]), flush=True)
        if asked.json is not None:
            asked.json.write_text(json.dumps({"tallies": tallies, "runs": runs}, indent=1), encoding="utf-8")
    total: Counter[str] = Counter()
    for tally_of in tallies.values():
        total.update(tally_of)
    print("all", json.dumps(total))


if __name__ == "__main__":
    main()
