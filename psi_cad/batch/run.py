"""The coordinating process of a batch: gives jobs to Dask, takes results, and alone writes into the cases' folders."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from psi_cad.approval.publish import Before
from psi_cad.batch.expand import Asked, Task, dealt, tasks_of
from psi_cad.batch.page import write_page
from psi_cad.batch.store import Result, Store, published
from psi_cad.batch.told import refusals_in, row_of, write_rows
from psi_cad.batch.work import Request, run_request
from psi_cad.errors import BuildError, InputError, PsiCadError
from psi_cad.processes.workers import DEFAULT_LIMIT

__all__ = ["Progress", "Standing", "batch", "dry_run"]

STOPPED: Final = "stopped; what is whole is written, and the same command goes on with the rest."
LOOK_S: Final = 0.5
ATTEMPTS: Final = 2
HERE: Final = "127.0.0.1"
CONNECT_S: Final = 10.0


@dataclass
class Standing:
    """How far a batch is: jobs in all, done before, ended now, of these failed (rejected and refused too), and seconds since it began."""

    tasks: int
    before: int
    ended: int = 0
    bad: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Jobs that are still to do."""
        return self.tasks - self.before - self.ended

    @property
    def line(self) -> str:
        """In one line: how many, how fast, how many failed, how long still."""
        rate = self.ended / self.seconds * 60.0 if self.seconds else 0.0
        still = f", {self.left / rate:.0f} min left" if rate and self.left / rate >= 1.5 else f", {self.left / rate * 60:.0f} s left" if rate else ""
        return f"{self.before + self.ended} of {self.tasks} jobs, {rate:.1f} a minute, {self.bad} failed{still}"


Progress = Callable[[Standing, str], None]


@dataclass
class _State:
    """What is known of every job by now."""

    tasks: list[Task]
    results: dict[str, Result] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    there: set[tuple[str, str]] = field(default_factory=set)  # folder and job of what lies under its name
    written: set[str] = field(default_factory=set)  # folders
    in_folder: dict[str, list[Task]] = field(init=False)
    of_job: dict[str, list[Task]] = field(init=False)

    def __post_init__(self) -> None:
        self.in_folder, self.of_job = {}, {}
        for task in self.tasks:
            self.in_folder.setdefault(task.folder, []).append(task)
            self.of_job.setdefault(task.job, []).append(task)

    def take(self, job: str, result: Result, status: str) -> None:
        self.results[job], self.status[job] = result, status

    def rows(self) -> list[dict[str, Any]]:
        return [
            row_of(
                task,
                self.results.get(task.job),
                status=self.status.get(task.job, "waiting"),
                seconds=self.seconds.get(task.job, 0.0),
                fresh=task.job in self.fresh,
            )
            for task in self.tasks
        ]

    def todo(self) -> list[Task]:
        return [task for task in self.tasks if task.job not in self.status]

    def folders(self, job: str) -> list[str]:
        """Where a job's guide lies: a setting of one guide changes no other, which is then the same in several folders."""
        return list(dict.fromkeys(task.folder for task in self.of_job[job]))

    def waits(self, folder: str) -> bool:
        """Whether a job of a folder is still to do."""
        return any(task.job not in self.status for task in self.in_folder[folder])


def _known(out: Path, tasks: list[Task], store: Store) -> _State:
    """What earlier runs have done of these jobs."""
    state = _State(tasks)
    there = {**refusals_in(out, tasks), **published(out, tasks)}
    state.there = set(there)
    anywhere = {job: result for (_, job), result in there.items()}
    for task in tasks:
        found = anywhere.get(task.job) or store.of(task.job)
        if found is not None:
            state.take(task.job, found, found.status)
    return state


def dry_run(asked: Asked, out: Path | str) -> list[dict[str, Any]]:
    """The jobs that a batch would do, and what of them is done already; nothing is written.

    Raises
    ------
    PsiCadError
    """
    tasks = tasks_of(asked)
    return _known(Path(out), tasks, Store(Path(out))).rows()


