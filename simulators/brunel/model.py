"""What the two-population network of Brunel (2000) is, whoever runs it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer

from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

_J = "strength of an excitatory synapse: jump of the membrane potential"
_G = "strength of inhibition relative to excitation"
_ETA = "external input relative to the rate that reaches threshold"

FULL_RANGE = ParameterSpace(
    (Parameter("J", "mV", 0.05, 0.4, _J), Parameter("g", "1", 3.5, 8.0, _G), Parameter("eta", "1", 0.8, 4.0, _ETA))
)
"""All network states (Skaar et al. 2020)."""

ASYNCHRONOUS_RANGE = ParameterSpace(
    (Parameter("J", "mV", 0.1, 0.25, _J), Parameter("g", "1", 4.5, 6.0, _G), Parameter("eta", "1", 1.5, 3.0, _ETA))
)
"""Asynchronous irregular activity, the state most like cortex (Skaar et al. 2020)."""

POPULATIONS = ("excitatory", "inhibitory")

RANGES = {"asynchronous": ASYNCHRONOUS_RANGE, "full": FULL_RANGE}


@dataclass(frozen=True)
class BrunelNetwork:
    """Everything about the network that is not estimated. Defaults: full size, as in Skaar et al. 2020.

    ``order`` scales the populations: 4 ``order`` excitatory and ``order`` inhibitory neurons, each connected to 10 %
    of either. Spikes are counted in bins of ``bin_ms``; the first ``transient_ms`` of ``duration_ms`` are marked as
    transient. A spread is half the width of a uniform distribution about the value: of delays over connections, of the
    others over neurons. Raises ValueError for values no network can have.
    """

    order: int = 2500
    connection_probability: float = 0.1
    membrane_time_constant_ms: float = 20.0
    capacitance_pF: float = 250.0
    refractory_ms: float = 2.0
    threshold_mV: float = 20.0
    reset_mV: float = 10.0
    delay_ms: float = 1.5
    dt_ms: float = 0.1
    duration_ms: float = 3000.0
    transient_ms: float = 150.0
    bin_ms: float = 1.0
    threshold_spread_mV: float = 0.0
    membrane_time_constant_spread_ms: float = 0.0
    refractory_spread_ms: float = 0.0
    delay_spread_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.in_degree_inhibitory < 1:
            raise ValueError(f"order {self.order} leaves a neuron without inhibitory inputs; take 10 or more")
        if not 0 <= self.transient_ms < self.duration_ms:
            raise ValueError(f"a transient of {self.transient_ms} ms leaves nothing of {self.duration_ms} ms")
        if not self.reset_mV < self.threshold_mV - self.threshold_spread_mV:
            raise ValueError(f"reset {self.reset_mV} mV must lie below all thresholds ({self.threshold_mV} mV)")
        for name in ("threshold_spread_mV", "membrane_time_constant_spread_ms", "refractory_spread_ms"):
            value, spread = getattr(self, name.replace("_spread", "")), getattr(self, name)
            if spread and not 0 < spread < value:
                raise ValueError(f"{name} = {spread}; it must lie between 0 and the value itself, {value}")
        for name in ("refractory_ms", "delay_ms", "delay_spread_ms", "duration_ms", "transient_ms", "bin_ms"):
            steps = getattr(self, name) / self.dt_ms
            if abs(steps - round(steps)) > 1e-6:
                raise ValueError(f"{name} = {getattr(self, name)} is not a multiple of the time step {self.dt_ms} ms")
        for name in ("duration_ms", "transient_ms"):
            bins = getattr(self, name) / self.bin_ms
            if abs(bins - round(bins)) > 1e-6:
                raise ValueError(f"{name} = {getattr(self, name)} is not a multiple of the bin of {self.bin_ms} ms")
        if self.delay_spread_ms < 0 or self.delay_ms - self.delay_spread_ms < self.dt_ms - 1e-9:
            raise ValueError(
                f"delays of {self.delay_ms} +- {self.delay_spread_ms} ms get shorter than the time step {self.dt_ms} ms"
            )

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

    @property
    def delays_ms(self) -> tuple[float, ...]:
        """All the delays there are, equally likely: multiples of the time step."""
        spread = self.steps(self.delay_spread_ms)
        return tuple(self.delay_ms + self.dt_ms * k for k in range(-spread, spread + 1))

    def lasting(self, duration_s: float) -> "BrunelNetwork":
        """The same network simulated for another time after its transient, to the nearest ms."""
        if not 0 < duration_s < np.inf:
            raise ValueError(f"simulations of {duration_s:g} s hold nothing or never end; give a positive duration")
        return replace(self, duration_ms=self.transient_ms + round(1e3 * duration_s))

    def steps(self, duration_ms: float) -> int:
        """Time steps in a duration."""
        return round(duration_ms / self.dt_ms)

    def external_rate_per_ms(self, J: float, eta: float) -> float:
        """Rate of a neuron's own Poisson input: eta nu_th C_E with nu_th = V_th / (J C_E tau_m) (Brunel 2000)."""
        return eta * self.threshold_mV / (J * self.membrane_time_constant_ms)

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
