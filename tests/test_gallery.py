"""The gallery is made from what templates declare: it is as they are now, and a template that somebody adds is in it."""

import importlib.util
import re

import pytest
from conftest import ROOT

from psi_cad.guides.params import described
from psi_cad.guides.registry import any_template, template_files


@pytest.fixture(scope="module")
def gallery():
    found = importlib.util.spec_from_file_location("write_gallery", ROOT / "docs" / "write_gallery.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_is_as_the_templates_are(gallery):
    assert (ROOT / "docs" / "gallery.md").read_text("utf-8") == gallery.written(), "run `just gallery`"


def test_every_template_has_a_picture_an_example_and_its_parameters(gallery):
    text = gallery.written()
    for name in template_files():
        entry = text[text.index(f"\n## {name}\n") :].split("\n## ")[1]
        assert "![" in entry and "**Try it:**" in entry, name
        page, file = re.search(r"\*\*More:\*\* \[.*?\]\((.*?)\), \[.*?\]\((.*?)\)", entry).groups()
        assert (ROOT / "docs" / page).is_file() and (ROOT / "docs" / file).resolve().is_file() and "**Files.** `" in entry, name
        assert all(f"\n| `{one['name']}` | " in entry for one in described(any_template(name, where="here").Params)), name


def test_a_template_that_is_copied_appears(gallery, tmp_path, monkeypatch):
    text = (ROOT / "templates" / "_template.py").read_text("utf-8")
    (tmp_path / "mine_too.py").write_text(text, "utf-8")
    before = gallery.written()
    monkeypatch.setenv("PSI_CAD_TEMPLATES", str(tmp_path))
    after = gallery.written()
    assert "## mine-too\n" in after and "## mine-too\n" not in before and text.splitlines()[0].strip('"') in after


def test_a_docstring_is_read_part_by_part(gallery):
    said = gallery.sections("A: b.\n\nPurpose\n    To be\n    seen.\n\nOther\n    Not shown.\nSource\n    None.\n")
    assert said == {"Purpose": "To be seen.", "Source": "None."}
