"""Processes that simulate, here or on a Dask cluster: none outlives the campaign, none acts on its signals."""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from simulators.campaigns.rows import CampaignError, Job, Row, simulate_rows
from simulators.interface import Simulator

_ANSWER_S = 20  # within which a Dask scheduler answers
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class NotSent(Exception):
    """No other process can have the simulator; the message says why."""


_stopped: Event | None = None  # of a worker: whether its campaign begins no more rows


class Pool(NamedTuple):
    """Where rows are simulated. slots: how many at a time; stopped: set, no row that waits is begun any more."""

    executor: Executor
    slots: int
    stopped: Event


class _Worker(SpawnProcess):
    """SIGTERM means nothing to a worker (see ``_begin``), so that what ends it is SIGKILL."""

    terminate = SpawnProcess.kill


class _Workers(SpawnContext):
    Process = _Worker


def local_pool(workers: int, stopped: Event | None = None) -> ProcessPoolExecutor:
    """Fresh processes on this machine, which end when this one does, even if it is killed."""
    return ProcessPoolExecutor(workers, _Workers(), initializer=_begin, initargs=(stopped,))


def _begin(stopped: Event | None) -> None:
    """What a worker does first."""
    global _stopped
    _stopped = stopped
    _end_with_parent()
    # A terminal and a cluster's scheduler signal all processes of a job: the campaign alone decides what is finished.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    # Asked of the system where it can: a thread that watches cannot run while compiled code holds the interpreter.
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
        if os.getppid() != parent.pid:  # ended before it was asked
            os._exit(1)
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def simulate_unless_stopped(simulator: Simulator, jobs: list[Job]) -> list[Row]:
    """As ``simulate_rows``, in a worker; no rows where the campaign has been stopped meanwhile."""
    return [] if _stopped is not None and _stopped.is_set() else simulate_rows(simulator, jobs)


def end_workers() -> None:
    """Kill the workers of this process, in the middle of their rows."""
    for process in multiprocessing.active_children():
        if isinstance(process, _Worker):
            process.kill()


@contextmanager
def pool_of(workers: int, scheduler: str | None, simulator: Simulator) -> Iterator[Pool]:
    """A pool of local processes, or of those of the Dask scheduler at this address.

    Raises NotSent where no other process on this machine can have the simulator, CampaignError where none can start.
    """
    stopped = _one_event()
    stopped.clear()
    if scheduler is not None:
        with _dask(scheduler) as (executor, slots):
            yield Pool(executor, slots, stopped)
        return
    sent = _sent(simulator)
    pool = local_pool(workers, stopped)
    try:
        try:
            why = pool.submit(_why_not_received, sent).result()
        except BrokenProcessPool:
            raise CampaignError(
                "no worker process could start: each runs the script that calls run_campaign once more, so that "
                "call must stand under 'if __name__ == \"__main__\":'"
            ) from None
        if why is not None:
            raise NotSent(why)
        yield Pool(pool, workers, stopped)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@cache
def _one_event() -> Event:
    """One for the life of the program: a worker that starts while its pool is given up still looks for it."""
    return _Workers().Event()


def _sent(simulator: Simulator) -> bytes:
    """What another process receives. Raises NotSent where nothing can be.

    In memory alone, from this program to its own workers, as multiprocessing sends everything: no file holds it.
    """
    program = getattr(sys.modules["__main__"], "__file__", None)
    if program is not None and not Path(program).exists():
        raise NotSent(f"no process can run the program {program} again")
    try:
        return pickle.dumps(simulator)
    except Exception as error:  # whatever an object's own reduction raises
        raise NotSent(str(error)) from error


def _why_not_received(sent: bytes) -> str | None:
    """Why a worker cannot rebuild what ``_sent`` made in this program; None where it can."""
    try:
        pickle.loads(sent)
    except Exception as error:  # it may be defined in a notebook, or under a script's main guard
        return str(error)
    return None


@contextmanager
def _dask(scheduler: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ImportError as error:
        raise CampaignError("--scheduler needs dask: pip install 'circuitsbi[cluster]'") from error
    try:
        client = Client(scheduler, timeout=_ANSWER_S)
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
