"""A guide is the same alone and in company: what variants share is known by all that it was made from."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest
import shapely
from conftest import CASES

import psi_cad
from psi_cad.labelling.fence import LEAST, Words
from psi_cad.sawing.plan import SlotPlan
from psi_cad.stages.digests import digest
from psi_cad.stages.workshop import Workshop

ONE_GUIDE = (CASES / "phantom-type3" / "case.toml").read_text("utf-8").split('[[guide]]\nname = "inferior')[0]
CALLS = []


def count(values, *, scale=1.0):
    CALLS.append(scale)
    return float(np.sum(values)) * scale


def test_a_piece_is_shared_by_content_and_by_nothing_less():
    CALLS.clear()
    shop, values = Workshop(), np.arange(4.0)
    assert shop.made(count, values) == shop.made(count, values.copy()) == 6.0
    assert len(CALLS) == 1
    values[0] = 1.0  # the same array with other content
    assert shop.made(count, values) == 7.0
    assert shop.made(count, values, scale=2.0) == 14.0
    assert Workshop().made(count, values) == 7.0


def counted_twice(shop, values, *, scale=1.0):
    return 2.0 * shop.made(count, values) * scale


def test_a_piece_of_pieces_is_known_by_its_values_and_not_by_its_workshop():
    CALLS.clear()
    shop, values = Workshop(), np.arange(4.0)
    assert shop.assembled(counted_twice, values) == Workshop(shop.shelf).assembled(counted_twice, values.copy()) == 12.0
    assert shop.assembled(counted_twice, values, scale=3.0) == 36.0
    assert len(CALLS) == 1, "and its own pieces are found again"
    with pytest.raises(TypeError, match="top of a module"):
        shop.assembled(lambda shop: shop)


def test_a_function_that_holds_on_to_something_is_refused():
    held = 3
    with pytest.raises(TypeError, match="top of a module"):
        Workshop().made(lambda: held)


@dataclasses.dataclass(frozen=True)
class Thing:
    size: float
    ring: shapely.Polygon


SQUARE = shapely.box(0.0, 0.0, 1.0, 1.0)
VALUES = [
    (1, 2),
    (12,),
    ((1,), 2),
    (1.0, 2),
    ("1", 2),
    (True, 2),
    ("a", "bc"),
    ("ab", "c"),
    (np.zeros(2),),
    (np.zeros((2, 1)),),
    (np.zeros(2, dtype=np.float32),),
    (0.0, 0.0),
    (0.0, -0.0),
    (Thing(1.0, SQUARE),),
    (Thing(1.0, shapely.box(0.0, 0.0, 1.0, 1.0 + 1e-12)),),
    (Thing(np.nextafter(1.0, 2.0), SQUARE),),
    ({"a": 1},),
    (("a", 1),),
    (None,),
    (),
]


def test_digests_tell_values_apart():
    digests = [digest(*values) for values in VALUES]
    assert len(set(digests)) == len(VALUES)
    assert digest(Thing(1.0, shapely.box(0.0, 0.0, 1.0, 1.0))) == digest(Thing(1.0, SQUARE))


def built(case, out, blades):
    """Files and report entry of each guide by blade."""
    report = psi_cad.build(case, out, blades=blades)
    folder = out / report["case"]["id"]
    return {g["blade"]: (g, *((folder / g["files"][kind]).read_bytes() for kind in ("step", "stl", "3mf"))) for g in report["guides"]}


@pytest.mark.slow
def test_second_blade_is_the_same_as_alone(phantom_out, phantom_report, tmp_path):
    together = built(CASES / "phantom-type1", tmp_path, ["generic-20x1.27", "generic-25x0.89"])["generic-25x0.89"]
    alone = phantom_report["guides"][0]
    assert together[0] == alone
    assert together[1:] == tuple((phantom_out / alone["files"][kind]).read_bytes() for kind in ("step", "stl", "3mf"))


@pytest.mark.slow
def test_a_wider_blade_after_a_narrow_one_has_its_own_pins(tmp_path):
    (tmp_path / "case").mkdir()
    shutil.copytree(CASES / "phantom", tmp_path / "phantom")
    case = tmp_path / "case" / "case.toml"
    case.write_text(ONE_GUIDE, "utf-8")
    alone = built(case, tmp_path / "alone", ["generic-20x1.0"])
    together = built(case, tmp_path / "together", ["generic-10x0.6", "generic-20x1.0"])
    assert together["generic-20x1.0"] == alone["generic-20x1.0"]
    assert together["generic-10x0.6"][0]["pins"] != alone["generic-20x1.0"][0]["pins"], "else this pair tells nothing"


def test_walls_stay_whatever_the_clearance():
    for thickness in (0.4, 0.6, 0.89, 1.0, 1.27):
        for clearance in (0.10, 0.15, 0.20):
            width = thickness + clearance
            assert SlotPlan.outer_half(width, 2.0) - width / 2.0 == pytest.approx(2.0)


@pytest.mark.parametrize("length", [8, 20, 40])
def test_words_wrap_and_lose_nothing(length):
    name = ("supra-acetabular-left-superior-ramus-two" if length == 40 else "x" * length)[:length]
    tokens = (f"{name} R", "guide", "generic-25x0.89", "v1")
    words = Words.of(tokens)
    for edges in words.narrowest():
        lines = [words.said(a, b) for a, b in itertools.pairwise(edges)]
        assert "".join(lines).replace(" ", "") == "".join(tokens).replace(" ", "")
    assert max(len(piece) for piece in words.pieces) <= 14
    assert [words.said(a, b) for a, b in itertools.pairwise(words.whole()[-1])] == list(tokens)


def test_letters_are_high_enough(phantom_report):
    assert phantom_report["guides"][0]["label"]["letter_height_mm"] >= LEAST
    assert not [caution for caution in phantom_report["guides"][0]["cautions"] if caution["id"] == "small-letters"]
    assert min(slot["wall_min_mm"] for slot in phantom_report["guides"][0]["slots"]) == pytest.approx(2.0, abs=0.01)
