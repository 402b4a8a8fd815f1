"""Izhikevich's neuron on top of a surrogate (Olah et al. 2022): driven by a current, fitted to voltage or spikes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import differential_evolution, least_squares, minimize
from scipy.signal import find_peaks

_PEAK_MV = 30.0


_BOUNDS = {
    "a": (0.005, 1.0),
    "b": (0.1, 1.0),
    "c": (-80.0, -40.0),
    "d": (0.0, 10.0),
    "dt": (0.1, 2.0),
    "gain": (0.01, 100.0),
    "offset": (-60.0, 20.0),
}


_POSITIVE = "a", "dt", "gain"  # searched by their logarithm


_FINE_DT = 0.1, 0.5
"""With longer steps a layer may count right at the currents it has seen, and at no others."""


_FREE = "a", "b", "c", "d", "dt"


_SUBTHRESHOLD_MV = -30.0


_FAILED_MV = 1e3


@dataclass(frozen=True)
class IzhikevichLayer:
    """Izhikevich's neuron (2003), driven by a current.

    a: rate of recovery; b: its sensitivity to V; c: V after a spike, mV; d: what a spike adds to recovery; dt: model
    time in one sample, which makes up for the membrane's time constant; gain, offset: from the current's unit and zero
    to the model's. Without the offset the neuron's rest would tell b, and b how it resonates.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    dt: float = 1.0
    gain: float = 1.0
    offset: float = 0.0

    def simulate(self, current: Float[np.ndarray, "traces samples"]) -> Float[np.ndarray, "traces samples"]:
        """V (mV) from rest. Samples that a spike falls on are 30 mV. V takes two half steps, as in the publication."""
        if current.ndim != 2:
            raise ValueError(f"expected traces x samples, got shape {current.shape} (of one trace: current[None])")
        return _voltage(np.array(astuple(self)), current)


class IzhikevichFit(NamedTuple):
    """r: Pearson's, of all samples; variance_explained: one minus the squared error over the variance."""

    layer: IzhikevichLayer
    r: float
    variance_explained: float


def fit_izhikevich(
    current: Float[np.ndarray, "traces samples"],
    v: Float[np.ndarray, "traces samples"],
    rng: np.random.Generator,
    *,
    free: Sequence[str] = _FREE,
    layer: IzhikevichLayer | None = None,
    candidates: int = 500,
    refined: int = 6,
    iterations: int = 300,
) -> IzhikevichFit:
    """The layer whose free-running V is nearest to ``v`` (mV, spikes above -20), by least squares and Nelder-Mead.

    Free-running error is rugged: one spike moved is two spikes wrong. So the search begins where resets are forced on
    the model when the target spikes, which is smooth below threshold: random candidates, of which the best are
    refined. Nelder-Mead then takes over on the free-running error. current: in any unit, which ``gain`` is for; it
    should vary, as synaptic current does (for steps there is ``fit_firing``). layer: has the parameters that are not
    free. Raises ValueError for traces that do not fit together or a V that never changes, and for a name in ``free``
    that is none of the layer's.
    """
    if current.shape != v.shape or not np.std(v) > 0:
        raise ValueError(f"current of shape {current.shape}, V of {v.shape}: each V needs its current, and must change")
    parameters = _within(_BOUNDS, free, layer)
    forced = np.zeros(v.shape, bool)
    for row, trace in zip(forced, v, strict=True):
        row[find_peaks(trace, height=-20.0)[0]] = True

    def errors(x: np.ndarray, resets: np.ndarray | None, ceiling: float) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.minimum(_voltage(parameters(x), current, resets), ceiling) - np.minimum(v, ceiling)
        return np.nan_to_num(error, nan=_FAILED_MV, posinf=_FAILED_MV, neginf=-_FAILED_MV).reshape(*x.shape[:-1], -1)

    def jacobian(x: np.ndarray, resets: np.ndarray | None, ceiling: float) -> np.ndarray:
        # One run for all differences: the samples, not the candidates, are what costs.
        step = np.where(x < 0.5, 1e-5, -1e-5)
        shifted = errors(np.vstack([x, x + np.diag(step)]), resets, ceiling)
        return ((shifted[1:] - shifted[0]) / step[:, None]).T

    def refine(x: np.ndarray, ceiling: float) -> np.ndarray:
        settings = {"bounds": (0, 1), "loss": "soft_l1", "x_scale": "jac", "max_nfev": 60}
        return least_squares(errors, x, jacobian, args=(forced, ceiling), **settings).x

    def free_error(x: np.ndarray) -> float:
        return float(np.square(errors(x, None, _PEAK_MV)).mean())

    drawn = rng.random((candidates, len(free)))
    first = [
        np.square(errors(part, forced, _SUBTHRESHOLD_MV)).mean(1) for part in np.array_split(drawn, min(10, candidates))
    ]
    starts = drawn[np.concatenate(first).argsort()[:refined]]
    x = min((refine(refine(start, _SUBTHRESHOLD_MV), _PEAK_MV) for start in starts), key=free_error)
    simplex = np.vstack([x, x + np.diag(np.where(x < 0.5, 0.02, -0.02))])
    options = {"maxiter": iterations, "xatol": 1e-5, "fatol": 1e-5, "initial_simplex": simplex}
    x = minimize(free_error, x, method="Nelder-Mead", bounds=[(0, 1)] * len(free), options=options).x
    best = IzhikevichLayer(*parameters(x).tolist())
    simulated = best.simulate(current)
    explained = 1 - np.square(simulated - v).mean() / v.var()
    if explained < 0:
        warnings.warn("no layer was found that does better than a constant; give currents that vary", stacklevel=2)
    return IzhikevichFit(best, float(np.corrcoef(simulated.ravel(), v.ravel())[0, 1]), float(explained))


