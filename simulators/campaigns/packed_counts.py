"""Spike counts in a quarter of the space: predictive coding that keeps the spectra.

The counts of both populations are predicted from their common past (a vector autoregression), the inhibitory ones also
from what was new in the excitatory counts of the same bin. What cannot be predicted is white and independent of the
rest; it is kept in whole steps, and given back with the variance it had. So power and cross spectra are kept: the error
is at every frequency the same small share of them (step^2 / 12 in standard deviations) and adds nothing to their mean.
Where such a step would be less than one spike, steps are whole spikes and nothing is lost.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Real

ORDER = 12
_LARGEST = 127  # news are stored as bytes; a simulation that needs more gets wider steps
_WHOLE = 100  # largest news for which steps of one spike are considered, with room for what the decoder knows worse


class Packed(NamedTuple):
    """Counts of many simulations, packed.

    news: what the prediction lacked, in steps; steps: counts a step; means: counts; predictors: weights of the last
    ORDER values of both populations in the prediction of each, latest first; shared: excitatory news that the
    inhibitory population has in the same bin.
    """

    news: Integer[np.ndarray, "rows 2 samples"]
    steps: Float[np.ndarray, "rows 2"]
    means: Float[np.ndarray, "rows 2"]
    predictors: Float[np.ndarray, "rows 2 2 order"]
    shared: Float[np.ndarray, " rows"]


def pack(counts: Real[np.ndarray, "rows 2 samples"], step: float) -> Packed:
    """Pack counts in steps of ``step`` standard deviations of what cannot be predicted (0: nothing is lost)."""
    x = counts.astype(np.float64)
    means = x.mean(2).astype(np.float32)
    x -= means[:, :, None]
    predictors = _predictors(x).astype(np.float16)
    free = x.copy()
    for lag in range(1, ORDER + 1):
        free[:, :, lag:] -= predictors[..., lag - 1].astype(float) @ x[:, :, :-lag]
    power = np.maximum((free[:, 0] ** 2).mean(1), 1e-9)
    shared = ((free[:, 0] * free[:, 1]).mean(1) / power).astype(np.float32)
    free[:, 1] -= shared[:, None] * free[:, 0]
    sd, largest = np.sqrt((free**2).mean(2)), np.abs(free).max(2)
    widths = np.maximum(step * sd, largest / _LARGEST)
    # Both populations or none: exact counts of one would drive the other's errors, which decay only in both together.
    whole = np.flatnonzero((widths.min(1) <= 1) & (largest.max(1) <= _WHOLE))
    news = np.rint(free / np.maximum(widths, 1e-9)[:, :, None]).astype(np.int8)
    steps = (sd / np.sqrt(np.maximum((news.astype(float) ** 2).mean(2), 1e-9))).astype(np.float32)
    steps[whole] = 1
    packed = Packed(news, steps, means, predictors, shared)
    if whole.size:
        part = Packed(*(field[whole] for field in packed))
        _run(part, x[whole])
        news[whole] = part.news
    return packed


def unpack(packed: Packed) -> Integer[np.ndarray, "rows 2 samples"]:
    """Counts with the spectra of those that were packed."""
    values = _run(packed) + packed.means[:, :, None]
    return np.clip(np.floor(values + 0.5), 0, 65535).astype(np.uint16)


def _predictors(x: Float[np.ndarray, "rows 2 samples"]) -> Float[np.ndarray, "rows 2 2 order"]:
    """Yule-Walker weights; covariances over the whole length keep the feedback of the decoder stable."""
    rows, _, n = x.shape
    sd = np.sqrt((x**2).mean(2)) + 1e-9
    z = x / sd[:, :, None]
    # covariances[h][i, j]: of population i with population j, h samples before.
    covariances = [z[:, :, h:] @ z[:, :, : n - h].transpose(0, 2, 1) / n for h in range(ORDER + 1)]
    covariances[0] = covariances[0] + 1e-4 * np.eye(2)
    blocks = [
        [covariances[h] if h >= 0 else covariances[-h].transpose(0, 2, 1) for h in range(-k, ORDER - k)]
        for k in range(ORDER)
    ]
    right = np.concatenate(covariances[1:], 2)
    weights = np.linalg.solve(np.block(blocks), right.transpose(0, 2, 1)).transpose(0, 2, 1)
    weights = weights.reshape(rows, 2, ORDER, 2).transpose(0, 1, 3, 2)
    return weights * (sd[:, :, None] / sd[:, None, :])[..., None]


def _run(packed: Packed, x: Float[np.ndarray, "rows 2 samples"] | None = None) -> Float[np.ndarray, "rows 2 samples"]:
    """Decode. Given the values x, find on the way the news in whole spikes that lead to them.

    One loop, so that both sides predict the same from what the decoder knows.
    """
    rows, _, samples = packed.news.shape
    weights = packed.predictors.astype(float).transpose(0, 1, 3, 2).reshape(rows, 2, -1)
    steps, shared = packed.steps.astype(float), packed.shared.astype(float)
    out = np.empty((rows, 2, samples))
    past = np.zeros((rows, ORDER * 2))
    for t in range(samples):
        predicted = (weights * past[:, None]).sum(2)
        for k in (0, 1):
            if k == 1:
                predicted[:, 1] += shared * steps[:, 0] * packed.news[:, 0, t]
            if x is not None:
                # Halves go down here and up in unpack, so that they meet.
                packed.news[:, k, t] = np.ceil(x[:, k, t] - predicted[:, k] - 0.5)
            out[:, k, t] = predicted[:, k] + steps[:, k] * packed.news[:, k, t]
        past = np.concatenate([out[:, :, t], past[:, :-2]], 1)
    return out
