"""Spike counts in a quarter of the space: predictive coding with a stated error.

Each population's counts are predicted from their own past (linear prediction) and, for the inhibitory population, from
the excitatory counts of the same bin; only the departures from that are kept, in whole steps. The error is white, half
a step at most, and its variance is a chosen fraction of the mean count: of the power spectrum that independent Poisson
neurons of that rate would have. Where a step is one spike nothing is lost.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Real
from scipy.linalg import solve_toeplitz

ORDER = 16
_LARGEST = 127  # departures are stored as bytes; a simulation that needs more gets wider steps


class Packed(NamedTuple):
    """Counts of many simulations, packed.

    departures: in steps; steps: counts a step; means: counts; predictors: weights of the last ORDER departures from
    the mean, latest first; shared: excitatory departures that the inhibitory population has in the same bin.
    """

    departures: Integer[np.ndarray, "rows 2 samples"]
    steps: Float[np.ndarray, "rows 2"]
    means: Float[np.ndarray, "rows 2"]
    predictors: Float[np.ndarray, "rows 2 order"]
    shared: Float[np.ndarray, " rows"]


def pack(counts: Real[np.ndarray, "rows 2 samples"], noise: float) -> Packed:
    """Pack counts; the error adds ``noise`` times the mean count to their variance (0: none, if the bytes allow)."""
    x = counts.astype(np.float64)
    means = x.mean(2)
    centred = x - means[:, :, None]
    variance = np.maximum((centred[:, 0] ** 2).mean(1), 1e-9)
    shared = ((centred[:, 0] * centred[:, 1]).mean(1) / variance).astype(np.float32)
    steps = np.maximum(1.0, np.sqrt(12 * noise * means)).astype(np.float32)
    own = np.stack([centred[:, 0], centred[:, 1] - shared[:, None] * centred[:, 0]], 1)
    predictors = np.array([[_predictor(y) for y in row] for row in own], np.float16)
    packed = Packed(np.zeros(x.shape, np.int16), steps, means.astype(np.float32), predictors, shared)
    _run(packed, x)
    while (wide := np.abs(packed.departures).max((1, 2)) > _LARGEST).any():
        packed.steps[wide] *= 1.5
        some = Packed(*(field[wide] for field in packed))
        _run(some, x[wide])
        packed.departures[wide] = some.departures
    return packed._replace(departures=packed.departures.astype(np.int8))


def unpack(packed: Packed) -> Integer[np.ndarray, "rows 2 samples"]:
    """Counts within half a step of those that were packed."""
    return _run(packed, None)


def _predictor(y: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " order"]:
    """Yule-Walker weights; the autocorrelation method keeps the feedback of the decoder stable."""
    n = y.size
    covariance = np.array([y[k:] @ y[: n - k] for k in range(ORDER + 1)]) / n
    covariance[0] = covariance[0] * (1 + 1e-4) + 1e-6
    return solve_toeplitz(covariance[:-1], covariance[1:])


def _run(packed: Packed, counts: Float[np.ndarray, "rows 2 samples"] | None) -> Integer[np.ndarray, "rows 2 samples"]:
    """Decode; given the counts, find the departures on the way. One loop, so that both sides predict the same."""
    rows, _, samples = packed.departures.shape
    out = np.empty((rows, 2, samples), np.uint16)
    past = np.zeros((rows, 2, ORDER))
    steps, means, shared = packed.steps.astype(float), packed.means.astype(float), packed.shared.astype(float)
    predictors = packed.predictors.astype(float)
    for t in range(samples):
        predicted = (past * predictors).sum(2)
        now = np.empty((rows, 2))
        excitatory = np.zeros(rows)
        for k in (0, 1):
            base = means[:, k] + (shared * excitatory if k else 0.0)
            if counts is not None:
                packed.departures[:, k, t] = np.rint((counts[:, k, t] - base - predicted[:, k]) / steps[:, k])
            now[:, k] = predicted[:, k] + steps[:, k] * packed.departures[:, k, t]
            if k == 0:
                excitatory = now[:, 0]
            out[:, k, t] = np.clip(np.rint(base + now[:, k]), 0, 65535)
        past = np.concatenate([now[:, :, None], past[:, :, :-1]], 2)
    return out
