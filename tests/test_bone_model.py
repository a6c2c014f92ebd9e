"""The bone model: its pieces are the bone, they go together, walls are as thick as asked, and each promise can fail."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
import trimesh
from built_once import built_once
from conftest import CASES
from shapes import block, planned

import psi_cad
from psi_cad import api
from psi_cad.errors import DesignError
from psi_cad.guides.registry import load_body
from psi_cad.intake.loading import load
from psi_cad.intake.prepare import plan_job
from psi_cad.parts.contract import BodySite
from psi_cad.parts.measured import OWN
from psi_cad.readback.printed import Printed
from psi_cad.scene.kerf import Kerf
from psi_cad.stages.workshop import Workshop
from psi_cad.surface.rays import SignedDistance
from psi_cad.surface.solids import joined, mesh_of, printable, solid_of
from psi_cad.verify.features.bore import Bore, measure

CASE = CASES / "phantom-model"
STEM = "model_fdm-generic"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return built_once(tmp_path_factory, "model", lambda folder: psi_cad.build(CASE, folder)) / "phantom-model"


@pytest.fixture(scope="module")
def site():
    (part,) = plan_job(load(CASE), blades=[], progress=lambda step: None).parts
    return part.site


def made(site, **params):
    """The parts by name, and what is told of them."""
    template = load_body("bone-model", where="here")
    design = template.build(site, template.Params(**params), Workshop())
    return {part.name: part for part in design.parts}, [caution.text for caution in design.cautions]


def solid(mesh):
    return solid_of(mesh, name="a part", key="part")


def read(folder, name=""):
    """A part's STL as it was written, corners at one place made one."""
    found = trimesh.load_mesh(folder / f"{STEM}{name}.stl")
    found.merge_vertices()
    return found


def test_the_example_is_delivered_in_colours_and_passes(out):
    report = json.loads((out / "report.json").read_text("utf-8"))
    (part,) = report["parts"]
    assert part["status"] == "passed" and [one["name"] for one in part["parts"]] == ["", "specimen", "tumour"]
    assert api.measure(out)["status"] == "passed"
    for name in ("", "-specimen", "-tumour"):
        mesh = read(out, name)
        assert mesh.is_watertight and mesh.body_count == 1 and mesh.volume > 1000.0
    with zipfile.ZipFile(out / f"{STEM}.3mf") as held:
        model = held.read("3D/3dmodel.model").decode()
    assert all(f'displaycolor="{colour}"' in model.replace('FF"', '"') for colour in ("#E6DCC3", "#7FB2D9", "#C0392B"))


def test_walls_of_the_example_are_as_thick_as_asked(out, site):
    outside = SignedDistance(site.mesh)
    for name in ("", "-specimen"):
        mesh = read(out, name)
        centres = np.asarray(mesh.triangles_center)
        inner = centres[outside(centres) < -0.7]  # no outer face, and no letter
        off = [np.abs((inner - cut.origin) @ cut.normal) for cut in site.cuts.values()]
        hidden = inner[(np.min(off, axis=0) > 12.0)]  # nor anything of a cut face, its pegs and drains
        tumour = SignedDistance(mesh_of(site.tumour_body))
        hidden = hidden[np.abs(tumour(hidden)) > 0.05]
        assert len(hidden) > 500
        assert -outside(hidden).max() >= 2.0 and np.abs(tumour(hidden)).min() >= 2.0
    assert read(out).volume < 0.6 * sum(float(one.volume()) for one in site.apart.retained)


def test_a_socket_that_was_filled_fails(out, tmp_path):
    shutil.copytree(out, tmp_path / "out")
    report = json.loads((out / "report.json").read_text("utf-8"))
    (promised, *_) = [one for one in report["parts"][0]["parts"][0]["features"] if one["kind"] == "bore"]
    mesh = read(out)
    plug = trimesh.creation.cylinder(radius=1.5, height=30.0)
    plug.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], promised["direction"]))
    plug.apply_translation(promised["point"])
    filled = printable(solid(mesh) + (solid(plug) ^ solid(mesh).hull()))
    filled.export(tmp_path / "out" / f"{STEM}.stl")
    (again,) = api.measure(tmp_path / "out")["parts"]
    assert f"bore[{promised['name']}]" in {check["id"] for check in again["checks"] if not check["passed"]}


