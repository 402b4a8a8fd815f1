"""From the name of a cell to a trained surrogate, and from a surrogate to its scores."""

import os
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import torch

from simulators.campaign import describe, versions
from surrogates.neurons.curricula import CURRICULA, TEST, VALIDATION, Curriculum
from surrogates.neurons.data import Runs, join
from surrogates.neurons.evaluation import Scores, score
from surrogates.neurons.interface import Response, Target
from surrogates.neurons.stored import TrainedNeuron
from surrogates.neurons.training import train_neuron
from surrogates.threads import one_thread


def curriculum_of(cell: str, trust: bool = False) -> Curriculum:
    """Of a cell by name, or of a user's own by its file. Raises ValueError where there is neither.

    trust: run the programs that the file of a user's own cell names (NMODL and hoc).
    """
    if cell in CURRICULA:
        return CURRICULA[cell]
    if Path(cell).suffix == ".json":
        from surrogates.neurons.own_cells import read_own_cell

        return read_own_cell(cell, trust)
    raise ValueError(f"there is no cell '{cell}'; choose one of {', '.join(CURRICULA)}, or name the .json of your own")


def folder_of(cell: str, data: str | os.PathLike) -> Path:
    """Where in ``data`` the simulations of a cell are: each has a folder of its own."""
    return Path(data) / Path(cell).stem


def make_neuron(
    cell: str,
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    rounds: int | None = None,
    passes: int | None = None,
    workers: int = 1,
    seed: int = 0,
    trust: bool = False,
    progress: bool = True,
) -> tuple[TrainedNeuron, Runs]:
    """Simulate what is missing in ``data``, train, and write ``out``; the validation runs come with the surrogate.

    Training that was stopped goes on from a file beside ``out``. Raises ValueError as ``curriculum_of``, ``read_runs``
    and ``train_neuron``, and where there is no folder for ``out``.
    """
    out, data = Path(out), folder_of(cell, data)
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} to")
    curriculum = curriculum_of(cell, trust)
    schedule = curriculum.schedule.changed(passes=passes, seed=seed)
    numbers = range(1, 1 + (rounds or curriculum.rounds))
    validation = join(curriculum.runs(data, VALIDATION, workers, progress))
    stages = curriculum.stages(data, numbers, workers, progress)
    torch.manual_seed(seed)
    network = curriculum.build()
    checkpoint = out.with_name(out.name + ".training")
    with one_thread():
        trained = train_neuron(network, stages, validation, schedule, checkpoint, progress)
    told = {"cell": cell, "rounds": list(numbers), "passes": schedule.passes, "seed": seed}
    about = {
        "command": f"circuitsbi surrogate train --cell {cell} --out {out.name} --rounds {len(numbers)} "
        f"--passes {schedule.passes} --seed {seed}" + " --trust" * trust,
        "data": {r.name: describe(curriculum.simulator(r)) for r in curriculum.regimes},
        "runs": {r.name: len(stage) for r, stage in zip(curriculum.regimes, stages, strict=True)},
        "training": told | {"error": trained.error, "history": trained.history, "data": trained.data},
        "versions": versions(),
    }
    neuron = TrainedNeuron(network, curriculum.cell.synapses, curriculum.cell.outputs, about)
    neuron.save(out)
    checkpoint.unlink()
    # What is used from now on is what a reader of the file gets.
    return TrainedNeuron.load(out), validation


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
    curriculum = curriculum_of(cell, trust)
    curriculum = replace(curriculum, tests=runs or curriculum.tests)
    _refuse_another(neuron, cell, curriculum)
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


def _refuse_another(neuron: TrainedNeuron, cell: str, curriculum: Curriculum) -> None:
    """A surrogate may have fewer outputs than its cell."""
    outputs = curriculum.cell.outputs[: len(neuron.outputs)]
    things = (("synapse", neuron.synapses, curriculum.cell.synapses), ("output", neuron.outputs, outputs))
    for thing, mine, theirs in things:
        for k, (own, other) in enumerate(zip_longest(mine, theirs)):
            if own != other:
                raise ValueError(f"not a surrogate of {cell}: its {thing} {k} is {own}, that of the cell {other}")
    if neuron.network.bin_ms != curriculum.sample_ms:
        raise ValueError(f"the surrogate has bins of {neuron.network.bin_ms} ms, {cell} of {curriculum.sample_ms} ms")
