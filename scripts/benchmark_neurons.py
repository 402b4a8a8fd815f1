"""How much faster surrogate neurons are than the cells in NEURON they stand for, on one core and in the same run.

    python scripts/benchmark_neurons.py [--limit 60] [--without-training]           (4 minutes)

1 to 5,000 cells live for 100 ms with events of their own. NEURON is run as its experts do: one synapse object for each
kind and place, events by NetCon, and many cells side by side in one process, but no more at once than is fastest: their
memory has to stay near (cells_at_once). Its time is that of the simulation alone: a run of one sample, which builds the
cells and queues all events, is subtracted from the whole one; with construction is said too. Where so many cells would
take longer than the limit, fewer are run, and the time grows in proportion (extrapolated_from).

The surrogates go frame by frame, and their spikes are read after each: the events of the next could depend on them.
Times are CPU seconds of the process, the least of several: both run on one thread, so they are wall-clock seconds where
nothing else runs. For the same loop of plain torch on a GPU they are wall-clock seconds.

The last line is one JSON object: "point" and "l5_pyramidal", by number of cells, with neuron_s,
neuron_with_construction_s, cells_at_once, surrogate_s, ratio, ratio_with_construction; keys that end in _gpu, where
there is a GPU; l5_pyramidal_568_segments, computed and not measured, from what NEURON takes for such a cell; and
point_training_s, in which a point cell is learned from nothing until unseen runs show the published accuracy, with
point_data_s before it.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Before numpy and torch are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from simulators.cells.hnn import HNNCell
from simulators.cells.inputs import InputProtocol, SynapticEvents
from simulators.cells.point import PointCell
from simulators.cells.simulator import CellSimulator
from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.interface import Response, Target
from surrogates.neurons.measures.scores import match_spikes, variance_explained
from surrogates.neurons.stepping.stepper import FrameEvents, Stepper
from surrogates.neurons.trained import load_neuron, shipped_neurons
from surrogates.neurons.training.curricula import CURRICULA
from surrogates.neurons.training.data import simulate_runs
from surrogates.neurons.training.loop import Schedule, train_neuron

console = Console()
NUMBERS = (1, 50, 150, 5000)
DURATION_MS = 100.0
SEGMENTS_568_S = 16.5
"""What NEURON takes for a reconstructed layer 5 pyramidal cell of 568 segments and one simulated second."""
PUBLISHED = {"precision_10ms": 0.839, "recall_10ms": 0.909, "variance_explained": 0.789}
"""Of the active point cell (Olah et al. 2022, figs. 1G, 1H)."""
_NEURON_FOR_S, _SURROGATE_FOR_S = 2.0, 3.0
_TRAINING_RUNS, _VALIDATION_RUNS = (5, 20, 100), 50
_SCHEDULE = Schedule(
    passes=40, batch=32, stretch_bins=50, learning_rate=7e-3, shares=(0.02, 0.03, 0.95), validations=10, patience=10
)

Rows = dict[int, dict[str, float]]
"""Times and ratios by number of cells."""


@dataclass(frozen=True)
class Case:
    """A cell in NEURON and the network in its place. outputs: those of the network that the cell in NEURON has too."""

    simulator: CellSimulator
    network: StatefulNeuron
    outputs: tuple[int, ...] = ()

    def events(self, cells: int) -> list[SynapticEvents]:
        """For each cell its own."""
        rng = np.random.default_rng(cells)
        return [self.simulator.events(theta, rng) for theta in self.simulator.parameters.sample(cells, rng)]


def network_of(cell: str) -> StatefulNeuron:
    """The shipped surrogate, or an untrained one of the same size: the time does not depend on the weights."""
    network = load_neuron(cell).network if cell in shipped_neurons() else CURRICULA[cell].build()
    if not isinstance(network, StatefulNeuron):
        raise TypeError(f"the shipped surrogate of {cell} is a {type(network).__name__}; only StatefulNeurons step")
    return network.eval()


def cases() -> dict[str, Case]:
    """Driven as by the last, strongest regime of their curricula."""

    def simulator(name: str, cell: PointCell | HNNCell) -> CellSimulator:
        protocol: InputProtocol = CURRICULA[name].regimes[-1].protocol
        return CellSimulator(cell, protocol, DURATION_MS, CURRICULA[name].sample_ms)

    return {
        "point": Case(simulator("point", PointCell()), network_of("point")),
        "l5_pyramidal": Case(simulator("L5_pyramidal", HNNCell("L5_pyramidal")), network_of("L5_pyramidal"), (0,)),
    }


def least(job: Callable[[], object], for_s: float, clock: Callable[[], float] = time.process_time) -> float:
    """Least time of a job, repeated for so many seconds, or twice."""
    taken: list[float] = []
    while len(taken) < 2 or sum(taken) < for_s:
        start = clock()
        job()
        taken.append(clock() - start)
    return min(taken)


def neuron_seconds(case: Case, events: Sequence[SynapticEvents], at_once: int) -> tuple[float, float]:
    """NEURON's CPU time: of the simulation alone, and with building cells and queueing events."""
    shortest = replace(case.simulator, duration_ms=case.simulator.sample_ms)

    def live(simulator: CellSimulator) -> None:
        for first in range(0, len(events), at_once):
            simulator.respond(events[first : first + at_once])

    for_s = _NEURON_FOR_S if len(events) < 100 else 0.0
    whole = least(lambda: live(case.simulator), for_s)
    return whole - least(lambda: live(shortest), for_s), whole


