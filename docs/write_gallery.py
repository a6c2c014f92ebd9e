"""Write docs/gallery.md: every template with its picture, parameters and an example, from what the templates declare; `just gallery` calls this."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from psi_cad.guides.params import described
from psi_cad.guides.registry import any_template, needs_of, site_of, template_files

HERE: Final = Path(__file__).resolve().parent
CASES: Final = HERE.parent / "cases"
HEAD: Final = """# Gallery

Every instrument that psi-cad makes, from what its template declares. `psi-cad templates NAME` prints the same table,
and `--json` gives it to a program. A template is one file: [write your own](templates.md).
"""
PARTS: Final = ("Purpose", "Datum", "Limits", "Files", "Source")
PAGES: Final = {
    "acetabular": "stems.md",
    "allograft": "allograft.md",
    "bone-model": "models.md",
    "coupon": "printing.md",
    "drill": "drilling.md",
    "mould": "spacers.md",
    "osteotomy": "osteotomy-options.md",
    "spacer": "spacers.md",
}  # of the shipped templates; one of your own has its docstring
MADE_BY: Final = {"seat": "[[guide]]", "body": "[[part]]", "free": ""}  # the table of a case that asks for it
FREE_COMMAND: Final = "psi-cad {name} -o out"


def examples() -> dict[str, list[str]]:
    """The example cases that use each template, by its name."""
    found: dict[str, list[str]] = {}
    for path in sorted(CASES.glob("*/case.toml")):
        case = tomllib.loads(path.read_text("utf-8"))
        for one in (*case.get("guide", ()), *case.get("part", ())):
            if path.parent.name not in found.setdefault(str(one["template"]), []):
                found[str(one["template"])].append(path.parent.name)
    return found


def sections(text: str) -> dict[str, str]:
    r"""The parts of a template's docstring, each in one line.

    >>> sections("A: b.\n\nPurpose\n    To be\n    seen.\nDatum\n    None.\n")
    {'Purpose': 'To be seen.', 'Datum': 'None.'}
    """
    found: dict[str, str] = {}
    for name, body in re.findall(r"^(\w+)\n((?:    .*\n?|\n)+)", text, flags=re.MULTILINE):
        if name in PARTS:
            found[name] = " ".join(body.split())
    return found


def table(params: Any) -> str:
    """The parameters of a template, a line each."""
    lines = ["| parameter | default | unit | least | most | what | reference |", "|---|---|---|---|---|---|---|"]
    for one in described(params):
        low, high = ("" if value is None else f"{value:g}" for value in (one["min"], one["max"]))
        default = str(one["default"]).lower() if isinstance(one["default"], bool) else one["default"]
        lines.append(f"| `{one['name']}` | {default} | {one['unit']} | {low} | {high} | {one['help']} | {one['reference']} |")
    return "\n".join(lines) + "\n"


def entry(name: str, cases: list[str], pictures: Path = HERE / "pictures") -> str:
    """What the page says of one template."""
    template = any_template(name, where="templates")
    text, kind = template.__doc__ or "", site_of(template)
    lines = [f"## {name}", "", text.splitlines()[0] if text else "", ""]
    shown = next((one for one in (name, *cases) if (pictures / f"{one}.png").is_file()), None)
    if shown is not None:
        lines += [f"![{name}](pictures/{shown}.png)", ""]
    lines += [f"- **{part}.** {said}" for part, said in sections(text).items()]
    if kind == "seat":
        needs = needs_of(template)
        takes = [f"{low} to {high} {what}" for what, (low, high) in (("cuts", needs.cuts), ("trajectories", needs.trajectories)) if high]
        takes += ["a donor's bone"] if needs.donor else []
        lines.append(f"- **Takes** {', '.join(takes)}; asked for by `{MADE_BY[kind]}` in a case.")
    elif kind == "body":
        lines.append(f"- **Takes** the planned cuts of a bone; asked for by `{MADE_BY[kind]}` in a case.")
    else:
        lines.append("- **Takes** no bone.")
    if kind == "free":
        lines.append(f"- **Try it:** `{FREE_COMMAND.format(name=name)}`")
    elif cases:
        lines.append("- **Try it:** " + ", ".join(f"`psi-cad build cases/{case} -o out` ([{case}](../cases/{case}))" for case in cases))
    links = [f"[{page}]({page})"] if (page := PAGES.get(name)) else []
    file = HERE.parent / "templates" / f"{name.replace('-', '_')}.py"
    links += [f"[the template's file](../templates/{file.name})"] if file.is_file() else []
    lines += [f"- **More:** {', '.join(links)}"] if links else []
    return "\n".join([*lines, "", table(template.Params)])


def written() -> str:
    """The text of the page."""
    cases = examples()
    return "\n".join([HEAD, *(entry(name, cases.get(name, [])) for name in template_files())])


if __name__ == "__main__":
    (HERE / "gallery.md").write_text(written(), "utf-8")
