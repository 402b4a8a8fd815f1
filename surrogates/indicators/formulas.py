"""Fluorescence of a neuron, and what it tells of the neuron: GCaMP6f and a voltage indicator, both as formulas."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Real
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize
from scipy.signal import lfilter

_TOGETHER_MS = 25.0
_V_RANGE_MV = (-120.0, 80.0)


@dataclass(frozen=True)
class CalciumIndicator:
    """Spikes add calcium, which rises and falls exponentially and is bound as Hill's equation says.

    rest and step: calcium at rest, and what one spike adds at its peak, relative to the half-saturating concentration;
    rise_ms, decay_ms: of the calcium that the indicator sees; brightest: dF/F from nothing bound to all bound.
    """

    rest: float
    step: float
    hill: float
    rise_ms: float
    decay_ms: float
    brightest: float

    def bound(self, calcium: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Hill's equation, from 0 to 1."""
        power = np.power(calcium, self.hill)
        return power / (1 + power)

    @property
    def bound_at_rest(self) -> Float[np.ndarray, "1"]:
        """Share of the indicator that has bound calcium at rest."""
        return self.bound(np.array([self.rest]))


GCAMP6F = CalciumIndicator(rest=50 / 375, step=0.1, hill=2.27, rise_ms=15.6, decay_ms=229.5, brightest=7.53)
"""Affinity (375 nM) and Hill coefficient in vitro from Chen et al. 2013; calcium at rest (50 nM) and from one spike
(37.5 nM) are assumed. Kinetics and brightness then follow from what they found for one spike in visual cortex: peak
after 45 ms, half decay 142 ms, dF/F 19 %."""


