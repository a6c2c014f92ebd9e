"""How a build grows with the bone's triangles and with the number of cuts: `python bench/growth.py`; `--keep` writes it into docs/speed.json.

The bone is the phantom, sampled finer and finer, so that nothing but the number of triangles changes. Loading is all until the cuts are planned:
the file is read, its surface checked and its side told from its shape. Times of one run are compared with each other alone;
processor time, of all processes together, depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import trimesh
from watched import PSI_CAD, busy, keep, ran

from psi_cad.export.meshes import write_stl
from psi_cad.phantom.hemipelvis import bone_mesh

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
OF_SPACING = 181_000  # triangles of the phantom at a spacing of 1 mm; they go by its square
FINEST = 100_000  # of one sampling
TRIES = 10
CUTS = (1, 2, 3, 4)
TIMES = 3
PLANNED = "plan the cuts"
HEAD = """schema = 1
id = "growth"
side = "right"

[bone]
surface = "bone.stl"
units = "mm"
coordinates = "LPS"
"""
CUT = """
[[cut]]
name = "{name}"
origin = [-96.0, -8.0, {z}]
normal = [0.0, 0.15, 1.0]

[[guide]]
name = "guide-{lower}"
template = "osteotomy"
cuts = ["{name}"]
approach = [-1.0, -0.1, 0.0]
blade = "generic-25x0.89"
printer = "fdm-ultem1010"
"""


def phantom(triangles: int) -> trimesh.Trimesh:
    """The phantom's right hemipelvis of about so many triangles; many come from dividing each of fewer in four, smoothly (Loop)."""
    times, sampled = 0, float(triangles)
    while sampled > FINEST:
        times, sampled = times + 1, sampled / 4.0
    for wider in range(TRIES):  # at some spacings a sliver is left out of the sampling
        mesh = bone_mesh(spacing=(OF_SPACING / sampled) ** 0.5 * (1.0 + 0.01 * wider))
        if mesh.is_watertight:
            return trimesh.Trimesh(*trimesh.remesh.subdivide_loop(mesh.vertices, mesh.faces, iterations=times), process=False) if times else mesh
    raise SystemExit(f"no closed phantom of {triangles} triangles was found")


def built(folder: Path, cuts: int) -> dict[str, Any]:
    """Builds of a bone in `folder`: how long the middle one of those took that nobody watched; memory and processor time of one more."""
    levels = [35.0 + 7.0 * number for number in range(cuts)]
    said = [CUT.format(name=chr(65 + number), lower=chr(97 + number), z=z) for number, z in enumerate(levels)]
    (folder / "case.toml").write_text(HEAD + "".join(said), "utf-8")
    command = [*PSI_CAD, "build", str(folder / "case.toml"), "-o", str(folder / "out"), "--no-suggest"]
    timed = sorted((ran(command, every_s=0.0) for _ in range(TIMES)), key=lambda took: took.seconds - took.at(PLANNED))[TIMES // 2]
    took = ran(command)
    if took.code != 0 or timed.code != 0:
        raise SystemExit(took.said)
    spent = next(cpu for cpu, (_, step) in zip(took.cpu_at, took.steps, strict=True) if PLANNED in step)
    return {
        "seconds": round(timed.seconds, 2),
        "loading_s": round(timed.at(PLANNED), 2),
        "after_s": round(timed.seconds - timed.at(PLANNED), 2),
        "after_cpu_s": round(took.cpu_s - spent, 2),
        "peak_mib": round(took.peak_mib),
        "steps": [[seconds, step] for seconds, step in timed.steps],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--cuts", type=int, nargs="*", default=CUTS)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"sizes": [], "cuts": [], **busy()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in arguments.sizes:
            mesh = phantom(size)
            write_stl(folder / "bone.stl", mesh, header="phantom, mm, SPACE=LPS")
            row = {"triangles": len(mesh.faces), **built(folder, 1)}
            found["sizes"].append(row)
            print(
                f"{row['triangles']:9d} triangles: loading {row['loading_s']:.1f} s, after {row['after_s']:.1f} s, {row['peak_mib']} MiB",
                flush=True,
            )
        if arguments.cuts:
            write_stl(folder / "bone.stl", phantom(45_000), header="phantom, mm, SPACE=LPS")
        for cuts in arguments.cuts:
            row = {"cuts": cuts, **built(folder, cuts)}
            found["cuts"].append(row)
            print(f"{cuts} cuts, a guide each  {row['seconds']:6.1f} s  {row['peak_mib']} MiB", flush=True)
    by_size = dict(zip(arguments.sizes, found["sizes"], strict=True))
    if {100_000, 1_000_000} <= by_size.keys():
        for key, name in (("after_s", "ratio_1m_100k"), ("after_cpu_s", "cpu_ratio_1m_100k")):
            found[name] = round(by_size[1_000_000][key] / by_size[100_000][key], 2)
        print(f"1 M / 100 k triangles after loading: {found['ratio_1m_100k']} in wall, {found['cpu_ratio_1m_100k']} in processor time")
    if arguments.keep:
        keep("growth", found)


if __name__ == "__main__":
    main()
