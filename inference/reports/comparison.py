"""Estimators side by side: tables for the terminal and a figure."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.table import Table

from inference.evaluation.scores import Score


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
