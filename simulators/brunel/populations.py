"""Two populations of neurons, excitatory and inhibitory, connected at random: what their networks have in common."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Float, Integer

from simulators.recording import Recording

POPULATIONS = ("excitatory", "inhibitory")


@dataclass(frozen=True)
class TwoPopulations:
    """Sizes, connections and times.

    ``order`` scales the populations: 4 ``order`` excitatory and ``order`` inhibitory neurons, each connected to 10 %
    of either. Spikes are counted in bins of ``bin_ms``; the first ``transient_ms`` of ``duration_ms`` are marked as
    transient. Raises ValueError for values no network can have.
    """

    order: int = 2500
    connection_probability: float = 0.1
    dt_ms: float = 0.1
    duration_ms: float = 3000.0
    transient_ms: float = 150.0
    bin_ms: float = 1.0

    def __post_init__(self) -> None:
        if self.in_degree_inhibitory < 1:
            raise ValueError(f"order {self.order} leaves a neuron without inhibitory inputs; take 10 or more")
        if not 0 <= self.transient_ms < self.duration_ms:
            raise ValueError(f"a transient of {self.transient_ms} ms leaves nothing of {self.duration_ms} ms")
        for name in ("duration_ms", "transient_ms", "bin_ms"):
            self.check_steps(name)
        for name in ("duration_ms", "transient_ms"):
            bins = getattr(self, name) / self.bin_ms
            if abs(bins - round(bins)) > 1e-6:
                raise ValueError(f"{name} = {getattr(self, name)} is not a multiple of the bin of {self.bin_ms} ms")

    def check_steps(self, name: str) -> None:
        """Raises ValueError where a duration is not a multiple of the time step."""
        steps = getattr(self, name) / self.dt_ms
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f"{name} = {getattr(self, name)} is not a multiple of the time step {self.dt_ms} ms")

    @property
    def n_excitatory(self) -> int:
        """Number of excitatory neurons."""
        return 4 * self.order

    @property
    def n_inhibitory(self) -> int:
        """Number of inhibitory neurons."""
        return self.order

    @property
    def in_degree_excitatory(self) -> int:
        """Synapses on every neuron from excitatory neurons."""
        return int(self.connection_probability * self.n_excitatory)

    @property
    def in_degree_inhibitory(self) -> int:
        """Synapses on every neuron from inhibitory neurons."""
        return int(self.connection_probability * self.n_inhibitory)

    @property
    def in_degrees(self) -> tuple[int, int]:
        """Synapses on every neuron from each population."""
        return self.in_degree_excitatory, self.in_degree_inhibitory

    @property
    def populations(self) -> dict[str, tuple[int, int]]:
        """First and past-the-last neuron of each population."""
        n = self.n_excitatory
        return dict(zip(POPULATIONS, ((0, n), (n, n + self.n_inhibitory)), strict=True))

    def lasting(self, duration_s: float) -> Self:
        """The same network simulated for another time after its transient, to the nearest ms."""
        if not 0 < duration_s < np.inf:
            raise ValueError(f"simulations of {duration_s:g} s hold nothing or never end; give a positive duration")
        return replace(self, duration_ms=self.transient_ms + round(1e3 * duration_s))

    def steps(self, duration_ms: float) -> int:
        """Time steps in a duration."""
        return round(duration_ms / self.dt_ms)

    def recording(self, counts: Integer[np.ndarray, "2 bins"]) -> Recording:
        """Spike counts of the two populations as a Recording."""
        return Recording(
            counts.astype(np.uint16),
            1e3 / self.bin_ms,
            "1",
            tuple(self.populations),
            round(self.transient_ms / self.bin_ms),
        )

    def count(self, times_ms: Float[np.ndarray, " spikes"], senders: Integer[np.ndarray, " spikes"]) -> Recording:
        """Count spikes per bin and population; a spike at the end of a time step belongs to the bin that step is in."""
        bins = round(self.duration_ms / self.bin_ms)
        index = (np.rint(times_ms / self.dt_ms).astype(np.int64) - 1) // self.steps(self.bin_ms)
        return self.recording(
            np.stack(
                [
                    np.bincount(index[(senders >= a) & (senders < b)], minlength=bins)
                    for a, b in self.populations.values()
                ]
            )
        )
