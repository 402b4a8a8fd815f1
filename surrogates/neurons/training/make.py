"""From the name of a cell to a trained surrogate, and from a surrogate to its scores."""

import logging
import os
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from simulators.campaigns.rows import Status, simulate_rows
from simulators.campaigns.workers import local_pool
from simulators.files import refuse_unwritable
from simulators.provenance import describe, versions
from surrogates.neurons.trained import TrainedNeuron
from surrogates.neurons.training.curricula import CURRICULA, VALIDATION, Curriculum
from surrogates.neurons.training.data import Runs, join
from surrogates.neurons.training.loop import train_neuron
from surrogates.threads import one_thread

_log = logging.getLogger(__name__)
_FEW_HZ = 0.5  # a cell that fires less often shows too few spikes to learn when it does


def curriculum_of(cell: str, trust: bool = False, tests: int | None = None) -> Curriculum:
    """Of a cell by name, or of a user's own by its file. Raises ValueError where there is neither.

    trust: run the programs that the file of a user's own cell names (NMODL and hoc); tests: number of test runs of each
    regime, instead of the cell's own.
    """
    if cell in CURRICULA:
        curriculum = CURRICULA[cell]
    elif Path(cell).suffix == ".json":
        from surrogates.neurons.training.own_cells import read_own_cell

        curriculum = read_own_cell(cell, trust)
    else:
        named = ", ".join(CURRICULA)
        raise ValueError(f"there is no cell '{cell}'; choose one of {named}, or name the .json of your own")
    return curriculum if tests is None else replace(curriculum, tests=tests)


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

    Training that was stopped goes on from a file beside ``out``. Raises ValueError as ``curriculum_of``, ``stages`` of
    the curriculum and ``train_neuron``, and where ``out`` cannot be written or the user's own cell cannot be built.
    """
    out, data = Path(out), folder_of(cell, data)
    refuse_unwritable(out)
    _refuse_to_replace(out)
    curriculum = curriculum_of(cell, trust)
    schedule = curriculum.schedule.changed(passes=passes, seed=seed)
    numbers = range(1, 1 + (rounds or curriculum.rounds))
    refuse_unbuildable(curriculum, cell)
    stages = curriculum.stages(data, numbers, workers, progress)
    validation = join(curriculum.runs(data, VALIDATION, workers, progress))
    torch.manual_seed(seed)
    network = curriculum.build()
    _warn_of_silence(cell, validation, network.bin_ms)
    checkpoint = out.with_name(out.name + ".training")
    with one_thread():
        trained = train_neuron(network, stages, validation, schedule, checkpoint, progress)
    given = {"cell": cell, "rounds": list(numbers), "passes": schedule.passes, "seed": seed}
    about = {
        "command": f"circuitsbi surrogate train --cell {cell} --out {out.name} --rounds {len(numbers)} "
        f"--passes {schedule.passes} --seed {seed}" + " --trust" * trust,
        "data": {r.name: describe(curriculum.simulator(r)) for r in curriculum.regimes},
        "runs": {r.name: len(stage) for r, stage in zip(curriculum.regimes, stages, strict=True)},
        "training": given | {"error": trained.error, "history": trained.history, "data": trained.data},
        "versions": versions(),
    }
    neuron = TrainedNeuron(network, curriculum.cell.synapses, curriculum.cell.outputs, about)
    neuron.save(out)
    # What is used from now on is what a reader of the file gets.
    loaded = TrainedNeuron.load(out)
    checkpoint.unlink()
    return loaded, validation


def _warn_of_silence(cell: str, runs: Runs, bin_ms: float) -> None:
    rate_Hz = 1e3 * float(runs.target.spikes.mean()) / bin_ms
    if rate_Hz < _FEW_HZ:
        _log.warning(
            "%s fires %.2g times a second under these inputs, too seldom for its spikes to be learned; raise its "
            "'rates_Hz' or the weights of its excitatory synapses",
            cell,
            rate_Hz,
        )


def _refuse_to_replace(out: Path) -> None:
    """Raises ValueError where there is something else than a surrogate."""
    if out.exists():
        try:
            TrainedNeuron.load(out)
        except ValueError as error:
            raise ValueError(f"{out} is there and no surrogate that could be replaced; name another file") from error


def refuse_unbuildable(curriculum: Curriculum, cell: str) -> None:
    """Build a user's own cell once, in a process of its own: in a campaign each of its simulations would fail.

    Raises ValueError with what is wrong.
    """
    if cell in CURRICULA:
        return
    shortest = replace(curriculum.simulator(curriculum.regimes[0]), duration_ms=curriculum.sample_ms)
    theta = shortest.parameters.sample(1, np.random.default_rng(0))[0]
    with local_pool(1) as pool:
        try:
            (row,) = pool.submit(simulate_rows, shortest, [(0, theta, np.random.SeedSequence(0))]).result()
        except BrokenProcessPool as error:
            raise ValueError(f"{cell}: NEURON crashes when it builds this cell; look at its mechanisms") from error
    if row.status == Status.FAILED:
        raise ValueError(f"{cell}: {row.reason.removeprefix('ValueError: ')}")
