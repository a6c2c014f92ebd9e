"""`approve`: who approved exactly what; and what `build` and `check` say of acceptance and release."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from psi_cad.records.check import CheckedCase
    from psi_cad.records.report import BuildReport, Release

__all__ = ["acceptance_lines", "register", "release_lines", "standing_lines"]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(approve)


def approve(
    path: Annotated[Path, typer.Argument(help="Output folder of one case, of 'build' or of 'plan -o'.")],
    role: Annotated[str, typer.Option("--role", help="surgeon or engineer.")],
    name_code: Annotated[str, typer.Option("--name-code", help="Who approves: a pseudonymous code, such as S-17; never a name.")],
    note: Annotated[str, typer.Option("--note", help="One line; no patient's or person's name.")] = "",
    guide: Annotated[
        list[str] | None, typer.Option("--guide", help="Approve the plan and only this guide (NAME_BLADE, as in its file names); may be repeated.")
    ] = None,
    part: Annotated[list[str] | None, typer.Option("--part", help="The same for a part (NAME_PRINTER); may be repeated.")] = None,
    same_person: Annotated[
        bool, typer.Option("--same-person", help="One person approves in both roles; this is recorded, and shown with the release.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the entry as JSON.")] = False,
) -> None:
    """Record that the plan, the guides and the parts in a folder are approved exactly as they are; any later change shows.

    Example: psi-cad approve out/hip-left-type1 --role surgeon --name-code S-17
    """
    from psi_cad.api import approve as run
    from psi_cad.cli.showing import say_json, say_lines
    from psi_cad.reconstruction.lines import stem_lines
    from psi_cad.records.stems import StemSaid
    from psi_cad.wording.telling import caution_lines, cautions_of

    entry = run(path, role=role, name_code=name_code, note=note, same_person=same_person, guides=guide or [], parts=part or [])
    if json:
        say_json(entry)
        return
    if entry["cautions"]:
        typer.echo("\n".join(["approved with these cautions, the most serious first:", *caution_lines(cautions_of(entry["cautions"]))[1:]]))
    if entry["unaccepted"]:
        typer.echo(f"not ready for a release: {_way_on(entry['unaccepted'])}, and approve that")
    both = " (the same person in both roles)" if entry["same_person"] else ""
    typer.echo(f"approval {entry['sequence']} of {entry['case']}: {entry['role']} {entry['name_code']}{both}, {entry['time']}")
    for name, section in entry["what"].items():
        accepted = f", accepted cautions: {section['accepted cautions']}" if "accepted cautions" in section else ""
        typer.echo(f"  {name}: {len(section)} hashes{accepted}")
        say_lines([f"  {line}" for line in stem_lines([StemSaid.model_validate(stem) for stem in entry["stems"].get(name, ())])])
    typer.echo(f"  {Path(entry['folder']) / 'approvals.json'}, entry {entry['hash'][:16]}…; keep this number with your own records")


def _way_on(ids: Sequence[str], accepted: Sequence[str] = ()) -> str:
    from psi_cad.approval.acceptance import way_on

    return way_on(ids, accepted)


def acceptance_lines(report: BuildReport, accept: Sequence[str]) -> list[str]:
    """What a build, with these options `--accept`, accepts of its cautions, and what a release would ask for besides."""
    from psi_cad.approval.acceptance import accepted_ids

    accepted = accepted_ids(accept)
    lines = [f"accepted: {', '.join(accepted)}"] if accepted else []
    if report.unaccepted:
        lines.append(f"for a release, look at these cautions; then {_way_on(report.unaccepted, accepted)}")
    return lines


def release_lines(release: Release) -> list[str]:
    """What was noted of a release, and which guides of earlier builds are released."""
    lines = [f"  note: {note}" for note in release.notes]
    earlier = [name for one in release.earlier for name in one.sections if name != "plan"]
    return [*lines, f"  released earlier: {', '.join(earlier)}"] if earlier else lines


def standing_lines(case: CheckedCase, *, failed: Collection[str]) -> list[str]:
    """How a checked folder stands: who approved what, which guides are released, and what was accepted for each.

    A release that does not hold, or of what has `failed` (names of sections), is told as NOT SOUND.
    """
    from psi_cad.approval.comparing import NOT_SOUND
    from psi_cad.cli.showing import approval_lines

    unsound = not case.sound or any(name in failed for name in case.releases)
    head, *entries = approval_lines(case, released=case.released or (unsound and bool(case.releases)))
    lines = [f"{case.case}: {f'{NOT_SOUND}: ' if unsound else ''}{head}", *entries]
    lines += [f"  note: {note}" for note in case.release_notes]
    for name, accepted in case.accepted.items():
        state = "not released" if name not in case.releases else "released" if case.sound and name not in failed else NOT_SOUND
        lines.append(f"  {name}: {state}, accepted cautions: {', '.join(accepted) or 'none'}")
    return lines
