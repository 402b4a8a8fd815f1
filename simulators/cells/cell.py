"""What a cell is to the rest."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from simulators.cells.inputs import Synapse


class Output(NamedTuple):
    """Something a cell is asked for besides the voltage of its soma: "apical_trunk V" in "mV", "I_Na" in "nA" ..."""

    name: str
    unit: str


class LiveCell(NamedTuple):
    """One cell in NEURON's memory.

    soma: segment whose voltage is the cell's; synapses: point processes, in the order of ``Cell.synapses``; outputs:
    references (``_ref_v`` ...) in the order of ``Cell.outputs``; scales: factors to their units; initialise: sets the
    voltages from which a run starts; alive: whatever NEURON would drop if Python did; globals: variables of NEURON as a
    whole, which hold while this cell runs.
    """

    soma: Any
    synapses: Sequence[Any]
    outputs: Sequence[Any]
    scales: Sequence[float]
    initialise: Callable[[], None]
    alive: Any
    globals: Mapping[str, float] = MappingProxyType({})


class RecordedCell(NamedTuple):
    """Where the recording of a network holds one of its cells, for a surrogate to learn from.

    kind: of cell; first: index of the channel of V, which those of its spikes, of its outputs, and of what arrives in
    each sample at each of its synapses (uS) follow.
    """

    kind: str
    first: int
    outputs: int
    synapses: int

    @property
    def end(self) -> int:
        """Index after its last channel."""
        return self.first + 2 + self.outputs + self.synapses


@runtime_checkable
class Cell(Protocol):
    """A cell as plain configuration; ``build`` makes one in NEURON."""

    @property
    def synapses(self) -> tuple[Synapse, ...]:
        """All of them, in the order of the events' rows."""
        ...

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What is recorded beside the voltage and spikes of the soma."""
        ...

    @property
    def threshold_mV(self) -> float:
        """An upward crossing of it is a spike."""

    @property
    def celsius(self) -> float:
        """Temperature of the cell."""
        ...

    def build(self) -> LiveCell:
        """Make the cell in NEURON, which keeps it for as long as what is returned lives."""
        ...
