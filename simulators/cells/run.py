"""Run many cells side by side in NEURON, each with its own events."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float
from neuron import h

from simulators.cells.cell import Cell, LiveCell
from simulators.cells.inputs import SynapticEvents
from simulators.resident import forget

h.load_file("stdrun.hoc")

Connected = tuple[Any, list[float]]
"""A connection to a synapse, and the times at which it delivers an event."""

_CHUNK_MS = 500.0  # what is kept at full resolution at a time
_SPIKE_MS = 3.0  # longest time from a spike's threshold to its peak


def run(
    cell: Cell, events: Sequence[SynapticEvents], duration_ms: float, dt_ms: float, sample_ms: float
) -> Float[np.ndarray, "cells channels samples"]:
    """Voltage of the soma (mV), spikes a sample, and the outputs of the cell, for each list of events.

    Sample k is the state at the end of its step, k + 1 steps after the start.
    """
    for e in events:
        e.check(cell.synapses)
    forget()
    cells = [cell.build() for _ in events]
    queue = [pair for live, e in zip(cells, events, strict=True) for pair in connect(live, e)]
    return np.stack(advance(cells, queue, cell.threshold_mV, cell.celsius, duration_ms, dt_ms, sample_ms))


def advance(
    cells: Sequence[LiveCell],
    queue: Sequence[Connected],
    threshold_mV: float,
    celsius: float,
    duration_ms: float,
    dt_ms: float,
    sample_ms: float,
) -> list[Float[np.ndarray, "channels samples"]]:
    """Run cells that are built from rest: for each voltage of the soma, spikes a sample, and its outputs.

    queue: connections, and the times at which each delivers an event.
    """
    traces = [h.Vector().record(c.soma._ref_v) for c in cells]
    outputs = [[h.Vector().record(reference) for reference in c.outputs] for c in cells]

    def deliver() -> None:
        for connection, times in queue:
            for t in times:
                connection.event(t)

    handler = h.FInitializeHandler(deliver)
    step, samples = round(sample_ms / dt_ms), round(duration_ms / sample_ms)
    values = [np.empty((2 + len(c.outputs), samples), np.float32) for c in cells]
    with _set(cells[0].globals):
        _initialise(cells, celsius, dt_ms)
        fine = _advance(values, cells, traces, outputs, step, dt_ms)
    for one, v in zip(values, fine, strict=True):
        one[0] = v[step::step]
        one[1], peaks = _spikes(v, threshold_mV, step, dt_ms, samples)
        for sample, height in peaks:
            one[0, sample] = height
    del handler
    return values


@contextmanager
def _set(values: Mapping[str, float]) -> Iterator[None]:
    """Variables of NEURON as a whole, for one run: other cells of the process have their own."""
    before = {name: getattr(h, name) for name in values}
    try:
        for name, value in values.items():
            setattr(h, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(h, name, value)


def connect(cell: LiveCell, events: SynapticEvents) -> list[Connected]:
    """A connection for each weight at each synapse, and its times: a connection's weight holds for all its events."""
    pairs, which = np.unique(np.stack([events.synapses, events.weights_uS]), axis=1, return_inverse=True)
    found = []
    for k, (synapse, weight) in enumerate(pairs.T):
        connection = h.NetCon(None, cell.synapses[int(synapse)])
        connection.weight[0] = weight
        found.append((connection, np.sort(events.times_ms[which.ravel() == k]).tolist()))
    return found


def _initialise(cells: Sequence[LiveCell], celsius: float, dt_ms: float) -> None:
    h.celsius, h.dt, h.steps_per_ms = celsius, dt_ms, round(1 / dt_ms)
    h.secondorder = 0
    h.cvode_active(0)
    # Another order in memory would be a seventh faster, but corrupts what other cells' pointers see (NEURON 8.2.7).
    h.cvode.cache_efficient(0)
    for cell in cells:
        cell.initialise()
    h.finitialize()
    h.fcurrent()


def _advance(values, cells, traces, outputs, step, dt_ms) -> np.ndarray:
    """Run to the end in chunks and fill in V and outputs; the soma's voltage at every step comes back."""
    samples = values[0].shape[1]
    fine = np.empty((len(cells), samples * step + 1), np.float32)
    context = h.ParallelContext()
    context.set_maxstep(10)
    chunk = max(1, round(_CHUNK_MS / (step * dt_ms)))
    row = 0  # of the fine trace
    for first in range(0, samples, chunk):
        end = min(first + chunk, samples)
        # A quarter of a step more: in long runs NEURON's clock lags by its rounding, and it would stop a step early.
        context.psolve((end * step + 0.25) * dt_ms)
        for k, cell in enumerate(cells):
            trace = np.array(traces[k])
            fine[k, row : row + len(trace)] = trace
            for j, (vector, scale) in enumerate(zip(outputs[k], cell.scales, strict=True)):
                # The steps of this chunk follow the last one of the chunk before, or the initial state.
                values[k][2 + j, first:end] = np.array(vector)[-(end - first) * step :][step - 1 :: step] * scale
                vector.resize(0)
            traces[k].resize(0)
        row += len(trace)
    if row != fine.shape[1]:
        raise RuntimeError(f"NEURON made {row - 1} steps instead of {fine.shape[1] - 1}")
    return fine


def _spikes(v, threshold_mV, step, dt_ms, samples):
    """Spikes in each sample's step, by the time they cross the threshold; and (sample, height) of their peaks.

    A peak is in the sample at the end of its step: at the nearest one it could come before its spike.
    """
    up = np.flatnonzero((v[:-1] < threshold_mV) & (v[1:] >= threshold_mV)) + 1
    counts = np.bincount(np.minimum((up - 1) // step, samples - 1), minlength=samples)
    peaks = []
    for i in up:
        peak = i + int(np.argmax(v[i : i + round(_SPIKE_MS / dt_ms)]))
        peaks.append((min((peak - 1) // step, samples - 1), float(v[peak])))
    return counts, peaks
