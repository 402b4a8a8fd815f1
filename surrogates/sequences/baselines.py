"""What needs no network to predict counts: what no skill gives, and what a linear model does."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Real, Shaped

LAGS = 20


def lagged(counts: Real[np.ndarray, "ms populations"], lags: int = LAGS) -> Float[np.ndarray, "ms columns"]:
    """Counts of the ``lags`` ms before each, zeros before the first."""
    n = len(counts)
    return np.concatenate(
        [np.concatenate([np.zeros((min(d, n), counts.shape[1])), counts[: n - d]]) for d in range(1, lags + 1)], 1
    )


def ridge(
    x: Float[np.ndarray, "rows columns"], y: Real[np.ndarray, " rows"], penalty: float = 10.0
) -> Callable[[Float[np.ndarray, "rows columns"]], Float[np.ndarray, " rows"]]:
    """Ridge regression on standardised columns, as a function."""
    mean, sd = x.mean(0), x.std(0) + 1e-9
    z = (x - mean) / sd
    slopes = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    offset = float(y.mean())
    return lambda q: (q - mean) / sd @ slopes + offset


def hazard(
    quiet_ms: Real[np.ndarray, " ms"], onset: Shaped[np.ndarray, " ms"]
) -> Callable[[Real[np.ndarray, " ms"]], Float[np.ndarray, " ms"]]:
    """Chance of an event's onset by the time since the last, as it was in the data; rare times are taken together."""
    firsts = np.unique(np.quantile(quiet_ms, np.linspace(0, 1, 31)))

    def bins(q: Real[np.ndarray, " ms"]) -> np.ndarray:
        return np.clip(np.searchsorted(firsts, q, side="right") - 1, 0, None)

    at = bins(quiet_ms)
    total, events = (np.bincount(at, w, len(firsts)) for w in (np.ones(len(at)), onset.astype(float)))
    chance = (events + 0.5 * onset.mean()) / (total + 0.5)
    return lambda q: chance[bins(q)]
