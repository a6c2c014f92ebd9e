"""Make docs/pictures/*.png from what psi-cad drew, scaled for a page.

Usage: python docs/draw_pictures.py FOLDER   (where `just pictures` built, planned and segmented the phantom)
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
WIDTH = 1400  # pixels
COLOURS = 255
MOST_BYTES = 500_000
PICTURES = {
    "phantom-type1.png": "phantom-type1/supra-acetabular_*.png",
    "phantom-two-cut.png": "phantom-two-cut/chevron_*.png",
    "phantom-drill.png": "phantom-drill/roof_*.png",
    "phantom-acetabular.png": "phantom-acetabular/stem_generic-reamer-8.0.png",
    "stem.png": "phantom-acetabular/stem_generic-reamer-8.0-stem.png",
    "phantom-model.png": "phantom-model/model_*.png",
    "phantom-spacer.png": "phantom-spacer/cast_*.png",
    "spacer.png": "phantom-spacer/trial_*.png",
    "coupon.png": "coupon/*/coupon.png",
    "allograft.png": "phantom-allograft/graft_*.png",
    "phantom-margins.png": "near/phantom-type1/plan-margins.png",
    "phantom-ct.png": "bones/hip.png",
}


def scaled(source: Path, target: Path) -> None:
    """Write a picture no wider than `WIDTH` and no larger than `MOST_BYTES`; in few colours, each near to the true one."""
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(target, optimize=True)
    size = target.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{target.name} has {size} bytes, more than {MOST_BYTES}; lower WIDTH.")
    sys.stdout.write(f"{target.name}: {picture.width} x {picture.height}, {size / 1000:.0f} kB, from {source.name}\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, pattern in PICTURES.items():
        (found,) = sorted(folder.glob(pattern))
        scaled(found, HERE / "pictures" / name)
