"""Spike counts in a quarter of the space: predictive coding that keeps the spectra.

Each population's counts are predicted from their own past (linear prediction) and, for the inhibitory population, from
the excitatory counts of the same bin. What cannot be predicted is nearly white; it is kept in whole steps, and given
back with the variance it had. So the power spectra are kept: the error is at every frequency the same small share of
them (step^2 / 12 in standard deviations), and adds nothing to their mean. Where such a step would be less than one
spike, steps are whole spikes and nothing is lost.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Real
from scipy.linalg import solve_toeplitz

ORDER = 16
_LARGEST = 127  # departures are stored as bytes; a simulation that needs more gets wider steps


class Packed(NamedTuple):
    """Counts of many simulations, packed.

    departures: from the prediction, in steps; steps: counts a step; means: counts; predictors: weights of the last
    ORDER values, latest first; shared: excitatory values that the inhibitory population has in the same bin.
    """

    departures: Integer[np.ndarray, "rows 2 samples"]
    steps: Float[np.ndarray, "rows 2"]
    means: Float[np.ndarray, "rows 2"]
    predictors: Float[np.ndarray, "rows 2 order"]
    shared: Float[np.ndarray, " rows"]


def pack(counts: Real[np.ndarray, "rows 2 samples"], step: float) -> Packed:
    """Pack counts in steps of ``step`` standard deviations of what cannot be predicted (0: nothing is lost)."""
    x = counts.astype(np.float64)
    means = x.mean(2).astype(np.float32)
    centred = x - means[:, :, None]
    variance = np.maximum((centred[:, 0] ** 2).mean(1), 1e-9)
    shared = ((centred[:, 0] * centred[:, 1]).mean(1) / variance).astype(np.float32)
    own = np.stack([centred[:, 0], centred[:, 1] - shared[:, None] * centred[:, 0]], 1)
    predictors = np.array([[_predictor(y) for y in row] for row in own], np.float16)
    excitatory, excitatory_steps = _departures(own[:, 0], predictors[:, 0], step, np.zeros_like(own[:, 0]))
    # Where whole spikes are kept, the prediction starts from what the decoder will know.
    known = _decode(excitatory, excitatory_steps, predictors[:, 0])
    lost = shared[:, None] * (centred[:, 0] - known)
    inhibitory, inhibitory_steps = _departures(own[:, 1], predictors[:, 1], step, lost)
    departures, steps = np.stack([excitatory, inhibitory], 1), np.stack([excitatory_steps, inhibitory_steps], 1)
    return Packed(departures, steps, means, predictors, shared)


def unpack(packed: Packed) -> Integer[np.ndarray, "rows 2 samples"]:
    """Counts with the spectra of those that were packed."""
    excitatory, inhibitory = (
        _decode(packed.departures[:, k], packed.steps[:, k], packed.predictors[:, k]) for k in (0, 1)
    )
    values = np.stack([excitatory, inhibitory + packed.shared[:, None].astype(float) * excitatory], 1)
    return np.clip(np.floor(values + packed.means[:, :, None] + 0.5), 0, 65535).astype(np.uint16)


def _predictor(y: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " order"]:
    """Yule-Walker weights; the autocorrelation method keeps the feedback of the decoder stable."""
    n = y.size
    covariance = np.array([y[k:] @ y[: n - k] for k in range(ORDER + 1)]) / n
    covariance[0] = covariance[0] * (1 + 1e-4) + 1e-6
    return solve_toeplitz(covariance[:-1], covariance[1:])


def _departures(
    y: Float[np.ndarray, "rows samples"],
    predictors: Float[np.ndarray, "rows order"],
    step: float,
    lost: Float[np.ndarray, "rows samples"],
) -> tuple[Integer[np.ndarray, "rows samples"], Float[np.ndarray, " rows"]]:
    """Departures from the prediction, and counts a step with which they have their variance again.

    lost: what the decoder lacks of the other population; kept along where steps are whole spikes.
    """
    weights = predictors.astype(float)
    predicted = np.zeros_like(y)
    for lag in range(1, ORDER + 1):
        predicted[:, lag:] += weights[:, lag - 1, None] * y[:, :-lag]
    free = y - predicted
    power = (free**2).mean(1)
    widths = np.maximum(step * np.sqrt(power), np.abs(free).max(1) / _LARGEST)
    departures = np.rint(free / np.maximum(widths, 1)[:, None]).astype(np.int8)
    whole = np.flatnonzero(widths <= 1)
    if whole.size:
        exact = _whole_departures(y[whole] + lost[whole], weights[whole])
        fits = np.abs(exact).max(1) <= _LARGEST
        whole = whole[fits]
        departures[whole] = exact[fits]
    steps = np.sqrt(power / np.maximum((departures.astype(float) ** 2).mean(1), 1e-9))
    steps[whole] = 1.0
    return departures, steps.astype(np.float32)


def _whole_departures(
    y: Float[np.ndarray, "rows samples"], weights: Float[np.ndarray, "rows order"]
) -> Integer[np.ndarray, "rows samples"]:
    """Departures in whole spikes from the prediction of the decoder, which knows its own past only."""
    departures = np.empty(y.shape, np.int32)
    past = np.zeros((len(y), ORDER))
    for t in range(y.shape[1]):
        predicted = (past * weights).sum(1)
        # Halves go down here and up in unpack, so that they meet.
        departures[:, t] = np.ceil(y[:, t] - predicted - 0.5)
        past = np.concatenate([(predicted + departures[:, t])[:, None], past[:, :-1]], 1)
    return departures


def _decode(
    departures: Integer[np.ndarray, "rows samples"],
    steps: Float[np.ndarray, " rows"],
    predictors: Float[np.ndarray, "rows order"],
) -> Float[np.ndarray, "rows samples"]:
    """The values of which these are the departures."""
    weights, widths = predictors.astype(float), steps.astype(float)
    rows, samples = departures.shape
    out = np.empty((rows, samples))
    past = np.zeros((rows, ORDER))
    for t in range(samples):
        out[:, t] = (past * weights).sum(1) + widths * departures[:, t]
        past = np.concatenate([out[:, t, None], past[:, :-1]], 1)
    return out
