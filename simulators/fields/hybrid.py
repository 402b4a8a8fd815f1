"""The full hybrid scheme: every spike of a network replayed onto multicompartment cells, one simulated cell at a time.

It makes none of the averages of the kernel method (``kernels``): every cell has its own presynaptic neurons, its own
synapse positions and its own place, and its membrane currents are integrated by NEURON. Two exact shortcuts keep it
affordable. Synapses are currents, so all those of a segment are summed before they are played into it; and a cable's
currents do not depend on where it stands, so one cell is moved about instead of being built again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from scipy.signal import lfilter

from simulators.fields.cell_model import CellModel, Morphology, neuron_session, template_cell
from simulators.fields.head import lead_field
from simulators.fields.network import PointNetwork
from simulators.fields.probes import SKAAR_PROBE, Probe, ScalpElectrodes
from simulators.recording import Recording, Spikes

_CONTACT_POINTS = 20


def hybrid_signal(
    spikes: Spikes,
    weights_mV: tuple[float, ...],
    network: PointNetwork,
    rng: np.random.Generator,
    probe: Probe = SKAAR_PROBE,
    cells: CellModel | None = None,
    n_cells: int | None = None,
) -> Recording:
    """LFP or EEG, (channels, bins) in the probe's unit, of a network's spikes: the sum over all its neurons' cells.

    weights_mV: of the synapses of each population, inhibitory ones negative.
    n_cells: how many cells to simulate, None for all. Fewer are drawn from both populations in proportion, and each
        counts for several: the mean stays right, but the part of the LFP that differs between cells is overstated.

    Connections are drawn anew: they have the network's in-degrees, but are not those that made the spikes.
    Raises ValueError where n_cells is not between 2 and the size of the network, a layer holds no dendrite, or delays
    have a spread.
    """
    if len(network.delays_ms) > 1:
        raise ValueError("the hybrid scheme takes one delay for all connections; set delay_spread_ms to 0")
    cells = cells or CellModel()
    sizes = {name: end - first for name, (first, end) in network.populations.items()}
    total = sum(sizes.values())
    n_cells = total if n_cells is None else n_cells
    if not 2 <= n_cells <= total:
        raise ValueError(f"n_cells = {n_cells}; the network has {total} neurons: take 2 ... {total}")
    trains = _Trains.of(spikes, weights_mV, network)
    potential = np.zeros((len(probe.channels), round(network.duration_ms / network.dt_ms)))
    with neuron_session() as folder:
        for name, morphology in cells.morphologies.items():
            simulated = max(1, round(n_cells * sizes[name] / total))
            cable = _Cable(morphology, cells, network, folder)
            for _ in range(simulated):
                potential += sizes[name] / simulated * _cell_potential(cable, trains, probe, rng)
    bins = potential.reshape(len(probe.channels), -1, round(network.bin_ms / network.dt_ms)).mean(-1)
    transient = round(network.transient_ms / network.bin_ms)
    return Recording(bins, 1e3 / network.bin_ms, probe.unit, probe.channels, transient)


def fidelity(approximate: Recording, reference: Recording) -> dict[str, list[float]]:
    """How well one LFP stands for another: a value a channel, means and transients removed.

    R2 = 1 - residual / variance of the reference; std_ratio: approximate over reference; correlation.
    """
    a, b = (r.steady - r.steady.mean(1, keepdims=True) for r in (approximate, reference))
    return {
        "R2": (1 - ((a - b) ** 2).sum(1) / (b**2).sum(1)).tolist(),
        "std_ratio": (a.std(1) / b.std(1)).tolist(),
        "correlation": [float(np.corrcoef(x, y)[0, 1]) for x, y in zip(a, b, strict=True)],
    }


@dataclass(frozen=True, eq=False)
class _Trains:
    """The spikes sorted by their neuron.

    arrivals: (spikes,), time steps at which they reach the targets; first: (neurons + 1,), where each neuron's begin;
    populations: first and past-the-last neuron of each; in_degrees: contacts on each target; weights_mV: theirs.
    """

    arrivals: Integer[np.ndarray, " spikes"]
    first: Integer[np.ndarray, " boundaries"]
    populations: tuple[tuple[int, int], ...]
    in_degrees: tuple[int, ...]
    weights_mV: tuple[float, ...]

    @classmethod
    def of(cls, spikes: Spikes, weights_mV: tuple[float, ...], network: PointNetwork) -> "_Trains":
        order = np.argsort(spikes.senders, kind="stable")
        (delay_ms,) = network.delays_ms
        arrivals = np.rint(spikes.times_ms[order] / network.dt_ms).astype(np.int64) + round(delay_ms / network.dt_ms)
        populations = tuple(network.populations.values())
        first = np.searchsorted(spikes.senders[order], np.arange(populations[-1][1] + 1))
        return cls(arrivals, first, populations, network.in_degrees, weights_mV)

    def input(
        self, segments: list[Integer[np.ndarray, " _"]], shape: tuple[int, int], rng: np.random.Generator
    ) -> Float[np.ndarray, "segments steps"]:
        """Weights (mV) arriving at each segment and step, from neurons drawn at random for the given contacts."""
        total = np.zeros(shape[0] * shape[1])
        for (low, high), weight, targets in zip(self.populations, self.weights_mV, segments, strict=True):
            sources = rng.integers(low, high, targets.size)
            n_spikes = self.first[sources + 1] - self.first[sources]
            within = np.arange(n_spikes.sum()) - np.repeat(np.cumsum(n_spikes) - n_spikes, n_spikes)
            steps = self.arrivals[np.repeat(self.first[sources], n_spikes) + within]
            inside = steps < shape[1]
            places = (np.repeat(targets, n_spikes) * shape[1] + steps)[inside]
            total += weight * np.bincount(places, minlength=total.size)
        return total.reshape(shape)


class _Cable:
    """One population's cell in NEURON, with a current clamp at the middle of each segment."""

    def __init__(self, morphology: Morphology, cells: CellModel, network: PointNetwork, folder: Path) -> None:
        from LFPy import TemplateCell
        from neuron import h

        self.morphology, self.cells, self.network = morphology, cells, network
        self.steps = round(network.duration_ms / network.dt_ms)
        self.cell = TemplateCell(
            **template_cell(morphology, cells, folder),
            dt=network.dt_ms,
            tstop=network.duration_ms,
            delete_sections=True,
        )
        times = h.Vector(np.arange(self.steps + 1) * network.dt_ms)
        self.clamps = [h.IClamp(segment) for section in self.cell.allseclist for segment in section]
        self.played = [h.Vector(self.steps + 1) for _ in self.clamps]
        self.recorded = [h.Vector() for _ in self.clamps]
        for clamp, played, recorded in zip(self.clamps, self.played, self.recorded, strict=True):
            clamp.dur = 2 * network.duration_ms
            played.play(clamp._ref_amp, times, True)
            recorded.record(clamp._ref_i, network.dt_ms)
        self.times = times

    def place(self, rng: np.random.Generator) -> None:
        """Somewhere in the population's cylinder, turned by some angle about the vertical."""
        radius, angle = self.cells.radius_um * rng.random() ** 0.5, 2 * np.pi * rng.random()
        self.cell.set_rotation(z=2 * np.pi * rng.random())
        depth = rng.uniform(*self.cells.soma_depths_um)
        self.cell.set_pos(radius * np.cos(angle), radius * np.sin(angle), depth)

    def draw_segments(
        self, rng: np.random.Generator, n: int, fractions: Sequence[float]
    ) -> Integer[np.ndarray, " contacts"]:
        """Segments of ``n`` synapses: layers by ``fractions``, within a layer in proportion to membrane area."""
        possible = self.cell.get_idx(list(self.morphology.sections))
        z = self.cell.z.mean(-1)
        drawn = []
        for (low, high), count in zip(self.cells.layers_um, rng.multinomial(n, fractions), strict=True):
            inside = possible[(z[possible] >= low) & (z[possible] < high)]
            if count and not inside.size:
                raise ValueError(
                    f"a cell at {self.cell.somapos[2]:.0f} um has no dendrite in layer {low} ... {high} um"
                )
            area = self.cell.area[inside]
            drawn.append(rng.choice(inside, count, p=area / area.sum()) if count else inside[:0])
        return np.concatenate(drawn)

    def membrane_currents(self, injected: Float[np.ndarray, "segments steps"]) -> Float[np.ndarray, "segments steps"]:
        """Transmembrane currents (nA, outward), synapses included, at the end of each time step."""
        for vector, current in zip(self.played, injected, strict=True):
            vector.from_python(np.append(current, 0.0))
        self.cell.simulate(rec_imem=True)
        # NEURON takes a clamp's current for one from an electrode; a synaptic current crosses the membrane.
        synaptic = np.array([vector.as_numpy() for vector in self.recorded])
        return (self.cell.imem - synaptic)[:, 1 : self.steps + 1]


