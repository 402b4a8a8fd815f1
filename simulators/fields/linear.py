"""Instruments that add up what the populations of a network do: each spike evokes the same response in a channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Complex, Float
from scipy.signal import fftconvolve

from simulators.recording import Recording

Value = TypeVar("Value")


@dataclass(frozen=True)
class Weight:
    """What a population's spikes are multiplied with: ``sign`` times the product of these parameters."""

    sign: float
    parameters: tuple[str, ...]

    def of(self, theta: Mapping[str, Any]) -> Any:
        """The weight at theta, a mapping from names to numbers, arrays or tensors."""
        product: Any = self.sign
        for name in self.parameters:
            product = product * theta[name]
        return product


@dataclass(frozen=True, eq=False)
class LinearView:
    """Channels as sums of causal convolutions: channel = sum over sources of weight(theta) * (kernel * source).

    kernels: (sources, channels, lags), the response per spike at weight 1, in ``unit``. Lag ``l`` is its mean over bin
        ``l`` for a spike that falls anywhere in bin 0, so convolved with counts it gives means over the same bins.
    sampling_rate: bins per second; sources: names of the populations; weights: one a source.

    Raises ValueError where these do not fit together.
    """

    kernels: Float[np.ndarray, "sources channels lags"]
    sampling_rate: float
    unit: str
    channels: tuple[str, ...]
    sources: tuple[str, ...]
    weights: tuple[Weight, ...]

    def __post_init__(self) -> None:
        expected = len(self.sources), len(self.channels)
        if self.kernels.ndim != 3 or self.kernels.shape[:2] != expected or not self.kernels.shape[2]:
            raise ValueError(
                f"kernels have shape {self.kernels.shape}; expected {expected[0]} sources x {expected[1]} channels x n"
            )
        if len(self.weights) != len(self.sources):
            raise ValueError(f"{len(self.weights)} weights for the sources {', '.join(self.sources)}; give one each")
        if not self.kernels.any() or not np.isfinite(self.kernels).all():
            raise ValueError("kernels must be finite, and not all of them zero; compute them again")

    @property
    def names(self) -> set[str]:
        """Of all parameters that the view reads."""
        return {name for weight in self.weights for name in weight.parameters}

    def observe(self, source: Recording, theta: Mapping[str, float]) -> Recording:
        """What the channels show of a recording of spike counts. Raises ValueError for any other recording."""
        if source.channels != self.sources or source.unit != "1":
            raise ValueError(
                f"the source has channels {source.channels} in unit {source.unit!r}; the channels are computed from "
                f"spike counts (unit '1') of {self.sources}: pass what the network simulator returned"
            )
        if abs(source.sampling_rate / self.sampling_rate - 1) > 1e-9:
            raise ValueError(
                f"the counts are sampled at {source.sampling_rate:g} Hz, the kernels at {self.sampling_rate:g} Hz; "
                f"compute kernels for the network with its own bin_ms"
            )
        weighted = source.values * np.array([[w.of(theta)] for w in self.weights])
        samples = source.values.shape[1]
        values = fftconvolve(weighted[:, None], self.kernels, axes=-1)[..., :samples].sum(0)
        return Recording(values, source.sampling_rate, self.unit, self.channels, source.transient)

    def transfer(self, frequencies: Float[np.ndarray, " frequencies"]) -> Complex[np.ndarray, "frequencies channels k"]:
        """The kernels' Fourier transforms at some frequencies (Hz); ``k`` are the sources."""
        lags = np.arange(self.kernels.shape[2]) / self.sampling_rate
        return np.einsum("kcl,fl->fck", self.kernels, np.exp(-2j * np.pi * frequencies[:, None] * lags))

    def to_json(self) -> dict[str, Any]:
        """All but the kernels, for JSON."""
        weights = [[w.sign, list(w.parameters)] for w in self.weights]
        names = {"channels": list(self.channels), "sources": list(self.sources)}
        return {"sampling_rate": self.sampling_rate, "unit": self.unit, "weights": weights} | names

    @classmethod
    def from_json(cls, view: Mapping[str, Any], kernels: Float[np.ndarray, "sources channels lags"]) -> "LinearView":
        """The inverse of ``to_json``."""
        weights = tuple(Weight(float(sign), tuple(names)) for sign, names in view["weights"])
        names = tuple(view["channels"]), tuple(view["sources"])
        return cls(kernels, float(view["sampling_rate"]), view["unit"], *names, weights)
