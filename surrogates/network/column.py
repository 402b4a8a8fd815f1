"""The cortical column out of surrogate neurons: what ``ColumnSimulator`` is, tens to hundreds of times as fast."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from simulators.cells.hnn import CELL_TYPES, HNNCell
from simulators.cells.inputs import SynapticEvents
from simulators.column.connectivity import ColumnModel
from simulators.column.simulator import ColumnSimulator
from simulators.interface import ParameterSpace
from simulators.recording import Recording
from surrogates.network.circuit import Circuit, Links, Population
from surrogates.network.compiled import CompiledNetwork, NetworkRun
from surrogates.neurons.architectures.stateful import StatefulNeuron
from surrogates.neurons.trained import load_neuron, neuron_file

COLUMN_NEURONS = tuple(f"column_{cell_type}" for cell_type in CELL_TYPES)
"""The shipped surrogates that learned from the column itself, besides cells alone."""

_FAINTEST = 0.01  # of its pathway's strongest: such a connection of a wide mesh comes a hundred times as late, too


def column_circuit(model: ColumnModel, neurons: Sequence[str] = COLUMN_NEURONS) -> Circuit:
    """The connections of a column between surrogates; each pathway is a group.

    neurons: of each cell type, in the order of ``CELL_TYPES``: names of shipped surrogates, or their files.
    Connections fade with distance and their delays grow as much; those fainter than a hundredth of their pathway's
    strongest are left out.
    """
    c = model.connections
    strongest = np.zeros(len(model.pathways))
    np.maximum.at(strongest, c.pathways, c.weights_uS)
    kept = c.weights_uS >= _FAINTEST * strongest[c.pathways]
    links = Links(
        *(column[kept] for column in (c.sources, c.targets, c.synapses, c.weights_uS, c.delays_ms, c.pathways))
    )
    populations = [Population(t, neuron, len(model.cells_of(t))) for t, neuron in zip(CELL_TYPES, neurons, strict=True)]
    return Circuit(tuple(populations), links, tuple(pathway.name for pathway in model.pathways))


@dataclass(frozen=True)
class SurrogateColumn:
    """The column of ``column`` with a surrogate in place of each cell: the same parameters, drives and channels.

    neurons: of each cell type, in the order of ``CELL_TYPES``; content: hashes of their files, so that no campaign goes
    on with others. Raises ValueError for a model other than "calcium", whose cells have no surrogates, for surrogates
    of other cells, where a sample of ``column`` is no bin of the surrogates, and as ``Circuit`` does.
    """

    column: ColumnSimulator = field(default_factory=ColumnSimulator)
    neurons: tuple[str, ...] = COLUMN_NEURONS
    batch_size: int = 64
    content: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "neurons", tuple(map(str, self.neurons)))
        if len(self.neurons) != len(CELL_TYPES):
            raise ValueError(f"{len(self.neurons)} surrogates; expected one for each of {', '.join(CELL_TYPES)}")
        if self.batch_size < 1:
            raise ValueError(f"{self.batch_size} columns side by side; there must be one or more")
        hashes = tuple(hashlib.sha256(neuron_file(n).read_bytes()).hexdigest() for n in self.neurons)
        object.__setattr__(self, "content", hashes)
        if self.column.model.model != "calcium":
            raise ValueError(
                f"surrogates stand for cells of the model 'calcium'; those of '{self.column.model.model}' have other "
                f"channels or synapses, and no surrogate"
            )
        for cell_type, neuron in zip(CELL_TYPES, self.neurons, strict=True):
            _refuse_another(cell_type, neuron)
        if self.circuit.bin_ms != self.column.sample_ms:
            raise ValueError(
                f"samples of {self.column.sample_ms} ms, but the surrogates have bins of {self.circuit.bin_ms} ms"
            )

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the column."""
        return self.column.parameters

    @property
    def circuit(self) -> Circuit:
        """The network that is simulated."""
        return _circuit(self.column.model, self.neurons, self.content)

    def lasting(self, duration_s: float) -> "SurrogateColumn":
        """The same over another time."""
        return SurrogateColumn(self.column.lasting(duration_s), self.neurons, self.batch_size)

    def run(
        self, thetas: Float[np.ndarray, "rows n_parameters"], drives: Sequence[Sequence[SynapticEvents]]
    ) -> NetworkRun:
        """What every cell does at each theta, under drives that are given."""
        model = self.column.model
        log10 = np.zeros((len(thetas), len(model.pathways)))
        for row, theta in zip(log10, thetas, strict=True):
            for name, gain in self.column.gains(theta).items():
                row[model.pathways_of(name)] += gain
        network = _network(self.column.model, self.neurons, self.content, len(thetas))
        lasting = self.column.transient_ms + self.column.duration_ms
        return network.run(10.0**log10, drives, lasting, "voltages" in self.column.record)

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """The channels of the column, (channels, samples). Raises ValueError for a theta outside ``parameters``."""
        return self.simulate_batch(np.asarray(theta)[None], [rng])[0]

    def simulate_batch(
        self, thetas: Float[np.ndarray, "rows n_parameters"], rngs: Sequence[np.random.Generator]
    ) -> list[Recording]:
        """Many columns side by side."""
        drives = [self.column.events(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)]
        return recordings_of(self.column, self.run(np.asarray(thetas), drives))


def recordings_of(column: ColumnSimulator, run: NetworkRun) -> list[Recording]:
    """The channels of the column, of each of its copies in a run of ``column_circuit``."""
    dipoles = run.summed[:, [CELL_TYPES.index("L2_pyramidal"), CELL_TYPES.index("L5_pyramidal")]]
    voltages = [None] * len(dipoles) if run.v is None else run.v
    return [column.recording(*copy) for copy in zip(dipoles, run.spikes, voltages, strict=True)]


def _refuse_another(cell_type: str, name: str) -> None:
    """Raises ValueError for a surrogate that does not stand for a cell of this type, or does not run step by step."""
    neuron, cell = load_neuron(name), HNNCell(cell_type)
    if not isinstance(neuron.network, StatefulNeuron):
        raise ValueError(f"{name} is a {type(neuron.network).__name__}, which does not run step by step")
    there, wanted = ([s.name for s in x.synapses] for x in (neuron, cell))
    outputs = [o.name for o in neuron.outputs[: len(cell.outputs)]]
    if there != wanted or outputs != [o.name for o in cell.outputs]:
        raise ValueError(f"{name} is no surrogate of {cell_type}; the order is {', '.join(CELL_TYPES)}")


@lru_cache(maxsize=8)
def _circuit(model: ColumnModel, neurons: tuple[str, ...], content: tuple[str, ...]) -> Circuit:
    del content  # other files are another circuit
    return column_circuit(model, neurons)


@lru_cache(maxsize=2)
def _network(model: ColumnModel, neurons: tuple[str, ...], content: tuple[str, ...], copies: int) -> CompiledNetwork:
    return CompiledNetwork(_circuit(model, neurons, content), copies)
