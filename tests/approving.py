"""A phantom's guide approved, asked about, and tampered with: shared by the tests of approvals and of releases."""

import json

from conftest import CASES

from psi_cad.approval.acceptance import accept_in
from psi_cad.approval.approve import approvals_said, approve_folder
from psi_cad.approval.release import release_said
from psi_cad.outputs.subject import read_plan, read_report, stem_of
from psi_cad.records.report import BuildReport

CASE = CASES / "phantom-type1"
STEM = "supra-acetabular_generic-25x0.89"
GUIDE = f"guide {STEM}"
PRINTED = [f"{STEM}.{kind}" for kind in ("step", "stl", "3mf")]


PLANNED = ["nominal-blade", "uncalibrated-printer"]  # what a release of this guide accepts where a plan lies beside it
ACCEPTED = ["no-plan", *PLANNED]


def accepted(folder, accept=None):
    """The report as `build --accept …` would have written it, with or without a plan as there is one now."""
    planned = (folder / "plan.json").is_file()

    def change(report):
        if planned:
            report["cautions"] = [caution for caution in report["cautions"] if caution["id"] != "no-plan"]
        made = BuildReport.model_validate(report)
        accept_in(made, accept if accept is not None else PLANNED if planned else ACCEPTED)
        report.update(made.to_json())

    edit_report(folder, change)


def accepted_of(folder, stem, accept):
    """The same for one guide of several."""

    def change(report):
        made = BuildReport.model_validate(report)
        accept_in(made.but(guides=[guide for guide in made.guides if stem_of(guide) == stem]), accept)
        report.update(made.to_json())

    edit_report(folder, change)


def both(folder):
    if (folder / "report.json").exists():
        accepted(folder)
    approve_folder(folder, role="surgeon", name_code="S-17")
    approve_folder(folder, role="engineer", name_code="E-2", note="slot gauged")


def said(folder):
    return approvals_said(folder, plan=read_plan(folder), report=read_report(folder)).to_json()


def statuses(folder):
    return [entry["status"] for entry in said(folder)["entries"]]


def released(folder):
    """As `build --release` asks it, with the folder's own files as those just built."""
    return release_said(folder, folder, read_report(folder)).to_json()


def rewrite(folder, change):
    """Change the record as somebody with an editor would."""
    path = folder / "approvals.json"
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")


def edit_report(folder, change, name="report.json"):
    report = json.loads((folder / name).read_text("utf-8"))
    change(report)
    (folder / name).write_text(json.dumps(report), "utf-8")