def test_solid_pieces_are_the_bone_and_go_together(site):
    parts, told = made(site, tumour=False, pegs=3, peg_clearance=0.3)
    assert set(parts) == {"", "specimen"} and told == []
    retained, specimen = (solid(parts[name].shape) for name in ("", "specimen"))
    bone = solid(site.mesh)
    assert float((retained ^ specimen).volume()) < 1e-3, "pegs do not touch their sockets"
    lacking = float((bone - joined([retained, specimen])).volume())
    sockets = 3 * np.pi * (2.15**2 - 2.0**2) * 6.5
    assert sockets < lacking < sockets + 3 * np.pi * 2.15**2 * 0.5 + 60.0, "what lacks are the gaps round pegs, and letters"
    bores = [feature for feature in parts[""].features if isinstance(feature, Bore)]
    assert len(bores) == 3 and {bore.diameter for bore in bores} == {4.3}
    cut = site.cuts["A"]
    deep = (np.asarray(parts["specimen"].shape.vertices) - cut.origin) @ cut.normal
    assert deep.min() == pytest.approx(-6.0, abs=1e-3)


def of(tmp_path, case, *, guides=False, **params):
    """The site and the parts of a model of another example's bone and cuts."""
    text = (CASES / case / "case.toml").read_text("utf-8").replace("../phantom", (CASES / "phantom").as_posix())
    text = (text if guides else text[: text.index("[[guide]]")]) + '\n[[part]]\nname = "model"\ntemplate = "bone-model"\nprinter = "fdm-generic"\n'
    (tmp_path / "case.toml").write_text(text, "utf-8")
    (part,) = plan_job(load(tmp_path / "case.toml"), blades=[], progress=lambda step: None).parts
    return part.site, made(part.site, **params)[0]


def test_pegs_of_cuts_that_meet_let_the_specimen_out(tmp_path):
    _, parts = of(tmp_path, "phantom-two-cut", tumour=False)
    ways = {feature.direction for feature in parts[""].features}
    assert len(parts[""].features) > 2 and len(ways) == 1
    (way,) = ways
    retained, specimen = (solid(parts[name].shape) for name in ("", "specimen"))
    for step in (0.0, 1.0, 3.0, 6.0, 12.0):
        assert float((retained ^ specimen.translate(tuple(step * np.array(way)))).volume()) < 1e-3, step


def engraved(site, part, *, kerf):
    """The cuts in whose face a part has letters: floors that lie 0.6 mm under it."""
    points, found = np.asarray(part.shape.vertices), []
    sign = 1.0 if part.name.startswith("specimen") else -1.0
    for name, cut in site.cuts.items():
        face = (site.kerfs[name].high if sign > 0.0 else site.kerfs[name].low) if kerf else 0.0
        floor = np.abs((points - cut.origin) @ cut.normal - (face + sign * 0.6)) < 1e-4
        if floor.sum() > 50:
            found.append(name)
    return found


def check_letters(site, parts, *, kerf):
    """Each part has letters where its label tells of some, in one face of its own."""
    for part in parts.values():
        assert len(engraved(site, part, kerf=kerf)) == bool(part.label.lines) == 1, part.name


def test_letters_and_pegs_keep_their_depth_where_the_kerf_is_missing(tmp_path):
    site, parts = of(tmp_path, "phantom-two-cut", guides=True, tumour=False, kerf=True)
    check_letters(site, parts, kerf=True)
    assert parts[""].features and printed_bores(parts[""], tmp_path)
    assert len(solid(parts["specimen"].shape).decompose()) == 1, "pegs hang on it"
    assert float((solid(parts[""].shape) ^ solid(parts["specimen"].shape)).volume()) < 1e-3


def test_each_piece_has_its_letters_in_a_face_of_its_own(site):
    bone, cuts = planned(block(120, 40, 60), [("A", [-20, 0, 0], [1, 0, 0]), ("B", [20, 0, 0], [-1, 0, 0])])
    bar = BodySite(None, bone.mesh, cuts, dict.fromkeys(cuts, Kerf()), dict.fromkeys(cuts, 5.0), site.printer, site.label)
    parts, told = made(bar)
    assert set(parts) == {"", "retained-2", "specimen"}
    check_letters(bar, parts, kerf=False)
    assert [engraved(bar, parts[name], kerf=False) for name in ("", "retained-2")] in ([["A"], ["B"]], [["B"], ["A"]])
    assert all("pegs" in text for text in told) and len(told) == 2, "no way leads out of two faces that look at each other"


