"""Simulations, networks and their answers, each made once and kept in a folder."""

import copy
import hashlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console

from neuron_experiments.tasks import TASKS
from neuron_experiments.training import WINDOWS, Optimiser, train_published
from simulators.campaigns.run import run_campaign
from simulators.cells.simulator import CellSimulator
from simulators.provenance import versions
from surrogates.neurons.architectures.published import ARCHITECTURES, WindowSurrogate
from surrogates.neurons.architectures.tcn_lstm import TCNLSTM
from surrogates.neurons.assessment.against_cell import refuse_another
from surrogates.neurons.interface import NeuronSurrogate, Response
from surrogates.neurons.trained import TrainedNeuron, load_neuron, shipped_neurons
from surrogates.neurons.training.curricula import CURRICULA, VALIDATION, Curriculum
from surrogates.neurons.training.data import Runs, join, read_runs
from surrogates.neurons.training.loop import train_neuron
from surrogates.threads import one_thread

# A file has no width of its own, and the tables need more than a terminal's.
console = Console(width=None if sys.stdout.isatty() else 170)
_Thing = TypeVar("_Thing")
_UNSEEN = 1_000_000  # far from every seed that curricula use
_HEAD_MINUTES = 10.0
_PUBLISHED_HOURS = "12-24 h on a GPU"


