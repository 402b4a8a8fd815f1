"""How well a surrogate neuron does: free-running, on runs it has never seen."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

CLIP_MV = -30.0
"""Above it a voltage is a spike's: what it does there is told by the spikes."""


class Matched(NamedTuple):
    """Predicted spikes against true ones, each matched at most once. shift_ms: of each match, predicted minus true."""

    matched: int
    predicted: int
    true: int
    shift_ms: Float[np.ndarray, " matched"]

    @property
    def precision(self) -> float:
        """Share of the predicted spikes that are true; 1 if none is predicted."""
        return self.matched / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """Share of the true spikes that are predicted; 1 if there is none."""
        return self.matched / self.true if self.true else 1.0


def match_spikes(
    predicted: Float[Tensor, "runs bins"], true: Float[Tensor, "runs bins"], bin_ms: float, tolerance_ms: float
) -> Matched:
    """Match spikes no further apart than the tolerance, in the order of their times: no other way matches more."""
    reach = int(np.floor(tolerance_ms / bin_ms + 1e-6))
    shifts: list[int] = []
    for p, q in zip(np.asarray(predicted), np.asarray(true), strict=True):
        shifts += _shifts(_bins(p), _bins(q), reach)
    return Matched(
        len(shifts), int(torch.as_tensor(predicted).sum()), int(torch.as_tensor(true).sum()), np.array(shifts) * bin_ms
    )


def _bins(counts: np.ndarray) -> Integer[np.ndarray, " spikes"]:
    return np.repeat(np.arange(len(counts)), counts.astype(int))


def _shifts(predicted: np.ndarray, true: np.ndarray, reach: int) -> list[int]:
    found, i, j = [], 0, 0
    while i < len(predicted) and j < len(true):
        shift = int(predicted[i] - true[j])
        if abs(shift) <= reach:
            found.append(shift)
            i, j = i + 1, j + 1
        elif shift < 0:
            i += 1
        else:
            j += 1
    return found


def variance_explained(predicted: Tensor, true: Tensor) -> float:
    """One minus the squared error over the variance, over all runs together."""
    return float(1 - ((predicted - true) ** 2).mean() / true.var(unbiased=False))


def correlation(predicted: Tensor, true: Tensor) -> float:
    """Pearson's r over all runs together; 0 where one of them does not change."""
    x, y = predicted - predicted.mean(), true - true.mean()
    scale = (x.square().sum() * y.square().sum()).sqrt()
    return float((x * y).sum() / scale) if scale > 0 else 0.0
