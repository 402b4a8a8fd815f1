"""Run many simulations: in parallel, resumable, with every failure on record."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from simulators.campaigns.layouts import FORMAT
from simulators.campaigns.rows import Job, Row, Status, simulate_rows
from simulators.campaigns.shards import refuse_wrong_shard, rows_of, shard_path
from simulators.campaigns.stopping import Stop, stoppable
from simulators.campaigns.store import Campaign
from simulators.campaigns.workers import NotSent, Pool, end_workers, pool_of, simulate_unless_stopped
from simulators.campaigns.writer import writing
from simulators.interface import Simulator
from simulators.provenance import describe, versions

_LOOK_S = 0.5  # how long a signal waits for an answer


def run_campaign(
    simulator: Simulator,
    n: int,
    seed: int,
    path: str | os.PathLike,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
    label: str = "simulating",
    shard: tuple[int, int] | None = None,
) -> Campaign:
    """Simulate ``n`` uniform draws from the simulator's parameter space into the campaign at ``path``.

    Killed at any moment and called again with the same arguments it goes on, and ends with the same rows; called with a
    larger ``n`` it adds rows. Thetas and seeds follow from ``seed`` by row, so the result depends neither on ``n`` nor
    on the number of workers. ``scheduler`` is the address of a Dask scheduler to run on instead of local processes.
    label: of the progress bar. shard: (k, of how many): simulate only that share of the rows, into a folder beside
    ``path`` that no other shard writes to; ``shards.merge`` puts them together.

    SIGTERM and Ctrl-C let the rows in hand be finished and stored, then end the program. A simulator that no other
    process can have is simulated in this one. Raises ValueError for n, workers or shard that cannot be and for a
    simulator that cannot say what it is, CampaignError as ``writer.writing`` does and where no worker can start.
    """
    if n < 1 or workers < 1:
        raise ValueError(f"a campaign needs at least one simulation and one worker; got n = {n}, workers = {workers}")
    about = _about(simulator, n, seed)
    if shard is not None:
        refuse_wrong_shard(shard)
        path, about = shard_path(path, shard), about | {"shard": list(shard)}
    root = np.random.SeedSequence(seed)
    theta = simulator.parameters.sample(n, np.random.default_rng(root))
    seeds = root.spawn(n)
    mine = rows_of(n, shard)
    with writing(path, about) as store, stoppable() as stop:
        todo, damaged = store.unfinished(mine)
        with _bar(progress and len(todo) > 0) as bar:
            if damaged.size:
                bar.console.print(f"simulating {damaged.size} damaged rows again: {damaged[:5].tolist()} ...")
            task = bar.add_task(label, total=len(mine), completed=len(mine) - len(todo))
            jobs = [(int(i), theta[i], seeds[i]) for i in todo]
            for row in _rows(simulator, jobs, workers, scheduler, stop, bar.console.print):
                store.write(row, theta[row.number])
                bar.advance(task)
            if stop.by is not None:
                left = int(np.sum(store.status[mine] == Status.PENDING))
                bar.console.print(
                    f"stopped by {stop.by.name}: {len(mine) - left} of {len(mine)} simulations are done, {left} are "
                    f"left; the same command goes on with them",
                    soft_wrap=True,
                )
    stop.end()
    return Campaign(path)


def _about(simulator: Simulator, n: int, seed: int) -> dict[str, Any]:
    """Everything that determines the rows, as JSON would give it back."""
    described = describe(simulator)
    if not isinstance(described, dict):
        raise ValueError(
            f"a campaign cannot say what made it: {type(simulator).__name__} is no dataclass and has no method "
            f"identity() that returns its configuration as a dictionary; make it one, or give it one"
        )
    about = {
        "format": FORMAT,
        "simulator": described,
        "parameters": simulator.parameters.to_json(),
        "n": n,
        "seed": seed,
        "versions": versions(),
    }
    try:
        return json.loads(json.dumps(about))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a campaign cannot say what made it: the configuration of {type(simulator).__name__} is no plain JSON "
            f"({error}); give it a method identity() that returns a dictionary of numbers and texts"
        ) from error


def _rows(
    simulator: Simulator,
    jobs: list[Job],
    workers: int,
    scheduler: str | None,
    stop: Stop,
    say: Callable[..., None],
) -> Iterator[Row]:
    """Rows as they finish, until all are there or the campaign is to stop.

    A worker that dies (a crash in a simulator's library) costs one row, not the campaign.
    """
    size = int(getattr(simulator, "batch_size", 1))
    batches = [jobs[k : k + size] for k in range(0, len(jobs), size)]
    suspects: list[list[Job]] = []
    while (batches or suspects) and not stop.asked:
        alone = bool(suspects)
        queue = suspects if alone else batches
        running: dict[Future, list[Job]] = {}
        try:
            with pool_of(min(1 if alone else workers, len(queue)), scheduler, simulator) as pool:
                yield from _finished(simulator, queue, running, pool, 1 if alone else 2 * pool.slots, stop)
        except NotSent as reason:
            say(f"simulating in this process alone, as no other can have this simulator: {reason}", soft_wrap=True)
            yield from _here(simulator, batches, stop)
            return
        except BrokenProcessPool:
            in_flight = [job for batch in running.values() for job in batch]
            if alone:
                for i, _, _ in in_flight:
                    yield Row(i, Status.FAILED, "the process that simulated it died", None)
            else:
                suspects = [[job] for job in in_flight]


def _finished(
    simulator: Simulator, queue: list[list[Job]], running: dict[Future, list[Job]], pool: Pool, most: int, stop: Stop
) -> Iterator[Row]:
    """Rows of a pool that is kept busy; ``queue`` and ``running`` say at any time what is not finished."""
    while (queue and not stop.asked) or running:
        while queue and len(running) < most and not stop.asked:
            future = pool.executor.submit(simulate_unless_stopped, simulator, queue[0])
            running[future] = queue.pop(0)  # only now: a broken pool refuses the submission
        if stop.asked:
            pool.stopped.set()
        if stop.overdue:
            end_workers()
            return
        done, _ = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
        for future in done:
            rows = future.result()
            del running[future]
            yield from rows


def _here(simulator: Simulator, batches: list[list[Job]], stop: Stop) -> Iterator[Row]:
    for batch in batches:
        if stop.asked:
            return
        yield from simulate_rows(simulator, batch)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} /s" if task.speed else "- /s")


@contextmanager
def _bar(visible: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, disable=not visible, speed_estimate_period=120) as bar:
        yield bar
