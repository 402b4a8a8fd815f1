"""Instruments whose kernels follow a circuit's time constants: interpolated between membranes, filtered by synapses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from simulators.fields.kernels import bin_average
from simulators.fields.linear import LinearView, Weight
from simulators.recording import Recording

SYNAPSE, DELAY = "tau_syn", "delay"
"""The parameters (ms) that act as filters: two poles of an alpha function, and a shift in time."""
_TRANSFORM_MS = 256.0


@dataclass(frozen=True, eq=False)
class FollowingView:
    """Channels as sums of causal convolutions: channel = sum over sources of weight(theta) * (kernel(theta) * source).

    kernels: (nodes, nodes, sources, channels, steps), responses to a spike of weight 1, in ``unit``, at the nodes of
        two parameters, for alpha-shaped synapses of ``synapse_ms`` without delay; between the nodes a polynomial in the
        logarithms of both parameters is taken.
    nodes: name of each of the two and the values of its nodes; step_ms: of the kernels, a whole fraction of
    ``bin_ms``, the width of the sources' bins; weights: one a source.

    Raises ValueError where these do not fit together.
    """

    kernels: Float[np.ndarray, "first second sources channels steps"]
    nodes: tuple[tuple[str, tuple[float, ...]], tuple[str, tuple[float, ...]]]
    step_ms: float
    bin_ms: float
    synapse_ms: float
    unit: str
    channels: tuple[str, ...]
    sources: tuple[str, ...]
    weights: tuple[Weight, ...]

    def __post_init__(self) -> None:
        expected = (*(len(values) for _, values in self.nodes), len(self.sources), len(self.channels))
        if self.kernels.ndim != 5 or self.kernels.shape[:4] != expected or not self.kernels.shape[4]:
            raise ValueError(f"kernels have shape {self.kernels.shape}; expected {' x '.join(map(str, expected))} x n")
        if len(self.weights) != len(self.sources):
            raise ValueError(f"{len(self.weights)} weights for the sources {', '.join(self.sources)}; give one each")
        if not self.kernels.any() or not np.isfinite(self.kernels).all():
            raise ValueError("kernels must be finite, and not all of them zero; compute them again")
        if any(min(values) <= 0 or len(set(values)) < len(values) for _, values in self.nodes):
            raise ValueError("nodes must be positive and differ from each other")
        if abs(self.steps_per_bin * self.step_ms - self.bin_ms) > 1e-9 * self.bin_ms or self.synapse_ms <= 0:
            raise ValueError(f"bins of {self.bin_ms} ms are no multiple of steps of {self.step_ms} ms")

    @property
    def steps_per_bin(self) -> int:
        """Steps of the kernels in a bin of the sources."""
        return max(1, round(self.bin_ms / self.step_ms))

    @property
    def sampling_rate(self) -> float:
        """Hz, of the sources and of the channels."""
        return 1e3 / self.bin_ms

    @property
    def names(self) -> set[str]:
        """Of all parameters that the view reads."""
        weighted = {name for weight in self.weights for name in weight.parameters}
        return {name for name, _ in self.nodes} | {SYNAPSE, DELAY} | weighted

    def at(self, theta: Mapping[str, float]) -> LinearView:
        """The view at theta, with the weights in the kernels."""
        shares = [lagrange(values, np.log(theta[name])) for name, values in self.nodes]
        fine = np.einsum("i,j,ijpcs->pcs", *shares, self.kernels, optimize=True)
        n = round(_TRANSFORM_MS / self.step_ms)
        omega = 2j * np.pi * np.fft.rfftfreq(n, self.step_ms)
        shifted = self.course(omega, theta[SYNAPSE]) * np.exp(-omega * theta[DELAY])
        filtered = np.fft.irfft(np.fft.rfft(fine, n) * shifted, n)
        values = bin_average(filtered, self.steps_per_bin)
        values *= np.array([weight.of(theta) for weight in self.weights])[:, None, None]
        ones = (Weight(1.0, ()),) * len(self.sources)
        return LinearView(values, self.sampling_rate, self.unit, self.channels, self.sources, ones)

    def course(self, omega: Any, tau: Any) -> Any:
        """Transfer function from the synapses of the kernels to those of time constant ``tau`` (omega in i rad/ms)."""
        return ((1 + omega * self.synapse_ms) / (1 + omega * tau)) ** 2

    def observe(self, source: Recording, theta: Mapping[str, float]) -> Recording:
        """What the channels show of a recording of spike counts. Raises ValueError for any other recording."""
        return self.at(theta).observe(source, theta)

    def to_json(self) -> dict[str, Any]:
        """All but the kernels, for JSON."""
        return {
            "nodes": [[name, list(values)] for name, values in self.nodes],
            "step_ms": self.step_ms,
            "bin_ms": self.bin_ms,
            "synapse_ms": self.synapse_ms,
            "unit": self.unit,
            "channels": list(self.channels),
            "sources": list(self.sources),
            "weights": [[w.sign, list(w.parameters)] for w in self.weights],
        }

    @classmethod
    def from_json(
        cls, view: Mapping[str, Any], kernels: Float[np.ndarray, "first second sources channels steps"]
    ) -> "FollowingView":
        """The inverse of ``to_json``."""
        first, second = ((name, tuple(map(float, values))) for name, values in view["nodes"])
        weights = tuple(Weight(float(sign), tuple(names)) for sign, names in view["weights"])
        step, bins, synapse = (float(view[name]) for name in ("step_ms", "bin_ms", "synapse_ms"))
        names = tuple(view["channels"]), tuple(view["sources"])
        return cls(kernels, (first, second), step, bins, synapse, view["unit"], *names, weights)


def lagrange(nodes: tuple[float, ...], log_value: Any) -> list[Any]:
    """Weights of the nodes whose polynomial through them, in the logarithm, is taken at ``log_value`` (any shape)."""
    x = np.log(nodes).tolist()
    weights = []
    for a in x:
        weight = 1.0
        for b in x:
            if b != a:
                weight = weight * ((log_value - b) / (a - b))
        weights.append(weight)
    return weights
