"""Estimators side by side on recordings whose parameters are known, and the best that any could do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.progress import track

from inference.estimate import Estimate
from inference.estimators.base import BaseEstimator
from simulators.interface import ParameterSpace
from simulators.recording import Recording


@dataclass(frozen=True, eq=False)
class Score:
    """How one estimator did; every array has one value a parameter, shares are of the parameter's range.

    error, bias: mean absolute and mean error; r2; coverage50, coverage90: share of recordings whose central interval
    holds the truth; interval_score: of the 90 % intervals, their mean width plus 20 times the mean distance by which
    they miss (Gneiting & Raftery 2007; smaller is better). simulations: learned from; warned: share of the recordings
    that were answered with a warning.
    """

    parameters: ParameterSpace
    error: Float[np.ndarray, " n_parameters"]
    bias: Float[np.ndarray, " n_parameters"]
    r2: Float[np.ndarray, " n_parameters"]
    coverage50: Float[np.ndarray, " n_parameters"]
    coverage90: Float[np.ndarray, " n_parameters"]
    interval_score: Float[np.ndarray, " n_parameters"]
    seconds_per_recording: float
    simulations: int
    warned: float

    def to_json(self) -> dict[str, Any]:
        """By parameter name, errors and interval scores in % of the range."""

        def named(values: np.ndarray, factor: float = 1.0, digits: int = 3) -> dict[str, float]:
            return dict(zip(self.parameters.names, np.round(factor * values, digits).tolist(), strict=True))

        return {
            "error_percent": named(self.error, 100),
            "bias_percent": named(self.bias, 100),
            "r2": named(self.r2, digits=4),
            "coverage50": named(self.coverage50),
            "coverage90": named(self.coverage90),
            "interval_score_percent": named(self.interval_score, 100),
            "seconds_per_recording": round(self.seconds_per_recording, 5),
            "simulations": self.simulations,
            "warned": round(self.warned, 3),
        }


def score_all(
    estimators: Mapping[str, BaseEstimator],
    theta: Float[np.ndarray, "recordings n_parameters"],
    recordings: Sequence[Recording],
    progress: bool = True,
) -> dict[str, Score]:
    """Score every estimator on the same recordings. Raises ValueError where there is none, or one cannot answer it."""
    if not len(recordings):
        raise ValueError("there are no recordings to compare the estimators on")
    scores = {}
    for name, estimator in estimators.items():
        start = time.perf_counter()
        estimates = [estimator.estimate(r) for r in track(recordings, name, disable=not progress, transient=True)]
        seconds = (time.perf_counter() - start) / len(recordings)
        scores[name] = score(theta, estimates, seconds, int(estimator.about["simulations"]))
    return scores


def score(
    theta: Float[np.ndarray, "recordings n_parameters"],
    estimates: Sequence[Estimate],
    seconds_per_recording: float = 0.0,
    simulations: int = 0,
) -> Score:
    """Score estimates of known parameters. Raises ValueError for estimates without samples."""
    space = estimates[0].parameters
    truth = space.to_unit(theta)
    error = space.to_unit(np.stack([e.point for e in estimates])) - truth
    inner, outer = (space.to_unit(np.stack([e.interval(mass).T for e in estimates])) for mass in (0.5, 0.9))
    missed = np.maximum(outer[:, 0] - truth, 0) + np.maximum(truth - outer[:, 1], 0)
    return Score(
        space,
        error=np.abs(error).mean(0),
        bias=error.mean(0),
        r2=1 - (error**2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0),
        coverage50=((inner[:, 0] <= truth) & (truth <= inner[:, 1])).mean(0),
        coverage90=((outer[:, 0] <= truth) & (truth <= outer[:, 1])).mean(0),
        interval_score=(outer[:, 1] - outer[:, 0] + 2 / 0.1 * missed).mean(0),
        seconds_per_recording=seconds_per_recording,
        simulations=simulations,
        warned=float(np.mean([bool(e.warnings) for e in estimates])),
    )
