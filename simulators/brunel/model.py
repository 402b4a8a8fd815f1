"""What the two-population network of Brunel (2000) is, whoever runs it."""

from dataclasses import dataclass

from simulators.brunel.populations import TwoPopulations
from simulators.interface import Parameter, ParameterSpace

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

RANGES = {"asynchronous": ASYNCHRONOUS_RANGE, "full": FULL_RANGE}


@dataclass(frozen=True)
class BrunelNetwork(TwoPopulations):
    """Everything about the network that is not estimated. Defaults: full size, as in Skaar et al. 2020.

    A spread is half the width of a uniform distribution about the value: of delays over connections, of the others over
    neurons. Raises ValueError for values no network can have.
    """

    membrane_time_constant_ms: float = 20.0
    capacitance_pF: float = 250.0
    refractory_ms: float = 2.0
    threshold_mV: float = 20.0
    reset_mV: float = 10.0
    delay_ms: float = 1.5
    threshold_spread_mV: float = 0.0
    membrane_time_constant_spread_ms: float = 0.0
    refractory_spread_ms: float = 0.0
    delay_spread_ms: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.reset_mV < self.threshold_mV - self.threshold_spread_mV:
            raise ValueError(f"reset {self.reset_mV} mV must lie below all thresholds ({self.threshold_mV} mV)")
        for name in ("threshold_spread_mV", "membrane_time_constant_spread_ms", "refractory_spread_ms"):
            value, spread = getattr(self, name.replace("_spread", "")), getattr(self, name)
            if spread and not 0 < spread < value:
                raise ValueError(f"{name} = {spread}; it must lie between 0 and the value itself, {value}")
        for name in ("refractory_ms", "delay_ms", "delay_spread_ms"):
            self.check_steps(name)
        if self.delay_spread_ms < 0 or self.delay_ms - self.delay_spread_ms < self.dt_ms - 1e-9:
            raise ValueError(
                f"delays of {self.delay_ms} +- {self.delay_spread_ms} ms get shorter than the time step {self.dt_ms} ms"
            )

    @property
    def delays_ms(self) -> tuple[float, ...]:
        """All the delays there are, equally likely: multiples of the time step."""
        spread = self.steps(self.delay_spread_ms)
        return tuple(self.delay_ms + self.dt_ms * k for k in range(-spread, spread + 1))

    def external_rate_per_ms(self, J: float, eta: float) -> float:
        """Rate of a neuron's own Poisson input: eta nu_th C_E with nu_th = V_th / (J C_E tau_m) (Brunel 2000)."""
        return eta * self.threshold_mV / (J * self.membrane_time_constant_ms)
