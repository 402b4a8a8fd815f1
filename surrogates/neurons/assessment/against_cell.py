"""A surrogate held against the cell in NEURON, on runs it has never seen."""

import os
from itertools import zip_longest

import torch

from surrogates.neurons.interface import Response, Target
from surrogates.neurons.measures.scores import Scores, score
from surrogates.neurons.trained import TrainedNeuron
from surrogates.neurons.training.curricula import TEST, Curriculum
from surrogates.neurons.training.data import join
from surrogates.neurons.training.make import curriculum_of, folder_of, refuse_unbuildable
from surrogates.threads import one_thread


def evaluate_neuron(
    neuron: TrainedNeuron,
    cell: str,
    data: str | os.PathLike,
    workers: int = 1,
    trust: bool = False,
    runs: int | None = None,
    progress: bool = True,
) -> dict[str, Scores]:
    """Scores on test runs of each regime, and "all" of them together; simulates what is missing in ``data``.

    runs: of each regime; the cell's own number unless told otherwise. Raises ValueError if the surrogate is not one of
    this cell.
    """
    curriculum = curriculum_of(cell, trust, runs)
    refuse_another(neuron, cell, curriculum)
    refuse_unbuildable(curriculum, cell)
    names = [o.name for o in neuron.outputs]
    found, responses = {}, []
    tests = curriculum.runs(folder_of(cell, data), TEST, workers, progress)
    with one_thread():
        for regime, test in zip(curriculum.regimes, tests, strict=True):
            responses.append(neuron.network.respond(test.events))
            found[regime.name] = score(responses[-1], test.target, neuron.network.bin_ms, names)
    everything = Response(*(torch.cat(field) for field in zip(*responses, strict=True)))
    target: Target = join(tests).target
    return found | {"all": score(everything, target, neuron.network.bin_ms, names)}


def refuse_another(neuron: TrainedNeuron, cell: str, curriculum: Curriculum) -> None:
    """Raises ValueError if the surrogate is not one of this cell, of which it may have fewer outputs."""
    outputs = curriculum.cell.outputs[: len(neuron.outputs)]
    things = (("synapse", neuron.synapses, curriculum.cell.synapses), ("output", neuron.outputs, outputs))
    for thing, mine, theirs in things:
        for k, (own, other) in enumerate(zip_longest(mine, theirs)):
            if own != other:
                raise ValueError(f"not a surrogate of {cell}: its {thing} {k} is {own}, that of the cell {other}")
    if neuron.network.bin_ms != curriculum.sample_ms:
        raise ValueError(f"the surrogate has bins of {neuron.network.bin_ms} ms, {cell} of {curriculum.sample_ms} ms")
