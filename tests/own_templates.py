"""What templates that tests write have in common, and the phantom's case as text, to be changed."""

from conftest import CASES

SECTIONS = {"Purpose": "To be tested.", "Limits": "None.", "Source": "None."}
PHANTOM = (CASES / "phantom-type1" / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())


def head(title: str, *, datum: str = "The patient frame.") -> str:
    """The docstring that a template has to have."""
    said = {"Purpose": SECTIONS["Purpose"], "Datum": datum, **{name: SECTIONS[name] for name in ("Limits", "Source")}}
    return '"""' + title + "\n\n" + "".join(f"{name}\n    {text}\n" for name, text in said.items()) + '"""\n'
