"""A microcircuit of layer 5 pyramidal cells that excite each other, as it was studied for Rett syndrome."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, UInt8

from simulators.cells.inputs import SynapticEvents
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording
from surrogates.network.circuit import Circuit, Links, Plasticity, Population
from surrogates.network.compiled import CompiledNetwork
from surrogates.neurons.trained import load_neuron, neuron_file

WILD_TYPE = {"connectivity": 10.0, "quantal_size": 1.0, "inhibitory_quantum": 1.0}
"""Values of all that can be a parameter, where it is none."""
RETT = ParameterSpace(
    (
        Parameter("connectivity", "%", 1.0, 20.0, "Probability that one cell of a pair drives the other alone"),
        Parameter("quantal_size", "1", 0.5, 1.5, "Excitatory conductances of connections and background, relative"),
    )
)
RELEASE = Plasticity(use=0.38, recovery_ms=365.6, facilitation_ms=25.71)
"""Of the connections between the cells (Barros-Zulaica et al. 2019)."""
PROXIMAL = ("apical_trunk_ampa", "apical_oblique_ampa", "basal_1_ampa", "basal_2_ampa", "basal_3_ampa")
"""The five contacts of a connection."""
RECIPROCAL_SHARE, RECIPROCAL_STRENGTH = 0.5, 1.5

_MOST_CONNECTIVITY = 100 / (2 + RECIPROCAL_SHARE)  # every pair is connected
_CONTACT_US = 0.2e-3
_DELAY_MS = 1.3  # 1 ms from the spike's peak, which comes 0.3 ms after its threshold
_STIMULUS_US, _STIMULATED = 0.05, "apical_oblique_ampa"
_EXCITATORY_US, _INHIBITORY_US = 1.5e-3, 1.25e-3
_EXCITATORY_HZ, _INHIBITORY_HZ = 100.0, 37.5
_RECORDED = {"spikes": "1", "V": "mV"}


class Connections(NamedTuple):
    """Who drives whom. reciprocal: whether the target drives the source, too."""

    sources: Integer[np.ndarray, " connections"]
    targets: Integer[np.ndarray, " connections"]
    reciprocal: np.ndarray


class Activity(NamedTuple):
    """What each cell of microcircuits did, in bins. v: of the soma, mV, if it was asked for."""

    spikes: UInt8[np.ndarray, "rows cells bins"]
    v: Float[np.ndarray, "rows cells bins"] | None


def connect(cells: int, connectivity: float, rng: np.random.Generator) -> Connections:
    """Connections of cells, drawn pair by pair.

    A cell drives another one that does not drive it with probability ``connectivity`` (%); with half of that they drive
    each other (Hay and Segev 2015, Olah et al. 2022). Raises ValueError for less than two cells and for a connectivity
    outside 0 ... 40 %, at which all pairs are connected.
    """
    if cells < 2:
        raise ValueError(f"{cells} cells; connections need two or more")
    if not 0 <= connectivity <= _MOST_CONNECTIVITY:
        raise ValueError(
            f"connectivity of {connectivity:g} % lies outside 0 ... {_MOST_CONNECTIVITY:g} %, at which all pairs of "
            f"cells are connected"
        )
    p = connectivity / 100
    first, second = np.triu_indices(cells, 1)
    kind = np.searchsorted(np.cumsum([RECIPROCAL_SHARE * p, p, p]), rng.random(len(first)), side="right")
    both, forth, back = (np.flatnonzero(kind == k) for k in range(3))
    sources = np.concatenate([first[both], second[both], first[forth], second[back]])
    targets = np.concatenate([second[both], first[both], second[forth], first[back]])
    return Connections(sources, targets, np.arange(len(sources)) < 2 * len(both))


@dataclass(frozen=True)
class Microcircuit:
    """L5 pyramidal cells out of surrogates that excite each other and are stimulated (Olah et al. 2022, figs. 8-9).

    parameters: of the names in ``WILD_TYPE``, whose values the others have: connectivity (%), quantal_size and
    inhibitory_quantum (relative); neuron: name or file of an L5 pyramidal cell's surrogate; before_ms and after_ms: of
    the stimulus; record: which channels there are, of "spikes" (of all cells in a bin) and "V" (mV, their mean);
    batch_size: microcircuits side by side; content: hash of the neuron's file, so that no campaign goes on with
    another. Each simulation has connections and background of its own.

    As published: numbers of cells and of contacts, probabilities and strength of reciprocal connections, plasticity, a
    delay of 1 ms from the peak, one synapse of every cell that opens by 50 nS, and that quantal_size scales background
    and connections, inhibitory_quantum the background. Ours: the cell is that of the Human Neocortical Neurosolver, and
    a connection has one contact on each of its proximal sections; cells start from rest, not from recorded inputs; the
    stimulated synapse is on the oblique dendrite. Background is Poisson, at random sections: 100 excitatory events a
    second at a cell, with which it fires once a second if it is alone, and 37.5 inhibitory ones (8 : 3, as published
    for a point cell). Their 1.5 and 1.25 nS are the published 3.6 and 3 nS by charge, for these synapses stay open 2.4
    times as long. A contact's 0.2 nS at a first spike were chosen by what networks do: of the wild type a third is
    stable, as published.

    Raises ValueError for parameters that there are not or that reach too far, a surrogate of another cell, and where
    there is no time, channel or cell.
    """

    parameters: ParameterSpace = RETT
    neuron: str = "L5_pyramidal"
    cells: int = 150
    before_ms: float = 100.0
    after_ms: float = 200.0
    record: tuple[str, ...] = ("spikes",)
    batch_size: int = 32
    content: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "neuron", str(self.neuron))
        object.__setattr__(self, "content", hashlib.sha256(neuron_file(self.neuron).read_bytes()).hexdigest())
        if unknown := set(self.parameters.names) - set(WILD_TYPE):
            raise ValueError(f"a microcircuit has no parameter {', '.join(unknown)}; choose of {', '.join(WILD_TYPE)}")
        for p in self.parameters:
            most = _MOST_CONNECTIVITY if p.name == "connectivity" else np.inf
            if not 0 <= p.low < p.high <= most:
                raise ValueError(f"{p.name} from {p.low:g} to {p.high:g} {p.unit}; it lies between 0 and {most:g}")
        if self.cells < 2 or self.batch_size < 1:
            raise ValueError(f"{self.cells} cells, {self.batch_size} side by side; expected two or more, one or more")
        if not self.record or set(self.record) - set(_RECORDED) or len(set(self.record)) < len(self.record):
            raise ValueError(
                f"{', '.join(self.record) or 'nothing'} to record; choose of {', '.join(_RECORDED)}, each once"
            )
        if not (0 <= self.before_ms < np.inf and 0 < self.after_ms < np.inf):
            raise ValueError(
                f"{self.before_ms:g} ms before the stimulus, {self.after_ms:g} ms after; expected some time"
            )
        if missing := set(PROXIMAL) - set(self._synapses):
            raise ValueError(f"{self.neuron} has no {', '.join(missing)}; expected a surrogate of an L5 pyramidal cell")

    @property
    def _synapses(self) -> list[str]:
        return [synapse.name for synapse in load_neuron(self.neuron).synapses]

    def lasting(self, duration_s: float) -> "Microcircuit":
        """The same over another time, with as much before the stimulus."""
        return replace(self, after_ms=1e3 * duration_s - self.before_ms)

    def draw(
        self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator
    ) -> tuple[Links, list[SynapticEvents]]:
        """Connections of one microcircuit, and what arrives at each of its cells from outside.

        Weights of links are those of a spike that releases everything; a first one releases ``RELEASE.use`` of it.
        Raises ValueError for a theta outside ``parameters``.
        """
        given = dict(zip(self.parameters.names, self.parameters.check(theta).tolist(), strict=True))
        connectivity, quantal_size, inhibitory_quantum = ((WILD_TYPE | given)[name] for name in WILD_TYPE)
        made = connect(self.cells, connectivity, rng)
        weights = quantal_size * _CONTACT_US / RELEASE.use * np.where(made.reciprocal, RECIPROCAL_STRENGTH, 1.0)
        names, n = self._synapses, len(PROXIMAL)
        sources, targets, weights = (np.repeat(x, n) for x in (made.sources, made.targets, weights))
        contacts = np.tile([names.index(name) for name in PROXIMAL], len(made.sources))
        links = Links(
            sources, targets, contacts, weights, np.full(len(sources), _DELAY_MS), np.zeros(len(sources), np.int64)
        )
        background = (
            ("ampa", _EXCITATORY_HZ, quantal_size * _EXCITATORY_US),
            ("gabaa", _INHIBITORY_HZ, inhibitory_quantum * _INHIBITORY_US),
        )
        return links, [self._arriving(names, background, rng) for _ in range(self.cells)]

    def _arriving(
        self, names: list[str], background: Sequence[tuple[str, float, float]], rng: np.random.Generator
    ) -> SynapticEvents:
        """Stimulus and background of one cell. background: receptor, events a second, weight in uS."""
        lasting = self.before_ms + self.after_ms
        parts = [(np.array([self.before_ms]), np.array([names.index(_STIMULATED)]), np.array([_STIMULUS_US]))]
        for receptor, rate_Hz, weight_uS in background:
            there = np.array([k for k, name in enumerate(names) if name.endswith(f"_{receptor}")])
            n = rng.poisson(1e-3 * rate_Hz * lasting)
            parts.append((rng.uniform(0, lasting, n), rng.choice(there, n), np.full(n, weight_uS)))
        return SynapticEvents(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def run(
        self,
        thetas: Float[np.ndarray, "rows n_parameters"],
        rngs: Sequence[np.random.Generator],
        voltages: bool = False,
    ) -> Activity:
        """What every cell does at each theta: microcircuits side by side, without a link from one to the next."""
        drawn = [self.draw(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)]
        shifted = [
            links._replace(sources=links.sources + k * self.cells, targets=links.targets + k * self.cells)
            for k, (links, _) in enumerate(drawn)
        ]
        population = Population("L5 pyramidal", self.neuron, self.cells * len(drawn))
        links = Links(*(np.concatenate(column) for column in zip(*shifted, strict=True)))
        network = CompiledNetwork(Circuit((population,), links, ("recurrent",), {"recurrent": RELEASE}))
        drives = [events for _, arriving in drawn for events in arriving]
        found = network.run(np.ones((1, 1)), [drives], self.before_ms + self.after_ms, voltages)
        shape = len(drawn), self.cells, -1
        return Activity(found.spikes.reshape(shape), None if found.v is None else found.v.reshape(shape))

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """The channels that ``record`` names, (channels, bins). Raises ValueError for a theta outside the box."""
        return self.simulate_batch(np.asarray(theta)[None], [rng])[0]

    def simulate_batch(
        self, thetas: Float[np.ndarray, "rows n_parameters"], rngs: Sequence[np.random.Generator]
    ) -> list[Recording]:
        """Many microcircuits side by side."""
        spikes, v = self.run(thetas, rngs, "V" in self.record)
        traces = {"spikes": spikes.sum(1, dtype=np.float32)}
        if v is not None:
            traces["V"] = v.mean(1)
        values = np.stack([traces[name] for name in self.record], 1)
        unit, rate = ", ".join(_RECORDED[name] for name in self.record), 1e3 / load_neuron(self.neuron).network.bin_ms
        return [Recording(x, rate, unit, self.record) for x in values]