def fit_firing(
    current: Float[np.ndarray, "traces samples"],
    spikes: Int[np.ndarray, " traces"],
    rng: np.random.Generator,
    *,
    free: Sequence[str] = _FREE,
    layer: IzhikevichLayer | None = None,
    generations: int = 100,
) -> IzhikevichLayer:
    """The layer that fires as many spikes at each current as are told, by differential evolution.

    Numbers of spikes have no gradient, and to Nelder-Mead every plateau is an end. layer: has the parameters that are
    not free. Raises ValueError where there is not a number for each trace, or for a name in ``free`` that is none.
    """
    if len(current) != len(spikes):
        raise ValueError(f"{len(current)} currents, but numbers of spikes for {len(spikes)}")
    parameters = _within(_BOUNDS | {"dt": _FINE_DT}, free, layer)

    def error(x: np.ndarray) -> np.ndarray:
        """x: a column for each layer."""
        with np.errstate(over="ignore", invalid="ignore"):
            fired = (_voltage(parameters(x.T), current) >= _PEAK_MV).sum(-1)
        return np.square(fired - spikes).mean(-1)

    settings = {"vectorized": True, "updating": "deferred", "popsize": 20, "init": "sobol", "polish": False}
    found = differential_evolution(error, [(0, 1)] * len(free), maxiter=generations, rng=rng, **settings)
    return IzhikevichLayer(*parameters(found.x).tolist())


def _within(
    bounds: Mapping[str, tuple[float, float]], free: Sequence[str], layer: IzhikevichLayer | None
) -> Callable[[np.ndarray], np.ndarray]:
    """From points of the unit cube to layers' parameters: free ones within their bounds, others the layer's."""
    if unknown := [name for name in free if name not in bounds]:
        raise ValueError(f"{unknown[0]} cannot be fitted; free may be {', '.join(bounds)}")
    base = np.array(astuple(layer or IzhikevichLayer()))
    names = [field.name for field in fields(IzhikevichLayer)]
    where = [names.index(name) for name in free]
    positive = [name in _POSITIVE for name in free]
    low, high = np.array([np.log(bounds[n]) if n in _POSITIVE else bounds[n] for n in free]).T

    def parameters(x: np.ndarray) -> np.ndarray:
        full, value = np.tile(base, (*x.shape[:-1], 1)), low + x * (high - low)
        full[..., where] = np.where(positive, np.exp(value), value)
        return full

    return parameters


def _voltage(
    parameters: Float[np.ndarray, "*layers n_parameters"],
    current: Float[np.ndarray, "traces samples"],
    forced: Bool[np.ndarray, "traces samples"] | None = None,
) -> Float[np.ndarray, "*layers traces samples"]:
    """V of every layer at every current. forced: when to spike, instead of when V says so."""
    a, b, c, d, dt, gain, offset = np.moveaxis(parameters, -1, 0)[..., None]
    root = np.square(5 - b) - 0.16 * (140 + offset)
    v = np.where(root > 0, (b - 5 - np.sqrt(np.maximum(root, 0))) / 0.08, -65.0) + np.zeros(len(current))
    u = b * v
    trace = np.empty((current.shape[1], *v.shape))
    for t, now in enumerate(current.T):
        drive = 140 + offset + gain * now - u
        for _ in range(2):
            v = v + dt / 2 * ((0.04 * v + 5) * v + drive)
        u = u + a * dt * (b * v - u)
        if forced is None:
            spike = v >= _PEAK_MV
        else:
            spike = forced[:, t] & np.ones_like(v, bool)
            v = np.minimum(v, _PEAK_MV)
        trace[t] = np.where(spike, _PEAK_MV, v)
        v, u = np.where(spike, c, v), np.where(spike, u + d, u)
    return np.moveaxis(trace, 0, -1)
