"""Tables and picture of docs/speed.md from docs/speed.json, as `growth.py`, `peers.py`, `warm.py` and `batch.py` left it (`--keep`)."""

from __future__ import annotations

import json
import re
from typing import Any

import matplotlib as mpl
from watched import DOCS, KEPT

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "psi-cad"  # the same picture from the same numbers
import matplotlib.pyplot as plt  # noqa: E402  # after its backend is chosen

PICTURE = DOCS / "pictures" / "speed.svg"
PAGE = DOCS / "speed.md"


def rows_of(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def growth_tables(growth: dict[str, Any]) -> str:
    """By triangles, and by cuts."""
    sizes = [
        [f"{row['triangles']:,}", f"{row['loading_s']:.1f} s", f"{row['after_s']:.1f} s", f"{row['after_cpu_s']:.1f} s", f"{row['peak_mib']} MiB"]
        for row in growth["sizes"]
    ]
    cuts = [[row["cuts"], f"{row['seconds']:.1f} s", f"{row['peak_mib']} MiB"] for row in growth["cuts"]]
    return (
        rows_of(["triangles of the bone", "loading", "after it", "after it, processor time", "all processes"], sizes)
        + f"\n\nAfter loading, a million triangles cost {growth['ratio_1m_100k']} times as much as 100,000"
        + f" ({growth['cpu_ratio_1m_100k']} in processor time; bar: 1.5).\n\n"
        + rows_of(["cuts, each with its guide", "wall", "all processes"], cuts)
    )


def peer_tables(peers: dict[str, Any]) -> str:
    """psi-cad beside what else a user would take."""
    vtk, sewn, guess = peers["vtk"], peers["sewn"], peers["sewn"]["extrapolated"]

    def took(one: dict[str, Any]) -> list[str]:
        return [f"{one['seconds']:.1f} s", f"{one['peak_mib']} MiB"]

    rows = [
        ["psi-cad build, everything measured, STEP", *took(peers["psi_cad"]), ""],
        [
            "mesh Booleans (Manifold), nothing measured, no STEP",
            f"{peers['mesh_booleans']['seconds']:.1f} s",
            f"{peers['mesh_booleans']['peak_mib']} MiB",
            "",
        ],
        ["one block less the bone, Manifold", f"{vtk['manifold_each']:.2f} s", "", f"0 of {vtk['places']} failed"],
        ["one block less the bone, VTK's Boolean filter", f"{vtk['seconds_each']:.2f} s", "", f"{vtk['failed']} of {vtk['places']} failed"],
        *(
            [
                f"{row['triangles']:,} facets sewn into a solid, one cut",
                f"{row['seconds']:.1f} s",
                f"{row['peak_mib']} MiB",
                "" if row["done"] else "no result",
            ]
            for row in sewn["rows"]
        ),
        [f"{guess['triangles']:,} facets (extrapolated, power {sewn['power']})", f"{guess['seconds']} s", f"{guess['peak_mib']} MiB", ""],
    ]
    return rows_of(["way", "wall", "all processes", "failures"], rows)


def batch_table(batch: dict[str, Any]) -> str:
    """One worker and two."""
    rows = [
        [
            run["workers"],
            run["counts"]["tasks"],
            f"{run['seconds']:.0f} s",
            f"{run['worker_mib']} MiB",
            f"{run['all_mib']} MiB",
            f"{run['main_cpu_s']:.1f} s",
        ]
        for run in sorted(batch["runs"], key=lambda run: run["workers"])
    ]
    return rows_of(["workers", "jobs", "wall", "most of one worker, with all below it", "all processes", "processor time of the main process"], rows)


def warm_table(warm: dict[str, Any]) -> str:
    """What a change costs in a session."""
    rows = [
        [
            row["change"],
            f"{row['wall_s']:.2f} s",
            f"{row['wall_ratio']:.2f}",
            "" if row["bar"] is None else f"{row['bar']:g}",
            f"{row['cpu_s']:.2f} s",
            f"{row['cpu_ratio']:.2f}",
        ]
        for row in warm["rows"]
    ]
    return rows_of(["change", "wall", "ratio", "bar", "processor time", "ratio"], rows)


def drawn(found: dict[str, Any]) -> None:
    """The picture: a build by triangles, and the peers by facets."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.2), layout="constrained")
    sizes = found["growth"]["sizes"]
    left.plot([row["triangles"] for row in sizes], [row["after_s"] for row in sizes], "o-", label="after loading")
    left.plot([row["triangles"] for row in sizes], [row["loading_s"] for row in sizes], "s--", label="loading")
    left.set(xscale="log", xlabel="triangles of the bone", ylabel="seconds", title="one guide, by the size of its bone", ylim=(0, None))
    left.legend(frameon=False)
    sewn = found["peers"]["sewn"]
    guess = sewn["extrapolated"]
    right.plot([row["triangles"] for row in sewn["rows"]], [row["seconds"] for row in sewn["rows"]], "o-", label="facets sewn into a solid, one cut")
    right.plot(
        [sewn["rows"][-1]["triangles"], guess["triangles"]], [sewn["rows"][-1]["seconds"], guess["seconds"]], "o:", color="C0", label="extrapolated"
    )
    right.axhline(found["peers"]["psi_cad"]["seconds"], color="C1", label="psi-cad, the whole guide on the whole bone")
    right.set(xscale="log", yscale="log", xlabel="facets", ylabel="seconds", title="beside a B-rep of facets")
    right.legend(frameon=False, fontsize=8)
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    found = json.loads(KEPT.read_text("utf-8"))
    text = PAGE.read_text("utf-8")
    tables = {"growth": growth_tables, "peers": peer_tables, "batch": batch_table, "warm": warm_table}
    for name, table in tables.items():
        if name in found:
            said = table(found[name])
            text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda mark, said=said: f"{mark[1]}{said}\n{mark[2]}", text, flags=re.DOTALL)
    PAGE.write_text(text, "utf-8")
    if {"growth", "peers"} <= found.keys():
        drawn(found)


if __name__ == "__main__":
    main()
