"""The LFP or EEG of a Brunel network: kernels of its two populations, weighted by its parameters."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from simulators.brunel.model import FULL_RANGE, BrunelNetwork
from simulators.fields.cell_model import CellModel
from simulators.fields.kernels import SpikeKernels, kernels
from simulators.fields.linear import LinearView, Weight
from simulators.fields.probes import SKAAR_PROBE, Probe
from simulators.interface import ParameterSpace
from simulators.recording import Recording

WEIGHTS = (Weight(1.0, ("J",)), Weight(-1.0, ("J", "g")))
"""Signal = J k_E * nu_E - g J k_I * nu_I (Skaar et al. 2020); * is a causal convolution."""


@dataclass(frozen=True)
class KernelSignal:
    """Forward model: what a probe sees of a Brunel network, by the kernel method (Hagen et al. 2022).

    theta is read by the names of ``parameters``, which must have J and g. Kernels are computed, or read from the cache,
    when first needed. Raises ValueError for a theta outside ``parameters`` and a source that is not spike counts.
    """

    probe: Probe = SKAAR_PROBE
    network: BrunelNetwork = field(default_factory=BrunelNetwork)
    cells: CellModel = field(default_factory=CellModel)
    parameters: ParameterSpace = FULL_RANGE

    def __post_init__(self) -> None:
        if not {"J", "g"} <= set(self.parameters.names):
            raise ValueError(f"parameters are {self.parameters.names}; the LFP of a Brunel network needs J and g")

    @cached_property
    def kernels(self) -> SpikeKernels:
        """Response of every channel to a spike of each population, computed when first asked for."""
        return kernels(self.probe, self.cells, self.network)

    @cached_property
    def view(self) -> LinearView:
        """The kernels weighted by J and g."""
        return self.kernels.view(WEIGHTS)

    def observe(self, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """LFP or EEG at the probe, (channels, bins) in its unit, from spike counts (2, bins)."""
        values = dict(zip(self.parameters.names, self.parameters.check(theta), strict=True))
        return self.view.observe(source, values)


def kernel_signal(network: BrunelNetwork, parameters: ParameterSpace, probe: Probe | None = None) -> KernelSignal:
    """What a probe sees of this network; by default six contacts (Skaar et al. 2020)."""
    return KernelSignal(SKAAR_PROBE if probe is None else probe, network, parameters=parameters)
