"""The exact floor: what the network itself predicts from its full state, the noise to come being unknown."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from simulators.firing_events.networks import LiveNetwork


class Floor(NamedTuple):
    """Means and variances of the E spikes of each ms to come, over futures of one state, and spikes of one more future.

    The mean of the variance is the least squared error that any model can have.
    """

    mean: Float[np.ndarray, "states leads"]
    variance: Float[np.ndarray, "states leads"]
    real: Float[np.ndarray, "states leads"]


def exact_floor(
    network: LiveNetwork,
    states: int,
    gap_ms: int = 20,
    leads: int = 1,
    futures: int = 60,
    seed: int = 0,
    signal: Float[np.ndarray, " ms"] | None = None,
) -> Floor:
    """From ``states`` instants, ``gap_ms`` apart: simulate each again and again with other noise.

    signal: factor of the external rate in each ms, the same in all futures. The network is left as it was. Raises
    ValueError for fewer than two futures, none of anything, or a signal that ends before the last future does.
    """
    if min(states, gap_ms, leads) < 1 or futures < 2:
        raise ValueError(f"{states} states {gap_ms} ms apart, {leads} leads, {futures} futures; two futures or more")
    needed = (states - 1) * gap_ms + max(leads, gap_ms)
    if signal is not None and len(signal) < needed:
        raise ValueError(f"a signal of {len(signal)} ms; {needed} are needed")
    live, seeds = network.copy(), np.random.SeedSequence(seed)
    found = np.empty((states, futures + 1, leads))
    for s in range(states):
        coming = None if signal is None else signal[s * gap_ms :]
        for k, own in enumerate(seeds.spawn(futures + 1)):
            found[s, k] = live.copy(own).advance(leads, None if coming is None else coming[:leads]).per_ms[:, 0]
        live.advance(gap_ms, None if coming is None else coming[:gap_ms])
    drawn = found[:, :-1]
    return Floor(drawn.mean(1), drawn.var(1, ddof=1), found[:, -1])
