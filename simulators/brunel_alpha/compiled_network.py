"""The network with alpha-shaped synapses as one compiled loop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from simulators.brunel import event_loop
from simulators.brunel_alpha import loop
from simulators.brunel_alpha.model import TEN_PARAMETERS, AlphaNetwork, check_known, neurons
from simulators.interface import ParameterSpace
from simulators.poisson import poisson_quantiles
from simulators.recording import Recording, Spikes

if TYPE_CHECKING:
    from simulators.brunel_alpha.field import AlphaSignal
    from simulators.fields.probes import Probe

_MOST_NEURONS = 2**16


@dataclass(frozen=True)
class CompiledAlphaBrunel:
    """Simulator of an ``AlphaNetwork``: spike counts of both populations, for theta in ``parameters``.

    known: values of those of the ten parameters that are not free. precision: "float32", or "float64" to compare with
    NEST spike by spike. The same network in statistics as ``NestAlphaBrunel``; random numbers differ. Raises ValueError
    for more than 65,536 neurons, and parameters that are unknown, missing, or free and known at once.
    """

    network: AlphaNetwork = field(default_factory=AlphaNetwork)
    parameters: ParameterSpace = TEN_PARAMETERS
    known: Mapping[str, float] = field(default_factory=dict)
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_known(self.parameters, self.known)
        n = self.network.n_excitatory + self.network.n_inhibitory
        if n > _MOST_NEURONS:
            raise ValueError(
                f"{n} neurons; the compiled network addresses {_MOST_NEURONS} at most: use NestAlphaBrunel"
            )
        if self.precision not in ("float32", "float64"):
            raise ValueError(f"there is no precision '{self.precision}'; choose float32 or float64")

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Spike counts, (2, bins) of ``bin_ms``."""
        counts, _, _ = self._run(theta, rng, record=False)
        return self.network.recording(counts)

    def forward_model(self, probe: "Probe | None" = None) -> "AlphaSignal":
        """What a probe sees of the network; by default six contacts (Skaar et al. 2020)."""
        from simulators.brunel_alpha.field import AlphaSignal
        from simulators.fields.probes import SKAAR_PROBE

        return AlphaSignal(probe or SKAAR_PROBE, self.network, self.parameters, self.known)

    def lasting(self, duration_s: float) -> "CompiledAlphaBrunel":
        """The same network simulated for another time after its transient. Raises ValueError as ``AlphaNetwork``."""
        return replace(self, network=self.network.lasting(duration_s))

    def simulate_spikes(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Spikes:
        """Every spike of the same simulation."""
        _, steps, senders = self._run(theta, rng, record=True)
        return Spikes((steps + 1) * self.network.dt_ms, senders.astype(np.int64), self.network.populations)

    def _run(self, theta, rng, record):
        network, real = self.network, np.dtype(self.precision).type
        own = neurons(self.parameters, theta, self.known, network.dt_ms)
        # Zero is the one state that xorshift never leaves.
        state = rng.integers(1, 2**64 - 1, size=(2, event_loop.LANES), dtype=np.uint64)
        sizes = network.n_excitatory, network.n_inhibitory
        rows, words = event_loop.connect(*sizes, *network.in_degrees, 1, state)
        n = sum(sizes)
        V, current, slope = (np.zeros(64 * words, real) for _ in range(3))
        V[n:] = -np.inf
        steps, refractory = network.steps(network.duration_ms), np.full(n, network.steps(own.t_ref))
        counts = np.zeros((2, round(network.duration_ms / network.bin_ms)), np.int32)
        # Pages of these are taken only as spikes arrive.
        room = n * (steps // (refractory[0] + 1) + 1) if record else 0
        spike_steps, senders = np.empty(room, np.int32), np.empty(room, np.uint16)
        total = loop.run(
            rows[0], words, network.n_excitatory, V, current, slope, own.propagators(network.dt_ms).astype(real),
            real(own.V_th), real(own.V_reset), refractory, network.steps(own.delay),
            real(own.peak_current_pA * math.e / own.tau_syn), real(-own.g),
            poisson_quantiles(own.external_rate_per_ms * network.dt_ms), steps, network.steps(network.bin_ms), state,
            counts, record, spike_steps, senders,
        )  # fmt: skip
        return counts, spike_steps[:total], senders[:total]