@dataclass(frozen=True, eq=False)
class Study:
    """Where and how the experiments are made.

    data: folder of simulations and weights; minutes: of training for each published network; passes: of training for a
    default network that is not shipped; neurons: files of surrogates, by task, that stand in for the shipped ones;
    shipped: whether those are taken at all.
    """

    data: Path
    minutes: float = 5.0
    passes: int = 200
    seed: int = 0
    workers: int = 1
    device: str = "cpu"
    neurons: Mapping[str, str] = field(default_factory=dict)
    shipped: bool = True
    tasks: Mapping[str, Curriculum] = field(default_factory=lambda: TASKS)
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Any, make: Callable[[], _Thing]) -> _Thing:
        """What ``make`` returns, made at the first asking."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def training(self, task: str) -> tuple[list[Runs], Runs]:
        """Stages of training data, and validation runs."""
        curriculum, folder = self.tasks[task], self.data / task

        def make() -> tuple[list[Runs], Runs]:
            stages = curriculum.stages(folder, [1], self.workers)
            return stages, join(curriculum.runs(folder, VALIDATION, self.workers))

        return self.once(("training", task), make)

    def unseen(self, simulator: CellSimulator, name: str, n: int, number: int = 0) -> Runs:
        """Runs with seeds that no training has used; the same number and theta range give the same events."""

        def make() -> Runs:
            seed = _UNSEEN + 1000 * self.seed + number
            path = self.data / "unseen" / f"{name}_{n}_{seed}.zarr"
            path.parent.mkdir(parents=True, exist_ok=True)
            return read_runs(run_campaign(simulator, n, seed, path, self.workers), simulator)

        return self.once(("unseen", name, n, number), make)

    def simulator(self, task: str, regime: int = -1, duration_ms: float | None = None) -> CellSimulator:
        """Of a task's cell under one of its regimes, by default the last and hardest."""
        curriculum = self.tasks[task]
        simulator = curriculum.simulator(curriculum.regimes[regime])
        return simulator if duration_ms is None else replace(simulator, duration_ms=duration_ms)

    def ready(self, name: str) -> bool:
        """Whether there is a default network that need not be trained."""
        return name in self.neurons or (self.shipped and name in shipped_neurons())

    def default(self, task: str) -> TrainedNeuron:
        """The project's network: named, shipped, or else trained here."""
        if self.ready(task):
            neuron = load_neuron(self.neurons.get(task, task))
            refuse_another(neuron, task, self.tasks.get(task) or CURRICULA[task])
            return neuron
        return self.once(("default", task), lambda: self._train_default(task))

    def source_of(self, task: str) -> str:
        """Where the default network comes from."""
        if task in self.neurons:
            return "default from a file"
        return "default shipped" if self.ready(task) else f"default trained here, {self.passes} passes"

    def published(
        self,
        task: str,
        architecture: str = "CNNLSTM",
        outputs: int | None = None,
        optimiser: Optimiser = torch.optim.NAdam,
        **settings: Any,
    ) -> TrainedNeuron:
        """A published architecture, trained for the study's minutes; outputs: only the first so many of the cell's."""

        def make() -> TrainedNeuron:
            cell = self.tasks[task].cell
            torch.manual_seed(self.seed)
            kind: Any = ARCHITECTURES[architecture]
            network = kind(
                len(cell.synapses),
                len(cell.outputs) if outputs is None else outputs,
                self.tasks[task].sample_ms,
                windows_per_run=WINDOWS,
                threshold_mV=cell.threshold_mV,
                **settings,
            )
            return self._fit(task, network, f"{architecture}_{self.device}", optimiser=optimiser)

        return self.once(("published", task, architecture), make)

    def poster(self, task: str) -> TrainedNeuron:
        """The network of Tolley and Jones, which tells V and the dipole, trained for the study's passes."""

        def make() -> TrainedNeuron:
            curriculum = self.tasks[task]
            torch.manual_seed(self.seed)
            cell = curriculum.cell
            network = TCNLSTM(len(cell.synapses), 1, curriculum.sample_ms, threshold_mV=cell.threshold_mV)
            return self._learn(task, network, "TCNLSTM", learning_rate=1e-3, stretch_bins=400)

        return self.once(("poster", task), make)

    def stateful(self, task: str, memory: str) -> TrainedNeuron:
        """The default network with one or the other memory, trained for the study's passes, shipped or not."""

        def make() -> TrainedNeuron:
            torch.manual_seed(self.seed)
            curriculum = self.tasks[task]
            network = replace(curriculum, network={**curriculum.network, "memory": memory}).build()
            return self._learn(task, network, memory)

        return self.once(("stateful", task, memory), make)

    def retrained(self, task: str, kind: str) -> TrainedNeuron:
        """The network of the task "potassium" of which only the uppermost layers learn this task, 10 minutes at most.

        kind: "published" or "default".
        """

        def make() -> TrainedNeuron:
            control = self.default("potassium") if kind == "default" else self.published("potassium")
            network, of = copy.deepcopy(control.network), _digest(control.network)
            if kind == "default":
                network.requires_grad_(False)
                network.heads.requires_grad_(True)
                return self._learn(task, network, f"heads_of_{of}")
            minutes = min(self.minutes, _HEAD_MINUTES)
            return self._fit(task, network, f"dense_of_{of}_{self.device}", minutes=minutes, only=network.dense)

        return self.once(("retrained", task, kind), make)

    def answer(self, neuron: TrainedNeuron, runs: Runs) -> Response:
        """Of a network that runs freely; each is computed once."""

        def make() -> Response:
            with one_thread():
                return neuron.network.respond(runs.events)

        # Both are kept as long as the study is, so that their identities stay theirs.
        key = ("answer", id(self.once(id(neuron), lambda: neuron)), id(self.once(id(runs), lambda: runs)))
        return self.once(key, make)

    def trained_for(self, neuron: TrainedNeuron) -> str:
        """How long a published network has learned, beside how long it did when it was published."""
        return f"{type(neuron.network).__name__} trained for {neuron.about['minutes']:.1f} min of {_PUBLISHED_HOURS}"

    def _fit(self, task: str, network: NeuronSurrogate, name: str, minutes: float | None = None, **how: Any):
        assert isinstance(network, WindowSurrogate)
        cell = self.tasks[task].cell
        stages, validation = self.training(task)
        *stages, validation = (first_outputs(r, network.outputs) for r in (*stages, validation))
        wanted = self.minutes if minutes is None else minutes
        console.print(f"training {name} on {task} for up to {wanted:g} min")
        path = self.data / task / f"{name}_{self.seed}.training"
        with one_thread():
            about = train_published(
                network, stages, validation, wanted, path, device=self.device, seed=self.seed, **how
            )
        return TrainedNeuron(network.requires_grad_(False), cell.synapses, cell.outputs[: network.outputs], about)

    def _train_default(self, task: str) -> TrainedNeuron:
        torch.manual_seed(self.seed)
        return self._learn(task, self.tasks[task].build(), "default")

    def _learn(self, task: str, network: NeuronSurrogate, name: str, **schedule: Any) -> TrainedNeuron:
        """What is kept from another time is taken, if it is of a network of the same settings."""
        cell, path = self.tasks[task].cell, self.data / task / f"{name}_{self.passes}_{self.seed}.safetensors"
        with suppress(ValueError):  # of another version: trained anew
            neuron = TrainedNeuron.load(path)
            if neuron.network.settings == network.settings:
                return neuron
        stages, validation = self.training(task)
        *stages, validation = (first_outputs(r, network.outputs) for r in (*stages, validation))
        changed = replace(self.tasks[task].schedule, passes=self.passes, seed=self.seed, **schedule)
        checkpoint = path.with_suffix(".training")
        with one_thread():
            console.print(f"training {name} on {task}, {self.passes} passes")
            trained = train_neuron(network, stages, validation, changed, checkpoint)
        about = {"passes": self.passes, "minutes": trained.minutes, "error": trained.error, "versions": versions()}
        TrainedNeuron(network, cell.synapses, cell.outputs[: network.outputs], about).save(path)
        checkpoint.unlink()
        return TrainedNeuron.load(path)


def _digest(network: NeuronSurrogate) -> str:
    """Of its weights."""
    found = hashlib.sha256()
    for tensor in network.state_dict().values():
        found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()[:8]


def first_outputs(runs: Runs, n: int) -> Runs:
    """The same runs with no more than the cell's first so many outputs."""
    return Runs(runs.events, runs.target._replace(outputs=runs.target.outputs[..., :n]))
