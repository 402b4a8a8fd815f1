"""One row of a campaign: a simulation, what became of it, and why."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from simulators.interface import Simulator
from simulators.recording import Recording

_LONGEST_REASON = 500

Job = tuple[int, np.ndarray, np.random.SeedSequence]
"""Number of a row, its theta, its seed."""


class CampaignError(RuntimeError):
    """A campaign cannot be opened, continued or written; the message says why and what to do."""


class Status(IntEnum):
    """What became of a simulation. DAMAGED is never stored: it is what reading finds."""

    PENDING = 0
    OK = 1
    SILENT = 2
    FAILED = 3
    DAMAGED = 4


class Row(NamedTuple):
    """One finished simulation."""

    number: int
    status: Status
    reason: str
    recording: Recording | None


def simulate_rows(simulator: Simulator, jobs: list[Job]) -> list[Row]:
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
