"""Surrogates that hold in a network: trained further on what their cells did in it, and received there.

Alone, a cell is driven at random; in a network its inputs come together, and more often. A surrogate that knows only
the first is wrong there, and each error is passed on.
"""

import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from simulators.campaigns.run import run_campaign
from simulators.campaigns.store import Campaign
from simulators.cells.cell import RecordedCell
from simulators.interface import Simulator
from simulators.provenance import describe, versions
from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.interface import NeuronSurrogate
from surrogates.neurons.measures.scores import Scores, score
from surrogates.neurons.trained import TrainedNeuron, load_neuron
from surrogates.neurons.training.curricula import CURRICULA
from surrogates.neurons.training.data import Runs, join, target_of
from surrogates.neurons.training.loop import Schedule, train_neuron
from surrogates.threads import one_thread

_HELD_OUT = 8  # of so many runs of the network one is chosen by, and one for the scores alone
_AT_ONCE = 20  # rows of a campaign that are read at a time


@runtime_checkable
class RecordedNetwork(Simulator, Protocol):
    """A simulator of a network that records every cell, with what it receives."""

    @property
    def cells(self) -> tuple[RecordedCell, ...]:
        """Where the recording holds each of them."""
        ...


class Tuned(NamedTuple):
    """A surrogate before and after, as its file holds it, each cell given its true inputs.

    Scores are of runs of the network that nothing was learned from or chosen by.
    """

    neuron: TrainedNeuron
    before: Scores
    after: Scores


def network_runs(
    campaign: Campaign, network: RecordedNetwork, kind: str, rows: Integer[np.ndarray, " rows"], outputs: int
) -> Runs:
    """What all cells of a kind did in some rows of a network's campaign; of its outputs the first ``outputs``.

    Raises ValueError where the network has no such cell, or it has fewer outputs.
    """
    cells = [cell for cell in network.cells if cell.kind == kind]
    if not cells:
        kinds = ", ".join(dict.fromkeys(cell.kind for cell in network.cells))
        raise ValueError(f"the network has no {kind}; its cells are {kinds}")
    if cells[0].outputs < outputs:
        raise ValueError(f"the network records {cells[0].outputs} outputs of {kind}, the surrogate has {outputs}")
    events, targets = [], []
    for first in range(0, len(rows), _AT_ONCE):
        for values in campaign.values(rows[first : first + _AT_ONCE]):
            for cell in cells:
                received = values[cell.end - cell.synapses : cell.end]
                events.append(torch.from_numpy(np.ascontiguousarray(received.T, np.float32)))
                targets.append(values[cell.first : cell.first + 2 + outputs])
    return Runs(torch.stack(events), target_of(np.stack(targets)))


def runs_alone(
    kind: str, n: int, campaign: Campaign, folder: str | os.PathLike, workers: int = 1, progress: bool = True
) -> list[Runs]:
    """``n`` runs of a shipped cell alone in each of the regimes that its surrogate learned first; none of other cells.

    They last as long as those of the network's campaign. They are kept in ``folder``, and what is missing is simulated.
    """
    recordings = campaign.recordings(campaign.usable[:1])
    if kind not in CURRICULA or not n or not recordings:
        return []
    whole = CURRICULA[kind]
    alone = replace(
        whole,
        regimes=tuple(replace(regime, runs=n) for regime in whole.regimes),
        duration_ms=1e3 * recordings[0].values.shape[1] / recordings[0].sampling_rate,
    )
    return alone.stages(Path(folder) / kind, [1], workers, progress)


def input_range(events: Float[Tensor, "runs bins synapses"], bin_ms: float) -> dict[str, list[float]]:
    """The most that was seen at each synapse: summed weights over the time of a run, and in one bin."""
    each_second = events.sum(1).amax(0) * 1e3 / bin_ms / events.shape[1]
    return {"uS_per_s": each_second.tolist(), "weight_uS": events.amax((0, 1)).tolist()}