def _cell_potential(cable, trains, probe, rng):
    """Potential of one new cell at the probe, (channels, steps)."""
    cable.place(rng)
    fractions = cable.morphology.excitation, cable.morphology.inhibition
    segments = [cable.draw_segments(rng, n, f) for n, f in zip(trains.in_degrees, fractions, strict=True)]
    weights = trains.input(segments, (cable.cell.totnsegs, cable.steps), rng)
    currents = _alpha_currents(weights, cable.cells, cable.network.dt_ms)
    seen = _scalp_potentials if isinstance(probe, ScalpElectrodes) else _contact_potentials
    return seen(cable.cell, probe) @ cable.membrane_currents(currents)


def _alpha_currents(weights, cells, dt_ms):
    """Synaptic currents (nA): each weight (mV) sets off I t/tau exp(1 - t/tau), as an exact second-order recursion."""
    step = dt_ms / cells.synaptic_time_constant_ms
    decay = np.exp(-step)
    numerator = [0.0, cells.synaptic_current_nA * math.e * step * decay]
    return lfilter(numerator, [1.0, -2 * decay, decay**2], weights)


def _contact_potentials(cell, probe):
    """Potential (mV) of 1 nA from each segment, as a line source, averaged over each contact: (channels, segments).

    The contacts are discs that face along x, sampled evenly.
    """
    from lfpykit import LineSourcePotential

    radius = probe.contact_radius_um * ((np.arange(_CONTACT_POINTS) + 0.5) / _CONTACT_POINTS) ** 0.5
    angle = np.pi * (3 - 5**0.5) * np.arange(_CONTACT_POINTS)
    z = (probe.z[:, None] + radius * np.sin(angle)).ravel()
    y = np.tile(radius * np.cos(angle), len(probe.z))
    source = LineSourcePotential(cell, np.zeros_like(z), y, z, sigma=probe.sigma_S_per_m)
    return source.get_transformation_matrix().reshape(len(probe.z), _CONTACT_POINTS, -1).mean(1)


def _scalp_potentials(cell, electrodes):
    """Potential (uV) of 1 nA from each segment on the scalp, by the cell's vertical dipole: (channels, segments)."""
    from lfpykit import CurrentDipoleMoment

    return np.outer(lead_field(electrodes), CurrentDipoleMoment(cell).get_transformation_matrix()[2])
