"""The LFP or EEG of a circuit of E and I cells: kernels of its populations, weighted by its strengths."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import e

import numpy as np
from jaxtyping import Float

from simulators.ei_circuit.model import EICircuit, Synapse
from simulators.fields.cell_model import CellModel, Morphology
from simulators.fields.kernels import kernels
from simulators.fields.linear import LinearView, Weight
from simulators.fields.network import PointPopulations
from simulators.fields.probes import SKAAR_PROBE, Probe
from simulators.interface import ParameterSpace
from simulators.recording import Recording

_NA_PER_UA_CM2 = 1e-2  # over 1,000 um2, the area that a cell's conductances are taken to be of


@dataclass(frozen=True)
class _PyramidalCells(CellModel):
    """The cells of a ``CellModel`` that have an apical dendrite: the field of all others cancels."""

    @property
    def morphologies(self) -> dict[str, Morphology]:
        return {"excitatory": self.excitatory}


@dataclass(frozen=True)
class CircuitSignal:
    """Forward model: what a probe sees of the synapses on the first population's cells (kernels: Hagen et al. 2022).

    A synapse's current is its conductance, over 1,000 um2 of membrane, times the distance of its reversal potential
    from ``mean_mV``; its course is an alpha function with the mean time of its exponential. Conductances that
    magnesium blocks are as open as at ``mean_mV``. Raises ValueError for a circuit without spikes in its recordings.
    """

    probe: Probe = SKAAR_PROBE
    circuit: EICircuit = field(default_factory=EICircuit)
    parameters: ParameterSpace | None = None
    bin_ms: float = 1.0
    mean_mV: float = -65.0
    cells: CellModel = field(default_factory=_PyramidalCells)

    @cached_property
    def view(self) -> LinearView:
        """One source for each population and kind of synapse that its spikes open."""
        rows, names, weights = [], [], []
        free = () if self.parameters is None else self.parameters.names
        target = self.circuit.names[0]
        for population in self.circuit.populations:
            for k, synapse in enumerate(population.synapses):
                strength = f"{population.name}_{target}" + (f"_{synapse.name}" if k else "")
                fixed = 1.0 if strength in free else float(self.circuit.strengths.get(strength, 0.0))
                scale = self._weight(synapse) / (self.circuit.connection_probability * population.size)
                rows.append(self._kernel(population.size, synapse, excitatory=synapse.reversal_mV > self.mean_mV))
                names.append(f"{population.name} {synapse.name}")
                weights.append(Weight(scale * fixed, (strength,) if strength in free else ()))
        probe = self.probe
        return LinearView(np.stack(rows), 1e3 / self.bin_ms, probe.unit, probe.channels, tuple(names), tuple(weights))

    def observe(self, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """LFP or EEG at the probe, (channels, bins) in its unit, from a recording with spikes of each population."""
        values = (
            {}
            if self.parameters is None
            else dict(zip(self.parameters.names, self.parameters.check(theta), strict=True))
        )
        wanted = [f"{p.name} spikes" for p in self.circuit.populations for _ in p.synapses]
        missing = [name for name in wanted if name not in source.channels]
        if missing:
            raise ValueError(f"the recording has no {missing[0]}, which its field is made of; record 'spikes', too")
        counts = source.values[[source.channels.index(name) for name in wanted]]
        return self.view.observe(replace(source, values=counts, unit="1", channels=self.view.sources), values)

    def _weight(self, synapse: Synapse) -> float:
        """Kernels' weight (mV) of 1 mS/cm2: its peak current over that of 1 mV; outward ones are negative."""
        opened = 1 / (1 + synapse.magnesium_mM / 3.57 * np.exp(-0.062 * self.mean_mV))
        # An alpha function of half the time constant has the same mean time, and with 2 / e of the peak the same area.
        current = 2 / e * opened * (synapse.reversal_mV - self.mean_mV) * _NA_PER_UA_CM2
        return float(current / self.cells.synaptic_current_nA)

    def _kernel(self, size: int, synapse: Synapse, excitatory: bool) -> Float[np.ndarray, "channels lags"]:
        pyramidal = self.circuit.populations[0].size
        ends = {"excitatory": (0, pyramidal), "inhibitory": (pyramidal, pyramidal + size)}
        each = [max(1, round(self.circuit.connection_probability * n)) for n in (pyramidal, size)]
        network = PointPopulations(ends, tuple(each), (self.circuit.delay_ms,), self.circuit.dt_ms, self.bin_ms)
        cells = replace(self.cells, synaptic_time_constant_ms=synapse.decay_ms / 2)
        return kernels(self.probe, cells, network).values[0 if excitatory else 1]