def fastest_at_once(case: Case) -> int:
    """The number of cells in one NEURON process that costs least for each."""
    cost: dict[int, float] = {}
    for cells in (1, 3, 10, 30, 100, 300, 1000):
        alone, whole = neuron_seconds(case, case.events(cells), cells)
        cost[cells] = alone / cells
        if whole > _NEURON_FOR_S:
            break
    return min(cost, key=cost.__getitem__)


def frames_of(events: Sequence[SynapticEvents], network: StatefulNeuron) -> list[FrameEvents]:
    """The events of all cells by frame."""
    cells = np.repeat(np.arange(len(events)), [len(e) for e in events])
    times, synapses, weights = (
        np.concatenate([getattr(e, name) for e in events]) for name in ("times_ms", "synapses", "weights_uS")
    )
    bins = np.floor(times / network.bin_ms + 1e-6).astype(int)
    found = []
    for frame in range(round(DURATION_MS / network.bin_ms) // network.frame):
        now = bins // network.frame == frame
        found.append(FrameEvents(cells[now], synapses[now], bins[now] % network.frame, weights[now]))
    return found


def surrogate_seconds(case: Case, events: Sequence[SynapticEvents]) -> float:
    """CPU time of the surrogates, frame by frame."""
    stepper = Stepper(case.network, len(events), case.outputs)
    frames = frames_of(events, case.network)

    def live() -> None:
        stepper.rest()
        for frame in frames:
            np.nonzero(stepper.step(frame).spikes)

    live()
    return least(live, _SURROGATE_FOR_S)


def gpu_seconds(case: Case, events: Sequence[SynapticEvents]) -> float:
    """The same loop of plain torch on a GPU."""
    network = case.network.cuda()
    size = len(events), network.frame, network.synapses
    frames = []
    for frame in frames_of(events, network):
        grid = torch.zeros(size)
        places = tuple(torch.as_tensor(index) for index in (frame.cells, frame.bins, frame.synapses))
        grid.index_put_(places, torch.as_tensor(frame.weights_uS, dtype=torch.float32), accumulate=True)
        frames.append(grid.cuda())

    @torch.no_grad()
    def live() -> None:
        state = network.begin(len(events))
        for frame in frames:
            response, state = network.step(frame, state)
            response.spikes.nonzero()
        torch.cuda.synchronize()

    live()
    taken = least(live, _SURROGATE_FOR_S, time.perf_counter)
    network.cpu()
    return taken


def compare(case: Case, limit_s: float) -> Rows:
    """NEURON and surrogate, by number of cells; on the GPU under other names."""
    found: Rows = {}
    cost, at_once = 0.0, fastest_at_once(case)
    for cells in NUMBERS:
        events = case.events(cells)
        # A run is done twice, and the one of construction too.
        run = min(cells, max(1, int(limit_s / (2.2 * cost)))) if cost else cells
        alone, whole = (seconds * cells / run for seconds in neuron_seconds(case, events[:run], at_once))
        cost = whole / cells
        surrogate = surrogate_seconds(case, events)
        found[cells] = {
            "neuron_s": alone,
            "neuron_with_construction_s": whole,
            "cells_at_once": min(at_once, cells),
            "surrogate_s": surrogate,
            "ratio": alone / surrogate,
            "ratio_with_construction": whole / surrogate,
        }
        if run < cells:
            found[cells]["extrapolated_from"] = run
        if torch.cuda.is_available():
            found[cells]["gpu_s"] = gpu_seconds(case, events)
    return found


class Reached(Exception):
    """The published accuracy is passed. Its argument: what was reached."""


class Watched(StatefulNeuron):
    """Ends its training, by ``Reached``, at the first validation that is as good as published."""

    validation: Target

    def respond(self, events) -> Response:
        response = super().respond(events)
        spikes = match_spikes(response.spikes, self.validation.spikes, self.bin_ms, 10.0)
        # Of V with its spikes: clipped, as elsewhere in the project, it would be easier.
        explained = variance_explained(response.v, self.validation.v)
        reached = dict(zip(PUBLISHED, (spikes.precision, spikes.recall, explained), strict=True))
        if all(reached[name] >= wanted for name, wanted in PUBLISHED.items()):
            raise Reached(reached)
        return response


def learn_point() -> dict[str, Any]:
    """CPU time of data and of training, from nothing to the published accuracy on runs as the published ones."""
    curriculum = replace(CURRICULA["point"], cell=PointCell())
    start = time.process_time()
    numbered = enumerate(zip(curriculum.regimes, _TRAINING_RUNS, strict=True))
    stages = [simulate_runs(curriculum.simulator(regime), n, seed) for seed, (regime, n) in numbered]
    unseen = replace(curriculum.simulator(curriculum.regimes[-1]), duration_ms=10_000.0)
    validation = simulate_runs(unseen, _VALIDATION_RUNS, 1000)
    data_s = time.process_time() - start
    torch.manual_seed(0)
    network = Watched.of(curriculum.cell.synapses, 0, curriculum.sample_ms, **curriculum.network)
    assert isinstance(network, Watched)
    network.validation = validation.target
    start = time.process_time()
    try:
        train_neuron(network, stages, validation, _SCHEDULE, progress=False)
    except Reached as reached:
        training_s = time.process_time() - start
        return {"point_training_s": training_s, "point_data_s": data_s, "point_reached": reached.args[0]}
    raise RuntimeError("the point cell's training ended without the published accuracy")


def show(name: str, rows: Rows) -> None:
    """A table of one cell."""
    table = Table("cells", "NEURON, s", "from", "surrogate, s", "ratio", "with construction", "GPU, s", title=name)
    for cells, row in rows.items():
        seconds = [f"{row[k]:.4g}" if k in row else "" for k in ("neuron_s", "extrapolated_from", "surrogate_s")]
        ratios = [f"{row[k]:,.0f}" if k in row else "" for k in ("ratio", "ratio_with_construction")]
        table.add_row(f"{cells:,}", *seconds, *ratios, f"{row['gpu_s']:.4g}" if "gpu_s" in row else "")
    console.print(table)


def against(rows: Rows, seconds: str, neuron_s: dict[int, float]) -> Rows:
    """Other times of NEURON, or of the surrogate, than those of ``rows``."""
    return {
        cells: {
            "neuron_s": neuron_s[cells],
            "surrogate_s": row[seconds],
            "ratio": neuron_s[cells] / row[seconds],
        }
        for cells, row in rows.items()
    }


def rounded(value: Any) -> Any:
    """To four digits, all the way down; keys as in JSON."""
    if isinstance(value, dict):
        return {str(k): rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one number of cells in NEURON (60)")
    parser.add_argument("--without-training", action="store_true", help="leave point_training_s out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out: dict[str, Any] = {}
    for name, case in cases().items():
        rows = compare(case, arguments.limit)
        show(f"{name}, {DURATION_MS:g} ms", rows)
        out[name] = {cells: {k: v for k, v in row.items() if k != "gpu_s"} for cells, row in rows.items()}
        if torch.cuda.is_available():
            out[f"{name}_gpu"] = against(rows, "gpu_s", {cells: row["neuron_s"] for cells, row in rows.items()})
    large = against(
        out["l5_pyramidal"], "surrogate_s", {n: SEGMENTS_568_S * 1e-3 * DURATION_MS * n for n in out["l5_pyramidal"]}
    )
    out["l5_pyramidal_568_segments"] = {"computed_from_s_per_cell_and_s": SEGMENTS_568_S, **large}
    show("a cell of 568 segments, computed", large)
    if not arguments.without_training:
        learned = rounded(learn_point())
        console.print(f"point cell to the published accuracy: {learned}")
        out |= learned
    print(json.dumps(rounded(out)))


if __name__ == "__main__":
    main()