def printed_bores(part, folder):
    part.shape.export(folder / "part.stl")
    printed = Printed(folder / "part.stl", OWN)
    return all(abs(measure(bore, None, printed)["diameter_mm"] - bore.diameter) < 0.06 for bore in part.features)


def test_a_margin_in_two_pieces_is_delivered_as_two(site):
    sheet = trimesh.creation.box((300.0, 300.0, 6.0))
    sheet.apply_translation((-96.0, 0.0, 80.0))
    template, less = load_body("bone-model", where="here"), []
    found = template._inside(dataclasses.replace(site, tumour=sheet), template.Params(margin=4.0), less)
    assert [piece.name for piece in found] == ["tumour", "margin", "margin-2"] and less == []
    bone, around = solid(site.mesh), found[1].room
    assert sum(piece.solid.volume() for piece in found[1:]) == pytest.approx(((bone ^ around) - found[0].solid).volume(), rel=1e-6)


def test_fit_takes_as_much_off_as_asked(roomy, site):
    parts, _ = made(roomy, cut=False, tumour=False, fit=0.2)
    points = np.asarray(parts[""].shape.triangles_center)
    off = [np.abs((points - cut.origin) @ cut.normal) for cut in site.cuts.values()]
    away = -SignedDistance(site.mesh)(points[np.min(off, axis=0) > 1.0])  # no engraved line
    assert np.median(away) == pytest.approx(0.2, abs=0.01) and np.quantile(away, 0.99) < 0.25


@pytest.fixture(scope="module")
def roomy(site):
    """The same for a printer that has room for the whole bone."""
    return dataclasses.replace(site, printer=site.printer.model_copy(update={"build_volume": (300.0, 300.0, 300.0)}))


def test_a_bone_too_large_for_the_printer_is_refused_by_the_parameter_that_parts_it(site, roomy):
    with pytest.raises(
        DesignError, match=r"'bone' of 133 x 155 x 217 mm is 17 mm too large for printer fdm-generic; set params\.cut = true, .*printer"
    ):
        made(site, cut=False)
    assert set(made(roomy, cut=False, tumour=False)[0]) == {""}
    small = dataclasses.replace(site, printer=site.printer.model_copy(update={"build_volume": (100.0, 100.0, 100.0)}))
    with pytest.raises(DesignError, match=r"'retained' of .* too large for printer fdm-generic; name a larger printer\.$"):
        made(small)


def test_a_whole_bone_shows_its_cuts_as_lines(roomy, site):
    parts, _ = made(roomy, cut=False, tumour=False)
    (mesh,) = [part.shape for part in parts.values()]
    points = np.asarray(mesh.vertices)
    deep = -SignedDistance(site.mesh)(points)
    cut = site.cuts["A"]
    off = np.abs((points - cut.origin) @ cut.normal)
    assert deep[off > 0.5].max() < 0.01 and deep[off <= 0.5].max() >= 0.6
    assert mesh.is_watertight


def test_a_tumour_that_parts_the_bone_is_refused_by_name(site):
    sheet = trimesh.creation.box((300.0, 300.0, 6.0))
    sheet.apply_translation((-96.0, 0.0, 80.0))
    with pytest.raises(psi_cad.errors.DesignError, match="falls into . parts; set tumour = false, or lower margin"):
        made(dataclasses.replace(site, tumour=sheet))


def test_what_is_less_than_asked_is_told(site):
    _, told = made(site, pegs=4, peg_diameter=10.0, peg_length=20.0, shell=8.0, tumour=False, window=10.0)
    assert any("pegs: there is no room for more" in text for text in told)
    assert any("is solid" in text for text in told)
    assert any("no window" in text for text in told)


def test_a_surface_that_touches_itself_stays_closed_in_an_stl(tmp_path):
    one = trimesh.creation.box((1.0, 1.0, 1.0))
    two = one.copy()
    two.apply_translation((1.0, 1.0, 0.0))  # they share an edge
    both = solid(trimesh.util.concatenate([one, two]))
    mesh = mesh_of(both)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(tmp_path / "touching.stl")
    assert not Printed(tmp_path / "touching.stl", OWN).closed
    printable(both).export(tmp_path / "apart.stl")
    assert Printed(tmp_path / "apart.stl", OWN).closed
