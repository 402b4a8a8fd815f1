"""Estimators side by side on recordings whose parameters are known, and the best that any could do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

from inference.estimate import Estimate
from inference.gradient import GradientFit
from inference.stored import StoredEstimator
from simulators.interface import ParameterSpace
from simulators.recording import Recording

_HALF_NORMAL = (2 / np.pi) ** 0.5  # mean absolute value of a unit normal


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


def compare(
    estimators: Mapping[str, StoredEstimator],
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


def cramer_rao_sd(
    fit: GradientFit, theta: Float[np.ndarray, "recordings n_parameters"], recording: Recording, components: bool = True
) -> Float[np.ndarray, "recordings n_parameters"]:
    """Smallest standard deviation of an unbiased estimate at each theta, as a share of the range.

    From the Fisher information of spectra of a recording as long as ``recording``, by the fit's model: its components
    are what networks drawn anew at one theta, and one network at different times, differ by. Without ``components`` the
    limit is that of Gaussian processes with these spectra. It knows nothing of the edges of the range: where it is a
    large part of the range, estimates inside it err less.
    """
    model = fit.model
    observed = model.observe(fit.ready(recording))
    nuisances = model.first_nuisances(observed)
    units = torch.as_tensor(fit.parameters.to_unit(theta)).float()
    information = np.stack([model.information(u, nuisances, observed, components).numpy().astype(float) for u in units])
    return np.sqrt(np.diagonal(np.linalg.inv(information), axis1=1, axis2=2))


def error_limit(
    fit: GradientFit, theta: Float[np.ndarray, "recordings n_parameters"], recording: Recording, components: bool = True
) -> Float[np.ndarray, " n_parameters"]:
    """Mean absolute error of normal estimates at the Cramer-Rao limit, as a share of the range."""
    return _HALF_NORMAL * cramer_rao_sd(fit, theta, recording, components).mean(0)


def compare_tables(
    scores: Mapping[str, Score], limit: Float[np.ndarray, " n_parameters"] | None = None
) -> tuple[Table, Table]:
    """How accurate the estimators are, a row for each and each parameter; and what they cost."""
    accuracy = Table("estimator", "", "error %", "/ limit", "bias %", "R2", "90 % score", "50 / 90 % cover")
    cost = Table("estimator", "s a recording", "simulations", "answered with a warning")
    for name, s in scores.items():
        cost.add_row(name, f"{s.seconds_per_recording:.2g}", str(s.simulations), f"{100 * s.warned:.0f} %")
        for k, p in enumerate(s.parameters.names):
            accuracy.add_row(
                name if k == 0 else "",
                p,
                f"{100 * s.error[k]:.2f}",
                "-" if limit is None else f"{s.error[k] / limit[k]:.2f}",
                f"{100 * s.bias[k]:+.2f}",
                f"{s.r2[k]:.3f}",
                f"{100 * s.interval_score[k]:.1f}",
                f"{100 * s.coverage50[k]:.0f} / {100 * s.coverage90[k]:.0f}",
                end_section=k == len(s.parameters) - 1,
            )
    return accuracy, cost


def compare_figure(scores: Mapping[str, Score], limit: Float[np.ndarray, " n_parameters"] | None = None) -> Figure:
    """Error beside the limit, interval score, coverage and time of every estimator."""
    figure = Figure(figsize=(14, 3.8), layout="constrained")
    error, interval, coverage, seconds = figure.subplots(1, 4, width_ratios=(3, 3, 3, 2))
    names = next(iter(scores.values())).parameters.names
    places, width = np.arange(len(names)), 0.8 / len(scores)
    for i, (name, s) in enumerate(scores.items()):
        x = places + (i - (len(scores) - 1) / 2) * width
        error.bar(x, 100 * s.error, width, label=name)
        interval.bar(x, 100 * s.interval_score, width)
        coverage.bar(x, 100 * s.coverage90, width)
        seconds.bar(i, s.seconds_per_recording)
    if limit is not None:
        error.hlines(100 * limit, places - 0.45, places + 0.45, "k", label="Cramér–Rao limit")
    coverage.axhline(90, color="k", lw=0.8)
    error.set(title="mean absolute error", ylabel="% of the range")
    interval.set(title="interval score of 90 % intervals", ylabel="% of the range")
    coverage.set(title="90 % intervals hold the truth", ylabel="% of recordings", ylim=(0, 100))
    seconds.set(title="one recording", ylabel="s", yscale="log")
    for ax in (error, interval, coverage):
        ax.set_xticks(places, names)
    seconds.set_xticks(range(len(scores)), list(scores), rotation=30)
    figure.legend(*error.get_legend_handles_labels(), loc="outside lower center", ncols=len(scores) + 1)
    return figure
