"""What the two-population network with alpha-shaped synapses is, whoever runs it (Skaar et al. 2023)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from simulators.brunel.populations import TwoPopulations
from simulators.interface import Parameter, ParameterSpace

TEN_PARAMETERS = ParameterSpace(
    (
        Parameter("eta", "1", 1.0, 3.5, "external input relative to the rate that reaches threshold"),
        Parameter("g", "1", 4.5, 8.0, "strength of inhibition relative to excitation"),
        Parameter("tau_syn", "ms", 1.0, 8.0, "time constant of synaptic currents"),
        Parameter("tau_m", "ms", 15.0, 30.0, "time constant of the membrane"),
        Parameter("delay", "ms", 0.1, 4.0, "of every connection, rounded to time steps"),
        Parameter("t_ref", "ms", 0.0, 5.0, "refractory period, rounded to time steps"),
        Parameter("C_syn", "fC", 25.0, 100.0, "charge of one excitatory event"),
        Parameter("V_th", "mV", 15.0, 25.0, "threshold above rest"),
        Parameter("C_m", "pF", 100.0, 300.0, "capacitance of the membrane"),
        Parameter("V_reset", "mV", 0.0, 10.0, "potential after a spike, above rest"),
    )
)
"""Published ranges (Skaar et al. 2023)."""


@dataclass(frozen=True)
class AlphaNetwork(TwoPopulations):
    """Everything about the network that is not among its ten parameters. Defaults: full size, as published."""

    order: int = 2000
    duration_ms: float = 3500.0
    transient_ms: float = 500.0


class Neurons(NamedTuple):
    """Values of all ten parameters, with what follows from them."""

    eta: float
    g: float
    tau_syn: float
    tau_m: float
    delay: float
    t_ref: float
    C_syn: float
    V_th: float
    C_m: float
    V_reset: float

    @property
    def peak_current_pA(self) -> float:
        """Of an excitatory synapse, whose charge is C_syn."""
        return self.C_syn / (math.e * self.tau_syn)

    @property
    def external_rate_per_ms(self) -> float:
        """Rate of a neuron's own Poisson input: eta times the rate whose mean drive is the threshold."""
        return self.eta * self.V_th * self.C_m / (self.C_syn * self.tau_m)

    def propagators(self, dt_ms: float) -> Float[np.ndarray, " six"]:
        """Exact solution over one step (Rotter and Diesmann 1999): of the current's slope and of the current itself,
        from slope to current, from slope, current and potential to the potential."""
        s, m, h = self.tau_syn, self.tau_m, dt_ms
        synapse, membrane = np.exp(-h / s), np.exp(-h / m)
        apart = 1 / (1 / s - 1 / m)
        from_current = apart / self.C_m * (membrane - synapse)
        from_slope = apart / self.C_m * (apart * (membrane - synapse) - h * synapse)
        return np.array([synapse, synapse, h * synapse, from_slope, from_current, membrane])


def check_known(parameters: ParameterSpace, known: Mapping[str, float]) -> None:
    """Raises ValueError unless each of the ten is either a free parameter or known, and inside of what it can be."""
    for name in (*parameters.names, *known):
        if name not in TEN_PARAMETERS.names:
            raise ValueError(f"the network has no parameter '{name}'; it has {', '.join(TEN_PARAMETERS.names)}")
    if twice := set(parameters.names) & set(known):
        raise ValueError(f"{', '.join(sorted(twice))}: known and free at once; give a parameter one role")
    for p in parameters:
        known_range = TEN_PARAMETERS.parameters[TEN_PARAMETERS.names.index(p.name)]
        if not known_range.low <= p.low < p.high <= known_range.high:
            raise ValueError(
                f"{p.name} from {p.low:g} to {p.high:g} leaves {known_range.low:g} ... {known_range.high:g}, for which "
                f"the network and its fields are made"
            )
    if missing := [name for name in TEN_PARAMETERS.names if name not in (*parameters.names, *known)]:
        raise ValueError(f"{', '.join(missing)}: neither free nor known; give a value or a range")
    for p in TEN_PARAMETERS:
        if p.name in known and not p.low <= known[p.name] <= p.high:
            unit = "" if p.unit == "1" else f" {p.unit}"
            raise ValueError(f"{p.name} = {known[p.name]:g}{unit} lies outside {p.low:g} ... {p.high:g}")


def neurons(
    parameters: ParameterSpace, theta: Float[np.ndarray, " n_parameters"], known: Mapping[str, float], dt_ms: float
) -> Neurons:
    """All ten values, delay and refractory period rounded to time steps. Raises ValueError for a theta outside."""
    values = dict(zip(parameters.names, parameters.check(theta).tolist(), strict=True)) | dict(known)
    values["delay"] = max(1, round(values["delay"] / dt_ms)) * dt_ms
    values["t_ref"] = round(values["t_ref"] / dt_ms) * dt_ms
    return Neurons(**values)
