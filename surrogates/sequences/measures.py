"""How well counts and events are predicted, and whether sequences of a model are like those of a network."""

import numpy as np
from jaxtyping import Float, Real, Shaped
from scipy.stats import ks_2samp

_LEAST_RATE = 1e-3


def mean_squared_error(true: Real[np.ndarray, " ms"], predicted: Real[np.ndarray, " ms"]) -> float:
    """In spikes squared."""
    return float(np.mean((np.asarray(true, float) - predicted) ** 2))


def poisson_deviance(true: Real[np.ndarray, " ms"], predicted: Real[np.ndarray, " ms"]) -> float:
    """Mean over ms; means predicted are at least .001."""
    rate = np.maximum(predicted, _LEAST_RATE)
    y = np.asarray(true, float)
    return float(2 * np.mean(np.where(y > 0, y * np.log(np.maximum(y, 1) / rate), 0) - (y - rate)))


def brier_score(onset: Shaped[np.ndarray, " ms"], chance: Real[np.ndarray, " ms"]) -> float:
    """Mean squared difference of a chance and what came of it."""
    return float(np.mean((np.asarray(onset, float) - chance) ** 2))


def average_precision(onset: Shaped[np.ndarray, " ms"], chance: Real[np.ndarray, " ms"]) -> float:
    """Area under the curve of precision against recall; of chances without skill, the share of onsets.

    Raises ValueError for a stretch without onsets.
    """
    from sklearn.metrics import average_precision_score

    if not np.any(onset):
        raise ValueError("there is no onset in this stretch; give a longer one, or lower the detection's thresholds")
    return float(average_precision_score(np.asarray(onset, bool), chance))


def ks_passes(
    one: Float[np.ndarray, " n"], other: Float[np.ndarray, " m"], n: int = 200, times: int = 100, seed: int = 0
) -> float:
    """Share of draws of ``n`` from each that a Kolmogorov-Smirnov test does not tell apart at the 5 % level.

    Two samples of one distribution pass in 95 %. Raises ValueError for fewer than ``n`` values.
    """
    if min(len(one), len(other)) < n:
        raise ValueError(f"{len(one)} and {len(other)} values; the test draws {n} of each")
    rng = np.random.default_rng(seed)
    drawn = [[rng.choice(x, n, replace=False) for x in (one, other)] for _ in range(times)]
    return float(np.mean([ks_2samp(a, b).pvalue > 0.05 for a, b in drawn]))
