"""What psi-cad leaves to processes of their own, done in the test's: a process takes seconds to load the kernel, and these tests ask for none.

`test_process.py` is about the processes, and that they make the same files. What is passed to them and back goes through the same formats here.
"""

import io
import json
import locale
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from psi_cad.builder import worker
from psi_cad.cli.main import main
from psi_cad.processes.cores import ONE_CORE
from psi_cad.report import draw_plan as drawing


def perform(verb, request, *, payload=None, progress=None, time_limit=0.0, workers=None):
    """As `psi_cad.processes.workers.perform`; nothing ends a hang, and a crash ends the tests."""
    sent = pickle.loads(pickle.dumps(payload())) if payload is not None else None
    before = locale.setlocale(locale.LC_ALL)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(*next(iter(ONE_CORE.items())))  # the tests run on all of them, and their process has threads that no copy of it would have
            answer = _server(verb)(Path(json.loads(json.dumps(request))["folder"]), sent, progress or (lambda step: None))
    finally:
        locale.setlocale(locale.LC_ALL, before)  # lib3mf sets "C", after which this process reads text as ASCII
    return json.loads(json.dumps(answer))


def _server(verb):
    if verb == "build":
        from psi_cad.builder.guides import build_case

        return lambda folder, sent, progress: build_case(sent[0], folder, progress=progress).to_json()
    return worker.server(verb, None)


def draw_plan(pictures):
    """As `psi_cad.report.draw_plan.draw_plan`."""
    asked = io.TextIOWrapper(io.BytesIO(pickle.dumps(pictures)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", asked)
        drawing.main()
    return [kind for kind, (path, _) in pictures.items() if not path.is_file()]


def command_line(*arguments, capture, monkeypatch):
    """The command line with these arguments, as a process would have ended; a traceback would be ours."""
    capture.readouterr()
    with monkeypatch.context() as patch, warnings.catch_warnings():
        patch.setattr("sys.argv", ["psi-cad", *map(str, arguments)])
        patch.setattr("logging.lastResort", None)  # which the command line takes away
        with pytest.raises(SystemExit) as ended:
            main()
    said = capture.readouterr()
    return subprocess.CompletedProcess(sys.argv[1:], int(ended.value.code or 0), said.out, said.err)
