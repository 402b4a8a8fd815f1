"""A circuit of surrogate neurons as plain configuration: populations, and who drives whom by which synapse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from simulators.cells.inputs import SynapticEvents
from surrogates.neurons.trained import TrainedNeuron, load_neuron

_LEAST_PART = 1e-3  # of a bin: a delay that exceeds a whole number of them by less is that number


@dataclass(frozen=True)
class Population:
    """Cells of one kind. neuron: name of a shipped surrogate, or path of one."""

    name: str
    neuron: str
    cells: int

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ValueError(f"population {self.name} has {self.cells} cells; it needs one or more")


class Links(NamedTuple):
    """One row for each link from a cell to a synapse of another.

    sources, targets: indices of cells, counted through all populations; synapses: among the target's; weights_uS: peak
    conductance of one spike; groups: links whose weights a common gain multiplies.
    """

    sources: Integer[np.ndarray, " links"]
    targets: Integer[np.ndarray, " links"]
    synapses: Integer[np.ndarray, " links"]
    weights_uS: Float[np.ndarray, " links"]
    delays_ms: Float[np.ndarray, " links"]
    groups: Integer[np.ndarray, " links"]


class Plasticity(NamedTuple):
    """Short-term plasticity of Tsodyks and Markram (1997, 1998): a spike releases u x of a weight.

    use: what a first spike releases; recovery_ms: of what was released; facilitation_ms: of u, 0 for none.
    """

    use: float
    recovery_ms: float
    facilitation_ms: float = 0.0


@dataclass(frozen=True, eq=False)
class Circuit:
    """Populations of surrogate neurons and their links.

    groups: names of the links' groups; plasticity: of those that have it. Raises ValueError for links to what is not
    there, weights that are negative or not finite, delays that are shorter than a frame of the surrogates (no spike
    could arrive in time), and for surrogates whose frames differ.
    """

    populations: tuple[Population, ...]
    links: Links
    groups: tuple[str, ...]
    plasticity: Mapping[str, Plasticity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.populations:
            raise ValueError("a circuit needs at least one population")
        frames = {(n.network.bin_ms, int(n.network.settings.get("frame", 1))) for n in self.neurons}
        if len(frames) > 1:
            shown = ", ".join(
                f"{p.name} {self._frame_of(n):g} ms" for p, n in zip(self.populations, self.neurons, strict=True)
            )
            raise ValueError(
                f"the surrogates' frames differ ({shown}); train them with one frame, in bins of one length"
            )
        self._check_links()
        if unknown := set(self.plasticity) - set(self.groups):
            raise ValueError(f"plasticity of {', '.join(unknown)}; the groups are {', '.join(self.groups)}")
        for name, p in self.plasticity.items():
            if not (0 < p.use <= 1 and 0 < p.recovery_ms < np.inf and 0 <= p.facilitation_ms < np.inf):
                raise ValueError(f"plasticity of {name} is {tuple(p)}; use is in (0, 1], times are positive")

    def _check_links(self) -> None:
        links, n = self.links, len(self.types)
        if len({len(column) for column in links}) > 1:
            raise ValueError(f"links have columns of {', '.join(str(len(column)) for column in links)} rows")
        if not len(links.sources):
            return
        for name, index, most in (
            ("source", links.sources, n),
            ("target", links.targets, n),
            ("group", links.groups, len(self.groups)),
        ):
            if index.min() < 0 or index.max() >= most:
                raise ValueError(f"a link has {name} {index.min()} ... {index.max()}; counted from 0 there are {most}")
        synapses = np.array([len(neuron.synapses) for neuron in self.neurons])[self.types[links.targets]]
        wrong = np.flatnonzero((links.synapses < 0) | (links.synapses >= synapses))
        if wrong.size:
            k = wrong[0]
            raise ValueError(f"link {k} is to synapse {links.synapses[k]}; its target has {synapses[k]}, from 0")
        if not (np.isfinite(links.weights_uS).all() and links.weights_uS.min() >= 0):
            raise ValueError("weights of links are finite and not negative; inhibition is the synapse's own")
        if not (np.isfinite(links.delays_ms).all() and links.delays_ms.min() >= self.frame_ms - 1e-9):
            raise ValueError(
                f"the shortest delay is {links.delays_ms.min():g} ms; with these surrogates a spike takes at least a "
                f"frame, {self.frame_ms:g} ms"
            )

    @cached_property
    def neurons(self) -> tuple[TrainedNeuron, ...]:
        """The surrogate of each population."""
        return tuple(load_neuron(population.neuron) for population in self.populations)

    @staticmethod
    def _frame_of(neuron: TrainedNeuron) -> float:
        return neuron.network.bin_ms * int(neuron.network.settings.get("frame", 1))

    @property
    def frame_ms(self) -> float:
        """Length of a step of all surrogates."""
        return self._frame_of(self.neurons[0])

    def delays(self) -> tuple[Integer[np.ndarray, " links"], Float[np.ndarray, " links"]]:
        """Whole bins of each link's delay, and the part of a bin beyond: so much of a spike arrives a bin later."""
        delays = self.links.delays_ms / self.bin_ms
        whole = np.floor(delays + _LEAST_PART)
        part = np.clip(delays - whole, 0, 1)
        return whole.astype(np.int64), np.where(part < _LEAST_PART, 0.0, part)

    def bins_of_run(
        self,
        copies: int,
        factors: Float[np.ndarray, "copies groups"],
        drives: Sequence[Sequence[SynapticEvents]],
        duration_ms: float,
    ) -> int:
        """Number of bins of a run. Raises ValueError where factors, drives or duration cannot be those of one."""
        if factors.shape != (copies, len(self.groups)) or not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(
                f"factors of shape {factors.shape} for {copies} copies and {len(self.groups)} groups; they are finite "
                f"and not negative"
            )
        if len(drives) != copies or any(len(d) != len(self.types) for d in drives):
            raise ValueError(f"drives of {len(drives)} copies; expected {copies}, with {len(self.types)} cells each")
        bins = round(duration_ms / self.bin_ms)
        if bins < 1:
            raise ValueError(f"{duration_ms} ms hold no bin of {self.bin_ms} ms")
        return bins

    @property
    def bin_ms(self) -> float:
        """Length of a bin."""
        return self.neurons[0].network.bin_ms

    @cached_property
    def types(self) -> Integer[np.ndarray, " cells"]:
        """Population of each cell."""
        return np.repeat(np.arange(len(self.populations)), [p.cells for p in self.populations])

    @cached_property
    def first_cells(self) -> Integer[np.ndarray, " populations"]:
        """Index of the first cell of each population."""
        sizes = [p.cells for p in self.populations]
        return np.cumsum([0, *sizes[:-1]])