def tune_neuron(
    neuron: str,
    kind: str,
    network: RecordedNetwork,
    campaign: Campaign,
    former: Sequence[Runs] = (),
    schedule: Schedule | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
    hidden: int | None = None,
) -> Tuned:
    """Train the surrogate of one kind of cell further, on a campaign of the network.

    former: runs of the cell alone, learned along so that they are not forgotten; hidden: units of the tuned surrogate,
    those that it has by default. Of eight runs of the network one chooses the state that is kept, the first state among
    them, and one is for the scores.

    Raises ValueError for too few runs of the network, bins or synapses that are not those of the surrogate, and as
    ``network_runs``, ``train_neuron`` and ``StatefulNeuron.widened`` do.
    """
    before = load_neuron(neuron)
    rows = campaign.usable
    if len(rows) < 2 * _HELD_OUT:
        raise ValueError(f"{campaign.path} has {len(rows)} runs of the network; tuning needs {2 * _HELD_OUT} or more")
    _refuse_another(before, kind, network, campaign)
    part = np.arange(len(rows)) % _HELD_OUT
    learned, choosing, unseen = (
        network_runs(campaign, network, kind, rows[chosen], len(before.outputs))
        for chosen in (part > 1, part == 0, part == 1)
    )
    trained = _to_train(before.network, hidden, 0 if schedule is None else schedule.seed).requires_grad_(True)
    given = join([learned, *(_as_long(runs, learned.events.shape[1]) for runs in former)])
    schedule = schedule or Schedule(400, batch=64, stretch_bins=100, learning_rate=1e-3, validations=20, patience=20)
    schedule = schedule.changed(shares=(1.0,))
    with one_thread():
        result = train_neuron(trained, [given], choosing, schedule, checkpoint, progress, rescale=False)
        trained = _as_stored(trained.requires_grad_(False))
        responses = [net.respond(unseen.events) for net in (before.network, trained)]
    about: dict[str, Any] = dict(before.about)
    about["tuned"] = {
        "network": describe(network),
        "runs": int(np.sum(part > 1)),
        "runs_alone": sum(map(len, former)),
        "passes": schedule.passes,
        "error": result.error,
        "history": result.history,
        "data": result.data,
        "versions": versions(),
    }
    about["inputs"] = input_range(given.events, trained.bin_ms)
    names = [o.name for o in before.outputs]
    scores = [score(response, unseen.target, trained.bin_ms, names) for response in responses]
    return Tuned(TrainedNeuron(trained, before.synapses, before.outputs, about), *scores)


def _to_train(network: NeuronSurrogate, hidden: int | None, seed: int) -> NeuronSurrogate:
    """A copy, with as many hidden units as are asked for."""
    if hidden is None:
        return deepcopy(network)
    if not isinstance(network, StatefulNeuron):
        raise ValueError(f"a {type(network).__name__} cannot be given more hidden units; only a StatefulNeuron can")
    with torch.random.fork_rng(devices=[]):  # a training that is resumed begins with the same network
        torch.manual_seed(seed)
        return network.widened(hidden)


def _refuse_another(neuron: TrainedNeuron, kind: str, network: RecordedNetwork, campaign: Campaign) -> None:
    """Raises ValueError where the network's recordings are not of cells that the surrogate could stand for."""
    (recording,) = campaign.recordings(campaign.usable[:1])
    bin_ms = 1e3 / recording.sampling_rate
    if abs(bin_ms - neuron.network.bin_ms) > 1e-6:
        raise ValueError(
            f"the network has samples of {bin_ms:g} ms, the surrogate bins of {neuron.network.bin_ms:g} ms"
        )
    cell = next((c for c in network.cells if c.kind == kind), None)
    if cell is not None and cell.synapses != len(neuron.synapses):
        raise ValueError(f"{kind} has {cell.synapses} synapses in the network, its surrogate {len(neuron.synapses)}")


def _as_stored(network: NeuronSurrogate) -> NeuronSurrogate:
    """With weights of half precision, as a file has them."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half())
    return network.eval()


def _as_long(runs: Runs, bins: int) -> Runs:
    """The first ``bins`` of each run. Raises ValueError where they have fewer."""
    if runs.events.shape[1] < bins:
        raise ValueError(f"runs of the cell alone have {runs.events.shape[1]} bins, those of the network {bins}")
    return Runs(runs.events[:, :bins], type(runs.target)(*(field[:, :bins] for field in runs.target)))


def simulate_network(
    network: RecordedNetwork, n: int, seed: int, folder: str | os.PathLike, workers: int = 1, progress: bool = True
) -> Campaign:
    """``n`` runs of the network with uniform thetas, in ``folder``; goes on with those that are there."""
    return run_campaign(network, n, seed, Path(folder) / "network.zarr", workers, progress=progress, label="network")
