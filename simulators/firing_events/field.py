"""The LFP or EEG of the ring: kernels of its two populations, weighted by the strength and number of connections."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from simulators.fields.cell_model import CellModel
from simulators.fields.kernels import kernels
from simulators.fields.linear import LinearView, Weight
from simulators.fields.network import PointPopulations
from simulators.fields.probes import SKAAR_PROBE, Probe
from simulators.firing_events.networks import DT_MS, RingNetwork
from simulators.interface import ParameterSpace
from simulators.recording import Recording

THRESHOLD_MV = 20.0
"""What the ring's threshold of 1 stands for."""


@dataclass(frozen=True)
class RingSignal:
    """Forward model: what a probe sees of the ring, synapses of S times 20 mV on its E cells (Hagen et al. 2022).

    Raises ValueError for a recording that is not of the ring's spikes.
    """

    parameters: ParameterSpace
    probe: Probe = SKAAR_PROBE
    network: RingNetwork = field(default_factory=RingNetwork)
    cells: CellModel = field(default_factory=CellModel)

    @cached_property
    def view(self) -> LinearView:
        """The kernels of both populations, weighted by S."""
        ring = self.network
        n_e, n = ring.n_excitatory, ring.n_excitatory + ring.n_inhibitory
        if ring.wiring == "ring":
            degrees = 2 * ring.reach, 2 * ring.reach
        else:
            degrees = round(ring.connection_probability * n_e), round(ring.connection_probability * (n - n_e))
        points = PointPopulations({"excitatory": (0, n_e), "inhibitory": (n_e, n)}, degrees, (DT_MS,), DT_MS)
        weights = Weight(THRESHOLD_MV, ("S",)), Weight(-0.9 * THRESHOLD_MV, ("S",))
        made = kernels(self.probe, self.cells, points).view(weights)
        return replace(made, sources=("E spikes", "I spikes"))

    def observe(self, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """LFP or EEG at the probe, (channels, ms) in its unit, from spikes in each ms."""
        values = dict(zip(self.parameters.names, self.parameters.check(theta), strict=True))
        ratio = values.get("log_ratio", 0.0)
        there = np.exp(np.minimum([ratio, -ratio], 0.0))[:, None]
        counts = replace(source, values=source.values[:2] * there, channels=source.channels[:2])
        return self.view.observe(counts, values)
