"""Registration against a known standard from many starts: `python bench/register.py FOLDER [--starts 20] [--seed 1]`.

FOLDER holds ct.nii.gz, mr_t1.nii.gz and ground_truth.json (the RIRE pair of the data folder). Each start is the standard moved by a
random rigid transform within 30 mm and 15°; prints the mean error at the standard's own corner points and at the body's box.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from psi_cad.errors import RegistrationError
from psi_cad.imaging.scan_files import read_volume
from psi_cad.registration.register import register
from psi_cad.registration.rigid import distance, rotation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    truth = json.loads((given.folder / "ground_truth.json").read_text("utf-8"))
    standard = np.array(truth["matrix_ct_to_mr_4x4_row_major"])
    corners = np.array(truth["corner_points_ct_xyz_to_mr_xyz"])[:, :3]
    ct, mri = read_volume(given.folder / "ct.nii.gz"), read_volume(given.folder / "mr_t1.nii.gz")
    rng = np.random.default_rng(given.seed)
    errors = []
    for number in range(given.starts):
        turn, shift = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        degrees, mm = 15.0 * rng.uniform() ** (1 / 3), 30.0 * rng.uniform() ** (1 / 3)  # even in the ball: most of it lies far out
        start = standard @ rotation(np.radians(degrees) * turn, about=corners.mean(axis=0), shift=mm * shift)
        began = time.perf_counter()
        try:
            found = register(ct, mri, start=start)
        except RegistrationError as error:
            print(f"{number:3d}  {mm:5.1f} mm {degrees:5.1f}°  REFUSED: {error}", flush=True)
            errors.append(np.inf)
            continue
        wrong = [float(distance(found.moving_from_fixed, standard, at=at).mean()) for at in (corners, found.box)]
        errors.append(wrong[0])
        print(
            f"{number:3d}  {mm:5.1f} mm {degrees:5.1f}°  error {wrong[0]:.2f} mm at the field's corners, {wrong[1]:.2f} at the body's; "
            f"{found.agreeing}/{found.starts} agree, there and back {found.inverse_mm:.2f} mm, {time.perf_counter() - began:.1f} s",
            flush=True,
        )
    print(f"worst {max(errors):.2f} mm; {sum(e <= 2.0 for e in errors)} of {len(errors)} within 2.0 mm")


if __name__ == "__main__":
    main()
