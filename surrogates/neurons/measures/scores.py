"""How well a surrogate neuron does: free-running, on runs it has never seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from surrogates.neurons.interface import Response, Target

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
        """Share of the predicted spikes that are true; NaN if none is predicted."""
        return self.matched / self.predicted if self.predicted else math.nan

    @property
    def recall(self) -> float:
        """Share of the true spikes that are predicted; NaN if there is none."""
        return self.matched / self.true if self.true else math.nan


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


def correlation(predicted: Tensor | np.ndarray, true: Tensor | np.ndarray) -> float:
    """Pearson's r over all runs together; 0 where one of them does not change."""
    # Counts of spikes are whole numbers, which have no mean in torch.
    x, y = (z - z.mean() for z in (torch.as_tensor(z).double() for z in (predicted, true)))
    scale = (x.square().sum() * y.square().sum()).sqrt()
    return float((x * y).sum() / scale) if scale > 0 else 0.0


TOLERANCES_MS = (1.0, 2.0, 10.0)
_BEFORE_MS, _AFTER_MS = 2.0, 10.0  # of a spike: what V does there is the spike's


@dataclass(frozen=True)
class Scores:
    """How a surrogate that runs freely compares with its cell, all runs together.

    variance_explained: of V, clipped at ``CLIP_MV``; r: of V with its spikes; subthreshold_r: of V without what lies
    from 2 ms before to 10 ms after any spike, true or predicted; spikes: by tolerance (ms); rates_Hz: true, predicted;
    rate_error_Hz: mean over runs; rate_r: over runs, which differ in their input, NaN where all fire as often;
    outputs_r: of each output.
    """

    runs: int
    variance_explained: float
    r: float
    subthreshold_r: float
    spikes: dict[float, Matched]
    rates_Hz: tuple[float, float]
    rate_error_Hz: float
    rate_r: float
    outputs_r: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Numbers rounded for reading."""
        found: dict[str, Any] = {"runs": self.runs}
        for tolerance, m in self.spikes.items():
            found |= {
                f"precision_{tolerance:g}ms": _rounded(m.precision, 4),
                f"recall_{tolerance:g}ms": _rounded(m.recall, 4),
            }
            shift_ms = m.shift_ms if m.matched else np.array([np.nan])
            found |= {
                f"shift_{tolerance:g}ms": _rounded(shift_ms.mean(), 3),
                f"shift_sd_{tolerance:g}ms": _rounded(shift_ms.std(), 3),
            }
        for name in ("variance_explained", "r", "subthreshold_r", "rate_error_Hz", "rate_r"):
            found[name] = _rounded(getattr(self, name), 4)
        found["rate_Hz"], found["predicted_rate_Hz"] = (round(rate, 3) for rate in self.rates_Hz)
        return found | {f"{name}_r": round(r, 4) for name, r in self.outputs_r.items()}


def _rounded(x: float, digits: int) -> float | None:
    """None for what is not defined, as JSON has it."""
    return round(float(x), digits) if math.isfinite(x) else None


def score(response: Response, target: Target, bin_ms: float, outputs: Sequence[str] = ()) -> Scores:
    """Scores of a response to the events that the target answers. outputs: names of the first outputs, to be scored."""
    clipped = [v.clamp(max=CLIP_MV) for v in (response.v, target.v)]
    quiet = ~(_around(response.spikes, bin_ms) | _around(target.spikes, bin_ms))
    seconds = 1e-3 * bin_ms * target.v.shape[1]
    rates = [s.sum(1) / seconds for s in (target.spikes, response.spikes)]
    return Scores(
        len(target.v),
        variance_explained(*clipped),
        correlation(response.v, target.v),
        correlation(response.v[quiet], target.v[quiet]),
        {t: match_spikes(response.spikes, target.spikes, bin_ms, t) for t in TOLERANCES_MS},
        (float(rates[0].mean()), float(rates[1].mean())),
        float((rates[0] - rates[1]).abs().mean()),
        correlation(*rates) if rates[0].std(correction=0) > 0 else math.nan,
        {name: correlation(response.outputs[..., k], target.outputs[..., k]) for k, name in enumerate(outputs)},
    )


def _around(spikes: Float[Tensor, "runs bins"], bin_ms: float) -> Bool[Tensor, "runs bins"]:
    """Bins near a spike."""
    before, after = round(_BEFORE_MS / bin_ms), round(_AFTER_MS / bin_ms)
    padded = torch.nn.functional.pad(spikes, (after, before))
    return torch.nn.functional.max_pool1d(padded[:, None], before + after + 1, 1)[:, 0] > 0
