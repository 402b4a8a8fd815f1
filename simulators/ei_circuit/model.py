"""What a circuit of E and I cells is, whoever runs it: populations, synapses, strengths, and its random parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from simulators.ei_circuit.membranes import MEMBRANES
from simulators.interface import Parameter

_CELLS = ", ".join(MEMBRANES)
_FASTEST_HZ = 1e5  # of the noise at one cell


@dataclass(frozen=True)
class Synapse:
    """A conductance that jumps with a spike and decays. magnesium_mM: blocks it (Jahr and Stevens 1990)."""

    name: str
    decay_ms: float
    reversal_mV: float
    magnesium_mM: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.decay_ms < np.inf and np.isfinite(self.reversal_mV) and 0 <= self.magnesium_mM < np.inf):
            raise ValueError(
                f"synapse {self.name}: decay {self.decay_ms} ms, reversal {self.reversal_mV} mV, {self.magnesium_mM} "
                f"mM magnesium; expected a decay above 0 and finite values"
            )


AMPA = Synapse("ampa", 3.0, 0.0)
FAST_GABA = Synapse("fast_gaba", 6.0, -80.0)
SLOW_GABA = Synapse("slow_gaba", 38.0, -80.0)
NMDA = Synapse("nmda", 100.0, 0.0, magnesium_mM=1.0)


@dataclass(frozen=True)
class Population:
    """Cells of one kind, with what their spikes open and what drives them.

    cell: of ``membranes.MEMBRANES``; synapses: what its spikes open, the first being meant where a strength names none;
    noise: independent Poisson events at the first synapse of all, of this rate and conductance at each cell.
    """

    name: str
    size: int
    cell: str
    synapses: tuple[Synapse, ...]
    leak_mS_cm2: float = 0.1
    leak_mV: float = -65.0
    current_uA_cm2: float = 0.0
    noise_Hz: float = 100.0
    noise_mS_cm2: float = 0.01

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or "_" in self.name:
            raise ValueError(f"'{self.name}' cannot name a population; take letters and digits")
        if self.cell not in MEMBRANES:
            raise ValueError(f"population {self.name}: there is no cell '{self.cell}'; choose one of {_CELLS}")
        if self.size < 1 or not self.synapses:
            raise ValueError(f"population {self.name} has {self.size} cells and {len(self.synapses)} kinds of synapse")
        for name in _DRIVES:
            value = getattr(self, name)
            signed = name in ("leak_mV", "current_uA_cm2")
            if not np.isfinite(value) or (value < 0 and not signed):
                raise ValueError(f"population {self.name}: {name} is {value}; expected a finite number, not negative")
        if self.noise_Hz > _FASTEST_HZ:
            raise ValueError(f"population {self.name}: noise of {self.noise_Hz:g} Hz is more than {_FASTEST_HZ:g}")


_DRIVES = tuple(f.name for f in fields(Population) if f.type in (float, "float"))
"""Numbers of a population that can be parameters."""

E = Population("E", 80, "traub_miles", (AMPA,), leak_mV=-67.0, noise_Hz=200.0, noise_mS_cm2=0.06)
F = Population("F", 20, "wang_buzsaki", (FAST_GABA,))
S = Population("S", 20, "wang_buzsaki", (SLOW_GABA,))

BETA = {
    "E_E": 0.281,
    "E_F": 0.292,
    "E_S": 0.255,
    "F_E": 0.476,
    "F_F": 0.092,
    "F_S": 0.034,
    "S_E": 0.743,
    "S_F": 0.156,
    "S_S": 0.067,
}
"""Strengths (mS/cm2) of a circuit with a rhythm of 16 Hz, which slow inhibition makes."""
GAMMA = {
    "E_E": 0.049,
    "E_F": 0.514,
    "E_S": 0.155,
    "F_E": 1.636,
    "F_F": 0.330,
    "F_S": 0.709,
    "S_E": 2.247,
    "S_F": 0.461,
    "S_S": 0.032,
}
"""Strengths (mS/cm2) of a circuit with a rhythm of 44 Hz, which fast inhibition makes."""

_STRONGEST = {
    "E_E": 0.3,
    "E_F": 1.0,
    "E_S": 1.0,
    "F_E": 2.0,
    "F_F": 1.0,
    "F_S": 1.0,
    "S_E": 3.0,
    "S_F": 1.0,
    "S_S": 1.0,
}


class Graph(NamedTuple):
    """Connections: the targets of cell ``j`` are ``targets[starts[j] : starts[j + 1]]``."""

    starts: Integer[np.ndarray, " cells_and_one"]
    targets: Integer[np.ndarray, " connections"]


class Draw(NamedTuple):
    """All that is random in one simulation: connections, the first V, and the events of the noise in their order."""

    graph: Graph
    v: Float[np.ndarray, " cells"]
    event_steps: Integer[np.ndarray, " events"]
    event_cells: Integer[np.ndarray, " events"]


@dataclass(frozen=True)
class EICircuit:
    """Populations of Hodgkin-Huxley cells, connected at random.

    strengths: conductance (mS/cm2) that a cell receives on average when every cell of a population has one spike, by
    the names of source and target ("E_F"), and of the synapse where it is not the source's first ("E_E_nmda"); what is
    not named is 0. Each ordered pair is connected with ``connection_probability``; no cell with itself. graph_seed:
    None draws other connections in every simulation.
    """

    populations: tuple[Population, ...] = (E, F, S)
    strengths: Mapping[str, float] = field(default_factory=lambda: dict(BETA))
    connection_probability: float = 0.5
    delay_ms: float = 1.0
    dt_ms: float = 0.05
    graph_seed: int | None = None

    def __post_init__(self) -> None:
        names = [p.name for p in self.populations]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a circuit needs populations with distinct names; got {', '.join(names) or 'none'}")
        kinds: dict[str, Synapse] = {}
        for synapse in (s for p in self.populations for s in p.synapses):
            if kinds.setdefault(synapse.name, synapse) != synapse:
                raise ValueError(f"there are two synapses named {synapse.name}, {kinds[synapse.name]} and {synapse}")
        if not 0 < self.connection_probability <= 1:
            raise ValueError(f"connection_probability is {self.connection_probability}; it lies above 0, up to 1")
        if not self.dt_ms > 0 or self.delay_ms < 0 or abs(self.delay_steps * self.dt_ms - self.delay_ms) > 1e-9:
            raise ValueError(f"a delay of {self.delay_ms} ms is no whole number of steps of {self.dt_ms} ms")
        for name, value in self.strengths.items():
            self.place(name)
            if not 0 <= value < np.inf:
                raise ValueError(f"strength {name} is {value}; a conductance is a finite number, not negative")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the populations."""
        return tuple(p.name for p in self.populations)

    @property
    def synapses(self) -> tuple[Synapse, ...]:
        """All kinds there are."""
        return tuple(dict.fromkeys(s for p in self.populations for s in p.synapses))

    @property
    def bounds(self) -> Integer[np.ndarray, " populations_and_one"]:
        """First cell of each population, and past the last of all."""
        return np.concatenate([[0], np.cumsum([p.size for p in self.populations])])

    @property
    def population_of(self) -> Integer[np.ndarray, " cells"]:
        """Index of each cell's population."""
        return np.repeat(np.arange(len(self.populations)), [p.size for p in self.populations])

    @property
    def delay_steps(self) -> int:
        """Steps from a spike to its arrival."""
        return round(self.delay_ms / self.dt_ms)

    @property
    def pairs(self) -> tuple[str, ...]:
        """Names of all strengths that can be."""
        return tuple(
            f"{source.name}_{target.name}" + (f"_{synapse.name}" if k else "")
            for source in self.populations for target in self.populations for k, synapse in enumerate(source.synapses)
        )  # fmt: skip

    def place(self, name: str) -> tuple[int, int, int]:
        """Source, target and synapse of a strength. Raises ValueError for a name that none has."""
        source, _, rest = name.partition("_")
        target, _, synapse = rest.partition("_")
        for end in (source, target):
            if end not in self.names:
                raise ValueError(
                    f"'{name}' names no strength or drive: there is no population '{end}' (there are "
                    f"{', '.join(self.names)}); drives are {', '.join(f'{source}_{n}' for n in _DRIVES)}"
                )
        opened = self.populations[self.names.index(source)].synapses
        chosen = next((s for s in opened if s.name == synapse), None) if synapse else opened[0]
        if chosen is None:
            there = ", ".join(s.name for s in opened)
            raise ValueError(f"'{name}' names no strength: spikes of {source} open {there}, not {synapse}")
        return self.names.index(source), self.names.index(target), self.synapses.index(chosen)

    def changed(self, values: Mapping[str, float]) -> "EICircuit":
        """The circuit with other strengths ("E_F") and drives ("E_noise_Hz"). Raises ValueError for unknown names."""
        strengths = dict(self.strengths)
        drives: dict[str, dict[str, Any]] = {name: {} for name in self.names}
        for name, value in values.items():
            population, _, number = name.partition("_")
            if population in drives and number in _DRIVES:
                drives[population][number] = value
            else:
                self.place(name)
                strengths[name] = value
        populations = tuple(replace(p, **drives[p.name]) for p in self.populations)
        return replace(self, populations=populations, strengths=strengths)

    def free_strengths(self) -> tuple[Parameter, ...]:
        """Every strength as a parameter, from 0 to more than a rhythm needs."""
        return tuple(
            Parameter(name, "mS/cm2", 0.0, _STRONGEST.get(name, 1.0), f"conductance of {name.replace('_', ' to ', 1)}")
            for name in self.pairs
        )

    def weights(self) -> Float[np.ndarray, "populations populations synapses"]:
        """Conductance (mS/cm2) of one connection from each population to each other."""
        weights = np.zeros((len(self.populations), len(self.populations), len(self.synapses)))
        for name, value in self.strengths.items():
            source, target, synapse = self.place(name)
            weights[source, target, synapse] = value / (self.connection_probability * self.populations[source].size)
        return weights

    def draw(self, steps: int, rng: np.random.Generator) -> Draw:
        """The random parts of a simulation of so many steps."""
        graph = _connected(int(self.bounds[-1]), self.connection_probability,
                           rng if self.graph_seed is None else np.random.default_rng(self.graph_seed))  # fmt: skip
        v = rng.uniform(-70.0, -60.0, self.bounds[-1])
        at, cells = [], []
        for population, first in zip(self.populations, self.bounds, strict=False):
            n = rng.poisson(1e-3 * population.noise_Hz * population.size * steps * self.dt_ms)
            at.append(rng.integers(steps, size=n))
            cells.append(rng.integers(first, first + population.size, size=n))
        order = np.argsort(np.concatenate(at), kind="stable")
        return Draw(graph, v, np.concatenate(at)[order], np.concatenate(cells)[order])


def _connected(cells: int, probability: float, rng: np.random.Generator) -> Graph:
    """Every ordered pair with this probability, no cell with itself."""
    connected = rng.random((cells, cells)) < probability
    np.fill_diagonal(connected, False)
    starts = np.concatenate([[0], np.cumsum(connected.sum(1))])
    return Graph(starts.astype(np.int64), np.nonzero(connected)[1].astype(np.int64))
