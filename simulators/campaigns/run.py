"""Run many simulations: in parallel, resumable, with every failure on record."""

import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from simulators.campaigns.store import FORMAT, Campaign, CampaignError, Status, writing
from simulators.interface import Simulator
from simulators.provenance import describe, versions
from simulators.recording import Recording

_LONGEST_REASON = 500


class Row(NamedTuple):
    """One finished simulation."""

    number: int
    status: Status
    reason: str
    recording: Recording | None


def run_campaign(
    simulator: Simulator,
    n: int,
    seed: int,
    path: str | os.PathLike,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
    label: str = "simulating",
) -> Campaign:
    """Simulate ``n`` uniform draws from the simulator's parameter space into the campaign at ``path``.

    Killed at any moment and called again with the same arguments it goes on, and ends with the same rows. Seeds are
    spawned from ``seed`` by row, so the result does not depend on the number of workers. ``scheduler`` is the address
    of a Dask scheduler to run on instead of local processes. label: of the progress bar.

    Raises ValueError for n or workers below one, CampaignError as ``campaign_store.writing`` does and where no worker
    can start.
    """
    if n < 1 or workers < 1:
        raise ValueError(f"a campaign needs at least one simulation and one worker; got n = {n}, workers = {workers}")
    root = np.random.SeedSequence(seed)
    theta = simulator.parameters.sample(n, np.random.default_rng(root))
    seeds = root.spawn(n)
    with writing(path, _about(simulator, n, seed), theta) as store:
        todo, damaged = store.unfinished()
        with _bar(progress and len(todo) > 0) as bar:
            if damaged.size:
                bar.console.print(f"simulating {damaged.size} damaged rows again: {damaged[:5].tolist()} ...")
            task = bar.add_task(label, total=n, completed=n - len(todo))
            jobs = [(int(i), theta[i], seeds[i]) for i in todo]
            for row in _rows(simulator, jobs, workers, scheduler):
                store.write(*row)
                bar.advance(task)
    return Campaign(path)


def _about(simulator: Simulator, n: int, seed: int) -> dict[str, Any]:
    """Everything that determines the rows, as JSON would give it back."""
    if not dataclasses.is_dataclass(simulator):
        raise TypeError(f"{type(simulator).__name__} is not a dataclass: a campaign could not say what made it")
    about = {
        "format": FORMAT,
        "simulator": describe(simulator),
        "parameters": simulator.parameters.to_json(),
        "n": n,
        "seed": seed,
        "versions": versions(),
    }
    return json.loads(json.dumps(about))


def simulate_rows(simulator: Simulator, jobs: list[tuple[int, np.ndarray, np.random.SeedSequence]]) -> list[Row]:
    """Simulate a few rows in this process; an exception becomes a failed row."""
    batch: Callable | None = getattr(simulator, "simulate_batch", None)
    if batch is not None:
        try:
            recordings = batch(np.stack([t for _, t, _ in jobs]), [np.random.default_rng(s) for _, _, s in jobs])
            return [_judge(i, recording) for (i, _, _), recording in zip(jobs, recordings, strict=True)]
        except Exception:  # one bad theta must not cost the batch: each row alone will tell which it was
            pass
    rows = []
    for i, theta, seed in jobs:
        try:
            rows.append(_judge(i, simulator.simulate(theta, np.random.default_rng(seed))))
        except Exception as error:  # whatever a simulator raises is that row's reason
            rows.append(Row(i, Status.FAILED, f"{type(error).__name__}: {error}"[:_LONGEST_REASON], None))
    return rows


def _judge(index: int, recording: Recording) -> Row:
    if not np.isfinite(recording.values).all():
        return Row(index, Status.FAILED, "the recording has values that are not finite", None)
    if recording.is_silent():
        return Row(index, Status.SILENT, "nothing changes after the transient", recording)
    return Row(index, Status.OK, "", recording)


def _rows(simulator: Simulator, jobs: list, workers: int, scheduler: str | None) -> Iterator[Row]:
    """Rows as they finish. A worker that dies (a crash in a simulator's library) costs one row, not the campaign."""
    size = int(getattr(simulator, "batch_size", 1))
    batches = [jobs[k : k + size] for k in range(0, len(jobs), size)]
    suspects: list = []
    while batches or suspects:
        alone = bool(suspects)
        queue = suspects if alone else batches
        with _executor(min(1 if alone else workers, len(queue)), scheduler) as (executor, slots):
            running: dict[Future, list] = {}
            try:
                while queue or running:
                    while queue and len(running) < (1 if alone else 2 * slots):
                        future = executor.submit(simulate_rows, simulator, queue[0])
                        running[future] = queue.pop(0)  # only now: a broken pool refuses the submission
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        rows = future.result()
                        del running[future]
                        yield from rows
            except BrokenProcessPool:
                in_flight = [job for batch in running.values() for job in batch]
                if alone:
                    for i, _, _ in in_flight:
                        yield Row(i, Status.FAILED, "the process that simulated it died", None)
                else:
                    suspects = [[job] for job in in_flight]


def local_pool(workers: int) -> ProcessPoolExecutor:
    """Fresh processes on this machine, which end when this one does, even if it is killed."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _executor(workers: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """An executor and its number of slots."""
    if scheduler is None:
        pool = local_pool(workers)
        try:
            try:
                pool.submit(os.getpid).result()
            except BrokenProcessPool:
                raise CampaignError(
                    "no worker process could start: each runs the script that calls run_campaign once more, so that "
                    "call must stand under 'if __name__ == \"__main__\":'"
                ) from None
            yield pool, workers
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise CampaignError("--scheduler needs dask: pip install 'circuitsbi[cluster]'") from error
    try:
        client = Client(scheduler, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise CampaignError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with 'dask scheduler'"
        ) from error
    with client:
        threads = client.nthreads()
        if not threads:
            raise CampaignError(
                f"the Dask scheduler at {scheduler} has no workers; start some with 'dask worker {scheduler}'"
            )
        if max(threads.values()) > 1:
            raise CampaignError("NEST and NEURON keep global state: start the Dask workers with --nthreads 1")
        yield client.get_executor(pure=False), len(threads)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} /s" if task.speed else "- /s")


@contextmanager
def _bar(visible: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, disable=not visible, speed_estimate_period=120) as bar:
        yield bar
