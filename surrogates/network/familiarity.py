"""Whether the cells of a network receive more than their surrogates have learned from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from simulators.cells.inputs import SynapticEvents
from surrogates.network.circuit import Circuit

_MORE = 1.25  # times the most that was learned from: a run's rate is itself a matter of chance


class Beyond(NamedTuple):
    """share: of networks in which a cell received more than its surrogate has learned from; lines: what, in words."""

    share: float
    lines: tuple[str, ...]


def beyond_training(
    circuit: Circuit,
    spikes: UInt8[np.ndarray, "copies cells bins"],
    factors: Float[np.ndarray, "copies groups"],
    drives: Sequence[Sequence[SynapticEvents]],
) -> Beyond:
    """What was beyond the highest rate or the largest weight at a synapse in training, in words; a line a population.

    Surrogates whose files do not say what they learned from are passed over.
    """
    seconds = 1e-3 * circuit.bin_ms * spikes.shape[2]
    rates = spikes.sum(2) / seconds
    found, networks = [], np.zeros(len(spikes), bool)
    for p, (population, neuron) in enumerate(zip(circuit.populations, circuit.neurons, strict=True)):
        learned = neuron.about.get("inputs")
        if not learned:
            continue
        rate, weight = _received(circuit, p, rates, factors, drives, seconds)
        excess = {
            "come {:.2g} times as often as": rate / np.maximum(learned["rate_Hz"], 1 / seconds),
            "weigh {:.2g} times as much as": weight / np.maximum(learned["weight_uS"], 1e-12),
        }
        for ratio in excess.values():
            networks |= (ratio > _MORE).any(1)
        said = [
            f"{words.format(ratio.max())} those it learned from, at {neuron.synapses[int(ratio.max(0).argmax())].name} "
            f"in {np.mean((ratio > _MORE).any(1)):.0%} of the networks"
            for words, ratio in excess.items()
            if ratio.max(initial=0) > _MORE
        ]
        if said:
            found.append(f"{population.name}: events {'; they '.join(said)}")
    return Beyond(float(networks.mean()), tuple(found))


def _received(
    circuit: Circuit,
    population: int,
    rates: Float[np.ndarray, "copies cells"],
    factors: Float[np.ndarray, "copies groups"],
    drives: Sequence[Sequence[SynapticEvents]],
    seconds: float,
) -> tuple[Float[np.ndarray, "copies synapses"], Float[np.ndarray, "copies synapses"]]:
    """Of each copy, over the cells of a population: the highest rate (Hz) and the largest weight (uS) at a synapse."""
    cells, synapses = circuit.populations[population].cells, len(circuit.neurons[population].synapses)
    first, links = circuit.first_cells[population], circuit.links
    mine = np.flatnonzero(circuit.types[links.targets] == population)
    places = (links.targets[mine] - first) * synapses + links.synapses[mine]
    rate, weight = np.zeros((len(rates), cells * synapses)), np.zeros((len(rates), synapses))
    for k, copy in enumerate(drives):
        rate[k] = np.bincount(places, rates[k, links.sources[mine]], cells * synapses)
        np.maximum.at(weight[k], links.synapses[mine], links.weights_uS[mine] * factors[k, links.groups[mine]])
        for cell, events in enumerate(copy[first : first + cells]):
            counts = np.bincount(events.synapses, minlength=synapses)
            rate[k, cell * synapses : (cell + 1) * synapses] += counts / seconds
            np.maximum.at(weight[k], events.synapses, events.weights_uS)
    return rate.reshape(len(rates), cells, synapses).max(1), weight