@dataclass(frozen=True)
class VoltageIndicator:
    """Fluorescence that follows a sigmoid of V with one time constant.

    change: dF/F between -70 and +30 mV; half_mV, slope_mV: of the sigmoid; rest_mV: where dF/F is 0.
    """

    change: float
    half_mV: float
    slope_mV: float
    tau_ms: float
    rest_mV: float = -70.0

    def bound(self, v: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The sigmoid, from 0 to 1, of V in mV."""
        return 1 / (1 + np.exp(-(v - self.half_mV) / self.slope_mV))

    @property
    def brightest(self) -> float:
        """dF/F from one end of the sigmoid to the other."""
        low, high = self.bound(np.array([-70.0, 30.0]))
        return float(self.change / (high - low))

    @property
    def bound_at_rest(self) -> Float[np.ndarray, "1"]:
        """Share of the indicator that has bound calcium at rest."""
        return self.bound(np.array([self.rest_mV]))


ASAP3 = VoltageIndicator(change=-0.51, half_mV=-30.0, slope_mV=35.0, tau_ms=1.0)
"""51 % modulation by physiological voltages and activation within a millisecond (Villette et al. 2019); the sigmoid is
a guess that is nearly linear below threshold."""


def gcamp6f(
    spikes: Real[np.ndarray, "traces bins"],
    bin_ms: float,
    *,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
    indicator: CalciumIndicator = GCAMP6F,
) -> Float[np.ndarray, "traces bins"]:
    """dF/F from the number of spikes in each bin, with white noise of that standard deviation.

    Spikes in a voltage are found by ``surrogates.neurons.architectures.standardised.spikes``. Raises ValueError for
    noise without ``rng``, and for what cannot be: values that are not finite, bins or noise below 0.
    """
    _check(spikes, bin_ms, noise)
    calcium = indicator.rest + _calcium(spikes.astype(float), bin_ms, indicator)
    return _noisy(indicator.brightest * (indicator.bound(calcium) - indicator.bound_at_rest), noise, rng)


def spikes_from_gcamp6f(
    dff: Float[np.ndarray, "traces bins"],
    bin_ms: float,
    *,
    noise: float = 0.0,
    indicator: CalciumIndicator = GCAMP6F,
    iterations: int = 500,
) -> Integer[np.ndarray, "traces bins"]:
    """Number of spikes in each bin, from dF/F with white noise of a known standard deviation.

    Non-negative least squares through the whole model with a price on spikes that grows with the noise; then spikes are
    put where 25 ms hold half a spike or more. Baseline and gain must be the indicator's. Raises ValueError as
    ``gcamp6f``.
    """
    _check(dff, bin_ms, noise)
    return np.stack([_readout(_deconvolve(trace, bin_ms, noise, indicator, iterations), bin_ms) for trace in dff])


def voltage_dye(
    v: Float[np.ndarray, "traces bins"],
    bin_ms: float,
    *,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
    indicator: VoltageIndicator = ASAP3,
) -> Float[np.ndarray, "traces bins"]:
    """dF/F from V (mV), which was steady before, with white noise of that standard deviation.

    Raises ValueError as ``gcamp6f``.
    """
    _check(v, bin_ms, noise)
    dff = indicator.brightest * (indicator.bound(v) - indicator.bound_at_rest)
    keep = np.exp(-bin_ms / indicator.tau_ms)
    return _noisy(lfilter([1 - keep], [1, -keep], dff, zi=keep * dff[:, :1])[0], noise, rng)


def voltage_from_dye(
    dff: Float[np.ndarray, "traces bins"], bin_ms: float, *, noise: float = 0.0, indicator: VoltageIndicator = ASAP3
) -> Float[np.ndarray, "traces bins"]:
    """V (mV) from dF/F with white noise of a known standard deviation.

    Wiener's inverse filter: what is more than noise in a trace's own spectrum is the signal. Without noise it is exact
    between -120 and +80 mV, beyond which V is cut. Raises ValueError as ``gcamp6f``.
    """
    _check(dff, bin_ms, noise)
    bins = dff.shape[1]
    mean = dff.mean(1, keepdims=True)
    # The filter is periodic: followed by its mirror image, a trace has no step at its end.
    around = np.fft.rfft(np.concatenate([dff, dff[:, ::-1]], 1) - mean)
    power = uniform_filter1d(np.square(np.abs(around)), 15, axis=1) / (2 * bins)
    share = np.maximum(power - noise**2, 0) / np.maximum(power, np.finfo(float).tiny)
    keep = np.exp(-bin_ms / indicator.tau_ms)
    angle = np.exp(-2j * np.pi * np.fft.rfftfreq(2 * bins))
    steady = np.fft.irfft(around * share * (1 - keep * angle) / (1 - keep), 2 * bins)[:, :bins] + mean
    bound = steady / indicator.brightest + indicator.bound_at_rest
    bound = np.clip(bound, *indicator.bound(np.array(_V_RANGE_MV)))
    return indicator.half_mV + indicator.slope_mV * np.log(bound / (1 - bound))


def _check(traces: np.ndarray, bin_ms: float, noise: float) -> None:
    """Raises ValueError for what is no traces, or bins or noise that cannot be."""
    if traces.ndim != 2 or not np.isfinite(traces).all():
        raise ValueError(f"expected finite traces x bins, got shape {traces.shape} (of one trace: trace[None])")
    if not (0 < bin_ms < np.inf and 0 <= noise < np.inf):
        raise ValueError(f"bins of {bin_ms} ms and noise of {noise}; bins must be above 0, noise not below")


def _noisy(trace: np.ndarray, noise: float, rng: np.random.Generator | None) -> np.ndarray:
    if noise and rng is None:
        raise ValueError(f"noise of {noise} needs a generator: give rng")
    return trace if rng is None else trace + noise * rng.standard_normal(trace.shape)


def _calcium(spikes: np.ndarray, bin_ms: float, indicator: CalciumIndicator) -> np.ndarray:
    """Calcium above rest along the last axis; linear and time-invariant, nothing before the bin after a spike."""
    rise, decay = indicator.rise_ms, indicator.decay_ms
    peak_ms = np.log(decay / rise) * decay * rise / (decay - rise)
    peak = np.exp(-peak_ms / decay) - np.exp(-peak_ms / rise)
    slow, fast = np.exp(-bin_ms / decay), np.exp(-bin_ms / rise)
    return lfilter([0, indicator.step / peak * (slow - fast)], [1, -slow - fast, slow * fast], spikes)


def _deconvolve(
    dff: np.ndarray, bin_ms: float, noise: float, indicator: CalciumIndicator, iterations: int
) -> Float[np.ndarray, " bins"]:
    """Spikes as numbers that are not negative, but need not be whole."""

    def cost(spikes: np.ndarray) -> tuple[float, np.ndarray]:
        calcium = indicator.rest + _calcium(spikes, bin_ms, indicator)
        bound = indicator.bound(calcium)
        error = indicator.brightest * (bound - indicator.bound_at_rest) - dff
        slope = indicator.brightest * indicator.hill * bound * (1 - bound) / calcium
        gradient = _calcium((error * slope)[::-1], bin_ms, indicator)[::-1]
        return error @ error / 2 + noise * spikes.sum(), gradient + noise

    options = {"maxiter": iterations, "maxfun": 10 * iterations, "ftol": 1e-14, "gtol": 1e-9}
    bounds = [(0, None)] * len(dff)
    return minimize(cost, np.zeros(len(dff)), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x


def _readout(amount: Float[np.ndarray, " bins"], bin_ms: float) -> Integer[np.ndarray, " bins"]:
    """Whole spikes, from the fullest 25 ms down, each where its share of what lies there has half come."""
    amount, spikes = amount.copy(), np.zeros(len(amount), int)
    width = min(max(1, round(_TOGETHER_MS / bin_ms)), len(amount))
    while True:
        total = np.cumsum(np.concatenate([[0.0], amount]))
        within = total[width:] - total[:-width]
        start = int(within.argmax())
        n = int(np.floor(within[start] + 0.5))
        if n == 0:
            return spikes
        part = np.cumsum(amount[start : start + width])
        np.add.at(spikes, start + np.searchsorted(part, (np.arange(n) + 0.5) / n * part[-1]), 1)
        amount[start : start + width] = 0
