"""How a surrogate fires, and whether it drifts, beside its cell: beyond the inputs that it has learned from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from simulators.cells.inputs import PoissonRates, rates_up_to
from surrogates.neurons.measures.experiments import Drift, agreement, drift, firing_rates, in_neuron
from surrogates.neurons.trained import TrainedNeuron
from surrogates.neurons.training.curricula import Curriculum
from surrogates.neurons.training.data import simulate_runs

_LEVELS = 6, 3  # of excitation and inhibition
_SEED = 2_000_000  # far from those of curricula


@dataclass(frozen=True)
class Behaviour:
    """rates: of events at each synapse (Hz), and of spikes for each pair of them, the surrogate's and the cell's."""

    excitatory_Hz: Float[np.ndarray, " levels"]
    inhibitory_Hz: Float[np.ndarray, " others"]
    surrogate_Hz: Float[np.ndarray, "levels others"]
    neuron_Hz: Float[np.ndarray, "levels others"]
    drift: Drift

    def to_json(self) -> dict[str, Any]:
        """The f-I curve is the map's first column, without inhibition. None stands for what is undefined.

        That is R2 where the cell never fires, and the variance explained of a voltage that never changes.
        """
        r2 = {
            "map_r2": agreement(self.surrogate_Hz.ravel(), self.neuron_Hz.ravel()),
            "f_i_r2": agreement(self.surrogate_Hz[:, 0], self.neuron_Hz[:, 0]),
        }
        rates = ("excitatory_Hz", "inhibitory_Hz", "surrogate_Hz", "neuron_Hz")
        return {
            **{name: _number(value, ".4f") for name, value in r2.items()},
            **{name: np.round(getattr(self, name).astype(float), 2).tolist() for name in rates},
            "explained_by_stretch": [_number(x, ".4f") for x in self.drift.explained],
            "explained_slope_per_s": [_number(x, ".3g") for x in self.drift.explained_slope],
        }


def _number(value: float, precision: str) -> float | None:
    return float(format(value, precision)) if np.isfinite(value) else None


def behaviour(
    neuron: TrainedNeuron, curriculum: Curriculum, runs: int = 3, duration_ms: float = 1000.0, long_ms: float = 25_000.0
) -> Behaviour:
    """Rates over a grid of Poisson excitation and inhibition at all synapses, and drift under the hardest regime.

    runs: of each pair of rates, and of the long one, 5 s of which are a stretch.
    """
    most_excitatory, most_inhibitory = curriculum.highest_Hz
    protocol = PoissonRates(curriculum.sample_ms, rates_up_to(*curriculum.highest_Hz))
    rng = np.random.default_rng(_SEED)
    excitatory, inhibitory = np.linspace(0, most_excitatory, _LEVELS[0]), np.linspace(0, most_inhibitory, _LEVELS[1])
    pairs = np.stack(np.meshgrid(excitatory, inhibitory, indexing="ij"), -1).reshape(-1, 2).repeat(runs, 0)
    events = [protocol.draw(pair, curriculum.cell.synapses, duration_ms, rng) for pair in pairs]
    surrogate_Hz, neuron_Hz = (
        firing_rates(respond, events, duration_ms).reshape(*_LEVELS, runs).mean(2)
        for respond in (neuron.respond, in_neuron(curriculum.cell, curriculum.sample_ms))
    )
    hardest = replace(curriculum.simulator(curriculum.regimes[-1]), duration_ms=long_ms, batch_size=runs)
    long = simulate_runs(hardest, runs, _SEED)
    response = neuron.network.respond(long.events)
    drifted = drift(response.v.numpy(), long.target.v.numpy(), curriculum.sample_ms, min(5000.0, long_ms / 2))
    return Behaviour(excitatory, inhibitory, surrogate_Hz, neuron_Hz, drifted)