def batch(
    asked: Asked,
    out: Path | str,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    time_limit: float = DEFAULT_LIMIT,
    progress: Progress = lambda _standing, _said: None,
) -> dict[str, Any]:
    """Do every job that is asked for and not done yet; what `batch.json` holds.

    Parameters
    ----------
    workers : int, optional
        Worker processes on this computer; by default one for each two cores, since a build is two processes.
    scheduler : str, optional
        The address of a Dask scheduler, such as "tcp://host:8786", instead of workers of our own.
    time_limit : float
        Seconds that the kernel may take for one guide.

    Raises
    ------
    PsiCadError
        Where the input is wrong or nothing can be written; a job that fails is told in its row, and the rest goes on.
    KeyboardInterrupt
        What is whole by then is written; it says so.
    """
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f"-o {out}: this is a file; name a folder.")
    tasks = tasks_of(asked)
    store = Store(out)
    with store.held():
        before = {folder: Before(out / folder) for folder in dict.fromkeys(task.folder for task in tasks)}
        state = _known(out, tasks, store)
        _forgotten(state, store)
        touched = {task.folder for task in tasks if _lies_elsewhere(task, state)}
        standing = Standing(len(tasks), len(tasks) - len(state.todo()))
        try:
            if state.todo():
                _worked(asked, state, store, touched, before, standing, workers, scheduler, time_limit, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(STOPPED) from None
        finally:
            store.stop()
            for folder in sorted(touched):
                _assembled(state, store, folder, before[folder])
            _forgotten(state, store)
            said = write_rows(out, state.rows())
            write_page(out, said)
    return said


def _forgotten(state: _State, store: Store) -> None:
    """Take away results that lie under their names everywhere: of a run that was killed in between, or of a worker that came late."""
    for job in {job for _, job in state.there}:
        if all((folder, job) in state.there for folder in state.folders(job)):
            store.discard(job)


def _lies_elsewhere(task: Task, state: _State) -> bool:
    """Whether a job's result is only in the store, or in another folder that it belongs to as well."""
    found = state.results.get(task.job)
    return found is not None and (task.folder, task.job) not in state.there


def _assembled(state: _State, store: Store, folder: str, before: Before) -> None:
    """Write a case's folder; what cannot be written fails its jobs, and stays in the store for the next run."""
    ours = [task for task in state.in_folder[folder] if state.status.get(task.job) in ("done", "rejected", "refused")]
    if not ours:  # all of it failed
        return
    try:
        store.assemble(ours, state.results, before)
    except (PsiCadError, OSError) as error:
        told = error if isinstance(error, PsiCadError) else BuildError(f"'{folder}' could not be written: {error.strerror or error}.")
        for task in ours:
            if (store.folder / task.job).is_dir():
                state.take(task.job, Result(None, store.folder, error=told.to_json()), "failed")
        return
    state.written.add(folder)
    state.there |= {(folder, task.job) for task in ours}
    for task in ours:
        if state.written.issuperset(state.folders(task.job)):  # its files are wanted in other folders until then
            store.discard(task.job)


def _worked(
    asked: Asked,
    state: _State,
    store: Store,
    touched: set[str],
    before: Mapping[str, Before],
    standing: Standing,
    workers: int | None,
    scheduler: str | None,
    time_limit: float,
    progress: Progress,
) -> None:
    """Have what is to do done; results are taken as they come, and a folder is written when its last job is in."""
    begun, todo = time.monotonic(), state.todo()
    left = {task.job: task for task in todo}
    attempts = dict.fromkeys(left, 1)
    ended: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    progress(standing, "start the workers")
    with _stoppable() as stop, _client(workers, scheduler, len(todo)) as client:

        def submit(task: Task) -> None:
            if store.of(task.job) is None:
                store.discard(task.job)  # what is there is damaged, and would stand in the way of a whole one
            request = _request(task, asked, store, time_limit)
            future = client.submit(run_request, request, key=f"psi-cad-{uuid.uuid4().hex}", retries=0, pure=False)
            future.add_done_callback(lambda done, job=task.job: ended.put((job, done)))

        for task in dealt(list(left.values()), len(client.nthreads())):
            submit(task)
        lost = False
        while left:
            if stop.is_set():
                raise KeyboardInterrupt
            standing.seconds = time.monotonic() - begun
            try:
                job, future = ended.get(timeout=LOOK_S)
            except queue.Empty:
                lost = client.status not in ("running", "connecting")
                if not lost:
                    progress(standing, "")
                    continue
                job, future = next(iter(left)), None
            task = left[job]
            answer = _answer(future)
            if future is not None:
                future.release()  # else it is done again where the worker that did it dies later
            if answer["status"] == "failed" and attempts[job] < ATTEMPTS and not lost and answer["error"]["error"] != "Lost":
                attempts[job] += 1
                submit(task)
                continue
            del left[job]
            _take(state, store, task, answer)
            alike = len(state.of_job[job])
            standing.ended += alike
            standing.bad += alike * (state.status[job] != "done")
            standing.seconds = time.monotonic() - begun
            progress(standing, f"{task.folder}: {task.called}: {state.status[job]}")
            for folder in state.folders(job):
                touched.add(folder)
                if not state.waits(folder):
                    _assembled(state, store, folder, before[folder])
                    touched.discard(folder)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Set when Ctrl-C is pressed, which interrupts as well: what it interrupts may keep that to itself, as a finaliser does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals are not for it
        yield stop
        return

    def stopped(_number: int, _frame: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stopped)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _request(task: Task, asked: Asked, store: Store, time_limit: float) -> Request:
    return {
        "case": str(task.case),
        "guide": task.guide,
        "tool": task.blade,
        "part": task.part,
        "blades": task.blades,
        "settings": list(task.settings),
        "catalogue": None if asked.catalogue is None else str(asked.catalogue.resolve()),
        "final": str(store.out / task.folder),
        "store": str(store.folder),
        "mark": str(store.mark),
        "job": task.job,
        "time_limit": time_limit,
    }


def _answer(future: Any) -> dict[str, Any]:
    """What a worker answered, or that it died; None: there is nobody left to ask."""
    try:
        if future is not None and future.status == "finished":
            return dict(future.result(timeout=CONNECT_S))
        what = "The connection to the scheduler was lost" if future is None or future.cancelled() else "The worker died"
        kind = "Lost" if future is None or future.cancelled() else "BuildError"
    except Exception as failure:  # a dead worker, a lost connection, an answer that cannot be read: Dask raises a kind of its own for each
        what, kind = f"The worker's answer was lost ({type(failure).__name__})", "BuildError"
    told = BuildError(f"{what} before this guide was whole; start the batch again, it goes on with what is missing.").to_json()
    return {"status": "failed", "seconds": 0.0, "error": {**told, "error": kind}}


def _take(state: _State, store: Store, task: Task, answer: Mapping[str, Any]) -> None:
    """Write down what came of a job; a result in the store counts, whatever became of the worker that left it."""
    state.seconds[task.job] = float(answer["seconds"])
    state.fresh.add(task.job)
    found = store.of(task.job)
    if found is not None:
        state.take(task.job, found, found.status)
        return
    error = answer["error"] or BuildError("The files that the worker left are not whole; start the batch again.").to_json()
    error = {**error, "part": task.part} if task.part else error
    state.take(task.job, Result(None, store.folder, error=error), "failed")


@contextmanager
def _client(workers: int | None, scheduler: str | None, jobs: int) -> Iterator[Any]:
    """A client of a Dask cluster: the one at `scheduler`, or workers on this computer, which end with it.

    Raises
    ------
    InputError
    """
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.comm.timeouts.connect": f"{CONNECT_S:g}s"})
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"--scheduler {scheduler}: no Dask scheduler answers there; start one with 'dask scheduler', and name the address that it tells."
            ) from error
        cluster = None
    else:
        count = min(workers or max(1, (os.cpu_count() or 2) // 2), jobs)
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            silence_logs=50,
            # its pages are served even without a dashboard: seen from this computer only, and at any port that is free
            scheduler_kwargs={"dashboard": False, "dashboard_address": f"{HERE}:0"},
        )
        client = Client(cluster, set_as_default=False)
    try:
        yield client
    except BaseException:
        if cluster is not None:  # a worker that is asked to end finishes what it is at first
            for nanny in cluster.workers.values():  # else it starts another, for which closing waits
                nanny.close_gracefully()
            _kill_below()
        raise
    finally:
        with suppress(Exception):  # its scheduler may be gone already, and whatever it raises, the batch is over
            client.close(timeout=1.0)
        if cluster is not None:
            with suppress(Exception):  # as may its workers, which end with this process at the latest
                cluster.close(timeout=2.0)


def _kill_below() -> None:
    """End every worker that this process has started, and what they have started."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not any("resource_tracker" in word for word in process.cmdline()):  # Python's own, which complains and ends by itself
                process.kill()
