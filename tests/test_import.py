"""`import-ct` and `import-mri`: nothing of the patient comes out, the same bytes twice, coarse scans are told."""

import json

import numpy as np
import pytest
from synthetic_scan import (
    AXES,
    EVEN,
    SECRETS,
    TURNS,
    off_phantom,
    rotation,
    stack,
    write_series,
)

from psi_cad.imaging.scan_files import read_volume


def test_import_writes_no_identity(tmp_path, run):
    folder = write_series(tmp_path / "scan", *stack(EVEN, axes=AXES @ rotation([1, 0, 0], 12.0).T, stacking=[0, 0, 1]))
    write_series(tmp_path / "scan" / "more", *stack(EVEN[:5]), series="1.2.3.4", modality="MR")
    said = []
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        done = run("import-ct", folder, "-o", tmp_path / "out" / f"ct{suffix}", "--json")
        assert done.returncode == 0, done.stderr
        said += [done.stdout, done.stderr]
        assert json.loads(done.stdout)["facts"]["tilt_deg"] == pytest.approx(12.0, abs=1e-3)
    said += [(listed := run("import-ct", folder, "--list")).stdout, listed.stderr]
    assert "20 slices" in listed.stdout and "MR" in listed.stdout
    wrong = run("import-ct", folder, "--series", "9", "-o", tmp_path / "out" / "x.mha")
    assert wrong.returncode == 2 and wrong.stderr.count("psi-cad:") == 1
    said += [wrong.stderr]
    import gzip

    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        said.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin-1"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ct.json", "ct.mha", "ct.nii.gz", "ct.nrrd", "ct.png"]
    for secret in SECRETS:
        assert not [text[:80] for text in said if secret in text]


def test_import_is_the_same_twice_and_reads_back(tmp_path, run):
    folder = write_series(tmp_path / "scan", *stack(EVEN, axes=TURNS["oblique"]))
    for name in ("a", "b"):
        assert run("import-ct", folder, "-o", tmp_path / name / "ct.nii.gz").returncode == 0
    assert (tmp_path / "a" / "ct.nii.gz").read_bytes() == (tmp_path / "b" / "ct.nii.gz").read_bytes()
    volume = read_volume(tmp_path / "a" / "ct.nii.gz", kind="ct")
    assert off_phantom(volume).max() < 0.6  # NIfTI keeps the place in 32 bits


def test_coarse_slices_are_told_and_forced(tmp_path, run):
    folder = write_series(tmp_path / "scan", *stack(3.0 * np.arange(8)))
    plain, forced = tmp_path / "plain.nrrd", tmp_path / "forced.nrrd"
    assert "too coarse for a guide" in run("import-ct", folder, "-o", plain).stdout
    assert "Forced" in run("import-ct", folder, "-o", forced, "--force").stdout
    assert "3.00 mm" in read_volume(plain).facts["refuse_guide"] and not read_volume(plain).facts["forced"]
    assert read_volume(forced).facts["forced"]
    (tmp_path / "mr").mkdir()
    mri = write_series(tmp_path / "mr", *stack(4.0 * np.arange(8)), modality="MR")
    done = run("import-mri", mri, "-o", tmp_path / "mr.nrrd")
    assert done.returncode == 0 and "too coarse" not in done.stdout
