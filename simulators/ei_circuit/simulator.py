"""The circuit behind the Simulator interface: compiled, and in NEURON."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from simulators.ei_circuit import loop
from simulators.ei_circuit.membranes import MEMBRANES
from simulators.ei_circuit.model import Draw, EICircuit
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording, Spikes

if TYPE_CHECKING:
    from simulators.ei_circuit.field import CircuitSignal
    from simulators.fields.probes import Probe

RECORDED = ("lfp", "spikes", "potentials")


class CircuitRun(NamedTuple):
    """Sample by sample: mean synaptic current of a cell of the first population (absolute values summed over synapses,
    uA/cm2), spikes of each population, its mean V (mV); and, if they were asked for, all spikes."""

    lfp: Float[np.ndarray, " samples"]
    counts: Integer[np.ndarray, "populations samples"]
    mean_v: Float[np.ndarray, "populations samples"]
    spikes: Spikes | None


@dataclass(frozen=True)
class CompiledEICircuit:
    """A circuit of E and I cells as one compiled loop, spike for spike what ``NeuronEICircuit`` does.

    free: the parameters, all strengths by default; a strength is named as in ``EICircuit``, a drive by its population
    and number ("E_noise_Hz", "F_current_uA_cm2", "E_leak_mV"). record: which channels there are, of "lfp" (mean over
    the first population's cells of the sum of absolute synaptic currents, uA/cm2: Mazzoni et al. 2015), "spikes" of
    each population a sample, "potentials" (mean V). Raises ValueError for a parameter that nothing has.
    """

    circuit: EICircuit = field(default_factory=EICircuit)
    free: tuple[Parameter, ...] = ()
    record: tuple[str, ...] = RECORDED
    duration_ms: float = 1000.0
    transient_ms: float = 300.0
    sample_ms: float = 1.0

    def __post_init__(self) -> None:
        if not self.record or (unknown := set(self.record) - set(RECORDED)):
            what = ", ".join(sorted(unknown)) if self.record else "nothing"
            raise ValueError(f"{what} cannot be recorded; choose of {', '.join(RECORDED)}")
        every = self.sample_ms / self.circuit.dt_ms
        if round(every) < 1 or abs(every - round(every)) > 1e-6:
            raise ValueError(
                f"samples every {self.sample_ms} ms are no whole number of steps of {self.circuit.dt_ms} ms"
            )
        if not (self.sample_ms <= self.duration_ms < np.inf and 0 <= self.transient_ms < np.inf):
            raise ValueError(f"{self.duration_ms} ms after a transient of {self.transient_ms} ms are no recording")
        if not self.free:
            object.__setattr__(self, "free", self.circuit.free_strengths())
        for parameter in self.parameters:
            for end in (parameter.low, parameter.high):
                self.circuit.changed({parameter.name: end})

    @property
    def parameters(self) -> ParameterSpace:
        """The box of the free parameters."""
        return ParameterSpace(self.free)

    def forward_model(self, probe: "Probe | None" = None) -> "CircuitSignal | None":
        """What a probe sees of the circuit; without one recordings are taken as they are."""
        from simulators.ei_circuit.field import CircuitSignal

        return None if probe is None else CircuitSignal(probe, self.circuit, self.parameters, self.sample_ms)

    def lasting(self, duration_s: float) -> "CompiledEICircuit":
        """The same over another time. Raises ValueError for one that holds no sample."""
        return replace(self, duration_ms=1e3 * duration_s)

    def at(self, theta: Float[np.ndarray, " n_parameters"]) -> EICircuit:
        """The circuit with the strengths and drives of theta. Raises ValueError for a theta outside the box."""
        return self.circuit.changed(
            dict(zip(self.parameters.names, self.parameters.check(theta).tolist(), strict=True))
        )

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """The channels that ``record`` names, (channels, samples). Raises ValueError for a theta outside the box."""
        return self._recording(self.run(theta, rng))

    def simulate_spikes(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Spikes:
        """Every spike of the same simulation, the transient included."""
        found = self.run(theta, rng, spikes=True).spikes
        assert found is not None
        return found

    def run(
        self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator, spikes: bool = False
    ) -> CircuitRun:
        """All that is recorded of one simulation."""
        circuit = self.at(theta)
        steps = round((self.transient_ms + self.duration_ms) / circuit.dt_ms)
        return self._run(circuit, circuit.draw(steps, rng), steps, spikes)

    def _run(self, circuit: EICircuit, draw: Draw, steps: int, spikes: bool) -> CircuitRun:
        cells = int(circuit.bounds[-1])
        membranes = [MEMBRANES[p.cell] for p in circuit.populations]
        gates = np.concatenate(
            [m.rest(draw.v[a:b]) for m, a, b in zip(membranes, circuit.bounds, circuit.bounds[1:], strict=False)], 1
        )
        channels = [
            (
                m.sodium_mS_cm2,
                m.potassium_mS_cm2,
                p.leak_mS_cm2,
                m.sodium_mV,
                m.potassium_mV,
                p.leak_mV,
                p.current_uA_cm2,
            )
            for m, p in zip(membranes, circuit.populations, strict=True)
        ]
        # A cell is above threshold in two steps of spike at least; pages of these are taken only as spikes arrive.
        room = cells * (steps // 2 + 1) if spikes else 0
        spike_steps, spikers = np.empty(room, np.int64), np.empty(room, np.int64)
        lfp, counts, mean_v, n = loop.run(
            draw.v.copy(), gates, circuit.bounds, circuit.population_of,
            np.stack([m.table(circuit.dt_ms) for m in membranes]), np.array(channels), *draw.graph, circuit.weights(),
            np.exp(-circuit.dt_ms / np.array([s.decay_ms for s in circuit.synapses])),
            np.array([s.reversal_mV for s in circuit.synapses]), np.array([s.magnesium_mM for s in circuit.synapses]),
            draw.event_steps, draw.event_cells, np.array([p.noise_mS_cm2 for p in circuit.populations]),
            circuit.delay_steps, circuit.dt_ms, steps, round(self.sample_ms / circuit.dt_ms), 0, spikes, spike_steps,
            spikers,
        )  # fmt: skip
        times = (spike_steps[:n] + 1) * circuit.dt_ms
        return CircuitRun(lfp, counts, mean_v, _spikes(circuit, times, spikers[:n]) if spikes else None)

    def _recording(self, run: CircuitRun) -> Recording:
        names = self.circuit.names
        channels: list[tuple[str, str, np.ndarray]] = []
        if "lfp" in self.record:
            channels.append(("lfp", "uA/cm2", run.lfp))
        if "spikes" in self.record:
            channels += [(f"{name} spikes", "1", x) for name, x in zip(names, run.counts, strict=True)]
        if "potentials" in self.record:
            channels += [(f"{name} V", "mV", x) for name, x in zip(names, run.mean_v, strict=True)]
        channel_names, units, traces = zip(*channels, strict=True)
        unit = units[0] if len(set(units)) == 1 else ", ".join(units)
        transient = round(self.transient_ms / self.sample_ms)
        return Recording(np.stack(traces).astype(np.float32), 1e3 / self.sample_ms, unit, channel_names, transient)


def _spikes(circuit: EICircuit, times_ms: np.ndarray, senders: np.ndarray) -> Spikes:
    bounds = circuit.bounds.tolist()
    return Spikes(times_ms, senders, dict(zip(circuit.names, pairwise(bounds), strict=True)))


class NeuronEICircuit(CompiledEICircuit):
    """The same circuit in NEURON, cell by cell: the same events give the same spikes."""

    def _run(self, circuit: EICircuit, draw: Draw, steps: int, spikes: bool) -> CircuitRun:
        from simulators.ei_circuit.neuron_circuit import run  # not above: importing a simulator imports no NEURON

        lfp, counts, mean_v, times_ms, spikers = run(circuit, draw, steps, round(self.sample_ms / circuit.dt_ms))
        return CircuitRun(lfp, counts, mean_v, _spikes(circuit, times_ms, spikers) if spikes else None)
