"""A guide that cannot be built, or fails its checks, on its first seat is made on the next; what was built first stands if there is none."""

from types import SimpleNamespace

import pytest
from conftest import CASES

from psi_cad.builder import guides as build
from psi_cad.builder.kept import Kept
from psi_cad.builder.tasks import Shown, Task
from psi_cad.case.load import load_case
from psi_cad.drawing.artist import Artist
from psi_cad.errors import DesignError, KernelError
from psi_cad.inspection.inspect import Inspector
from psi_cad.intake.prepare import plan_job
from psi_cad.records.guide import MeasuredFiles, MeasuredSeat
from psi_cad.records.shared import CheckSaid


@pytest.fixture(scope="module")
def job():
    return plan_job(load_case(CASES / "phantom-type1" / "case.toml"), blades=[], progress=lambda step: None)


def bench_on(job, tmp_path, monkeypatch, outcome, seats=3):
    """A bench whose designs end as `outcome(site)` says; and the sites that it designed."""
    sites = []

    def show(self, task):
        sites.append(self.site(task))
        outcome(sites[-1], len(sites))
        return task

    monkeypatch.setattr(build._Bench, "_show", show)
    return build._Bench(job, tmp_path, Inspector(), lambda step: None, Kept(), Artist(None, None), seats=seats), sites


def test_a_design_that_fails_is_tried_on_another_seat(job, tmp_path, monkeypatch):
    def outcome(site, number):
        if number == 1:
            raise DesignError("no room.", reason="pins")

    bench, sites = bench_on(job, tmp_path, monkeypatch, outcome)
    made = bench.show(Task(0, 0))
    first, second = sites
    assert made.elsewhere is second and second is not first
    assert (first.axis.direction @ second.axis.direction < 0.9999) or first.seating.reach != second.seating.reach
    assert [trial.left for trial in second.seating.tried][-2:] == ["no room.", ""]
    assert second.sawn == first.sawn and second.shifts == first.shifts  # the cut is where it was


@pytest.mark.slow
def test_the_first_reason_is_told_when_no_seat_does(job, tmp_path, monkeypatch):
    def outcome(site, number):
        raise DesignError(f"no room {number}.", reason="pins")

    bench, sites = bench_on(job, tmp_path, monkeypatch, outcome)
    with pytest.raises(DesignError, match="no room 1") as caught:
        bench.show(Task(0, 0))
    assert len(sites) == 3 and caught.value.guide == job.guides[0].request.name
    assert len({(*site.axis.direction, site.seating.reach) for site in sites}) == 3


def failed(name, value=1.0, rule="<=", limit=0.0):
    return CheckSaid(id=name, value=value, unit="mm", rule=rule, limit=limit, passed=False, where=None)


def test_a_kernel_that_stumbles_gets_other_outlines_first(job, tmp_path, monkeypatch):
    def outcome(site, number):
        if number < 3:
            raise KernelError("a Boolean failed.")

    bench, sites = bench_on(job, tmp_path, monkeypatch, outcome)
    assert bench.show(Task(0, 0)).attempt == 2
    assert len({tuple(site.axis.direction) for site in sites}) == 1


def test_what_was_built_first_stands_where_the_next_cannot_be_built(job, tmp_path, monkeypatch):
    def outcome(site, number):
        if number == 1:
            raise DesignError("no room on the second seat.")

    bench, sites = bench_on(job, tmp_path, monkeypatch, outcome, seats=2)
    again = build._again(bench, Task(0, 0), [failed("seat_overlap", 0.1, "<=", 0.05)])
    assert again.elsewhere is not None
    made = bench.show(again)
    assert made.stands and sites[-1] is job.guides[0].sites[0]
    assert bench.elsewhere(made, "whatever") is None


@pytest.mark.parametrize("check", ["sliding_lock", "printer_room", "printer_wall"])
def test_what_no_seat_mends_is_not_built_again(job, tmp_path, monkeypatch, check):
    bench, _ = bench_on(job, tmp_path, monkeypatch, lambda site, number: None)
    assert build._again(bench, Task(0, 0), [failed(check, 0.05, ">=", 0.12)]) is None


@pytest.mark.parametrize(("own", "asked"), [([], []), (["seat_overlap"], ["seat_overlap"])])
def test_a_part_beside_a_guide_makes_it_try_no_other_seat(job, tmp_path, monkeypatch, own, asked):
    """Only checks of the guide itself that failed are a reason."""

    class Asked(Exception):
        pass

    class Measured(Inspector):
        def result(self):
            return MeasuredFiles(slots=[], seat=MeasuredSeat(), volume_mm3=1.0, checks=[failed(name) for name in own], status="passed")

    def again(_bench, _task, checks):
        raise Asked([check.id for check in checks])

    lid = SimpleNamespace(measured={"checks": [failed("stl_watertight[lid]").to_json()], "status": "rejected"})
    shown = Shown(Task(0, 0), SimpleNamespace(site=job.guides[0].sites[0]), None, None, (lid,))
    monkeypatch.setattr(build._Bench, "show", lambda self, task: shown)
    monkeypatch.setattr(build, "_again", again)
    with pytest.raises(Asked) as caught:
        build.build_case(job, tmp_path, inspection=Measured(), progress=lambda step: None, pictures=False)
    assert caught.value.args == (asked,)
