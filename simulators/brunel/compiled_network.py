"""The Brunel network as one compiled loop: the model of nest_network, more than thirty times as fast on one core."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from simulators.brunel import event_loop
from simulators.brunel.model import FULL_RANGE, RANGES, BrunelNetwork
from simulators.interface import ParameterSpace
from simulators.poisson import poisson_quantiles
from simulators.recording import Recording, Spikes

if TYPE_CHECKING:
    from simulators.brunel.field import KernelSignal
    from simulators.fields.probes import Probe

_MAX_NEURONS = 2**16


@dataclass(frozen=True)
class CompiledBrunel:
    """Simulator of a ``BrunelNetwork``: spike counts of both populations, for theta = (J, g, eta).

    Statistically the same as ``NestBrunel``, not spike by spike: random numbers differ. The Poisson input is drawn
    from 65,536 quantiles. Raises ValueError for more than 65,536 neurons or more than 255 input events a step.
    """

    network: BrunelNetwork = field(default_factory=BrunelNetwork)
    parameters: ParameterSpace = FULL_RANGE

    ranges: ClassVar = RANGES

    def __post_init__(self) -> None:
        n = self.network.n_excitatory + self.network.n_inhibitory
        if n > _MAX_NEURONS:
            raise ValueError(f"{n} neurons; the compiled network addresses {_MAX_NEURONS} at most: use NestBrunel")
        if self.parameters.names != FULL_RANGE.names:
            raise ValueError(f"parameters are {self.parameters.names}; expected {FULL_RANGE.names}")

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Spike counts, (2, bins) of ``bin_ms``."""
        counts, _, _ = self._run(theta, rng, record=False)
        return self.network.recording(counts)

    def forward_model(self, probe: "Probe | None" = None) -> "KernelSignal":
        """What a probe sees of the network; by default six contacts (Skaar et al. 2020)."""
        from simulators.brunel.field import kernel_signal

        return kernel_signal(self.network, self.parameters, probe)

    def lasting(self, duration_s: float) -> "CompiledBrunel":
        """The same network simulated for another time after its transient. Raises ValueError as ``BrunelNetwork``."""
        return replace(self, network=self.network.lasting(duration_s))

    def simulate_spikes(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Spikes:
        """Every spike of the same simulation."""
        _, steps, senders = self._run(theta, rng, record=True)
        return Spikes((steps + 1) * self.network.dt_ms, senders.astype(np.int64), self.network.populations)

    def _run(self, theta, rng, record):
        network = self.network
        J, g, eta = self.parameters.check(theta)
        # Zero is the one state that xorshift never leaves.
        state = rng.integers(1, 2**64 - 1, size=(2, event_loop.LANES), dtype=np.uint64)
        delays = np.array([network.steps(delay) for delay in network.delays_ms])
        rows, words = event_loop.connect(
            network.n_excitatory,
            network.n_inhibitory,
            network.in_degree_excitatory,
            network.in_degree_inhibitory,
            delays.size,
            state,
        )
        n = network.n_excitatory + network.n_inhibitory
        V = np.full(64 * words, -np.inf, np.float32)
        V[:n] = rng.uniform(0.0, network.threshold_mV, n)
        steps = network.steps(network.duration_ms)
        decay, threshold, refractory = self._neurons(rng, n)
        counts = np.zeros((2, round(network.duration_ms / network.bin_ms)), np.int32)
        # Pages of these are taken only as spikes arrive.
        room = n * (steps // (refractory.min() + 1) + 1) if record else 0
        spike_steps, senders = np.empty(room, np.int32), np.empty(room, np.uint16)
        poisson_table = poisson_quantiles(network.external_rate_per_ms(J, eta) * network.dt_ms)
        total = event_loop.run(
            rows, words, network.n_excitatory, V, np.resize(decay, V.size), np.resize(threshold, V.size),
            np.float32(network.reset_mV), refractory, delays, np.float32(J), np.float32(-g * J), poisson_table, steps,
            network.steps(network.bin_ms), state, counts, record, spike_steps, senders,
        )  # fmt: skip
        return counts, spike_steps[:total], senders[:total]

    def _neurons(self, rng, n):
        """Decay of the potential a step, threshold (mV) and refractory period (steps) of each neuron."""
        network = self.network

        def drawn(mean: float, spread: float) -> np.ndarray:
            # Without a spread nothing is drawn: the network is what it was before there were spreads.
            return mean + spread * rng.uniform(-1, 1, n) if spread else np.full(n, mean)

        taus = drawn(network.membrane_time_constant_ms, network.membrane_time_constant_spread_ms)
        thresholds = drawn(network.threshold_mV, network.threshold_spread_mV)
        refractory = drawn(network.refractory_ms, network.refractory_spread_ms)
        decay = np.exp(-network.dt_ms / taus).astype(np.float32)
        return decay, thresholds.astype(np.float32), np.rint(refractory / network.dt_ms).astype(np.int64)
