"""What every estimator answers, and the interface of those who answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float

from inference.features.interface import Features
from simulators.interface import Parameter, ParameterSpace
from simulators.recording import Recording

if TYPE_CHECKING:
    import xarray

OK, DOUBTFUL, REFUSED, FAILED = "ok", "doubtful", "refused", "failed"
"""Status of an answer: no objection; with care; not to be trusted; none."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Parameters of one recording, in physical units.

    point: (n_parameters,); samples: (draws, n_parameters) or None where the estimator has no notion of uncertainty.
    warnings: what the user must know before believing the numbers, in plain words. trusted: False where the estimator
    can tell that the answer is not to be believed at all: the recording does not look like the training data, or no
    parameters in the box explain it; a warning then says why. nuisances: draws of what was found along, by name, each
    beside the same row of ``samples``: ``log_gain``, where the gain is unknown; nuisance_ranges: ends of the range of
    those that were uniform in one before; nuisance_priors: mean and standard deviation of those that were normal.

    Raises ValueError for numbers that are not finite, and another number of them than there are parameters.

    >>> from simulators.interface import Parameter
    >>> space = ParameterSpace((Parameter("J", "mV", 0.1, 0.3), Parameter("g", "1", 4.0, 6.0)))
    >>> samples = np.stack([np.linspace(0.14, 0.16, 201), np.linspace(4.9, 5.3, 201)], axis=1)
    >>> print(Estimate(space, samples.mean(axis=0), samples, "neural posterior", ("the recording is short",)))
    neural posterior
    parameter  unit  point  95 % interval
    J          mV    0.150  0.141 ... 0.160
    g          1     5.10   4.91 ... 5.29
    warning: the recording is short
    """

    parameters: ParameterSpace
    point: Float[np.ndarray, " n_parameters"]
    samples: Float[np.ndarray, "draws n_parameters"] | None = None
    method: str = ""
    warnings: tuple[str, ...] = ()
    trusted: bool = True
    nuisances: Mapping[str, Float[np.ndarray, " draws"]] = field(default_factory=dict)
    nuisance_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    nuisance_priors: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.point.shape != (len(self.parameters),):
            raise ValueError(f"point has shape {self.point.shape}; expected {len(self.parameters)} values")
        if not np.isfinite(self.point).all() or not (self.samples is None or np.isfinite(self.samples).all()):
            raise ValueError(
                f"{self.method or 'the estimator'} gives no number for this recording; it is too far from what was "
                f"learned, or the estimator is damaged"
            )
        rows = 0 if self.samples is None else len(self.samples)
        for name, draws in self.nuisances.items():
            if draws.shape != (rows,) or not np.isfinite(draws).all():
                raise ValueError(f"{name} has shape {draws.shape}; expected {rows} finite draws, as of the samples")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in their order."""
        return self.parameters.names

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the parameters, in their order; "1" for a number without one."""
        return self.parameters.units

    def interval(self, mass: float = 0.95) -> Float[np.ndarray, "n_parameters 2"]:
        """Equal-tailed interval holding ``mass`` of the samples. Raises ValueError if there are none."""
        if not 0 < mass < 1:
            raise ValueError(f"the mass of an interval lies between 0 and 1; got {mass}")
        if self.samples is None:
            raise ValueError(f"{self.method or 'this estimate'} has no samples, so it has no interval")
        return np.quantile(self.samples, [(1 - mass) / 2, (1 + mass) / 2], axis=0).T

    @property
    def has_interval(self) -> bool:
        """Whether there are samples that differ: of a posterior without draws inside the box there is one place."""
        return self.samples is not None and len(self.samples) > 1 and bool((np.ptp(self.samples, axis=0) > 0).all())

    def __str__(self) -> str:
        """Method, and of every parameter its unit, point and 95 % interval; then the first warning."""
        rows = [("parameter", "unit", "point", "95 % interval"), *self._rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
        title = (self.method or "estimate") + ("" if self.trusted else ": not to be trusted")
        return "\n".join([title, *(line.rstrip() for line in lines), *self._first_warning()])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in self._rows())
        head = "".join(f"<th>{c}</th>" for c in ("parameter", "unit", "point", "95 % interval"))
        title = escape(self.method or "estimate") + ("" if self.trusted else ": <em>not to be trusted</em>")
        warning = "".join(f"<p>{escape(w)}</p>" for w in self._first_warning())
        return f"<table><caption>{title}</caption><tr>{head}</tr>{rows}</table>{warning}"

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        for k, p in enumerate(self.parameters):
            if self.samples is not None and not self.has_interval:
                yield p.name, p.unit, "-", "no posterior"
            elif self.samples is None:
                yield p.name, p.unit, f"{self.point[k]:.{decimals([], p)}f}", "none"
            else:
                low, high = self.interval()[k]
                d = decimals([high - low], p)
                yield p.name, p.unit, f"{self.point[k]:.{d}f}", f"{low:.{d}f} ... {high:.{d}f}"

    def _first_warning(self) -> list[str]:
        more = f" (and {len(self.warnings) - 1} more in .warnings)" if len(self.warnings) > 1 else ""
        return [f"warning: {self.warnings[0]}{more}"] if self.warnings else []

    def to_xarray(self) -> xarray.DataTree:
        """As ArviZ lays it out: ``posterior`` (chain, draw) with one variable a parameter, ``point``, ``nuisances``.

        Units and the ends of its range are attributes of each parameter.
        """
        import xarray

        about = {p.name: {"units": p.unit, "low": p.low, "high": p.high} for p in self.parameters}
        point = xarray.Dataset({n: ((), v, about[n]) for n, v in zip(self.names, self.point, strict=True)})
        tree = {"point": point}
        if self.samples is not None:
            tree["posterior"] = xarray.Dataset(
                {n: (("chain", "draw"), self.samples[None, :, k], about[n]) for k, n in enumerate(self.names)}
            )
        if self.nuisances:
            before = {n: {"low": low, "high": high} for n, (low, high) in self.nuisance_ranges.items()}
            before |= {n: {"prior_mean": mean, "prior_sd": sd} for n, (mean, sd) in self.nuisance_priors.items()}
            along = {n: (("chain", "draw"), v[None], before.get(n, {})) for n, v in self.nuisances.items()}
            tree["nuisances"] = xarray.Dataset(along)
        out = xarray.DataTree.from_dict(tree)
        out.attrs.update(method=self.method, warnings=list(self.warnings), trusted=int(self.trusted))
        return out


def decimals(widths: Iterable[float], parameter: Parameter) -> int:
    """Digits to show: two of the narrowest interval's width; without any, a hundredth of the parameter's range."""
    finest = min((w for w in widths if w > 0), default=(parameter.high - parameter.low) / 10)
    return min(12, max(0, 1 - math.floor(math.log10(finest))))


@runtime_checkable
class Estimator(Protocol):
    """Learns from simulated recordings, then answers for any recording of the same channels."""

    parameters: ParameterSpace
    features: Features

    def fit(self, theta: Float[np.ndarray, "simulations n_parameters"], recordings: Sequence[Recording]) -> Self:
        """Learn from recordings simulated at ``theta``, one row a recording."""
        ...

    def estimate(self, recording: Recording) -> Estimate:
        """Parameters of one recording. Raises ValueError for one that it cannot answer for."""
        ...
