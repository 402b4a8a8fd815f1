"""The column in NEURON: built once, then run again and again with other strengths and other drives."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from neuron import h

from simulators.cells.hnn import live_cell
from simulators.cells.inputs import SynapticEvents
from simulators.cells.run import advance, connect
from simulators.column.connectivity import ColumnModel
from simulators.column.drives import joined
from simulators.resident import resident


class ColumnRun(NamedTuple):
    """What every cell of a column did and received.

    values: of each cell V (mV, with the true height of spikes), spikes a sample, and of a pyramidal cell its dipole (nA
    um) and the V of its dendrites, if they were asked for; spikes_ms and spikers: time and cell of each spike; drives:
    events at each cell from outside; factors: of the weights of connections.
    """

    model: ColumnModel
    values: list[Float[np.ndarray, "channels samples"]]
    spikes_ms: Float[np.ndarray, " spikes"]
    spikers: Integer[np.ndarray, " spikes"]
    drives: list[SynapticEvents]
    factors: Float[np.ndarray, " connections"]

    def events(self) -> list[SynapticEvents]:
        """All events that each cell received, from the drives and from the other cells."""
        c = self.model.connections
        received = self.drives
        order = np.argsort(c.sources, kind="stable")
        trains = [self.spikes_ms[self.spikers == k] for k in range(len(self.values))]
        numbers = np.array([len(t) for t in trains])[c.sources[order]]
        times = np.concatenate([np.empty(0), *(trains[source] for source in c.sources[order])])
        times = times + np.repeat(c.delays_ms[order], numbers)
        targets, synapses = (np.repeat(column[order], numbers) for column in (c.targets, c.synapses))
        weights = np.repeat((c.weights_uS * self.factors)[order], numbers)
        return [
            joined([received[k], SynapticEvents(times[at], synapses[at], weights[at])])
            for k, at in ((k, targets == k) for k in range(len(self.values)))
        ]


class LiveColumn:
    """A column in NEURON's memory. dendrites: whether the V of all dendrites is recorded."""

    def __init__(self, model: ColumnModel, dendrites: bool = False) -> None:
        self.model = model
        types = model.network.cell_types
        self.cells = []
        for cell_type in model.types:
            template, pyramidal = types[cell_type]["cell_object"], cell_type.endswith("pyramidal")
            named = [name for name in template.sections if name != "soma"] if dendrites else []
            self.cells.append(live_cell(template, pyramidal, named))
        self.threshold_mV, self.celsius = model.network._params["threshold"], model.network._params["celsius"]
        c = model.connections
        self._connections = [
            self._from(source, self.cells[target].synapses[synapse], delay)
            for source, target, synapse, delay in zip(
                *(column.tolist() for column in (c.sources, c.targets, c.synapses, c.delays_ms)), strict=True
            )
        ]
        self._spikes_ms, self._spikers = h.Vector(), h.Vector()
        self._detectors = [self._from(k, None, 0.0) for k in range(len(self.cells))]
        for k, detector in enumerate(self._detectors):
            detector.record(self._spikes_ms, self._spikers, k)

    def _from(self, source: int, synapse, delay_ms: float):
        soma = self.cells[source].soma
        return h.NetCon(soma._ref_v, synapse, self.threshold_mV, delay_ms, 0.0, sec=soma.sec)

    def run(
        self,
        factors: Float[np.ndarray, " connections"],
        drives: Sequence[SynapticEvents],
        duration_ms: float,
        dt_ms: float,
        sample_ms: float,
    ) -> ColumnRun:
        """From rest, with weights times ``factors`` and ``drives`` at each cell.

        Raises ValueError for events of another number of cells, or at synapses that they do not have.
        """
        if len(drives) != len(self.cells):
            raise ValueError(f"drives of {len(drives)} cells; the column has {len(self.cells)}")
        for k, (cell, e) in enumerate(zip(self.cells, drives, strict=True)):
            if len(e) and not 0 <= e.synapses.min() <= e.synapses.max() < len(cell.synapses):
                raise ValueError(
                    f"a drive reaches synapses {e.synapses.min()} ... {e.synapses.max()} of cell {k}, which has "
                    f"{len(cell.synapses)}, counted from 0"
                )
        for connection, weight in zip(self._connections, self.model.connections.weights_uS * factors, strict=True):
            connection.weight[0] = weight
        queue = [pair for cell, e in zip(self.cells, drives, strict=True) for pair in connect(cell, e)]
        values = advance(self.cells, queue, self.threshold_mV, self.celsius, duration_ms, dt_ms, sample_ms)
        spikes_ms, spikers = np.array(self._spikes_ms), np.array(self._spikers).astype(int)
        inside = spikes_ms <= duration_ms
        return ColumnRun(self.model, values, spikes_ms[inside], spikers[inside], list(drives), factors)


def live_column(model: ColumnModel, dendrites: bool = False) -> LiveColumn:
    """The column of this process, built when another one is wanted than the last."""
    return resident((LiveColumn, model, dendrites), lambda: LiveColumn(model, dendrites))
