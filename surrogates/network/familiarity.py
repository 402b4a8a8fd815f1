"""Whether the cells of a network receive more than their surrogates have learned from."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from simulators.cells.inputs import SynapticEvents
from surrogates.network.circuit import Circuit

_MORE = 1.25  # times the most that was learned from: what comes in during a run is itself a matter of chance
_LEAST_US = 1e-12


def beyond_training(
    circuit: Circuit,
    spikes: UInt8[np.ndarray, "copies cells bins"],
    factors: Float[np.ndarray, "copies groups"],
    drives: Sequence[Sequence[SynapticEvents]],
) -> tuple[str, ...]:
    """Where more came in at a synapse than in any run of training, all weights added up, or one heavier, in words.

    A line a population. Surrogates whose files do not say what they learned from are passed over.
    """
    seconds = 1e-3 * circuit.bin_ms * spikes.shape[2]
    rates = spikes.sum(2) / seconds
    found = []
    for p, (population, neuron) in enumerate(zip(circuit.populations, circuit.neurons, strict=True)):
        learned = neuron.about.get("inputs")
        if not learned:
            continue
        received = _received(circuit, p, rates, factors, drives, seconds)
        most = (np.maximum(learned[name], _LEAST_US) for name in ("uS_per_s", "weight_uS"))
        ways = "bring {:.2g} times as much as", "weigh {:.2g} times as much as"
        excess = {way: there / limit for way, there, limit in zip(ways, received, most, strict=True)}
        said = [
            f"{words.format(ratio.max())} those it learned from, at {neuron.synapses[int(ratio.max(0).argmax())].name} "
            f"in {np.mean((ratio > _MORE).any(1)):.0%} of the networks"
            for words, ratio in excess.items()
            if ratio.max(initial=0) > _MORE
        ]
        if said:
            found.append(f"{population.name}: events {'; they '.join(said)}")
    return tuple(found)


def _received(
    circuit: Circuit,
    population: int,
    rates: Float[np.ndarray, "copies cells"],
    factors: Float[np.ndarray, "copies groups"],
    drives: Sequence[Sequence[SynapticEvents]],
    seconds: float,
) -> tuple[Float[np.ndarray, "copies synapses"], Float[np.ndarray, "copies synapses"]]:
    """Of each copy, the most at a synapse of any cell of a population: weights over time (uS/s), one weight (uS)."""
    cells, synapses = circuit.populations[population].cells, len(circuit.neurons[population].synapses)
    first, links = circuit.first_cells[population], circuit.links
    mine = np.flatnonzero(circuit.types[links.targets] == population)
    places = (links.targets[mine] - first) * synapses + links.synapses[mine]
    total, weight = np.zeros((len(rates), cells * synapses)), np.zeros((len(rates), synapses))
    for k, copy in enumerate(drives):
        weights = links.weights_uS[mine] * factors[k, links.groups[mine]]
        total[k] = np.bincount(places, weights * rates[k, links.sources[mine]], cells * synapses)
        np.maximum.at(weight[k], links.synapses[mine], weights)
        for cell, events in enumerate(copy[first : first + cells]):
            during = events.times_ms < 1e3 * seconds
            at, outside = events.synapses[during], events.weights_uS[during]
            total[k, cell * synapses : (cell + 1) * synapses] += np.bincount(at, outside, synapses) / seconds
            np.maximum.at(weight[k], at, outside)
    return total.reshape(len(rates), cells, synapses).max(1), weight
