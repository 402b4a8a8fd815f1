"""The recordings of a data set, each asked once: in parallel, resumable, with every failure as a row."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inference.recordings.dataset import LABELS, Listed
from inference.reports.answers import plain
from inference.reports.results import Record, Results, labelled, state_of, write_rows
from inference.reports.verdict import FAILED
from simulators.campaigns.workers import end_workers, local_pool

if TYPE_CHECKING:
    import xarray
    from rich.console import Console

_TABLE_S = 5.0  # the table is not written more often than that while recordings are answered
_DIED = "the process that answered it died; it may need more memory than there is"


@runtime_checkable
class Work(Protocol):
    """What is asked of each recording; it is sent to other processes, so it holds options and no estimators."""

    def asked(self) -> dict[str, Any]:
        """Everything that answers depend on but the recordings, as JSON."""
        ...

    def columns(self, labels: Sequence[str]) -> list[str]:
        """Of the table."""
        ...

    def complete(self, record: Record) -> bool:
        """Whether what is kept of a recording is all that is asked for."""
        ...

    def __call__(self, one: Listed) -> "tuple[Record, xarray.DataTree | None]":
        """Rows of a recording, and its samples where there are any. What fails is a row."""
        ...


def answer_all(
    recordings: Sequence[Listed],
    work: Work,
    results: Results,
    workers: int = 1,
    console: "Console | None" = None,
) -> list[Record]:
    """What ``work`` gives of every recording, in their order; those that are done already are not asked again.

    Each is kept in ``results`` as soon as it is finished, and the table there grows with them, so that whatever ends
    the program, the same call goes on. Answers do not depend on the number of workers: each recording is answered with
    one thread. console: for a line a recording and a bar, None for neither.

    Raises ValueError for less than one worker, where no worker process can start, and where another command writes to
    the same results.
    """
    if workers < 1:
        raise ValueError(f"recordings need at least one worker; got {workers}")
    with results.alone():
        return _answer_all(recordings, work, results, workers, console)


def _answer_all(
    recordings: Sequence[Listed], work: Work, results: Results, workers: int, console: "Console | None"
) -> list[Record]:
    stored = ((i, results.stored(one)) for i, one in enumerate(recordings))
    found = {i: record for i, record in stored if record is not None and work.complete(record)}
    todo = [i for i in range(len(recordings)) if i not in found]
    if console is not None and found:
        console.print(f"{len(found)} of {len(recordings)} recordings are answered already ({results.folder})")
    written_at = time.monotonic()
    try:
        with _bar(console, len(todo) > 1) as bar:
            task = bar.add_task("recordings", total=len(recordings), completed=len(found))
            for i, record in _records(recordings, todo, work, results, workers):
                found[i] = record
                bar.advance(task)
                for line in record.lines if console is not None else ():
                    bar.console.print(line)
                if time.monotonic() - written_at > _TABLE_S:
                    _write_table(recordings, found, work, results)
                    written_at = time.monotonic()
    finally:  # also after Ctrl-C
        _write_table(recordings, found, work, results)
    return [found[i] for i in range(len(recordings))]


def table_of(
    recordings: Sequence[Listed], found: dict[int, Record], work: Work
) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of what is found, in the order of the recordings; labels that none has are no columns."""
    labels = [name for name in LABELS if any(name in one.labels for one in recordings)]
    return work.columns(labels), [row for i in sorted(found) for row in labelled(found[i], recordings[i])]


def _write_table(recordings: Sequence[Listed], found: dict[int, Record], work: Work, results: Results) -> None:
    write_rows(results.table, *table_of(recordings, found, work))


def _records(
    recordings: Sequence[Listed], todo: list[int], work: Work, results: Results, workers: int
) -> Iterator[tuple[int, Record]]:
    """As they are finished. A process that dies costs the recording that it was at, and no other one."""
    if workers == 1 or len(todo) < 2:
        for i in todo:
            yield i, _answered(work, results, recordings[i])
        return
    waiting, suspects = list(todo), list[int]()
    while waiting or suspects:
        alone = bool(suspects)
        queue = [suspects.pop()] if alone else waiting
        running: dict[Future[Record], int] = {}
        try:
            yield from _in_pool(recordings, queue, running, work, results, 1 if alone else workers)
        except BrokenProcessPool:
            if not alone:
                suspects = sorted(running.values(), reverse=True)
                continue
            for i in running.values():
                yield i, results.keep(recordings[i], _without_answer(recordings[i], _DIED))


def _in_pool(
    recordings: Sequence[Listed],
    queue: list[int],
    running: dict[Future[Record], int],
    work: Work,
    results: Results,
    workers: int,
) -> Iterator[tuple[int, Record]]:
    """``queue`` and ``running`` say at any time what is not finished."""
    pool = local_pool(min(workers, len(queue)))
    try:
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool:
            raise ValueError("no worker process could start; answer in this one (--workers 1)") from None
        while queue or running:
            while queue and len(running) < 2 * workers:
                running[pool.submit(_answered, work, results, recordings[queue[0]])] = queue[0]
                queue.pop(0)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                record = future.result()
                yield running.pop(future), record
    except (KeyboardInterrupt, GeneratorExit):
        end_workers()  # in the middle of a recording, which costs no more than that
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answered(work: Work, results: Results, one: Listed) -> Record:
    """In whatever process: one recording, asked and kept."""
    state = state_of(one)
    with _one_thread():
        try:
            record, tree = work(one)
        except Exception as error:  # a fault of ours too: one recording never ends a data set
            record, tree = _without_answer(one, f"{type(error).__name__}: {error}"), None
        return results.keep(one, record, tree, state)


def _without_answer(one: Listed, reason: str) -> Record:
    row = {"recording": plain(str(one.path)), "status": FAILED, "verdict": plain(reason), "remarks": plain(reason)}
    return Record(str(one.path), (row,), (f"{one.path}: {reason}",))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of several threads differ in their last digits from those of one, and threads of several processes wait."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bar(console: "Console | None", visible: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = visible and console is not None and console.is_terminal
    with Progress(*columns, console=console, disable=not shown) as bar:
        yield bar
