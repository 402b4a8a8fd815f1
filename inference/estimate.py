"""What every estimator answers, and the interface of those who answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float

from inference.features.spectra import SpectralFeatures
from simulators.interface import ParameterSpace
from simulators.recording import Recording

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class Estimate:
    """Parameters of one recording, in physical units.

    point: (n_parameters,); samples: (draws, n_parameters) or None where the estimator has no notion of uncertainty.
    warnings: what the user must know before believing the numbers, in plain words. Raises ValueError for numbers that
    are not finite, and another number of them than there are parameters.
    """

    parameters: ParameterSpace
    point: Float[np.ndarray, " n_parameters"]
    samples: Float[np.ndarray, "draws n_parameters"] | None = None
    method: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.point.shape != (len(self.parameters),):
            raise ValueError(f"point has shape {self.point.shape}; expected {len(self.parameters)} values")
        if not np.isfinite(self.point).all() or not (self.samples is None or np.isfinite(self.samples).all()):
            raise ValueError(
                f"{self.method or 'the estimator'} gives no number for this recording; it is too far from what was "
                f"learned, or the estimator is damaged"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return self.parameters.names

    @property
    def units(self) -> tuple[str, ...]:
        return self.parameters.units

    def interval(self, mass: float = 0.95) -> Float[np.ndarray, "n_parameters 2"]:
        """Equal-tailed interval holding ``mass`` of the samples. Raises ValueError if there are none."""
        if not 0 < mass < 1:
            raise ValueError(f"the mass of an interval lies between 0 and 1; got {mass}")
        if self.samples is None:
            raise ValueError(f"{self.method or 'this estimate'} has no samples, so it has no interval")
        return np.quantile(self.samples, [(1 - mass) / 2, (1 + mass) / 2], axis=0).T

    def to_xarray(self) -> xarray.DataTree:
        """As ArviZ lays it out: group ``posterior`` (chain, draw) with one variable a parameter, and ``point``."""
        import xarray

        units = dict(zip(self.names, self.units, strict=True))
        point = xarray.Dataset({n: ((), v, {"units": units[n]}) for n, v in zip(self.names, self.point, strict=True)})
        tree = {"point": point}
        if self.samples is not None:
            tree["posterior"] = xarray.Dataset(
                {
                    n: (("chain", "draw"), self.samples[None, :, k], {"units": units[n]})
                    for k, n in enumerate(self.names)
                }
            )
        out = xarray.DataTree.from_dict(tree)
        out.attrs.update(method=self.method, warnings=list(self.warnings))
        return out


@runtime_checkable
class Estimator(Protocol):
    """Learns from simulated recordings, then answers for any recording of the same channels."""

    parameters: ParameterSpace
    features: SpectralFeatures

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self: ...

    def estimate(self, recording: Recording) -> Estimate: ...
