"""The LFP or EEG of the network with alpha-shaped synapses: kernels that follow its time constants (Skaar et al. 2023).

Cells of the field have the membrane of the point neurons: a specific capacitance in proportion to C_m, and a leak that
gives them tau_m. Their kernels are computed on a grid of both and interpolated; the synapse's time course and the delay
are exact filters of them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from rich.progress import track

from simulators.brunel_alpha.model import TEN_PARAMETERS, AlphaNetwork, check_known, neurons
from simulators.fields.cell_model import CellModel
from simulators.fields.following import FollowingView
from simulators.fields.kernels import kernels
from simulators.fields.linear import Weight
from simulators.fields.network import PointPopulations
from simulators.fields.probes import SKAAR_PROBE, Probe
from simulators.interface import ParameterSpace
from simulators.recording import Recording

_STEP_MS = 2.0**-4
_GRID_TAU_MS, _GRID_DELAY_MS = 1.0, 1.0  # of the synapses on the grid; the fastest there are
_NODES = 4  # for tau_m and for C_m
_PF_OF_1_UF_CM2 = 250.0  # C_m of 100 to 300 pF is .4 to 1.2 uF/cm2, as published
_WEIGHTS = (Weight(1e-3, ("C_syn",)), Weight(-1e-3, ("C_syn", "g")))  # kernels are those of one pC


@dataclass(frozen=True)
class AlphaSignal:
    """Forward model: what a probe sees of the network, by the kernel method (Hagen et al. 2022).

    theta is read by the names of ``parameters``; known: values of the parameters that are not among these. Kernels of
    the grid are computed when first needed, in two to four minutes, and kept in the cache. Raises ValueError for a
    theta outside ``parameters`` and a source that is not spike counts.
    """

    probe: Probe = SKAAR_PROBE
    network: AlphaNetwork = field(default_factory=AlphaNetwork)
    parameters: ParameterSpace = TEN_PARAMETERS
    known: Mapping[str, float] = field(default_factory=dict)
    cells: CellModel = field(default_factory=CellModel)

    def __post_init__(self) -> None:
        check_known(self.parameters, self.known)
        steps = self.network.bin_ms / _STEP_MS
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-9:
            raise ValueError(f"bin_ms = {self.network.bin_ms}; kernels need a multiple of {_STEP_MS} ms, such as 1")

    @cached_property
    def grid(self) -> Float[np.ndarray, "tau_m C_m populations channels steps"]:
        """Kernels of one pC a spike, synapses of 1 ms, at the nodes of tau_m and C_m."""
        nodes = [(tau, C) for tau in _nodes("tau_m") for C in _nodes("C_m")]
        values = [self._computed(tau, C) for tau, C in track(nodes, "kernels", transient=True)]
        return np.stack(values).reshape(_NODES, _NODES, *values[0].shape)

    @cached_property
    def view(self) -> FollowingView:
        """The probe's channels as sums over both populations, whose kernels follow theta."""
        nodes = tuple((name, tuple(_nodes(name).tolist())) for name in ("tau_m", "C_m"))
        return FollowingView(
            self.grid, (nodes[0], nodes[1]), _STEP_MS, self.network.bin_ms, _GRID_TAU_MS, self.probe.unit,
            self.probe.channels, tuple(self.network.populations), _WEIGHTS,
        )  # fmt: skip

    def observe(self, source: Recording, theta: Float[np.ndarray, " n_parameters"]) -> Recording:
        """LFP or EEG at the probe, (channels, bins) in its unit, from spike counts (2, bins)."""
        own = neurons(self.parameters, theta, self.known, self.network.dt_ms)
        return self.view.observe(source, own._asdict())

    def _computed(self, tau_m: float, C_m: float) -> Float[np.ndarray, "populations channels steps"]:
        network = self.network
        seen = PointPopulations(network.populations, network.in_degrees, (_GRID_DELAY_MS,), network.dt_ms, _STEP_MS)
        cells = replace(
            membrane(self.cells, tau_m, C_m),
            synaptic_time_constant_ms=_GRID_TAU_MS,
            synaptic_current_nA=1.0 / (math.e * _GRID_TAU_MS),
        )
        return kernels(self.probe, cells, seen).values[..., round(_GRID_DELAY_MS / _STEP_MS) :]


def membrane(cells: CellModel, tau_m: float, C_m: float) -> CellModel:
    """The cells with the membrane of point neurons of ``tau_m`` (ms) and ``C_m`` (pF)."""
    capacitance = C_m / _PF_OF_1_UF_CM2
    return replace(cells, capacitance_uF_per_cm2=capacitance, leak_S_per_cm2=1e-3 * capacitance / tau_m)


def _nodes(name: str) -> Float[np.ndarray, " nodes"]:
    """Chebyshev's, in the logarithm of a parameter over its range."""
    low, high = np.log(_range(name))
    x = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    return np.exp((low + high) / 2 + (high - low) / 2 * x)


def _range(name: str) -> tuple[float, float]:
    (found,) = [p for p in TEN_PARAMETERS if p.name == name]
    return found.low, found.high
