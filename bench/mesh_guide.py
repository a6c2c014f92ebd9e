"""The peer of the benchmark: a guide by mesh Booleans (Manifold through trimesh) on the same bone and plane."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import trimesh

from psi_cad.case.load import load_case
from psi_cad.frames import Frame, unit
from psi_cad.siting.about import blade_axes


def main() -> None:
    loaded = load_case(Path(sys.argv[1]))
    case, out = loaded.case, Path(sys.argv[2])
    assert case.bones[0].surface is not None
    bone = trimesh.load_mesh(loaded.resolve(case.bones[0].surface))
    for guide in case.guide:
        origin, normal = case.cut_named(guide.cuts[0]).plane
        z = unit(np.array(guide.approach))
        along, blade = blade_axes(normal, z)
        frame = Frame(origin=origin, axes=np.stack([along, np.cross(blade, along), blade]))
        place = frame.patient_from_frame
        section = bone.section(plane_origin=origin, plane_normal=normal)
        chord = float(np.ptp(np.asarray(section.vertices) @ along))
        thickness = loaded.blade(guide.blade, where="").thickness + 0.15
        plate = trimesh.creation.box((chord, 40.0, 60.0), place)
        shell = trimesh.Trimesh(bone.vertices + 3.0 * bone.vertex_normals, bone.faces, process=False)
        tall = trimesh.Trimesh(bone.vertices + 10.0 * blade, bone.faces, process=False)
        fence = trimesh.creation.box((chord + 16.0, thickness + 4.0, 60.0), place)
        slot = trimesh.creation.box((chord + 10.0, thickness, 200.0), place)
        body = trimesh.boolean.union(
            [trimesh.boolean.intersection([plate, shell], check_volume=False), trimesh.boolean.intersection([fence, tall], check_volume=False)],
            check_volume=False,
        )
        body = trimesh.boolean.difference([body, bone, slot], check_volume=False)
        body.export(out / f"{guide.name}_mesh.stl")


if __name__ == "__main__":
    main()
