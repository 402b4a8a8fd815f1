"""Circuits of surrogate neurons compiled: any number of copies side by side, each with gains and drives of its own."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from simulators.cells.inputs import SynapticEvents
from surrogates.network.circuit import Circuit
from surrogates.network.familiarity import beyond_training
from surrogates.neurons.stepping.kernels import LANES, run_network
from surrogates.neurons.stepping.stepper import Stepper

_log = logging.getLogger(__name__)


class NetworkRun(NamedTuple):
    """What copies of a circuit did, in bins.

    spikes: of each cell; summed: first output of all cells of a population, such as their dipole (0 where it has none);
    v: of each cell, mV, if it was asked for; beyond: where cells received more than their surrogates learned from, in
    words.
    """

    spikes: UInt8[np.ndarray, "copies cells bins"]
    summed: Float[np.ndarray, "copies populations bins"]
    v: Float[np.ndarray, "copies cells bins"] | None
    beyond: tuple[str, ...] = ()


class CompiledNetwork:
    """So many copies of a circuit, which run from rest again and again.

    The first time that cells receive more than their surrogates have learned from, a warning is logged.
    """

    def __init__(self, circuit: Circuit, copies: int = 1) -> None:
        if copies < 1:
            raise ValueError(f"{copies} copies; expected at least one")
        self.circuit, self.copies = circuit, copies
        self.sizes = np.array([p.cells for p in circuit.populations])
        self._steppers = [
            Stepper(neuron.network, copies * int(n), [0][: len(neuron.outputs)])  # type: ignore[arg-type]
            for neuron, n in zip(circuit.neurons, self.sizes, strict=True)
        ]
        self._scales = [stepper.scale for stepper in self._steppers]
        self._links = self._by_source()
        slots = self._slots()
        self._populations = tuple(stepper.for_network(slots) for stepper in self._steppers)
        self._warned = False

    def _by_source(self) -> tuple[np.ndarray, ...]:
        c, links = self.circuit, self.circuit.links
        order = np.argsort(links.sources, kind="stable")
        sources, targets, synapses, weights, _, groups = (column[order] for column in links)
        bins, parts = (column[order] for column in c.delays())
        population = c.types[targets]
        heights = weights * np.array([self._scales[p][s] for p, s in zip(population, synapses, strict=True)])
        plastic = list(c.plasticity)
        kinds = np.array([plastic.index(name) if name in plastic else -1 for name in c.groups], np.int64)
        return (
            np.searchsorted(sources, np.arange(len(c.types) + 1)).astype(np.int64),
            population.astype(np.int64),
            (targets - c.first_cells[population]).astype(np.int64),
            (synapses * LANES).astype(np.int64),
            heights.astype(np.float32),
            bins,
            parts.astype(np.float32),
            groups.astype(np.int64),
            kinds[groups] if len(groups) else np.empty(0, np.int64),
        )

    def _slots(self) -> int:
        """Frames that a ring holds: the longest delay after the last bin of this one, and this one."""
        frame = self._steppers[0].frame
        return int((self._links[5].max(initial=0) + frame) // frame + 1)

    def run(
        self,
        factors: Float[np.ndarray, "copies groups"],
        drives: Sequence[Sequence[SynapticEvents]],
        duration_ms: float,
        voltages: bool = False,
    ) -> NetworkRun:
        """From rest. factors: of the weights of each group; drives: for each copy, events at each cell from outside.

        Raises ValueError as ``Circuit.bins_of_run``.
        """
        c, frame = self.circuit, self._steppers[0].frame
        bins = c.bins_of_run(self.copies, factors, drives, duration_ms)
        frames = -(-bins // frame)
        shape = self.copies, len(c.types), frames * frame
        spikes = np.zeros(shape, np.uint8)
        summed = np.zeros((self.copies, len(self.sizes), shape[2]), np.float32)
        v = np.zeros(shape if voltages else (0, 0, 0), np.float32)
        for stepper, population in zip(self._steppers, self._populations, strict=True):
            stepper.rest()
            population[3][:] = 0
        run_network(
            self._populations,
            self.sizes.astype(np.int64),
            np.array([len(stepper.outputs) > 0 for stepper in self._steppers]),
            self._links,
            factors.astype(np.float32),
            self._plasticity(),
            self._arriving(drives, frames),
            frames,
            c.bin_ms,
            spikes,
            summed,
            v,
        )
        beyond = beyond_training(c, spikes[..., :bins], factors, drives)
        if beyond and not self._warned:
            self._warned = True
            _log.warning("outside what surrogates learned from, their answers mean little: %s", "; ".join(beyond))
        return NetworkRun(spikes[..., :bins], summed[..., :bins], v[..., :bins] if voltages else None, beyond)

    def _plasticity(self) -> tuple[np.ndarray, ...]:
        """Parameters of each kind, and the state of all its links from a cell, which is at rest."""
        kinds = list(self.circuit.plasticity.values())
        shape = len(kinds), self.copies, len(self.circuit.types)
        fixed = (np.array([float(k[j]) for k in kinds], np.float32) for j in range(3))
        return (
            *fixed,
            np.zeros(shape, np.float32),
            np.ones(shape, np.float32),
            np.full(shape, -1e9),
            np.zeros(shape, np.float32),
        )

    def _arriving(self, drives: Sequence[Sequence[SynapticEvents]], frames: int) -> tuple[np.ndarray, ...]:
        """Events from outside by population and frame: where each population's and frame's begin, and where they go."""
        c, frame = self.circuit, self._steppers[0].frame
        starts, columns, total = [], [], 0
        for p, (first, n) in enumerate(zip(c.first_cells, self.sizes, strict=True)):
            mine = [e.check(c.neurons[p].synapses) for copy in drives for e in copy[first : first + n]]
            cells = np.repeat(np.arange(len(mine)), [len(e) for e in mine])
            times, synapses, weights = (
                np.concatenate([getattr(e, name) for e in mine]) for name in ("times_ms", "synapses", "weights_uS")
            )
            # An event at the very edge belongs to the bin it begins, however its time was rounded.
            bins = np.floor(times / c.bin_ms + 1e-6).astype(np.int64)
            kept = np.flatnonzero(bins < frames * frame)
            kept = kept[np.argsort(bins[kept] // frame, kind="stable")]
            starts.append(total + np.searchsorted(bins[kept] // frame, np.arange(frames + 1)))
            total += len(kept)
            places = synapses[kept].astype(np.int64)
            columns.append(
                (
                    cells[kept],
                    bins[kept] % frame,
                    places * LANES,
                    weights[kept].astype(np.float32) * self._scales[p][places],
                )
            )
        d_cells, d_bins, d_places, d_heights = (np.concatenate(column) for column in zip(*columns, strict=True))
        return (
            np.array(starts, np.int64),
            d_cells.astype(np.int64),
            d_bins.astype(np.int64),
            d_places.astype(np.int64),
            d_heights.astype(np.float32),
        )
