"""What a model of spike counts sees of a network: counts of the past, or its state, as a whole or by segments."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Integer, Real

from simulators.firing_events.networks import Snapshot

_EDGES = np.concatenate([[-np.inf], np.linspace(-0.2, 1.0, 19)[1:-1], [np.inf]])
"""Of potentials over the threshold."""
_LOCAL_EDGES = np.array([-np.inf, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, np.inf])


COUNT_INPUTS = 6
"""Values that ``past_counts`` makes of E and I spikes."""
SCALE = 20.0
"""Spikes a ms that are seen as 1."""


def past_counts(counts: Real[np.ndarray, "ms 2"]) -> Float[np.ndarray, "ms 6"]:
    """At the start of each ms the E and I spikes of the one before: their logarithm, themselves, and whether any."""
    before = np.concatenate([np.zeros((1, 2)), counts[:-1]])
    return np.concatenate([np.log1p(before), before / SCALE, before > 0], 1).astype(np.float32)


def global_state(snapshots: Snapshot, excitatory: int) -> Float[np.ndarray, "ms values"]:
    """The whole network's state at the start of each ms.

    For E and for I cells: how many are in each range of potentials, and refractory; spikes on their way; means of the
    currents, where there are any.
    """
    columns = []
    for cells in (slice(0, excitatory), slice(excitatory, None)):
        v = snapshots.v[:, cells]
        numbers = _numbers(v, _EDGES)
        columns += [np.sqrt(numbers) / 5, np.log1p(snapshots.pending[:, cells].sum(1, keepdims=True))]
        if snapshots.currents.shape[1]:
            columns += [np.log1p(snapshots.currents[:, :, cells].mean(2))]
    return np.concatenate(columns, 1).astype(np.float32)


def local_state(snapshots: Snapshot, excitatory: int, segments: int = 30) -> Float[np.ndarray, "ms channels segments"]:
    """The same by place: E and I cells of each segment of the ring in ranges of potentials, refractory, and pending.

    Raises ValueError where segments are no equal parts of both populations.
    """
    cells = snapshots.v.shape[1]
    if excitatory % segments or (cells - excitatory) % segments:
        raise ValueError(f"{excitatory} E and {cells - excitatory} I cells cannot be parted into {segments} segments")
    channels = []
    for part in (slice(0, excitatory), slice(excitatory, None)):
        v, pending = (x[:, part].reshape(len(x), segments, -1) for x in (snapshots.v, snapshots.pending))
        channels += [_numbers(v, _LOCAL_EDGES).transpose(0, 2, 1) / 3, pending.sum(2)[:, None] / 3]
    return np.concatenate(channels, 1).astype(np.float32)


def by_segment(spikes: Integer[np.ndarray, "ms cells"], segments: int = 30) -> Float[np.ndarray, "ms segments"]:
    """Spikes of the cells of each segment."""
    return spikes.reshape(len(spikes), segments, -1).sum(2).astype(np.float32)


def _numbers(v: Float[np.ndarray, "*batch cells"], edges: Float[np.ndarray, " edges"]) -> Float[np.ndarray, "*batch n"]:
    """Of cells in each range, and of refractory ones."""
    ranges = [((v >= low) & (v < high)).sum(-1) for low, high in pairwise(edges)]
    return np.stack([*ranges, np.isnan(v).sum(-1)], -1).astype(np.float32)
