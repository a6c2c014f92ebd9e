"""`index.html`: a picture of every guide and part, what failed in words, and a filter by status."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from psi_cad.batch.told import STATUSES
from psi_cad.files import whole_file
from psi_cad.outputs.notice import NOT_A_DEVICE

__all__ = ["PAGE", "write_page"]

PAGE: Final = "index.html"
HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>psi-cad batch</title><style>
body{font:15px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
nav label{margin-right:1.2em}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1em;margin-top:1em}
article{border:1px solid #ccc;border-left:6px solid #888;padding:.7em;overflow-wrap:anywhere}
article img{width:100%;height:200px;object-fit:contain;background:#f6f6f6}
article h2{font-size:1em;margin:.4em 0}
p{margin:.3em 0}
.done{border-left-color:#2a7d3f}.rejected,.failed{border-left-color:#b3261e}.refused{border-left-color:#b07000}
"""
SHOWN: Final = "body:not(:has(#s-{status}:checked)) article.{status}{{display:none}}\n"


def write_page(out: Path, said: Mapping[str, Any]) -> None:
    """Write the page of what `batch.json` holds; it needs nothing but the files beside it."""
    counts = said["counts"]
    there = [status for status in STATUSES if counts[status]]
    boxes = "".join(f'<label><input type="checkbox" id="s-{status}" checked> {status} ({counts[status]})</label>' for status in there)
    rules = "".join(SHOWN.format(status=status) for status in there)
    cards = "\n".join(_card(row) for row in said["tasks"])
    head = f"{HEAD}{rules}</style></head><body><h1>{counts['tasks']} jobs</h1><p>{NOT_A_DEVICE}</p><nav>{boxes}</nav>"
    text = f"{head}<main>\n{cards}\n</main></body></html>\n"
    with whole_file(out / PAGE) as path:
        path.write_text(text, "utf-8", newline="\n")


def _card(row: Mapping[str, Any]) -> str:
    files = row["files"]
    shown = "the place that is refused" if row["status"] == "refused" else "the part" if "part" in row else "the guide on its bone"
    picture = f'<a href="{quote(files["png"])}"><img loading="lazy" src="{quote(files["png"])}" alt="{shown}"></a>' if "png" in files else ""
    links = " ".join(f'<a href="{quote(name)}">{escape(kind.upper())}</a>' for kind, name in files.items())
    reasons = "".join(f"<p>{escape(part)}</p>" for part in str(row["reason"]).split("; ") if part)
    settings = f"<p>{escape(', '.join(row['settings']))}</p>" if row["settings"] else ""
    what = f"part {row['part']}" if "part" in row else row["guide"]
    tools = " · ".join(escape(tool) for tool in (row["blade"], row["printer"]) if tool)
    return (
        f'<article class="{row["status"]}">{picture}<h2>{escape(row["case"])}: {escape(what)}</h2>'
        f"<p><b>{row['status']}</b> · {tools}</p>{settings}{reasons}<p>{links}</p></article>"
    )
