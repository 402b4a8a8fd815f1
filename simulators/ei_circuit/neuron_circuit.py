"""The circuit in NEURON: one compartment a cell, connections as NetCons, the noise as events of these."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from neuron import h

from simulators.cells.mechanisms import load_mechanisms
from simulators.ei_circuit.membranes import MEMBRANES
from simulators.ei_circuit.model import Draw, EICircuit, Population, Synapse
from simulators.resident import forget

_AREA_CM2 = 1e-5  # of a cell; nothing depends on it, for all is given by area
_TO_US = 1e3 * _AREA_CM2  # mS/cm2 over the area
_MECHANISMS = Path(__file__).parent / "mod"


def run(circuit: EICircuit, draw: Draw, steps: int, every: int) -> tuple[np.ndarray, ...]:
    """Lfp, counts and mean V a sample, and times (ms) and cells of all spikes, in the order of their times."""
    load_mechanisms(_MECHANISMS)
    forget()
    bounds = circuit.bounds
    cells = [_section(p) for p in circuit.populations for _ in range(p.size)]
    synapses = [[_process(cell(0.5), s) for s in circuit.synapses] for cell in cells]
    connections = _connect(circuit, draw, cells, synapses)
    noise = [h.NetCon(None, opened[0], 0.0, 0.0, 0.0) for opened in synapses]
    for connection, p in zip(noise, circuit.population_of, strict=True):
        connection.weight[0] = circuit.populations[p].noise_mS_cm2 * _TO_US
    times, spikers = h.Vector(), h.Vector()
    detectors = [_from(cell, None, 0.0) for cell in cells]
    for k, detector in enumerate(detectors):
        detector.record(times, spikers, k)
    recorded = [h.Vector().record(cell(0.5)._ref_v) for cell in cells]
    currents = [h.Vector().record(s._ref_i) for opened in synapses[: bounds[1]] for s in opened]

    def begin() -> None:
        for cell, v in zip(cells, draw.v, strict=True):
            cell(0.5).v = v

    def deliver() -> None:
        for step, cell in zip(draw.event_steps.tolist(), draw.event_cells.tolist(), strict=True):
            noise[cell].event(step * circuit.dt_ms)

    handlers = h.FInitializeHandler(0, begin), h.FInitializeHandler(deliver)
    h.dt = circuit.dt_ms
    h.finitialize()
    for _ in range(steps + 1):  # NEURON tells of a spike in the step after it
        h.fadvance()
    v = np.array([np.array(x)[1:-1] for x in recorded])
    # Currents of a step are those that V was stepped with: nA of the cell's area to uA/cm2.
    lfp = np.abs([np.array(x)[1:-1] for x in currents]).sum(0) / (1e3 * _AREA_CM2 * bounds[1])
    when, who = np.array(times), np.array(spikers).astype(np.int64)
    inside = np.rint(when / circuit.dt_ms) <= steps
    when, who = when[inside], who[inside]
    order = np.lexsort((who, np.rint(when / circuit.dt_ms)))
    when, who = when[order], who[order]
    rows = -(-steps // every)
    counts = np.zeros((len(circuit.populations), rows), np.int64)
    at = (np.rint(when / circuit.dt_ms).astype(np.int64) - 1) // every
    np.add.at(counts, (circuit.population_of[who], at), 1)
    mean_v = np.stack([v[a:b].mean(0) for a, b in pairwise(bounds)])
    del handlers, connections
    return _means(lfp, every, rows), counts, np.stack([_means(x, every, rows) for x in mean_v]), when, who


def _section(population: Population) -> Any:
    membrane = MEMBRANES[population.cell]
    cell = h.Section(name=population.name)
    cell.L = cell.diam = (_AREA_CM2 * 1e8 / np.pi) ** 0.5
    cell.nseg, cell.cm = 1, 1
    cell.insert(membrane.mechanism)
    channels = getattr(cell(0.5), membrane.mechanism)
    channels.gna, channels.gk = 1e-3 * membrane.sodium_mS_cm2, 1e-3 * membrane.potassium_mS_cm2
    channels.ena, channels.ek = membrane.sodium_mV, membrane.potassium_mV
    channels.gl, channels.el = 1e-3 * population.leak_mS_cm2, population.leak_mV
    channels.current = 1e-3 * population.current_uA_cm2
    return cell


def _process(segment: Any, synapse: Synapse) -> Any:
    process = h.BlockedSyn(segment) if synapse.magnesium_mM else h.ExpSyn(segment)
    if synapse.magnesium_mM:
        process.mg = synapse.magnesium_mM
    process.tau, process.e = synapse.decay_ms, synapse.reversal_mV
    return process


def _from(cell: Any, synapse: Any, delay_ms: float) -> Any:
    return h.NetCon(cell(0.5)._ref_v, synapse, 0.0, delay_ms, 0.0, sec=cell)


def _connect(circuit: EICircuit, draw: Draw, cells: list[Any], synapses: list[list[Any]]) -> list[Any]:
    """A connection for each synapse with a strength that the graph has."""
    weights, population = circuit.weights(), circuit.population_of
    made = []
    for source, cell in enumerate(cells):
        for target in draw.graph.targets[draw.graph.starts[source] : draw.graph.starts[source + 1]]:
            for synapse, weight in zip(synapses[target], weights[population[source], population[target]], strict=True):
                if weight:
                    made.append(_from(cell, synapse, circuit.delay_ms))
                    made[-1].weight[0] = weight * _TO_US
    return made


def _means(x: np.ndarray, every: int, rows: int) -> np.ndarray:
    """Over ``every`` steps; the last row may have fewer, and is their sum over ``every`` as in the compiled loop."""
    padded = np.zeros(rows * every)
    padded[: x.size] = x
    return padded.reshape(rows, every).mean(1)
