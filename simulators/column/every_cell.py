"""The column cell by cell: what each of them did and received, for surrogates to learn from."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from simulators.cells.cell import RecordedCell
from simulators.cells.hnn import HNNCell, synapse_names
from simulators.column.connectivity import ColumnModel
from simulators.column.simulator import ColumnSimulator
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

GAIN = 0.8
"""Decades by which gains go up and down in what surrogates learn from."""


def wide_column() -> ColumnSimulator:
    """Six-tenths of a second of a column over gains and noise that are wide enough for whatever is fitted later."""
    model = ColumnModel()
    drive = (
        Parameter("noise_rate_Hz", "Hz", 40.0, 160.0, "Rate of the noise at each cell"),
        Parameter("noise_gain", "1", -0.3, 0.3, "log10 gain of the noise's weights"),
        Parameter("noise_L2i_gain", "1", -0.5, 0.7, "log10 gain of the noise on L2 basket cells, besides"),
        Parameter("noise_L5i_gain", "1", -0.5, 0.7, "log10 gain of the noise on L5 basket cells, besides"),
    )
    return ColumnSimulator(model, free=(*model.gains(-GAIN, GAIN), *drive), duration_ms=600.0, transient_ms=0.0)


@dataclass(frozen=True)
class EveryCell:
    """Simulator of a column whose channels are those of ``cells``: V, spikes, dipole, V of dendrites, and all inputs.

    Inputs are the summed weights (uS) of the events in each sample, from drives and from the other cells.
    """

    column: ColumnSimulator = field(default_factory=wide_column)

    @property
    def parameters(self) -> ParameterSpace:
        """Those of the column."""
        return self.column.parameters

    @property
    def cells(self) -> tuple[RecordedCell, ...]:
        """Where each cell's channels are."""
        types, found, first = self.column.model.network.cell_types, [], 0
        for kind in self.column.model.types:
            synapses = len(synapse_names(types[kind]["cell_object"]))
            found.append(RecordedCell(kind, first, len(HNNCell(kind, dendrites=True).outputs), synapses))
            first = found[-1].end
        return tuple(found)

    def lasting(self, duration_s: float) -> "EveryCell":
        """The same over another time."""
        return EveryCell(self.column.lasting(duration_s))

    def simulate(self, theta: Float[np.ndarray, " n_parameters"], rng: np.random.Generator) -> Recording:
        """All channels of all cells, (channels, samples). Raises ValueError for a theta outside ``parameters``."""
        run = self.column.run(theta, self.column.events(theta, rng), dendrites=True)
        samples, parts, names, units = run.values[0].shape[1], [], [], []
        for k, (cell, values, events) in enumerate(zip(self.cells, run.values, run.events(), strict=True)):
            parts += [values, events.binned(cell.synapses, samples, self.column.sample_ms).T]
            template = self.column.model.network.cell_types[cell.kind]["cell_object"]
            outputs = HNNCell(cell.kind, dendrites=True).outputs
            names += [f"{k} {name}" for name in ("V", "spikes", *(o.name for o in outputs), *synapse_names(template))]
            units += ["mV", "1", *(o.unit for o in outputs), *["uS"] * cell.synapses]
        transient = round(self.column.transient_ms / self.column.sample_ms)
        values = np.concatenate(parts).astype(np.float32)
        return Recording(values, 1e3 / self.column.sample_ms, ", ".join(units), tuple(names), transient)
