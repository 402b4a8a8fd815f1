"""The network with alpha-shaped synapses in NEST: the reference for the compiled one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from simulators.brunel.nest_network import connect_populations, nest_spikes
from simulators.brunel_alpha.model import TEN_PARAMETERS, AlphaNetwork, Neurons, check_known, neurons
from simulators.interface import ParameterSpace
from simulators.recording import Recording, Spikes

if TYPE_CHECKING:
    from simulators.brunel_alpha.field import AlphaSignal
    from simulators.fields.probes import Probe


@dataclass(frozen=True)
class NestAlphaBrunel:
    """Simulator of an ``AlphaNetwork`` in NEST 3.10: spike counts of both populations, for theta in ``parameters``.

    known: values of those of the ten parameters that are not free. The seed of NEST is drawn from the generator that is
    handed over; its kernel is reset before and after. Raises ImportError with what to install where NEST is missing,
    and ValueError for parameters that are unknown, missing, or free and known at once.
    """

    network: AlphaNetwork = field(default_factory=AlphaNetwork)
    parameters: ParameterSpace = TEN_PARAMETERS
    known: Mapping[str, float] = field(default_factory=dict)
    threads: int = 1

    def __post_init__(self) -> None:
        check_known(self.parameters, self.known)
        if self.threads < 1:
            raise ValueError(f"threads = {self.threads}; NEST needs 1 or more")

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Spike counts, (2, bins) of ``bin_ms``."""
        spikes = self.simulate_spikes(theta, rng)
        return self.network.count(spikes.times_ms, spikes.senders)

    def forward_model(self, probe: "Probe | None" = None) -> "AlphaSignal":
        """What a probe sees of the network; by default six contacts (Skaar et al. 2020)."""
        from simulators.brunel_alpha.field import AlphaSignal
        from simulators.fields.probes import SKAAR_PROBE

        return AlphaSignal(probe or SKAAR_PROBE, self.network, self.parameters, self.known)

    def lasting(self, duration_s: float) -> "NestAlphaBrunel":
        """The same network simulated for another time after its transient. Raises ValueError as ``AlphaNetwork``."""
        return replace(self, network=self.network.lasting(duration_s))

    def simulate_spikes(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Spikes:
        """Every spike of the same simulation."""
        own = neurons(self.parameters, theta, self.known, self.network.dt_ms)
        return nest_spikes(self.network, rng, self.threads, lambda nest: self._build(nest, own))

    def _build(self, nest: Any, own: Neurons) -> Any:
        """Make neurons, connections and external input; returns the neurons."""
        population = create_neurons(nest, own, self.network.n_excitatory + self.network.n_inhibitory)
        weight = own.peak_current_pA
        connect_populations(nest, population, self.network, (weight, -own.g * weight), own.delay)
        # A poisson_generator sends an independent train to each of its targets.
        external = nest.Create("poisson_generator", params={"rate": 1e3 * own.external_rate_per_ms})
        nest.Connect(external, population, syn_spec={"weight": weight, "delay": self.network.dt_ms})
        return population


def create_neurons(nest: Any, own: Neurons, n: int) -> Any:
    """So many of them, at rest."""
    fixed = {"E_L": 0.0, "V_m": 0.0, "tau_syn_ex": own.tau_syn, "tau_syn_in": own.tau_syn}
    names = ("C_m", "tau_m", "t_ref", "V_th", "V_reset")
    return nest.Create("iaf_psc_alpha", n, fixed | {name: getattr(own, name) for name in names})
