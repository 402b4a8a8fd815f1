"""Simulator of a cell in NEURON: voltage, spikes and whatever else is asked for, from known events."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from simulators.cells.cell import Cell
from simulators.cells.inputs import DistinctMilliseconds, InputProtocol, SynapticEvents
from simulators.interface import ParameterSpace
from simulators.recording import Recording


@dataclass(frozen=True)
class CellSimulator:
    """Simulator of one cell under an input protocol: channels "V" (mV), "spikes" (number a sample), and its outputs.

    V keeps the true height of spikes: a sample that a spike's peak falls on takes it. Both the step of the simulation
    and of the samples are in ms; the samples stand for the ends of their steps, and events in bin k are seen by sample
    k. The events of a simulation follow from its theta and generator: ``events`` draws them again.
    """

    cell: Cell
    protocol: InputProtocol = field(default_factory=DistinctMilliseconds)
    duration_ms: float = 10_000.0
    sample_ms: float = 1.0
    dt_ms: float = 0.025
    batch_size: int = 50

    def __post_init__(self) -> None:
        if not (self.dt_ms > 0 and self.sample_ms < np.inf and _is_whole(self.sample_ms / self.dt_ms)):
            raise ValueError(f"samples every {self.sample_ms} ms are no whole number of steps of {self.dt_ms} ms")
        if not self.sample_ms <= self.duration_ms < np.inf:
            raise ValueError(f"{self.duration_ms} ms hold no sample; they come every {self.sample_ms} ms")
        if self.batch_size < 1:
            raise ValueError(f"{self.batch_size} cells side by side; there must be one or more")

    @property
    def parameters(self) -> ParameterSpace:
        """The parameter space of the inputs."""
        return self.protocol.parameters

    @property
    def samples(self) -> int:
        """Number of them in a recording."""
        return round(self.duration_ms / self.sample_ms)

    def events(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> SynapticEvents:
        """The events of the simulation with this theta and generator."""
        theta = self.parameters.check(theta)
        return self.protocol.draw(theta, self.cell.synapses, self.duration_ms, rng).check(self.cell.synapses)

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """Voltage (mV), spikes a sample and the cell's outputs, (channels, samples).

        Raises ValueError for a theta outside ``parameters``.
        """
        return self.simulate_batch(np.asarray(theta)[None], [rng])[0]

    def simulate_batch(
        self, thetas: Float[np.ndarray, "rows n_parameters"], rngs: Sequence[np.random.Generator]
    ) -> list[Recording]:
        """Many cells side by side in one NEURON process."""
        return self.respond([self.events(theta, rng) for theta, rng in zip(thetas, rngs, strict=True)])

    def respond(self, events: Sequence[SynapticEvents]) -> list[Recording]:
        """What cells do that receive these events, one cell for each. Raises ValueError as ``SynapticEvents.check``."""
        from simulators.cells.run import run  # not above: who has a surrogate needs no NEURON

        if not events:
            return []
        values = run(self.cell, events, self.duration_ms, self.dt_ms, self.sample_ms)
        names = ("V", "spikes", *(o.name for o in self.cell.outputs))
        unit = ", ".join(("mV", "1", *(o.unit for o in self.cell.outputs)))
        return [Recording(v, 1e3 / self.sample_ms, unit, names) for v in values]


def _is_whole(steps: float) -> bool:
    return round(steps) >= 1 and abs(steps - round(steps)) <= 1e-6
